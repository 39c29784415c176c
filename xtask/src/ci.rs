//! `cargo xtask ci`: what must pass before a change lands.

use crate::cargo::cargo;
use crate::failure::Failure;
use crate::fuzz::{self, Effort};
use crate::steps::Steps;
use crate::{sdk, test};

/// Enough to reach the depths of a reader, and no more than a few seconds for each target.
const FUZZ_RUNS: u64 = 100_000;

pub(crate) fn run(steps: &mut Steps) -> Result<(), Failure> {
    steps.command("formatting", cargo()?.args(["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--all-features", "--locked", "--", "-D", "warnings"];
    steps.command("clippy", cargo()?.args(clippy))?;
    let doc = ["doc", "--workspace", "--no-deps", "--all-features", "--locked"];
    steps.command("documentation", cargo()?.args(doc).env("RUSTDOCFLAGS", "-D warnings"))?;
    test::run(steps)?;
    sdk::run(steps)?;
    fuzz::run(steps, Effort::Runs(FUZZ_RUNS))
}
