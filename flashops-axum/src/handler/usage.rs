use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use flashops_core::alert::{Alerts, MonthProjection};
use flashops_core::budget::{Budget, CurrentBudget, UNKNOWN_PROVIDER};
use flashops_core::caller::{Caller, CallerTable};
use flashops_core::clock::UnixSeconds;
use flashops_core::key::{Key, Scope, Scopes};
use flashops_core::limit::{Limit, Resource};
use flashops_core::price::Model;
use flashops_core::record::{FallbackReason, ReportRow, RowKey, Tally, Totals};
use flashops_core::store::{Standing, Store, StoreError};
use flashops_core::units::{Cost, MoneyUnit};
use flashops_tower::reject::headers::X_REQUEST_ID;
use flashops_tower::reject::{DefaultReject, Dialect, Refusal, RefusalContext, Reject, RequestId};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::extract::CurrentCaller;

/// The most callers whose limits are shown before they have called.
pub const MAX_KNOWN_CALLERS: usize = 1_000;

/// What the usage handler reports on: a budget, and the tally that records it.
pub struct UsageReport<T: Store> {
    budget: CurrentBudget<T>,
    tally: Arc<Tally>,
    alerts: Option<Arc<Alerts>>,
    callers: Arc<dyn Fn() -> Arc<CallerTable> + Send + Sync>,
}

impl<T: Store> UsageReport<T> {
    /// A report on a budget whose recorder is this tally: one for good, or a handle on the one in force.
    pub fn new(budget: impl Into<CurrentBudget<T>>, tally: Arc<Tally>) -> Self {
        Self { budget: budget.into(), tally, alerts: None, callers: Arc::new(Arc::default) }
    }

    /// Tells those who see everybody's usage also what the month will cost, as far as these alerts watch it.
    #[must_use]
    pub fn with_alerts(self, alerts: Arc<Alerts>) -> Self {
        Self { alerts: Some(alerts), ..self }
    }

    /// The same for a service that knows these callers, as they are at the moment: who may see everybody sees the
    /// limits of those too who have not called a model yet, of the first [`MAX_KNOWN_CALLERS`] in the order of their
    /// names.
    #[must_use]
    pub fn with_callers(mut self, known: impl Fn() -> Arc<CallerTable> + Send + Sync + 'static) -> Self {
        self.callers = Arc::new(known);
        self
    }
}

impl<T: Store> Clone for UsageReport<T> {
    fn clone(&self) -> Self {
        let (budget, tally) = (self.budget.clone(), Arc::clone(&self.tally));
        Self { budget, tally, alerts: self.alerts.clone(), callers: Arc::clone(&self.callers) }
    }
}

impl<T: Store> fmt::Debug for UsageReport<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageReport").field("tally", &self.tally).finish_non_exhaustive()
    }
}

/// An extension of requests: whoever asks sees everybody's usage, as an [admin](Caller::is_admin) does. Set it where
/// the network is proof enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeesAll;

/// The query of the usage handler.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageQuery {
    /// The window, `1h` if absent; `all` since the start.
    window: Option<String>,
}

/// `/api/v1/ai/usage`: tokens and money in a window by organisation, user, model and route, and how limits stand.
///
/// A caller sees itself; an [admin](Caller::is_admin), or a request with [`SeesAll`], sees all rows, and the limits
/// of everyone who has one or whose first call is under way, and of the [callers](UsageReport::with_callers) that the
/// service knows, and by [`UsageReport::with_alerts`] what the month costs. Instants are in seconds since 1970. There a
/// limit of a user has an `org` too, since two organisations can have users of one name.
pub async fn usage<T: Store>(
    State(report): State<UsageReport<T>>,
    CurrentCaller(caller): CurrentCaller,
    sees_all: Option<Extension<SeesAll>>,
    query: Result<Query<UsageQuery>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let asked = query.map(|Query(query)| parse_window(query.window.as_deref().unwrap_or("1h")));
    let Ok(Some(window)) = asked else { return bad_window(&headers) };
    let budget = report.budget.load();
    let now = budget.store().now();
    let sees_all = caller.is_admin() || sees_all.is_some();
    let seen = report.tally.report(window, now, |row| sees_all || row.belongs_to(&caller));
    // Limits hold also for those who used nothing in this window, or nothing yet.
    let everybody = sees_all.then(|| (report.tally.row_keys(), first_of(&(report.callers)())));
    let everybody = everybody.as_ref().map(|(rows, known)| (&rows[..], &known[..]));
    let limits = match limits_of(&budget, &caller, everybody).await {
        Ok(limits) => limits,
        Err(error) => return unavailable(&error, now.unix),
    };
    let unit = budget.price_handle().unit();
    let rows: Vec<Value> = seen.rows.iter().map(|row| row_json(row, unit)).collect();
    let mut told = json!({
        "window_seconds": window.map(|window| window.as_secs()),
        "threshold": { "tokens": seen.threshold.amount, "share": seen.threshold.tokens as f64 / seen.threshold.amount as f64 },
        "totals": totals_json(&seen.totals, unit),
        "by": rows,
        "limits": limits,
    });
    if sees_all {
        told["fallbacks"] = fallbacks_json(&report.tally).into();
        if let Some(month) = report.alerts.as_ref().and_then(|alerts| alerts.month(now)) {
            told["month"] = month_json(&month, unit);
        }
    }
    Json(told).into_response()
}

