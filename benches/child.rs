//! The cases that need a process of their own.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use flashops_benches::keys::Keys;
use flashops_benches::measure::pin;
use flashops_benches::ours;
use flashops_benches::peers;
use flashops_benches::process::resident_bytes;
use flashops_core::clock::{CoarseClock, ManualClock, SystemClock};
use rustix::time::{ClockId, clock_gettime};

pub(crate) const COARSE: &str = "coarse";
pub(crate) const SYSTEM: &str = "system";
pub(crate) const GOVERNOR: &str = "governor";
pub(crate) const LOG: &str = "log";

pub(crate) const FIRST_SIGHT: &str = "first-sight";
pub(crate) const PAUSES: &str = "pauses";
pub(crate) const MEMORY: &str = "memory";

const KEYS: usize = 1_000_000;

/// Both windows meet all their buckets when hits are this far apart, and a minute is over in between.
const STEP: Duration = Duration::from_secs(93);

/// Does what a parent asked for and prints the numbers.
pub(crate) fn run(words: &[String]) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let keys = Keys::new(KEYS);
    match words[..] {
        [FIRST_SIGHT, side, threads] => println!("{}", first_sight(&keys, side, threads.parse().expect("a number"))),
        [PAUSES, side] => {
            let [cpu, wall] = with_side(side, |check| pauses(&keys, check));
            println!("{cpu} {wall}");
        }
        [MEMORY, side, hits] => println!("{}", memory(&keys, side, hits.parse().expect("a number"))),
        _ => panic!("no such case: {words:?}"),
    }
}

type Check<'a> = &'a (dyn Fn(&String) -> bool + Sync);

fn with_side<T>(side: &str, measure: impl FnOnce(Check<'_>) -> T) -> T {
    match side {
        COARSE => {
            let limiter = ours::admitting(CoarseClock::new());
            measure(&|text| ours::check(&limiter, text))
        }
        SYSTEM => {
            let limiter = ours::admitting(SystemClock);
            measure(&|text| ours::check(&limiter, text))
        }
        GOVERNOR => {
            let limiter = peers::admitting();
            measure(&|text| limiter.check_key(text).is_ok())
        }
        _ => panic!("no such side: {side}"),
    }
}

/// Nanoseconds for a key that was never seen, each thread with its own part of the keys.
fn first_sight(keys: &Keys, side: &str, threads: usize) -> f64 {
    with_side(side, |check| {
        let barrier = Barrier::new(threads);
        let barrier = &barrier;
        let part = |thread: usize| {
            pin(thread);
            barrier.wait();
            let start = Instant::now();
            for text in keys.iter().skip(thread).step_by(threads) {
                assert!(check(text));
            }
            start.elapsed().as_nanos() as f64 / (keys.len() / threads) as f64
        };
        let total: f64 = thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|thread| scope.spawn(move || part(thread))).collect();
            all.into_iter().map(|one| one.join().expect("all are admitted")).sum()
        });
        total / threads as f64
    })
}

/// The longest operation in nanoseconds: processor time, and wall time.
fn pauses(keys: &Keys, check: Check<'_>) -> [u64; 2] {
    let cpu = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    };
    let mut longest = [0, 0];
    for text in keys.iter() {
        let (wall_before, cpu_before) = (Instant::now(), cpu());
        assert!(check(text));
        let cpu = cpu() - cpu_before;
        longest = [longest[0].max(cpu), longest[1].max(wall_before.elapsed().as_nanos() as u64)];
    }
    longest
}

/// Resident bytes for each key after so many hits, a step of time apart.
fn memory(keys: &Keys, side: &str, hits: usize) -> f64 {
    let before = resident_bytes();
    let per_key = |before: usize| (resident_bytes() - before) as f64 / keys.len() as f64;
    if side == GOVERNOR {
        let limiter = peers::admitting();
        assert!(keys.iter().all(|text| limiter.check_key(text).is_ok()));
        return per_key(before);
    }
    let clock = ManualClock::new();
    let limiter = if side == LOG { ours::refusing(clock.clone()) } else { ours::admitting(clock.clone()) };
    // 50 hits in an hour need a shorter step than 42.
    let step = if hits > 42 { Duration::from_secs(70) } else { STEP };
    for _ in 0..hits {
        assert!(keys.iter().all(|text| ours::check(&limiter, text)));
        clock.advance(step);
    }
    per_key(before)
}
