//! How sliding windows compare with an exact log: what passes in any window, and how much is admitted in all.
//!
//! `cargo test -p flashops-core --test accuracy -- --nocapture` prints the table.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use flashops_core::clock::{Clock, ManualClock, Moment, Tick};
use flashops_core::key::{Key, Scope, Scopes};
use flashops_core::limit::{Algorithm, Limit, Policy, Resource, Window};
use flashops_core::store::{Admit, MemoryStore, ReservationId, Reserve, Settle};
use flashops_core::units::{Amounts, Tokens};

const WINDOW: u64 = 60_000_000_000;

/// The kernel's timer period at 250 Hz.
const LAG: Duration = Duration::from_millis(4);

/// An arrival: nanoseconds since the start, and how much it asks for.
type Arrival = (u64, u64);

/// A generator of numbers that is the same in every run.
struct Dice(u64);

impl Dice {
    /// A number from 0 to 1, without 0.
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((z ^ (z >> 31)) >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// The wait for the next of so many arrivals in a window.
    fn wait(&mut self, per_window: f64) -> u64 {
        (-self.share().ln() * WINDOW as f64 / per_window) as u64
    }

    /// A number of tokens, lognormal with median 600 and mean 989.
    fn tokens(&mut self) -> u64 {
        let normal = (-2.0 * self.share().ln()).sqrt() * (std::f64::consts::TAU * self.share()).cos();
        ((600.0 * normal.exp()) as u64).max(1)
    }
}

fn poisson(limit: u64, times: f64, windows: u64) -> Vec<Arrival> {
    let (mut dice, mut now, mut arrivals) = (Dice(11), 0, Vec::new());
    while now < windows * WINDOW {
        now += dice.wait(limit as f64 * times);
        arrivals.push((now, 1));
    }
    arrivals
}

/// Fifteen times the limit for ten seconds, then a pause of up to two minutes.
fn bursts(limit: u64, windows: u64) -> Vec<Arrival> {
    let (mut dice, mut now, mut arrivals) = (Dice(12), 0, Vec::new());
    while now < windows * WINDOW {
        let end = now + 10_000_000_000;
        while now < end {
            now += dice.wait(limit as f64 * 15.0);
            arrivals.push((now, 1));
        }
        now += (dice.share() * 2.0 * WINDOW as f64) as u64;
    }
    arrivals
}

/// All at the end of one window, then evenly all through the next: each is right by the weight of the one before.
fn against_two_counters(limit: u64, windows: u64) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    for round in 0..windows / 3 {
        let end = (3 * round + 1) * WINDOW;
        arrivals.extend((0..limit).map(|i| (end - 1_000_000 + i, 1)));
        arrivals.extend((0..4 * limit).map(|i| (end + i * WINDOW / (4 * limit), 1)));
    }
    arrivals
}

fn lognormal(limit: u64, times: f64, windows: u64) -> Vec<Arrival> {
    let (mut dice, mut now, mut arrivals) = (Dice(13), 0, Vec::new());
    while now < windows * WINDOW {
        now += dice.wait(limit as f64 / 989.0 * times);
        arrivals.push((now, dice.tokens()));
    }
    arrivals
}

/// A clock that shows the last timer interrupt and not the time.
#[derive(Clone, Debug)]
struct Lagging {
    real: ManualClock,
    lag: Duration,
}

impl Clock for Lagging {
    fn now(&self) -> Moment {
        let now = self.real.now();
        let behind = now.tick.nanos() % u64::try_from(self.lag.as_nanos()).unwrap().max(1);
        Moment { tick: Tick::from_nanos(now.tick.nanos() - behind), unix: now.unix }
    }

    fn resolution(&self) -> Duration {
        self.lag
    }
}

/// What one limiter admitted of some traffic.
struct Run {
    admitted: u64,
    decisions: Vec<bool>,
    /// The most that passed in any window.
    most: u64,
}

/// Sends the arrivals to a limiter, and judges what passes in real time.
fn run(arrivals: &[Arrival], mut admits: impl FnMut(u64, u64) -> bool) -> Run {
    let mut log: VecDeque<Arrival> = VecDeque::new();
    let (mut run, mut sum) = (Run { admitted: 0, decisions: Vec::new(), most: 0 }, 0);
    for &(now, asked) in arrivals {
        let admitted = admits(now, asked);
        run.decisions.push(admitted);
        if admitted {
            run.admitted += asked;
            sum += asked;
            log.push_back((now, asked));
        }
        while log.front().is_some_and(|(at, _)| at + WINDOW <= now) {
            sum -= log.pop_front().unwrap().1;
        }
        run.most = run.most.max(sum);
    }
    run
}

/// The reference: admits whatever fits beside everything that was admitted in the window.
fn exact(limit: u64, arrivals: &[Arrival]) -> Run {
    let (mut log, mut sum) = (VecDeque::new(), 0);
    run(arrivals, |now, asked| {
        while log.front().is_some_and(|(at, _): &Arrival| at + WINDOW <= now) {
            sum -= log.pop_front().unwrap().1;
        }
        let fits = sum + asked <= limit;
        if fits {
            sum += asked;
            log.push_back((now, asked));
        }
        fits
    })
}