/// `Some(None)` is all time, `None` is not a window.
#[allow(clippy::option_option, reason = "a window, all time, or a mistake")]
fn parse_window(text: &str) -> Option<Option<Duration>> {
    if text == "all" {
        return Some(None);
    }
    let unit = match text.as_bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3_600,
        b'd' => 86_400,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    let number: u64 = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let window = Duration::from_secs(number.checked_mul(unit)?);
    (window > Duration::ZERO && window <= Tally::MAX_WINDOW).then_some(Some(window))
}

fn bad_window(headers: &HeaderMap) -> Response {
    let id = headers.get(X_REQUEST_ID).and_then(RequestId::from_value).map(RequestId::as_str);
    let mut problem = json!({
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "the query is `window=` with a number of s, m, h or d up to a day, such as 1h, or `all`",
    });
    if let Some(id) = id {
        problem["instance"] = format!("urn:flashops:request:{id}").into();
    }
    let headers = [(http::header::CONTENT_TYPE, "application/problem+json")];
    (StatusCode::BAD_REQUEST, headers, problem.to_string()).into_response()
}

/// Without the store nobody knows how limits stand, and none is not the same as unknown.
fn unavailable(error: &StoreError, now: UnixSeconds) -> Response {
    let context = RefusalContext::new(Dialect::Problem, now);
    let response = DefaultReject::new().reject(&Refusal::Store(error), &context);
    response.map(|body| Body::from(body.into_bytes()))
}

/// Whose limits are shown.
struct Holder<'a> {
    key: Key<'a>,
    name: &'a str,
    /// Of a user, for those who see several organisations.
    org: Option<&'a str>,
}

impl<'a> From<Key<'a>> for Holder<'a> {
    fn from(key: Key<'a>) -> Self {
        Self { key, name: key.text(), org: None }
    }
}

/// How the limits stand that the caller may see: its own and everybody's; for an admin those of all who have a row.
async fn limits_of<T: Store>(
    budget: &Budget<T>,
    caller: &Caller,
    everybody: Option<(&[RowKey], &[Caller])>,
) -> Result<Vec<Value>, StoreError> {
    let own = caller.scopes().with(Key::global());
    let mut holders: Vec<Holder<'_>> = own.iter().copied().map(Holder::from).collect();
    for holder in holders.iter_mut().filter(|holder| holder.key.scope() == Scope::User) {
        (holder.name, holder.org) = (caller.user(), everybody.map(|_| caller.org()));
    }
    let prices = budget.prices();
    let (rows, known) = everybody.unwrap_or_default();
    for row in rows {
        let Some([user, org]) = row.keys() else { continue };
        let known = prices.model(row.model());
        let model = Key::new(Scope::Model, known.map_or(row.model(), Model::name));
        let provider = Key::new(Scope::Provider, known.map_or(UNKNOWN_PROVIDER, Model::provider));
        holders.push(Holder { key: user, name: row.user(), org: Some(row.org()) });
        holders.extend([org, Key::new(Scope::Route, row.route()), model, provider].map(Holder::from));
    }
    for caller in known {
        let scopes = caller.scopes();
        let keys = |scope| scopes.key(scope).copied();
        holders.extend(keys(Scope::User).map(|key| Holder { key, name: caller.user(), org: Some(caller.org()) }));
        holders.extend(keys(Scope::Org).map(Holder::from));
    }
    let mut seen = HashSet::new();
    holders.retain(|holder| seen.insert(holder.key.fingerprint()));
    holders.sort_by_key(|holder| (holder.key.scope(), holder.name, holder.org));
    let mut found = Vec::new();
    for holder in &holders {
        found.extend(standings_of(budget, holder).await?);
    }
    Ok(found)
}

