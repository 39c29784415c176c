use std::time::Duration;

use flashops_core::clock::{Moment, Tick, UnixSeconds};
use flashops_core::limit::{Algorithm, Limit, Mode, Policy, Resource, Window};
use flashops_core::window::CarryDebt;

/// How many sub-buckets count.
const BUCKETS: u128 = 40;

/// The largest limit on requests that is counted with a log.
const LARGEST_IN_LOG: u64 = 64;

/// Something that was counted, or taken back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) at: Moment,
    /// When the amount was counted: `at`, unless it is taken back.
    pub(super) of: Moment,
    pub(super) amount: i128,
}

/// How a limit counts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counting {
    Approximate {
        length: u128,
    },
    Days {
        amount: u128,
        carry: CarryDebt,
    },
    Gcra {
        interval: u128,
    },
    Held,
    Lifetime,
    Log {
        window: u128,
    },
    /// Sub-buckets of whole units that begin at the origin.
    Grid {
        width: u128,
    },
    Ring {
        per_tick: u128,
    },
}

impl Counting {
    /// For a store that counts instants in a unit.
    pub(super) fn of(policy: &Policy, limit: &Limit, instant: Duration) -> Self {
        let window = match limit.window() {
            None => return Self::Held,
            Some(Window::Lifetime) => return Self::Lifetime,
            Some(Window::Calendar(_)) => {
                return Self::Days { amount: limit.amount().into(), carry: policy.switches().carry_debt };
            }
            Some(Window::Sliding(window)) => window.as_nanos(),
        };
        match limit.algorithm() {
            Algorithm::Approximate => Self::Approximate { length: window },
            Algorithm::Gcra => Self::Gcra { interval: window.div_ceil(limit.amount().into()) },
            Algorithm::Ring if is_logged(limit) => Self::Log { window },
            Algorithm::Ring if instant > Duration::from_nanos(1) => {
                let units = window.div_ceil((BUCKETS - 1) * instant.as_nanos());
                Self::Grid { width: units * instant.as_nanos() }
            }
            Algorithm::Ring => Self::Ring { per_tick: u128::from(u64::MAX) / window.div_ceil(BUCKETS - 1) },
        }
    }

    /// The strict promise of a sliding window, whatever it counts with.
    pub(super) fn exact(limit: &Limit) -> Option<Self> {
        match limit.window() {
            Some(Window::Sliding(window)) if limit.algorithm() == Algorithm::Ring => {
                Some(Self::Log { window: window.as_nanos() })
            }
            _ => None,
        }
    }

    /// What counts at an instant, of everything that ever happened.
    pub(super) fn used(self, events: &[Event], then: Moment) -> u128 {
        let now = nanos(then.tick);
        let sum = |counts: &dyn Fn(u128) -> bool| -> u128 {
            let inside = events.iter().filter(|event| counts(nanos(event.of.tick)));
            // Only a flawed store takes back more than it counted.
            inside.map(|event| event.amount).sum::<i128>().max(0).unsigned_abs()
        };
        match self {
            Self::Held => 0,
            Self::Lifetime => sum(&|_| true),
            Self::Log { window } => sum(&|at| at + window > now),
            Self::Grid { width } => sum(&|at| at / width + BUCKETS > now / width),
            Self::Ring { per_tick } => {
                let bucket = |at: u128| (at * per_tick) >> 64;
                sum(&|at| bucket(at) + BUCKETS > bucket(now))
            }
            Self::Approximate { length } => {
                let previous = sum(&|at| at / length + 1 == now / length);
                let share = (previous * (length - now % length)).div_ceil(length);
                share + sum(&|at| at / length == now / length)
            }
            Self::Gcra { interval } => arrival(events, interval).saturating_sub(now).div_ceil(interval),
            Self::Days { amount, carry } => by_day(events, amount, carry, then.unix),
        }
    }

    /// So many of the smallest steps of time that this can tell apart: a calendar counts whole seconds.
    pub(super) const fn steps(self, steps: u64) -> Duration {
        match self {
            Self::Days { .. } => Duration::from_secs(steps),
            _ => Duration::from_nanos(steps),
        }
    }

    /// Whether usage goes down by itself in the end.
    pub(super) const fn fades(self) -> bool {
        !matches!(self, Self::Lifetime)
    }
}

/// Small enforced limits on requests are logged.
fn is_logged(limit: &Limit) -> bool {
    let small = (1..=LARGEST_IN_LOG).contains(&limit.amount());
    limit.resource() == Resource::Requests && limit.mode() == Mode::Enforce && small
}

/// When the last paced unit is back.
fn arrival(events: &[Event], interval: u128) -> u128 {
    events.iter().fold(0, |arrival: u128, event| {
        let (now, all) = (nanos(event.at.tick), event.amount.unsigned_abs() * interval);
        if event.amount >= 0 {
            return arrival.max(now) + all;
        }
        let since = now - nanos(event.of.tick);
        arrival.saturating_sub(all.saturating_sub(since))
    })
}

/// Replays the events day by day: each day hands on what was used above the amount.
fn by_day(events: &[Event], amount: u128, carry: CarryDebt, then: UnixSeconds) -> u128 {
    let day = |unix: UnixSeconds| unix.0.div_euclid(86_400);
    let (mut today, mut used) = (events.first().map_or(0, |event| day(event.at.unix)), 0_u128);
    let mut pass = |until: i64, used: &mut u128| {
        while today < until && *used > 0 {
            let over = used.saturating_sub(amount);
            *used = match carry {
                CarryDebt::None => 0,
                CarryDebt::Full => over,
                CarryDebt::Capped(most) => over.min(most.into()),
            };
            today += 1;
        }
        today = until;
    };
    for event in events {
        pass(day(event.at.unix), &mut used);
        if event.amount >= 0 {
            used += event.amount.unsigned_abs();
        } else if day(event.of.unix) == day(event.at.unix) {
            used = used.saturating_sub(event.amount.unsigned_abs());
        }
    }
    pass(day(then), &mut used);
    used
}

fn nanos(tick: Tick) -> u128 {
    tick.nanos().into()
}
