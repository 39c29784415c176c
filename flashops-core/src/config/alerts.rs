//! `[alerts]`.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

use super::limits::threshold;
use super::schema::{RawLimit, Text, Whole};
use super::sources::Sources;
use super::value::{bounded, bounded_duration, choose};
use crate::alert::{AlertRules, AnomalyRule, BurnRule, MonthRule, ProjectionRule, Severity, WebhookUrl};
use crate::limit::{Limit, Mode, Resource, Threshold, Window, sorted_thresholds};
use crate::place::Mistake;
use crate::units::{MAX_AMOUNT, MoneyUnit, parse_decimal};

/// How long what is compared may be.
const PERIODS: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(86_400);

/// How many periods may be remembered: enough to say anything, up to a week of hours.
const HISTORIES: RangeInclusive<u64> = 6..=AnomalyRule::MAX_HISTORY as u64;

/// How long the windows of a burn rate may be.
const WINDOWS: RangeInclusive<Duration> = BurnRule::MIN_WINDOW..=BurnRule::PERIOD;

/// Limits over a shorter time have no thresholds unless they name some: they would be told of all the time.
const SHORTEST: Duration = Duration::from_secs(3_600);

const SEVERITIES: [(&str, Severity); 2] = [("page", Severity::Page), ("ticket", Severity::Ticket)];

/// What an operator is told of, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AlertOptions {
    /// What is watched for, besides thresholds.
    pub rules: AlertRules,
    /// Whether alerts are logged.
    pub log: bool,
    /// Where an Alertmanager is.
    pub alertmanager: Option<WebhookUrl>,
    /// Where an incoming webhook of Slack is.
    pub slack: Option<WebhookUrl>,
    /// Where an operator finds more, for those who are told.
    pub link: Option<String>,
}