/// The callers that a service knows, each once, in the order of their names.
fn first_of(table: &CallerTable) -> Vec<Caller> {
    let mut callers: Vec<Caller> = table.callers().collect();
    callers.sort_by(|one, other| (one.org(), one.user()).cmp(&(other.org(), other.user())));
    callers.dedup_by(|one, other| (one.org(), one.user()) == (other.org(), other.user()));
    callers.truncate(MAX_KNOWN_CALLERS);
    callers
}

async fn standings_of<T: Store>(budget: &Budget<T>, holder: &Holder<'_>) -> Result<Vec<Value>, StoreError> {
    let policy = budget.policy();
    let all = policy.select(|limit| limit.scope() == holder.key.scope());
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let standings = budget.store().standings(&Scopes::new().with(holder.key), all).await?;
    let unit = budget.price_handle().unit();
    let json = |standing: &Standing| limit_json(policy.limit(standing.limit), holder, standing, unit);
    Ok(standings.iter().map(json).collect())
}

fn row_json(row: &ReportRow, unit: MoneyUnit) -> Value {
    let ReportRow { key, totals, .. } = row;
    let mut json = totals_json(totals, unit);
    json.insert("org".into(), key.org().into());
    json.insert("user".into(), key.user().into());
    json.insert("model".into(), key.model().into());
    json.insert("route".into(), key.route().into());
    json.into()
}

/// How often another model was tried since the start, by reason.
fn fallbacks_json(tally: &Tally) -> Map<String, Value> {
    FallbackReason::ALL.into_iter().map(|reason| (reason.name().to_owned(), tally.fallbacks(reason).into())).collect()
}

/// What the calendar month costs, and will cost.
fn month_json(month: &MonthProjection, unit: MoneyUnit) -> Value {
    let money = |cost: Option<Cost>| cost.map(|cost| unit.format(cost));
    json!({
        "start": month.start.0,
        "since": month.since.0,
        "end": month.end.0,
        "active_users": month.active_users,
        "cost": unit.format(month.cost),
        "projected_cost": money(month.projected),
        "projected_cost_per_user": money(month.projected_each),
        "currency": unit.currency(),
    })
}

fn totals_json(totals: &Totals, unit: MoneyUnit) -> Map<String, Value> {
    let numbers = [
        ("requests", totals.requests),
        ("prompt_tokens", totals.prompt_tokens),
        ("completion_tokens", totals.completion_tokens),
        ("total_tokens", totals.total_tokens()),
        ("estimated_requests", totals.estimated_requests),
        ("inconsistent_requests", totals.inconsistent_requests),
        ("unpriced_requests", totals.unpriced_requests),
        ("refused", totals.refused),
        ("cut", totals.cut),
    ];
    let mut json: Map<String, Value> = numbers.into_iter().map(|(name, number)| (name.into(), number.into())).collect();
    json.insert("cost".into(), totals.cost_text(unit).into());
    json.insert("currency".into(), unit.currency().into());
    json
}

fn limit_json(limit: &Limit, holder: &Holder<'_>, standing: &Standing, unit: MoneyUnit) -> Value {
    let amount = |amount: u64| match limit.resource() {
        Resource::Cost => Value::from(unit.format(Cost::saturating(amount))),
        _ => Value::from(amount),
    };
    let mut json = json!({
        "name": limit.name(),
        "scope": limit.scope().name(),
        "key": holder.name,
        "resource": limit.resource().name(),
        "amount": amount(standing.amount),
        "used": amount(standing.used),
        "held": amount(standing.held),
        "remaining": amount(standing.remaining()),
        "reset_seconds": standing.reset.map(|reset| thousandths(reset.as_millis().try_into().unwrap_or(u64::MAX))),
    });
    if let Some(org) = holder.org {
        json["org"] = org.into();
    }
    json
}

/// A decimal number in an answer; nothing is calculated with it.
fn thousandths(number: u64) -> f64 {
    number as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_number_with_a_unit_up_to_a_day_or_all() {
        assert_eq!(parse_window("all"), Some(None));
        assert_eq!(parse_window("90s"), Some(Some(Duration::from_secs(90))));
        assert_eq!(parse_window("1d"), Some(Some(Duration::from_secs(86_400))));
        for text in ["", "h", "0s", "2d", "1.5h", "-1h", "+1h", "1w", "99999999999999999999h", "1é"] {
            assert_eq!(parse_window(text), None, "{text}");
        }
    }
}
