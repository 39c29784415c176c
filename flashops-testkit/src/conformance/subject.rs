use std::sync::Arc;
use std::time::Duration;

use flashops_core::key::{Key, Scope, Scopes};
use flashops_core::limit::{Denied, Limit, LimitIndex, LimitSet, Policy, Resource, Retry, Switches, Window};
use flashops_core::store::{
    Admit, Admitted, Bounds, Extend, Extended, GiveBack, Outcome, Receipt, Refused, ReservationId, Reserve, Reserved,
    Settle, Settled, Standing, Store, StoreError,
};
use flashops_core::units::{Amounts, Tokens};
use flashops_core::window::{Calendar, CalendarUnit};

use super::Harness;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// More than the longest window of any case, with its last sub-bucket.
pub(super) const LONG: Duration = Duration::from_secs(3 * 86_400);

/// A store under test, and commands with everything filled in that a case is not about.
#[derive(Debug)]
pub(super) struct Subject<'h, H: Harness> {
    harness: &'h H,
    pub(super) store: Arc<H::Store>,
}

/// Ann of Acme, at an address.
pub(super) const ANN: &[(Scope, &str)] = &[(Scope::User, "ann"), (Scope::Org, "acme"), (Scope::Ip, "192.0.2.7")];

impl<'h, H: Harness> Subject<'h, H> {
    pub(super) async fn new(harness: &'h H, limits: Vec<Limit>) -> Self {
        Self::with(harness, limits, Switches::default()).await
    }

    pub(super) async fn with(harness: &'h H, limits: Vec<Limit>, switches: Switches) -> Self {
        Self::bounded(harness, limits, switches, Bounds::default()).await
    }

    pub(super) async fn bounded(harness: &'h H, limits: Vec<Limit>, switches: Switches, bounds: Bounds) -> Self {
        let policy = Policy::new(limits).expect("the policy of a case is valid").with_switches(switches);
        Self { harness, store: harness.store(policy, bounds).await }
    }

    pub(super) async fn advance(&self, by: Duration) {
        self.harness.advance(by).await;
    }

    pub(super) fn all(&self) -> LimitSet {
        self.store.policy().select(|_| true)
    }

    pub(super) fn named(&self, name: &str) -> LimitSet {
        self.store.policy().select(|limit| limit.name() == name)
    }

    pub(super) fn store_limits(&self, wanted: impl FnMut(&Limit) -> bool) -> LimitSet {
        self.store.policy().select(wanted)
    }

    pub(super) fn store_limit(&self, index: LimitIndex) -> &str {
        self.store.policy().limit(index).name()
    }

    /// Reserves for Ann, with the hold as checkpoint, for an hour.
    pub(super) async fn reserve(&self, id: u128, hold: Amounts) -> Result<Reserved, Refused> {
        self.reserve_for(ANN, id, hold).await
    }

    pub(super) async fn reserve_for(
        &self,
        keys: &[(Scope, &str)],
        id: u128,
        hold: Amounts,
    ) -> Result<Reserved, Refused> {
        self.try_reserve(keys, self.all(), id, hold, hold, HOUR).await.expect("the store answers")
    }

    pub(super) async fn reserve_until(&self, id: u128, hold: Amounts, checkpoint: Amounts, lifetime: Duration) {
        let answer = self.try_reserve(ANN, self.all(), id, hold, checkpoint, lifetime).await;
        answer.expect("the store answers").expect("there is room");
    }

    pub(super) async fn try_reserve(
        &self,
        keys: &[(Scope, &str)],
        limits: LimitSet,
        id: u128,
        hold: Amounts,
        checkpoint: Amounts,
        lifetime: Duration,
    ) -> Result<Result<Reserved, Refused>, StoreError> {
        let (scopes, id) = (scopes(keys), ReservationId::from_bits(id));
        self.store.reserve(&Reserve { id, scopes: &scopes, limits, hold, checkpoint, lifetime, report: true }).await
    }

    /// Reserves and settles at once.
    pub(super) async fn spend(&self, id: u128, hold: Amounts, used: Amounts) -> Settled {
        self.reserve(id, hold).await.expect("there is room");
        self.settle(id, used).await
    }

    pub(super) async fn extend(&self, id: u128, more: Amounts, checkpoint: Amounts, lifetime: Duration) -> Extended {
        let command = Extend { id: ReservationId::from_bits(id), more, checkpoint, lifetime };
        self.store.extend(&command).await.expect("the store answers")
    }

