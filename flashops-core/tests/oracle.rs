//! Random scripts on the store in memory and on a model, compared after every step.
//!
//! `FLASHOPS_ORACLE_SCRIPTS` sets how many scripts are run, 2,000 by default.

use std::cell::RefCell;

use flashops_testkit::conformance::{MemoryHarness, block_on};
use flashops_testkit::oracle::{self, Coverage, script};
use proptest::test_runner::{Config, RngAlgorithm, TestRunner};

/// The mean is half of it.
const MOST_STEPS: usize = 120;

#[test]
fn the_store_answers_like_a_model_that_sums_all_events_for_every_question() {
    let scripts = std::env::var("FLASHOPS_ORACLE_SCRIPTS").map_or(2_000, |text| text.parse().expect("a number"));
    // Without optimisation the default generator takes three times as long as what it generates for.
    let rng_algorithm = RngAlgorithm::XorShift;
    let config = Config { cases: scripts, failure_persistence: None, rng_algorithm, ..Config::default() };
    let coverage = RefCell::new(Coverage::default());
    let run = TestRunner::new(config).run(&script(MOST_STEPS), |script| {
        block_on(oracle::check(&MemoryHarness::new(), &script, &mut coverage.borrow_mut()))
    });
    if let Err(error) = run {
        panic!("{error}");
    }
    assert_covers(&coverage.into_inner());
}

/// A generator whose requests are nearly all refused, or never late, would prove little.
fn assert_covers(coverage: &Coverage) {
    println!("{coverage:#?}");
    let Coverage { steps, admitted, denied, never, .. } = *coverage;
    assert!(admitted > steps / 10 && denied > steps / 20 && denied - never > steps / 40);
    let rare = [
        coverage.extended,
        coverage.settled,
        coverage.overrun,
        coverage.late,
        coverage.vain,
        coverage.crossings,
        coverage.judged,
    ];
    assert!(rare.iter().all(|&seen| seen > steps / 200), "{coverage:?}");
}