impl Default for AlertOptions {
    /// Without the table, alerts of the thresholds that limits name are logged.
    fn default() -> Self {
        Self { rules: AlertRules::NONE, log: true, alertmanager: None, slack: None, link: None }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawAlerts {
    thresholds: Option<Spanned<Vec<Spanned<IgnoredAny>>>>,
    projection: Option<bool>,
    projection_after: Option<Spanned<IgnoredAny>>,
    burn_rate: Option<Spanned<Vec<Spanned<RawBurn>>>>,
    anomaly: Option<bool>,
    anomaly_factor: Option<Spanned<IgnoredAny>>,
    anomaly_period: Option<Text>,
    anomaly_history: Option<Whole>,
    anomaly_tokens: Option<Whole>,
    user_month: Option<Text>,
    log: Option<bool>,
    alertmanager: Option<Text>,
    alertmanager_env: Option<Text>,
    alertmanager_file: Option<Text>,
    slack: Option<Text>,
    slack_env: Option<Text>,
    slack_file: Option<Text>,
    link: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct RawBurn {
    factor: Spanned<IgnoredAny>,
    slow: Text,
    fast: Text,
    severity: Option<Text>,
}

pub(super) fn read(
    raw: &Option<RawAlerts>,
    text: &str,
    money: MoneyUnit,
    sources: &dyn Sources,
) -> Result<AlertOptions, Mistake> {
    let Some(raw) = raw else { return Ok(AlertOptions::default()) };
    Ok(AlertOptions {
        rules: rules(raw, text, money)?,
        log: raw.log.unwrap_or(true),
        alertmanager: webhook(
            "alertmanager",
            [&raw.alertmanager, &raw.alertmanager_env, &raw.alertmanager_file],
            sources,
        )?,
        slack: webhook("slack", [&raw.slack, &raw.slack_env, &raw.slack_file], sources)?,
        link: raw.link.as_ref().map(link).transpose()?,
    })
}

/// Gives the limits on tokens and money over an hour or more their thresholds, unless they name some or none.
pub(super) fn add_thresholds(
    limits: Vec<Limit>,
    raw: &[Spanned<RawLimit>],
    alerts: &Option<RawAlerts>,
    text: &str,
) -> Result<Vec<Limit>, Mistake> {
    let Some(alerts) = alerts else { return Ok(limits) };
    let (place, shares) = thresholds(alerts, text)?;
    let told = |(limit, raw): (Limit, &Spanned<RawLimit>)| {
        if raw.get_ref().thresholds.is_some() || !is_told(&limit) {
            return Ok(limit);
        }
        limit.with_thresholds(shares.clone()).map_err(|error| (place.clone(), error.to_string()))
    };
    limits.into_iter().zip(raw).map(told).collect()
}

fn is_told(limit: &Limit) -> bool {
    let long = match limit.window() {
        Some(Window::Sliding(length)) => *length >= SHORTEST,
        Some(Window::Calendar(_) | Window::Lifetime) => true,
        None => false,
    };
    long && limit.mode() != Mode::Shadow && limit.resource() != Resource::Requests
}

fn thresholds(raw: &RawAlerts, text: &str) -> Result<(Range<usize>, Vec<Threshold>), Mistake> {
    let Some(shares) = &raw.thresholds else { return Ok((0..0, AlertRules::THRESHOLDS.to_vec())) };
    let places = shares.get_ref().iter().map(Spanned::span);
    let list = places.map(|place| threshold(text, place)).collect::<Result<Vec<_>, _>>()?;
    let list = sorted_thresholds(list).map_err(|error| (shares.span(), error.to_string()))?;
    Ok((shares.span(), list))
}

fn rules(raw: &RawAlerts, text: &str, money: MoneyUnit) -> Result<AlertRules, Mistake> {
    let mut rules = AlertRules::default();
    let projection = projection(raw, text)?;
    rules.projection = raw.projection.unwrap_or(true).then_some(projection);
    if let Some(burns) = &raw.burn_rate {
        rules.burn_rates = burn_rates(burns, text)?;
    }
    let anomaly = anomaly(raw, text)?;
    rules.anomaly = raw.anomaly.unwrap_or(true).then_some(anomaly);
    if let Some(most) = &raw.user_month {
        let currency = money.currency();
        let each = money.parse(most.get_ref()).map_err(|error| (most.span(), format!("{error}, in {currency}")))?;
        rules.month = Some(MonthRule { each: Some(each) });
    }
    Ok(rules)
}

fn projection(raw: &RawAlerts, text: &str) -> Result<ProjectionRule, Mistake> {
    let Some(after) = &raw.projection_after else { return Ok(ProjectionRule::default()) };
    let share = thousandths(text, after.span(), 1..=1_000).and_then(|share| u16::try_from(share).ok());
    let after = share.ok_or_else(|| {
        (
            after.span(),
            "`projection_after` is a share of the period from 0.001 to 1, with at most 3 decimals".to_owned(),
        )
    })?;
    Ok(ProjectionRule { after })
}

fn anomaly(raw: &RawAlerts, text: &str) -> Result<AnomalyRule, Mistake> {
    let mut rule = AnomalyRule::default();
    if let Some(factor) = &raw.anomaly_factor {
        rule.factor = self::factor("anomaly_factor", text, factor)?;
    }
    if let Some(period) = &raw.anomaly_period {
        rule.period = bounded_duration(period, "anomaly_period", PERIODS)?;
    }
    if let Some(history) = &raw.anomaly_history {
        // The bound fits everywhere.
        rule.history = usize::try_from(bounded(history, "anomaly_history", HISTORIES)?).unwrap_or(rule.history);
    }
    if let Some(least) = &raw.anomaly_tokens {
        rule.least = bounded(least, "anomaly_tokens", 1..=MAX_AMOUNT)?;
    }
    Ok(rule)
}

fn burn_rates(raw: &Spanned<Vec<Spanned<RawBurn>>>, text: &str) -> Result<Vec<BurnRule>, Mistake> {
    if raw.get_ref().len() > AlertRules::MAX_BURN_RATES {
        return Err((raw.span(), format!("there are at most {} burn rates", AlertRules::MAX_BURN_RATES)));
    }
    raw.get_ref().iter().map(|burn| burn_rate(burn.get_ref(), text)).collect()
}

fn burn_rate(raw: &RawBurn, text: &str) -> Result<BurnRule, Mistake> {
    let factor = factor("factor", text, &raw.factor)?;
    let slow = bounded_duration(&raw.slow, "slow", WINDOWS)?;
    let fast = bounded_duration(&raw.fast, "fast", WINDOWS)?;
    if fast >= slow {
        return Err((raw.fast.span(), "`fast` is a shorter window than `slow`".to_owned()));
    }
    let severity = raw.severity.as_ref().map_or(Ok(Severity::Page), |word| choose(word, &SEVERITIES))?;
    Ok(BurnRule { factor, slow, fast, severity })
}

/// How many times as much is too much, in thousandths.
fn factor(key: &str, text: &str, raw: &Spanned<IgnoredAny>) -> Result<u64, Mistake> {
    thousandths(text, raw.span(), 1_001..=1_000_000)
        .ok_or_else(|| (raw.span(), format!("`{key}` is a number above 1, up to 1000, with at most 3 decimals")))
}

/// A decimal number in thousandths, read from the text, so that none passes through a binary fraction.
fn thousandths(text: &str, place: Range<usize>, bounds: RangeInclusive<u64>) -> Option<u64> {
    let number = parse_decimal(text.get(place)?, 3).ok()?;
    u64::try_from(number).ok().filter(|number| bounds.contains(number))
}

/// A URL that is written here, in a variable or in a file. No message shows it.
fn webhook(
    key: &str,
    [here, variable, file]: [&Option<Text>; 3],
    sources: &dyn Sources,
) -> Result<Option<WebhookUrl>, Mistake> {
    let (place, text) = match (here, variable, file) {
        (None, None, None) => return Ok(None),
        (Some(url), None, None) => (url, url.get_ref().clone()),
        (None, Some(name), None) => {
            let failed = |error| (name.span(), format!("the environment variable cannot be read: {error}"));
            (name, sources.variable(name.get_ref()).map_err(failed)?)
        }
        (None, None, Some(path)) => {
            let failed = |error| (path.span(), format!("the file cannot be read: {error}"));
            (path, sources.file(path.get_ref()).map_err(failed)?)
        }
        (one, other, third) => {
            let place = third.as_ref().or(other.as_ref()).or(one.as_ref()).map_or(0..0, Spanned::span);
            return Err((place, format!("there is at most one of `{key}`, `{key}_env` and `{key}_file`")));
        }
    };
    let malformed =
        || (place.span(), format!("`{key}` is a URL such as https://{key}.example.com/path, without credentials"));
    WebhookUrl::new(&text).map(Some).ok_or_else(malformed)
}

fn link(raw: &Text) -> Result<String, Mistake> {
    let url = WebhookUrl::new(raw.get_ref()).map(|url| url.expose().to_owned());
    url.ok_or_else(|| (raw.span(), "`link` is a URL such as https://gateway.example.com/usage".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, NoSources};

    fn config(text: &str) -> Config {
        Config::from_toml(text, &NoSources).unwrap_or_else(|error| panic!("{error}"))
    }

    fn alerts(text: &str) -> AlertOptions {
        config(&format!("[alerts]\n{text}")).alerts().clone()
    }

    #[test]
    fn without_the_table_nothing_is_watched_and_with_it_everything_is() {
        assert_eq!(config("").alerts(), &AlertOptions::default());
        assert_eq!(config("").alerts().rules, AlertRules::NONE);
        assert_eq!(alerts(""), AlertOptions { rules: AlertRules::default(), ..AlertOptions::default() });
    }

    #[test]
    fn the_defaults_written_out_are_the_defaults() {
        let written = r#"
            thresholds = [0.8, 1.0]
            projection = true
            projection_after = 0.1
            burn_rate = [
                { factor = 14.4, slow = "1h", fast = "5m", severity = "page" },
                { factor = 6, slow = "6h", fast = "30m" },
                { factor = 3.0, slow = "1d", fast = "2h", severity = "ticket" },
            ]
            anomaly = true
            anomaly_factor = 3
            anomaly_period = "1h"
            anomaly_history = 24
            anomaly_tokens = 1000
            log = true
        "#;
        assert_eq!(alerts(written), alerts(""));
    }

    #[test]
    fn every_key_can_be_changed() {
        let changed = alerts(
            r#"
            projection = false
            burn_rate = []
            anomaly = false
            user_month = "7.50"
            log = false
            alertmanager = "http://alertmanager:9093"
            slack = "https://hooks.slack.com/services/x"
            link = "https://gateway.example.com/api/v1/ai/usage"
            "#,
        );
        let each = MoneyUnit::NANO_USD.parse("7.5").unwrap();
        let month = Some(MonthRule { each: Some(each) });
        assert_eq!(changed.rules, AlertRules { month, ..AlertRules::NONE });
        assert_eq!(
            (changed.log, changed.alertmanager, changed.slack),
            (false, WebhookUrl::new("http://alertmanager:9093"), WebhookUrl::new("https://hooks.slack.com/services/x"),)
        );
        assert_eq!(changed.link.as_deref(), Some("https://gateway.example.com/api/v1/ai/usage"));
        let rules = alerts(
            "projection_after = 0.25\nanomaly_factor = 2.5\nanomaly_period = \"1d\"\nanomaly_history = 7\n\
             anomaly_tokens = 5\nburn_rate = [{ factor = 2, slow = \"2h\", fast = \"10m\", severity = \"ticket\" }]",
        )
        .rules;
        let anomaly = AnomalyRule { factor: 2_500, period: Duration::from_secs(86_400), history: 7, least: 5 };
        let (slow, fast) = (Duration::from_secs(7_200), Duration::from_secs(600));
        let burn = BurnRule { factor: 2_000, slow, fast, severity: Severity::Ticket };
        assert_eq!((rules.projection, rules.anomaly), (Some(ProjectionRule { after: 250 }), Some(anomaly)));
        assert_eq!(rules.burn_rates, [burn]);
    }

    #[test]
    fn limits_on_tokens_and_money_of_an_hour_or_more_have_thresholds_unless_they_name_their_own() {
        let limit = |name: &str, resource: &str, amount: &str, more: &str| {
            format!(
                "[[limit]]\nname = \"{name}\"\nscope = \"org\"\nresource = \"{resource}\"\namount = {amount}\n{more}\n"
            )
        };
        let text = [
            limit("hour", "tokens", "10", "window = \"1h\""),
            limit("month", "cost", "\"10\"", "window = \"month\""),
            limit("life", "output-tokens", "10", "window = \"lifetime\""),
            limit("own", "tokens", "10", "window = \"1h\"\nthresholds = [0.5]"),
            limit("none", "tokens", "10", "window = \"1h\"\nthresholds = []"),
            limit("minute", "tokens", "10", "window = \"1m\""),
            limit("requests", "requests", "10", "window = \"day\""),
            limit("shadow", "tokens", "10", "window = \"1h\"\nmode = \"shadow\""),
            limit("at-once", "concurrency", "10", ""),
        ]
        .concat();
        let of = |alerts: &str| -> Vec<Vec<Threshold>> {
            let config = config(&format!("{text}{alerts}"));
            config.policy().limits().iter().map(|limit| limit.thresholds().to_vec()).collect()
        };
        let none = Vec::new;
        let expected = |all: &[Threshold]| {
            let mut each = vec![all.to_vec(), all.to_vec(), all.to_vec(), vec![500]];
            each.resize_with(9, none);
            each
        };
        assert_eq!(of(""), expected(&[]));
        assert_eq!(of("[alerts]"), expected(&[800, 1_000]));
        assert_eq!(of("[alerts]\nthresholds = [0.9, 0.25]"), expected(&[250, 900]));
        assert_eq!(of("[alerts]\nthresholds = []"), expected(&[]));
    }
}
