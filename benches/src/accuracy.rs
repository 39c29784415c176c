//! How strict a window is, and how much it gives away for being strict.
//!
//! ```
//! use flashops_benches::accuracy::{Traffic, judge};
//! use flashops_core::limit::Algorithm;
//!
//! let ring = judge(Algorithm::Ring, 100, &Traffic::poisson(2.0), 5_000);
//! assert!(ring.most <= 1.0, "never more than the amount in any window");
//! ```
//!
//! Arrivals on a clock that is moved by hand meet a limit on one key and, beside it, an exact log that decides for
//! itself. What the limit let through is put into another exact log, which says how much there ever was in a window.
//!
//! Edge cases: every traffic is the same in every run; nothing here is timed.
//!
//! What this module does not do: many keys. Keys do not know of each other.

use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::time::Duration;

use flashops_core::budget::Budget;
use flashops_core::clock::{Clock, ManualClock};
use flashops_core::key::{Key, Scope, Scopes};
use flashops_core::limit::{Algorithm, Limit, Policy, Resource, Window};
use flashops_core::units::{Amounts, Tokens};

use crate::ours::MINUTE;

const WINDOW: f64 = 60.0;

/// How requests arrive: seconds and amounts for a limit of so much in a minute.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Its name.
    pub name: &'static str,
    load: f64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Poisson,
    /// Half a minute of four times the load, a minute of nothing.
    Bursts,
    /// A whole amount at the end of a minute, and pressure through all of the next: what two counters weigh worst.
    Edge,
    /// Poisson arrivals of calls whose tokens are distributed log-normally.
    Tokens,
}

impl Traffic {
    /// The traffic on requests that the table is about.
    pub const REQUESTS: [Self; 5] = [
        Self { name: "Poisson 0.8 ×", load: 0.8, kind: Kind::Poisson },
        Self { name: "Poisson 1 ×", load: 1.0, kind: Kind::Poisson },
        Self { name: "Poisson 2 ×", load: 2.0, kind: Kind::Poisson },
        Self { name: "on and off bursts", load: 1.0, kind: Kind::Bursts },
        Self { name: "worst for two counters", load: 1.0, kind: Kind::Edge },
    ];

    /// The traffic on tokens that the table is about.
    pub const TOKENS: [Self; 2] = [
        Self { name: "tokens, log-normal 1 ×", load: 1.0, kind: Kind::Tokens },
        Self { name: "tokens, log-normal 2 ×", load: 2.0, kind: Kind::Tokens },
    ];

    /// Independent requests at so many times the limit.
    pub const fn poisson(load: f64) -> Self {
        Self { name: "Poisson", load, kind: Kind::Poisson }
    }

    /// The wait before the next arrival at `now`, and its amount.
    fn next(&self, random: &mut fastrand::Rng, now: f64, limit: f64) -> (f64, u64) {
        let exponential = |random: &mut fastrand::Rng, rate: f64| -(1.0 - random.f64()).ln() / rate;
        match self.kind {
            Kind::Poisson => (exponential(random, self.load * limit / WINDOW), 1),
            Kind::Tokens => {
                let normal = (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (TAU * random.f64()).cos();
                let amount = (MEAN_TOKENS * (normal - 0.5).exp()).clamp(1.0, limit / 2.0);
                (exponential(random, self.load * limit / WINDOW / MEAN_TOKENS), amount as u64)
            }
            Kind::Bursts => {
                let wait = exponential(random, 4.0 * self.load * limit / WINDOW);
                let on = (now + wait) % 90.0 < 30.0;
                (if on { wait } else { 90.0 - now % 90.0 }, 1)
            }
            Kind::Edge => match now % 180.0 {
                phase if phase < 59.9 => (59.9 - phase, 1),
                phase if phase < 59.95 => (0.05 / limit, 1),
                phase if phase < 119.9 => (WINDOW / limit / 2.0, 1),
                phase => (180.0 + 59.9 - phase, 1),
            },
        }
    }
}

const MEAN_TOKENS: f64 = 800.0;

/// What came out.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// The most that was admitted in any minute, as a share of the amount.
    pub most: f64,
    /// What was admitted, as a share of what an exact log admits.
    pub share: f64,
}

/// Runs so many arrivals against a limit on one key.
///
/// # Panics
///
/// If the algorithm cannot express the limit.
pub fn judge(algorithm: Algorithm, limit: u64, traffic: &Traffic, arrivals: usize) -> Verdict {
    let clock = ManualClock::new();
    let budget = budget(algorithm, limit, traffic, clock.clone());
    let limits = budget.policy().select(|_| true);
    let scopes = Scopes::new().with(Key::new(Scope::User, "ann"));
    let (mut exact, mut admitted) = (ExactLog::default(), ExactLog::default());
    let (mut random, mut at) = (fastrand::Rng::with_seed(7), 0_u64);
    for _ in 0..arrivals {
        // By the clock's own seconds, on whose minutes the two counters' windows begin.
        let (wait, amount) = traffic.next(&mut random, clock.tick().nanos() as f64 / 1e9, limit as f64);
        let wait = (wait * 1e9) as u64 + 1;
        at += wait;
        clock.advance(Duration::from_nanos(wait));
        if exact.in_window(at) + amount <= limit {
            exact.add(at, amount);
        }
        let ask = Amounts { input: Tokens::saturating(amount), ..Amounts::ONE_REQUEST };
        if let Ok(guard) = budget.try_reserve(&scopes, limits, ask, Amounts::ZERO) {
            drop(guard.settle(ask));
            admitted.in_window(at);
            admitted.add(at, amount);
        }
    }
    Verdict { most: admitted.most as f64 / limit as f64, share: admitted.total as f64 / exact.total as f64 }
}

fn budget(
    algorithm: Algorithm,
    limit: u64,
    traffic: &Traffic,
    clock: ManualClock,
) -> Budget<flashops_core::store::MemoryStore<ManualClock>> {
    let resource = if matches!(traffic.kind, Kind::Tokens) { Resource::Tokens } else { Resource::Requests };
    let limit = Limit::new("limit", Scope::User, resource, limit, Window::Sliding(MINUTE))
        .and_then(|limit| limit.with_algorithm(algorithm))
        .expect("the algorithm can express the limit");
    Budget::in_memory(Policy::new(vec![limit]).expect("one limit is a policy"), clock)
}

/// Everything of the last minute, one by one.
#[derive(Default)]
struct ExactLog {
    events: VecDeque<(u64, u64)>,
    sum: u64,
    most: u64,
    total: u64,
}

impl ExactLog {
    fn in_window(&mut self, now: u64) -> u64 {
        while let Some(&(at, amount)) = self.events.front()
            && at + MINUTE.as_nanos() as u64 <= now
        {
            self.sum -= amount;
            self.events.pop_front();
        }
        self.sum
    }

    fn add(&mut self, at: u64, amount: u64) {
        self.events.push_back((at, amount));
        self.sum += amount;
        self.total += amount;
        self.most = self.most.max(self.sum);
    }
}
