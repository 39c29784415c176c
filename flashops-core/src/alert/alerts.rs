use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use super::alert::{Alert, AlertKind, Subject};
use super::history::{History, Unusual, left};
use super::month::{self, Month, MonthProjection};
use super::rules::{AlertRules, AnomalyRule, MonthRule, Severity};
use super::sink::AlertSink;
use super::subject::{key_of, name_of};
use super::table::{States, Table, TableKey};
use super::watch::{Found, Watch, WatchRule, later};
use super::watched::Watched;
use crate::budget::scopes;
use crate::clock::Moment;
use crate::key::{Key, Scope};
use crate::limit::{LimitSet, Policy, Resource, Window};
use crate::price::{Model, Prices};
use crate::record::{CallInfo, Event, Recorder, SettledCall, ThresholdReached};
use crate::store::Crossing;
use crate::sync::Mutex;
use crate::units::{Amounts, Cost};
use crate::window::Calendar;
use crate::window::calendar::CalendarUnit;

/// For how long an alert on a limit is of interest whose use never goes down by itself.
const FOR_EVER: Duration = Duration::from_secs(86_400);

/// What is compared with its own history: each user, and all together.
const COMPARED: [Scope; 2] = [Scope::User, Scope::Global];

/// The resources of a [`History`], in its order.
const MEASURED: [Resource; 2] = [Resource::Tokens, Resource::Cost];

/// What callers used before, as one rule compares it.
struct Compared {
    rule: AnomalyRule,
    histories: Table<History>,
}

impl Compared {
    fn new(rule: AnomalyRule) -> Self {
        Self { rule, histories: Table::new(Alerts::MAX_KEYS) }
    }
}

type Sinks = Vec<Arc<dyn AlertSink>>;

/// A recorder that makes alerts of what it is told, and gives them to its sinks.
///
/// See the [module docs](super) for an example.
pub struct Alerts {
    prices: Prices,
    watched: ArcSwap<Watched>,
    watches: Table<Watch>,
    compared: ArcSwapOption<Compared>,
    month: Mutex<Option<Month>>,
    sinks: ArcSwap<Sinks>,
}

impl Alerts {
    /// How many keys are watched at most: for each limit, and compared with their own history.
    pub const MAX_KEYS: usize = 10_000;

    /// The most sinks.
    pub const MAX_SINKS: usize = 16;

    /// Watches for these rules on the limits of a policy, from now on; without a sink.
    pub fn new(policy: Arc<Policy>, prices: Prices, rules: &AlertRules, now: Moment) -> Self {
        Self {
            prices,
            watched: ArcSwap::from_pointee(Watched::new(policy, rules, now.unix)),
            watches: Table::new(Self::MAX_KEYS),
            compared: ArcSwapOption::from_pointee(rules.anomaly.map(Compared::new)),
            month: Mutex::new(rules.month.map(|rule| month(rule, now))),
            sinks: ArcSwap::default(),
        }
    }

    /// Watches the limits of another policy, by other rules. What was told of limits that are the same stays told, and
    /// what is usual stays known, where the rules for it are the same; of others nothing was seen before now.
    pub fn replace(&self, policy: Arc<Policy>, rules: &AlertRules, now: Moment) {
        self.watched.rcu(|watched| watched.followed_by(Arc::clone(&policy), rules, now.unix));
        if self.compared.load().as_ref().map(|compared| compared.rule) != rules.anomaly {
            self.compared.store(rules.anomaly.map(|rule| Arc::new(Compared::new(rule))));
        }
        let mut watched = self.month.lock();
        *watched = rules.month.map(|rule| match watched.take() {
            Some(so_far) => so_far.with_rule(rule),
            None => month(rule, now),
        });
    }

    /// Watches the same limits by other rules, as [`Alerts::replace`] does.
    pub fn replace_rules(&self, rules: &AlertRules, now: Moment) {
        let policy = Arc::clone(self.watched.load().policy());
        self.replace(policy, rules, now);
    }

