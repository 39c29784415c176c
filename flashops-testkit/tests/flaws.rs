//! The mistakes of the field, made again one by one: the conformance suite sees each of them.

use std::panic::{self, AssertUnwindSafe};

use flashops_testkit::conformance::{self, block_on};
use flashops_testkit::oracle::{Flaw, ReferenceHarness};

fn passes(case: &str, harness: &ReferenceHarness) -> bool {
    let run = || block_on(conformance::run(case, harness));
    panic::catch_unwind(AssertUnwindSafe(run)).is_ok()
}

/// A case that is about exactly this.
fn case_of(flaw: Flaw) -> &'static str {
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
        _ => panic!("no case is about {flaw:?}"),
    }
}

#[test]
fn every_flaw_of_the_field_is_caught_by_the_case_that_is_about_it() {
    for flaw in Flaw::ALL {
        let case = case_of(flaw);
        assert!(passes(case, &ReferenceHarness::new()), "{case} asks for what is right");
        assert!(!passes(case, &ReferenceHarness::with_flaw(flaw)), "{flaw:?} is not caught by {case}");
    }
}
