//! The mistakes of the field, made again one by one: the conformance suite sees each of them.

use std::panic::{self, AssertUnwindSafe};

use flashops_testkit::conformance::{self, CASES, block_on};
use flashops_testkit::oracle::{Flaw, ReferenceHarness};

/// The cases that a store with this flaw does not pass.
fn caught_by(flaw: Flaw) -> Vec<&'static str> {
    let fails = |name: &str| {
        let case = || block_on(conformance::run(name, &ReferenceHarness::with_flaw(flaw)));
        panic::catch_unwind(AssertUnwindSafe(case)).is_err()
    };
    CASES.iter().map(|(_, name)| *name).filter(|name| fails(name)).collect()
}

/// A case that is about exactly this.
const fn case_of(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::OverrunForgiven | Flaw::OverrunInOneScope => "usage_above_the_hold_is_debt_in_every_scope",
        Flaw::RefundTwice => "a_repeated_settlement_changes_nothing",
        Flaw::RefundIntoLaterWindow => "a_request_is_given_back_in_its_own_window_only",
        Flaw::DenialConsumes => "a_refused_request_leaves_every_standing_as_it_was",
        Flaw::DenialLeaks => "a_request_is_held_in_all_its_scopes_or_in_none",
        Flaw::DisconnectRefunds => "a_dropped_answer_undoes_nothing",
        Flaw::UsedAndHeldApart => "usage_below_the_hold_frees_the_difference_at_once",
        Flaw::EvictionFreesBlocked => "a_flood_of_new_keys_frees_nobody_who_is_blocked",
        Flaw::RetryHoldsTwice => "a_repeated_reservation_adds_nothing",
        Flaw::HoldLostOnLongStream => "a_hold_is_released_at_its_deadline_and_not_before",
        Flaw::FirstRequestNeverFits => "more_than_the_amount_never_fits",
        _ => "",
    }
}

#[test]
fn every_flaw_of_the_field_is_caught_by_the_case_that_is_about_it() {
    panic::set_hook(Box::new(|_| {}));
    let caught: Vec<_> = Flaw::ALL.into_iter().map(|flaw| (flaw, caught_by(flaw))).collect();
    let _silent = panic::take_hook();
    for (flaw, cases) in caught {
        println!("{flaw:?}: {} cases: {cases:?}", cases.len());
        assert!(cases.contains(&case_of(flaw)), "{flaw:?} is caught by {cases:?}");
    }
}
