//! Random scripts on a real server and on a model that sums all events for every question.

mod support;

use std::cell::RefCell;

use flashops_testkit::oracle::{self, Coverage, script};
use proptest::test_runner::{Config, RngAlgorithm, TestRunner};
use support::RedisHarness;

/// The mean is half of it.
const MOST_STEPS: usize = 120;

#[test]
fn the_server_answers_like_a_model_that_sums_all_events_for_every_question() {
    let scripts = std::env::var("FLASHOPS_ORACLE_SCRIPTS").map_or(60, |text| text.parse().expect("a number"));
    let config = Config {
        cases: scripts,
        failure_persistence: None,
        rng_algorithm: RngAlgorithm::XorShift,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let (harness, coverage) = (RedisHarness::new(), RefCell::new(Coverage::default()));
    let run = TestRunner::new(config).run(&script(MOST_STEPS), |script| {
        harness.reset_clock();
        runtime.block_on(oracle::check(&harness, &script, &mut coverage.borrow_mut()))
    });
    println!("{:#?}", coverage.borrow());
    if let Err(error) = run {
        panic!("{error}");
    }
    let Coverage { steps, admitted, denied, late, crossings, judged, .. } = *coverage.borrow();
    assert!(admitted > steps / 10 && denied > steps / 20 && late > 0 && crossings > 0 && judged > 0);
}
