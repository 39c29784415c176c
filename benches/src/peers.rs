//! The peers, as their own documentation sets them up.
//!
//! ```
//! use flashops_benches::peers;
//!
//! let limiter = peers::admitting();
//! assert!(limiter.check_key(&"ann".to_owned()).is_ok());
//! ```
//!
//! governor 0.10 in its default keyed form (DashMap, the standard hasher, the quanta clock) has one window; limitador
//! 0.14 in memory evaluates CEL and wants a context for each call.
//!
//! Edge cases: governor's smallest period is a nanosecond, so "admits everything" is a thousand million a second.
//!
//! What this module does not do: tune anyone.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use limitador::limit::{Context, Expression, Limit, Namespace};

/// governor with keys.
pub type Governor = DefaultKeyedRateLimiter<String>;

/// A quota that admits everything.
pub fn admitting() -> Governor {
    RateLimiter::keyed(Quota::per_second(NonZeroU32::new(1_000_000_000).expect("it is not zero")))
}

/// Five, and one more in an hour, so that none comes back while it is measured.
///
/// # Panics
///
/// Never: an hour is a period.
pub fn refusing() -> Governor {
    let hourly = Quota::with_period(Duration::from_secs(3_600)).expect("an hour is a period");
    RateLimiter::keyed(hourly.allow_burst(NonZeroU32::new(5).expect("it is not zero")))
}

/// limitador with one limit on the variable `user`.
pub struct Limitador {
    limiter: limitador::RateLimiter,
    namespace: Namespace,
}

impl std::fmt::Debug for Limitador {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limitador").finish_non_exhaustive()
    }
}

impl Limitador {
    /// One limit that admits everything, with room for a million counters.
    pub fn new() -> Self {
        let limiter = limitador::RateLimiter::new(1 << 20);
        let user = Expression::parse("user").expect("a variable is an expression");
        limiter.add_limit(Limit::new("benchmark", 1 << 50, 60, [], [user]));
        Self { limiter, namespace: "benchmark".into() }
    }

    /// Reserves 500 and commits 230. A server that hears of the end in another call makes two contexts, one that
    /// keeps it makes one.
    ///
    /// # Panics
    ///
    /// If it is refused.
    pub fn reserve_and_commit(&self, user: &str, contexts: usize) {
        let context = context(user);
        let reserved = self.limiter.reserve(&self.namespace, &context, 500, None).expect("it can be evaluated");
        assert!(!reserved.limited);
        let context = if contexts == 1 { context } else { self::context(user) };
        let id = reserved.reservation_id.as_ref();
        let committed = self.limiter.commit_reservation(&self.namespace, &context, id, 230);
        assert!(committed.expect("it can be evaluated").reservation_released);
    }
}

impl Default for Limitador {
    fn default() -> Self {
        Self::new()
    }
}

fn context(user: &str) -> Context<'static> {
    HashMap::from([("user".to_owned(), user.to_owned())]).into()
}