    pub(super) async fn settle(&self, id: u128, used: Amounts) -> Settled {
        let command = Settle { id: ReservationId::from_bits(id), used };
        self.store.settle(&command).await.expect("the store answers")
    }

    pub(super) async fn outcome(&self, id: u128, used: Amounts) -> Outcome {
        self.settle(id, used).await.outcome
    }

    pub(super) async fn admit(&self, requests: u64) -> Result<Admitted, Denied> {
        self.admit_for(ANN, requests).await
    }

    pub(super) async fn admit_for(&self, keys: &[(Scope, &str)], requests: u64) -> Result<Admitted, Denied> {
        let scopes = scopes(keys);
        let command = Admit { scopes: &scopes, limits: self.all(), requests, report: true };
        self.store.admit(&command).await.expect("the store answers")
    }

    pub(super) fn give_back(&self, requests: u64, receipt: Receipt) {
        let scopes = scopes(ANN);
        self.store.give_back(&GiveBack { scopes: &scopes, limits: self.all(), requests, receipt });
    }

    pub(super) async fn standings(&self) -> Vec<Standing> {
        self.standings_of(ANN).await
    }

    pub(super) async fn standings_of(&self, keys: &[(Scope, &str)]) -> Vec<Standing> {
        self.store.standings(&scopes(keys), self.all()).await.expect("the store answers")
    }

    /// What is used and held under each limit of Ann.
    pub(super) async fn sums(&self) -> Vec<(u64, u64)> {
        self.standings().await.iter().map(|standing| (standing.used, standing.held)).collect()
    }

    /// Used and held under the only limit of the policy.
    pub(super) async fn sum(&self) -> (u64, u64) {
        let sums = self.sums().await;
        assert_eq!(sums.len(), 1, "the policy has one limit");
        sums[0]
    }

    /// The request is refused until the wait is over, and admitted then.
    pub(super) async fn fits_first_after(&self, wait: Duration, hold: Amounts) {
        let early = Duration::from_millis(1) + self.harness.resolution();
        assert!(wait > early, "{wait:?}");
        self.advance(wait - early).await;
        let before = self.reserve(900_001, hold).await;
        assert!(matches!(before, Err(Refused::Denied(_))), "{early:?} before the named instant: {before:?}");
        self.advance(early).await;
        let then = self.reserve(900_002, hold).await;
        assert!(then.is_ok(), "at the named instant: {then:?}");
    }
}

pub(crate) fn scopes<'a>(keys: &[(Scope, &'a str)]) -> Scopes<'a> {
    keys.iter().fold(Scopes::new(), |scopes, (scope, text)| scopes.with(Key::new(*scope, text)))
}

pub(super) fn denied(answer: Result<Reserved, Refused>) -> Denied {
    match answer {
        Err(Refused::Denied(denied)) => denied,
        other => panic!("not denied: {other:?}"),
    }
}

pub(super) fn wait(answer: Result<Reserved, Refused>) -> Duration {
    match denied(answer).retry {
        Retry::After(wait) => wait,
        Retry::Never => panic!("waiting helps here"),
    }
}

pub(super) fn limit(name: &str, scope: Scope, resource: Resource, amount: u64, window: Window) -> Limit {
    Limit::new(name, scope, resource, amount, window).expect("the limit of a case is valid")
}

/// A limit on Ann in a minute.
pub(super) fn per_minute(name: &str, resource: Resource, amount: u64) -> Limit {
    limit(name, Scope::User, resource, amount, Window::Sliding(MINUTE))
}

/// A limit on Ann in a day of UTC.
pub(super) fn per_day(name: &str, resource: Resource, amount: u64) -> Limit {
    let days = Calendar::new(CalendarUnit::Day, "UTC", None).expect("UTC has days");
    limit(name, Scope::User, resource, amount, Window::Calendar(days))
}

/// A limit on all that Ann ever uses.
pub(super) fn lifetime(name: &str, resource: Resource, amount: u64) -> Limit {
    limit(name, Scope::User, resource, amount, Window::Lifetime)
}

/// One request with output tokens.
pub(super) fn tokens(output: u64) -> Amounts {
    Amounts { output: Tokens::saturating(output), ..Amounts::ONE_REQUEST }
}