    /// Tells this one too, from now on. Beyond [`Alerts::MAX_SINKS`] the oldest goes.
    pub fn add_sink(&self, sink: impl AlertSink) {
        let sink: Arc<dyn AlertSink> = Arc::new(sink);
        self.sinks.rcu(|sinks| {
            let skipped = (sinks.len() + 1).saturating_sub(Self::MAX_SINKS);
            sinks.iter().skip(skipped).chain([&sink]).cloned().collect::<Sinks>()
        });
    }

    /// What this month has cost and will have, in all and for each active user; `None` if that is not watched.
    pub fn month(&self, now: Moment) -> Option<MonthProjection> {
        self.month.lock().as_mut().map(|month| month.report(now.unix))
    }

    /// How often a key was not watched, because as many are as may be.
    pub fn unwatched(&self) -> u64 {
        self.watches.refused() + self.compared.load().as_ref().map_or(0, |compared| compared.histories.refused())
    }

    fn crossed(&self, call: &CallInfo, crossing: &Crossing, at: Moment, policy: &Policy) {
        let limit = policy.limit(crossing.limit);
        let until = match limit.window() {
            Some(Window::Calendar(calendar)) => calendar.period(at.unix).end,
            Some(Window::Sliding(length)) => later(at.unix, *length),
            Some(Window::Lifetime) | None => later(at.unix, FOR_EVER),
        };
        let kind = AlertKind::Threshold { share: crossing.threshold, used: crossing.used, amount: limit.amount() };
        let severity = if crossing.threshold >= 1_000 { Severity::Page } else { Severity::Ticket };
        let book = self.prices.load();
        let subject = subject(limit.name(), limit.scope(), limit.resource(), call, book.model(&call.model));
        self.tell([(Found { kind, severity, until }, subject)], at);
    }

    fn org_crossed(&self, reached: &ThresholdReached) {
        let ThresholdReached { org, tokens, amount, window, at } = reached;
        let kind = AlertKind::Threshold { share: 1_000, used: *tokens, amount: *amount };
        let until = later(at.unix, *window);
        let (name, key) = ("threshold_tokens".into(), Arc::clone(org));
        let subject = Subject { name, scope: Scope::Org, key, org: None, resource: Resource::Tokens };
        self.tell([(Found { kind, severity: Severity::Page, until }, subject)], *at);
    }

    fn settled(&self, settled: &SettledCall<'_>) {
        let used = amounts(settled);
        let watched = self.watched.load();
        let limits = watched.counted(settled);
        if !limits.is_empty() {
            self.watch(&watched, settled, limits, &used);
        }
        drop(watched);
        if let Some(compared) = &*self.compared.load() {
            for scope in COMPARED {
                self.compare(compared, scope, settled, &used);
            }
        }
        self.count_month(settled, used.cost);
    }

    fn count_month(&self, settled: &SettledCall<'_>, cost: Cost) {
        let user = settled.call.caller.user_key().fingerprint();
        // The lock is released at the end of the statement.
        let found = self.month.lock().as_mut().and_then(|month| month.count(user, cost, settled.ended.unix));
        let subject = || subject("user_month", Scope::Global, month::RESOURCE, settled.call, None);
        self.tell(found.map(|found| (found, subject())), settled.ended);
    }

    /// Looks at all limits that counted the call.
    fn watch(&self, watched: &Watched, settled: &SettledCall<'_>, limits: LimitSet, used: &Amounts) {
        let (call, now) = (settled.call, settled.ended);
        let book = self.prices.load();
        let known = book.model(&call.model);
        let scopes = scopes(call, known, watched.scopes);
        let mut found = Vec::new();
        for rule in watched.rules.iter().filter(|rule| limits.contains(rule.index)) {
            let (limit, amount) = (&rule.limit, rule.limit.resource().of(used));
            let Some(key) = scopes.key(limit.scope()).filter(|_| amount > 0) else { continue };
            let of_caller = matches!(limit.scope(), Scope::User | Scope::Org | Scope::Ip);
            let anonymous = of_caller && call.caller.is_anonymous();
            self.count((watched, rule), key, anonymous, amount, now, &mut found);
            let subject = || subject(limit.name(), limit.scope(), limit.resource(), call, known);
            self.tell(found.drain(..).map(|found| (found, subject())), now);
        }
    }

