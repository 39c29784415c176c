//! Our side: the policies that the rows are about.
//!
//! ```
//! use flashops_benches::ours;
//! use flashops_core::clock::ManualClock;
//! use flashops_core::key::{Key, Scope};
//!
//! let limiter = ours::refusing(ManualClock::new());
//! assert!((0..5).all(|_| limiter.check(Key::new(Scope::User, "ann")).is_ok()));
//! assert!(limiter.check(Key::new(Scope::User, "ann")).is_err());
//! ```
//!
//! Edge cases: amounts that are meant never to be reached are the largest which the store keeps in its usual form.
//!
//! What this module does not do: measure.

use std::time::Duration;

use flashops_core::budget::{Budget, RateLimiter};
use flashops_core::clock::Clock;
use flashops_core::key::{Key, Scope, Scopes};
use flashops_core::limit::{Limit, LimitSet, Policy, Resource, Window};
use flashops_core::store::MemoryStore;
use flashops_core::units::{Amounts, Cost, MAX_AMOUNT, Tokens};

/// A minute.
pub const MINUTE: Duration = Duration::from_secs(60);
/// How long a bucket of a minute is: a fortieth.
pub const BUCKET: Duration = Duration::from_millis(1_540);
/// An hour.
pub const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A limiter in memory.
pub type Limiter<C> = RateLimiter<MemoryStore<C>>;

fn limit(name: &str, scope: Scope, resource: Resource, amount: u64, window: Duration) -> Limit {
    Limit::new(name, scope, resource, amount, Window::Sliding(window)).expect("the limit is valid")
}

fn policy(limits: Vec<Limit>) -> Policy {
    Policy::new(limits).expect("the policy is valid")
}

/// So many requests of a user in a minute and in an hour.
pub fn requests(per_minute: u64, per_hour: u64) -> Policy {
    policy(vec![
        limit("rpm", Scope::User, Resource::Requests, per_minute, MINUTE),
        limit("rph", Scope::User, Resource::Requests, per_hour, HOUR),
    ])
}

/// Two windows that admit everything.
pub fn admitting<C: Clock>(clock: C) -> Limiter<C> {
    RateLimiter::new(requests(1 << 31, 1 << 31), clock)
}

/// Two windows: 5 in a minute, 50 in an hour.
pub fn refusing<C: Clock>(clock: C) -> Limiter<C> {
    RateLimiter::new(requests(5, 50), clock)
}

/// Checks one request of a user.
#[inline]
pub fn check<C: Clock>(limiter: &Limiter<C>, text: &str) -> bool {
    limiter.check(Key::new(Scope::User, text)).is_ok()
}

/// A budget in memory with the limits that count on a call of a model.
#[derive(Debug)]
pub struct Purse<C: Clock> {
    budget: Budget<MemoryStore<C>>,
    limits: LimitSet,
}

/// Which limits a purse has.
#[derive(Clone, Copy, Debug)]
pub enum Case {
    /// One scope, one limit: tokens of a user in a minute.
    Tokens,
    /// One scope: requests, tokens and cost of a user.
    User,
    /// Three scopes, five limits: user, organisation and model.
    Fleet,
}

impl Case {
    fn limits(self) -> Vec<Limit> {
        match self {
            Self::Tokens => vec![limit("tpm", Scope::User, Resource::Tokens, MAX_AMOUNT, MINUTE)],
            Self::User => vec![
                limit("rpm", Scope::User, Resource::Requests, MAX_AMOUNT, MINUTE),
                limit("tpm", Scope::User, Resource::Tokens, MAX_AMOUNT, MINUTE),
                limit("cost", Scope::User, Resource::Cost, MAX_AMOUNT, DAY),
            ],
            Self::Fleet => vec![
                limit("user-rpm", Scope::User, Resource::Requests, MAX_AMOUNT, MINUTE),
                limit("user-tpm", Scope::User, Resource::Tokens, MAX_AMOUNT, MINUTE),
                limit("org-tph", Scope::Org, Resource::Tokens, MAX_AMOUNT, HOUR),
                limit("org-cost", Scope::Org, Resource::Cost, MAX_AMOUNT, DAY),
                limit("model-tpm", Scope::Model, Resource::Tokens, MAX_AMOUNT, MINUTE),
            ],
        }
    }

    /// The keys that its calls have.
    pub fn callers(self) -> Callers {
        match self {
            Self::Tokens | Self::User => Callers::Users,
            Self::Fleet => Callers::fleet(),
        }
    }
}

impl<C: Clock> Purse<C> {
    /// A purse with nothing used.
    pub fn new(case: Case, clock: C) -> Self {
        let budget = Budget::in_memory(policy(case.limits()), clock);
        let limits = budget.policy().select(|_| true);
        Self { budget, limits }
    }

    /// Reserves 500 tokens and settles 230.
    ///
    /// # Panics
    ///
    /// If it is refused.
    #[inline]
    pub fn reserve_and_settle(&self, scopes: &Scopes<'_>) {
        let hold = amounts(100, 400);
        let guard = self.budget.try_reserve(scopes, self.limits, hold, Amounts::ZERO).expect("there is room");
        drop(guard.settle(amounts(90, 140)));
    }
}

/// One request with so many tokens, at 3 nano-dollars each.
const fn amounts(input: u64, output: u64) -> Amounts {
    Amounts {
        requests: 1,
        input: Tokens::saturating(input),
        output: Tokens::saturating(output),
        cost: Cost::saturating(3 * (input + output)),
    }
}

/// Which keys a call has.
#[derive(Clone, Debug)]
pub enum Callers {
    /// A user.
    Users,
    /// A user, one of a thousand organisations, and one of eight models.
    Fleet {
        /// The organisations.
        orgs: Vec<String>,
        /// The models.
        models: Vec<String>,
    },
}

impl Callers {
    /// Users in organisations that call models.
    fn fleet() -> Self {
        let names = |kind: &str, count: usize| (0..count).map(|n| format!("{kind}-{n}")).collect();
        Self::Fleet { orgs: names("org", 1_000), models: names("model", 8) }
    }

    /// The keys of the user at a place.
    #[inline]
    pub fn scopes<'a>(&'a self, text: &'a str, place: usize) -> Scopes<'a> {
        let user = Scopes::new().with(Key::new(Scope::User, text));
        match self {
            Self::Users => user,
            Self::Fleet { orgs, models } => user
                .with(Key::new(Scope::Org, &orgs[place % orgs.len()]))
                .with(Key::new(Scope::Model, &models[place % models.len()])),
        }
    }
}
