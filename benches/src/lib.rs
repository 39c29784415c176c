//! What the benchmarks share: how an operation is timed, which keys it meets, who the peers are, how a row is judged.
//!
//! ```
//! use flashops_benches::measure::{Contestant, Plan, race};
//!
//! let hash = Contestant::new("sum", |worker, operations| {
//!     for _ in 0..operations {
//!         std::hint::black_box(worker.pick(100));
//!     }
//! });
//! let figures = race(&[hash], &Plan::SMOKE);
//! assert!(figures[0].one.nanos() > 0.0);
//! ```
//!
//! `cargo bench -p flashops-benches` runs everything and prints each row of the table in docs/benchmarks.md;
//! `-- --quick` takes fewer batches, `-- WORD` only the rows whose name has the word.
//!
//! Edge cases: started without `--bench`, as `cargo test --all-targets` does, every row runs a few operations only, and
//! its verdict means nothing.
//!
//! What this crate does not do: keep results. The figures of record are in docs/benchmarks.md.

pub mod accuracy;
pub mod estimates;
pub mod keys;
pub mod measure;
pub mod ours;
pub mod peers;
pub mod process;
pub mod table;