    fn count(
        &self,
        (watched, rule): (&Watched, &WatchRule),
        key: &Key<'_>,
        anonymous: bool,
        amount: u64,
        now: Moment,
        found: &mut Vec<Found>,
    ) {
        // Who was refused before may have used some that nobody saw.
        let make = |missed: bool| Watch::new(rule, if missed { now.unix } else { rule.since });
        let is_idle = |watch: &mut Watch, number: u32| watched.rule(number).is_none_or(|rule| watch.is_idle(rule, now));
        let states = States { anonymous, make: &make, is_idle: &is_idle };
        let key = TableKey { key: key.fingerprint(), part: rule.number };
        let _no_room = self.watches.with(key, &states, |watch| watch.count(rule, amount, now, found));
    }

    /// Compares what a caller uses with what it used before.
    fn compare(
        &self,
        Compared { rule, histories }: &Compared,
        scope: Scope,
        settled: &SettledCall<'_>,
        used: &Amounts,
    ) {
        let (call, now) = (settled.call, settled.ended);
        let key = TableKey { key: key_of(scope, call).fingerprint(), part: 0 };
        let is_idle = |history: &mut History, _: u32| history.is_idle(rule, now);
        let anonymous = scope == Scope::User && call.caller.is_anonymous();
        let states = States { anonymous, make: &|_| History::default(), is_idle: &is_idle };
        let amounts = MEASURED.map(|resource| resource.of(used));
        let unusual = histories.with(key, &states, |history| history.count(rule, amounts, now.tick));
        let until = later(now.unix, left(rule.period, now.tick));
        for (resource, unusual) in MEASURED.into_iter().zip(unusual.into_iter().flatten()) {
            let Some(Unusual { used, usual }) = unusual else { continue };
            let kind = AlertKind::Anomaly { used, usual, period: rule.period };
            let found = Found { kind, severity: Severity::Ticket, until };
            self.tell([(found, subject("anomaly", scope, resource, call, None))], now);
        }
    }

    /// Gives alerts to the sinks. Nothing is locked meanwhile.
    fn tell(&self, found: impl IntoIterator<Item = (Found, Subject)>, at: Moment) {
        for (Found { kind, severity, until }, subject) in found {
            let alert = Arc::new(Alert { kind, subject, severity, at, until, unit: self.prices.unit() });
            for sink in self.sinks.load().iter() {
                sink.send(&alert);
            }
        }
    }
}

fn month(rule: MonthRule, now: Moment) -> Month {
    let calendar = Calendar::new(CalendarUnit::Month, "UTC", None).expect("UTC is a zone, and months have days");
    Month::new(rule, calendar, now.unix)
}

fn amounts(settled: &SettledCall<'_>) -> Amounts {
    Amounts {
        requests: u64::from(!settled.call.again),
        input: settled.usage.total_input(),
        output: settled.usage.total_output(),
        cost: settled.cost.unwrap_or(Cost::ZERO),
    }
}

fn subject(name: &str, scope: Scope, resource: Resource, call: &CallInfo, known: Option<&Model>) -> Subject {
    let (key, org) = name_of(scope, call, known);
    Subject { name: name.into(), scope, key, org, resource }
}

impl Recorder for Alerts {
    fn record(&self, event: &Event<'_>) {
        match event {
            Event::Settled(settled) => self.settled(settled),
            Event::Threshold { call, crossing, at, policy } => self.crossed(call, crossing, *at, policy),
            Event::OrgThreshold(reached) => self.org_crossed(reached),
            Event::Denied { .. }
            | Event::Reserved { .. }
            | Event::Voided { .. }
            | Event::Exceeded { .. }
            | Event::FellBack(_) => {}
        }
    }
}

impl fmt::Debug for Alerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alerts").field("watched", &self.watched.load().set).finish_non_exhaustive()
    }
}