fn ours(limit: u64, resource: Resource, algorithm: Algorithm, lag: Duration, arrivals: &[Arrival]) -> Run {
    // The clock starts at a multiple of the window, where the windows of two counters begin.
    const START: u64 = WINDOW * 1_000;
    let clock = ManualClock::new();
    let window = Window::Sliding(Duration::from_nanos(WINDOW));
    let limit = Limit::new("limit", Scope::User, resource, limit, window).unwrap().with_algorithm(algorithm).unwrap();
    let policy = Arc::new(Policy::new(vec![limit]).unwrap());
    let (limits, lagging) = (policy.select(|_| true), Lagging { real: clock.clone(), lag });
    let store = MemoryStore::new(policy, lagging);
    let scopes = Scopes::new().with(Key::new(Scope::User, "ann"));
    let mut id = 0;
    run(arrivals, |now, asked| {
        clock.set_tick(Tick::from_nanos(START + now));
        if resource == Resource::Requests {
            let command = Admit { scopes: &scopes, limits, requests: asked, report: false };
            return store.admit_now(&command).is_ok();
        }
        id += 1;
        let id = ReservationId::from_bits(id);
        let used = Amounts { output: Tokens::saturating(asked), ..Amounts::ONE_REQUEST };
        let lifetime = Duration::from_secs(1);
        let command = Reserve { id, scopes: &scopes, limits, hold: used, checkpoint: used, lifetime, report: false };
        let admitted = store.reserve_now(&command).unwrap().is_ok();
        if admitted {
            store.settle_now(&Settle { id, used });
        }
        admitted
    })
}

struct Traffic {
    name: &'static str,
    limit: u64,
    resource: Resource,
    arrivals: Vec<Arrival>,
}

fn traffic() -> Vec<Traffic> {
    let mut all = Vec::new();
    // Enough windows that the last one, which a limiter may or may not reach, is a small part.
    for (limit, windows) in [(5, 400), (64, 50), (100, 400)] {
        let kinds = [
            ("Poisson 0.8x", poisson(limit, 0.8, windows)),
            ("Poisson 1x", poisson(limit, 1.0, windows)),
            ("Poisson 2x", poisson(limit, 2.0, windows)),
            ("Poisson 10x", poisson(limit, 10.0, windows)),
            ("on/off bursts", bursts(limit, windows)),
            ("worst for two counters", against_two_counters(limit, windows)),
        ];
        let requests = |(name, arrivals)| Traffic { name, limit, resource: Resource::Requests, arrivals };
        all.extend(kinds.map(requests));
    }
    let limit = 100_000;
    for (name, times) in [("lognormal tokens 1x", 1.0), ("lognormal tokens 2x", 2.0)] {
        all.push(Traffic { name, limit, resource: Resource::Tokens, arrivals: lognormal(limit, times, 400) });
    }
    all
}

#[test]
fn the_strict_window_is_never_exceeded_in_real_time_and_admits_nearly_all_that_an_exact_log_admits() {
    println!("{:<24} {:>7} {:>9} {:>9} {:>9}", "traffic", "limit", "of exact", "lagging", "in window");
    for Traffic { name, limit, resource, arrivals } in traffic() {
        let exact = exact(limit, &arrivals);
        let precise = ours(limit, resource, Algorithm::Ring, Duration::ZERO, &arrivals);
        let lagging = ours(limit, resource, Algorithm::Ring, LAG, &arrivals);
        let share = |run: &Run| run.admitted as f64 / exact.admitted as f64;
        let most = precise.most.max(lagging.most) as f64 / limit as f64;
        println!(
            "{name:<24} {limit:>7} {:>8.2}% {:>8.2}% {most:>9.3}",
            100.0 * share(&precise),
            100.0 * share(&lagging)
        );
        assert!(exact.most <= limit && precise.most <= limit && lagging.most <= limit, "{name}, {limit}");
        if limit <= 64 {
            assert!(precise.decisions == exact.decisions, "{name}, {limit}: a small limit decides like the log");
        }
        assert!(share(&precise) >= 0.97 && share(&lagging) >= 0.97, "{name}, {limit}");
    }
}

#[test]
fn the_judge_sees_what_the_other_algorithms_let_through() {
    let (limit, resource) = (100, Resource::Requests);
    println!("{:<24} {:>12} {:>6}", "traffic", "two counters", "pacing");
    let mut most = (0, 0);
    for Traffic { name, arrivals, .. } in
        traffic().into_iter().filter(|traffic| traffic.limit == limit && traffic.arrivals.len() < 200_000)
    {
        let two = ours(limit, resource, Algorithm::Approximate, Duration::ZERO, &arrivals).most;
        let pacing = ours(limit, resource, Algorithm::Gcra, Duration::ZERO, &arrivals).most;
        println!("{name:<24} {:>12.2} {:>6.2}", two as f64 / limit as f64, pacing as f64 / limit as f64);
        assert!(two <= 2 * limit && pacing <= 2 * limit);
        most = (most.0.max(two), most.1.max(pacing));
    }
    assert!(most.0 > limit * 3 / 2 && most.1 > limit * 3 / 2, "{most:?}");
}
