//! Timing one operation on one thread and on two.
//!
//! ```
//! use flashops_benches::measure::median;
//!
//! assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
//! ```
//!
//! All contestants of a row take turns, run by run, so that a slow second of a shared machine spoils one run, and
//! ratios are taken within a run.
//! Threads are pinned and start at a barrier; a figure is a thread's own wall time over its own operations, less the
//! time for which the kernel says that other programs had its processor; the median over the batches of a run, and then
//! the median over the runs. Time blocked on a lock counts.
//!
//! Edge cases: on a machine with one processor both threads share it, and figures for two threads mean nothing.
//!
//! What this module does not do: subtract the cost of choosing and touching a key. It is the same for everyone.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads clocks")]

use std::fmt;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Runs; the figure is the median of their medians.
    pub runs: usize,
    /// Batches of each contestant in a run.
    pub batches: usize,
    /// The length of a batch.
    pub batch: Duration,
}

impl Plan {
    /// For figures of record.
    pub const FULL: Self = Self { runs: 5, batches: 11, batch: Duration::from_millis(8) };
    /// For a look.
    pub const QUICK: Self = Self { runs: 3, batches: 5, batch: Duration::from_millis(4) };
    /// To see that everything runs.
    pub const SMOKE: Self = Self { runs: 1, batches: 1, batch: Duration::from_micros(10) };
}

/// One thread that measures.
#[derive(Debug)]
pub struct Worker {
    /// Which of the threads it is.
    pub thread: usize,
    random: fastrand::Rng,
}

impl Worker {
    fn new(thread: usize) -> Self {
        Self { thread, random: fastrand::Rng::new() }
    }

    /// A number below `bound`, uniform.
    #[inline]
    pub fn pick(&mut self, bound: usize) -> usize {
        self.random.u32(..bound as u32) as usize
    }
}

type Operation<'a> = Box<dyn Fn(&mut Worker, usize) + Sync + 'a>;

/// Something to be timed: a name, and a function that does so many operations.
pub struct Contestant<'a> {
    name: &'static str,
    warm_up: usize,
    operation: Operation<'a>,
}

impl<'a> Contestant<'a> {
    /// A contestant.
    pub fn new(name: &'static str, operation: impl Fn(&mut Worker, usize) + Sync + 'a) -> Self {
        Self { name, warm_up: 64, operation: Box::new(operation) }
    }

    /// How many operations bring its memory back into the caches after somebody else's turn.
    #[must_use]
    pub const fn with_warm_up(mut self, operations: usize) -> Self {
        self.warm_up = operations;
        self
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Time of an operation in nanoseconds, as seen by a thread, mean over the threads.
    fn batch(&self, threads: usize, first_cpu: usize, operations: usize) -> f64 {
        let barrier = Barrier::new(threads);
        let measure = |thread: usize| {
            pin(first_cpu + thread);
            let mut worker = Worker::new(thread);
            let waited = waited_for_a_processor();
            barrier.wait();
            let start = Instant::now();
            (self.operation)(&mut worker, operations);
            let elapsed = start.elapsed().as_nanos() as u64;
            elapsed.saturating_sub(waited_for_a_processor() - waited) as f64
        };
        let measure = &measure;
        let total: f64 = thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|thread| scope.spawn(move || measure(thread))).collect();
            all.into_iter().map(|one| one.join().expect("the operation does not panic")).sum()
        });
        total / threads as f64 / operations as f64
    }

    /// How many operations fill a batch.
    fn operations(&self, threads: usize, batch: Duration) -> usize {
        let mut operations = 64;
        loop {
            let nanos = self.batch(threads, 0, operations);
            let wanted = (batch.as_nanos() as f64 / nanos) as usize;
            if operations >= wanted / 4 {
                return wanted.max(64);
            }
            operations *= 4;
        }
    }
}

impl fmt::Debug for Contestant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contestant").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Nanoseconds, one figure a run.
#[derive(Clone, Debug, Default)]
pub struct Times(pub Vec<f64>);

impl Times {
    /// The median of the runs.
    pub fn nanos(&self) -> f64 {
        median(self.0.clone())
    }

    /// The median of the ratios to another contestant, run by run.
    pub fn ratio(&self, other: &Self) -> f64 {
        median(self.0.iter().zip(&other.0).map(|(ours, theirs)| ours / theirs).collect())
    }
}

/// What a contestant took.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// With one thread.
    pub one: Times,
    /// With two.
    pub two: Times,
}

/// Times the contestants, in turns, with one thread and with two.
pub fn race(contestants: &[Contestant<'_>], plan: &Plan) -> Vec<Figures> {
    let sizes: Vec<[usize; 2]> =
        contestants.iter().map(|one| [1, 2].map(|threads| one.operations(threads, plan.batch))).collect();
    let mut figures = vec![Figures::default(); contestants.len()];
    for run in 0..plan.runs {
        for turn in 0..contestants.len() {
            // Every other run the other way round, so that nobody always comes after the same one.
            let index = if run % 2 == 0 { turn } else { contestants.len() - 1 - turn };
            contestants[index].batch(1, 0, contestants[index].warm_up);
            for threads in [1, 2] {
                let batch = |turn: usize| contestants[index].batch(threads, turn % 2, sizes[index][threads - 1]);
                let nanos = median((0..plan.batches).map(batch).collect());
                let Figures { one, two } = &mut figures[index];
                if threads == 1 { one } else { two }.0.push(nanos);
            }
        }
    }
    figures
}

/// The middle of some numbers; of an even count, the upper one.
///
/// # Panics
///
/// If there is none.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Nanoseconds that this thread was ready to run and others had its processor; zero where the system does not say.
pub fn waited_for_a_processor() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Keeps this thread on one processor, if the system lets it.
pub fn pin(cpu: usize) {
    let count = thread::available_parallelism().map_or(1, usize::from);
    let mut set = CpuSet::new();
    set.set(cpu % count);
    // Where it may not, threads wander, and the medians still stand.
    let _refused = sched_setaffinity(None, &set);
}
