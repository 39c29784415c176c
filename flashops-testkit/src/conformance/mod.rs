//! What every store must do: one suite of numbered cases, for the store in memory and for any other.
//!
//! A store is tested by telling how a fresh one is made and how its time passes ([`Harness`]), and by one line that
//! makes a `#[test]` of each case:
//!
//! ```
//! use flashops_testkit::conformance::{self, MemoryHarness};
//!
//! // In a test file: flashops_testkit::conformance_tests!(MemoryHarness::new(), conformance::block_on);
//! let case = "a_repeated_settlement_changes_nothing";
//! conformance::block_on(conformance::run(case, &MemoryHarness::new()));
//! assert!(conformance::CASES.iter().any(|(_, name)| *name == case));
//! ```
//!
//! A case panics where the store does what it must not. Cases compare with numbers that were worked out by hand; the
//! [oracle](crate::oracle) compares with a model, on scripts that nobody thought of.
//!
//! Edge cases: a case makes its own store, so cases can run at the same time. Waits are whole milliseconds, for stores
//! that count no finer; [`Harness::resolution`] says how far an answer may be off. A store may apply an expiry late,
//! but must answer as if it had not.
//!
//! What this module does not do: test speed, threads, or a store that cannot be reached.

mod admit;
mod calendar;
mod expiry;
mod harness;
mod limits;
mod retry;
mod scopes;
mod settle;
mod states;
mod subject;
mod thresholds;

pub use harness::{Harness, MemoryHarness, block_on};
pub(crate) use subject::scopes as scopes_of;

/// Names every case once: for the list, for running one by name, and for the macro that makes tests of them.
macro_rules! cases {
    (($d:tt) $($number:literal $module:ident::$name:ident)*) => {
        /// Every case: its number and its name.
        pub const CASES: &[(u32, &str)] = &[$(($number, stringify!($name))),*];

        /// Runs one case.
        ///
        /// # Panics
        ///
        /// If the store does not pass it, or if there is no such case.
        pub async fn run<H: Harness>(name: &str, harness: &H) {
            match name {
                $(stringify!($name) => $module::$name(harness).await,)*
                _ => panic!("no case is named {name}"),
            }
        }

        /// Makes a `#[test]` of every case of the [conformance suite](crate::conformance).
        ///
        /// The first argument is an expression for a fresh harness, the second a function that runs a future to its
        /// end.
        #[macro_export]
        macro_rules! conformance_tests {
            ($d harness:expr, $d block_on:path) => {
                $(
                    #[test]
                    fn $name() {
                        $d block_on($d crate::conformance::run(stringify!($name), &$d harness));
                    }
                )*
            };
        }
    };
}

cases! { ($)
    1 states::a_reservation_counts_its_request_and_holds_the_rest
    2 states::a_refused_reservation_is_as_absent_as_before
    3 states::a_repeated_reservation_adds_nothing
    4 states::a_reservation_on_a_settled_identity_is_not_made
    5 states::a_reservation_on_an_expired_identity_is_not_made
    6 states::a_settlement_of_an_unknown_identity_changes_nothing
    7 states::a_settlement_puts_what_was_used_in_place_of_the_hold
    8 states::a_repeated_settlement_changes_nothing
    9 states::a_second_settlement_with_another_amount_is_a_conflict_and_no_change
    10 states::a_voided_identity_is_settled_for_good
    11 states::an_extension_holds_more_and_lives_longer
    12 states::an_extension_of_what_is_not_held_changes_nothing
    13 states::a_refused_extension_keeps_the_hold_and_notes_the_rest
    14 states::a_dropped_answer_undoes_nothing
    20 expiry::a_hold_is_released_at_its_deadline_and_not_before
    21 expiry::expiry_charges_the_last_checkpoint
    22 expiry::expiry_charges_all_that_was_held
    23 expiry::expiry_charges_nothing_but_the_request
    24 expiry::a_late_settlement_adds_what_was_used_above_the_charge
    25 expiry::a_late_settlement_gives_back_what_was_not_used
    26 expiry::a_late_settlement_happens_once
    27 expiry::a_late_void_gives_the_request_back
    28 expiry::a_late_refund_does_not_flow_into_a_later_period
    30 settle::usage_below_the_hold_frees_the_difference_at_once
    31 settle::usage_above_the_hold_is_debt_in_every_scope
    32 settle::a_void_gives_everything_back
    33 settle::no_refund_lifts_a_limit_above_its_amount
    34 settle::usage_is_stamped_when_it_is_settled
    35 settle::a_void_after_the_window_has_passed_frees_nothing_else
    36 settle::amounts_as_large_as_they_can_be_stop_at_the_bound
    40 scopes::a_request_is_held_in_all_its_scopes_or_in_none
    41 scopes::a_refused_request_leaves_every_standing_as_it_was
    42 scopes::keys_do_not_share_accounts
    43 scopes::a_limit_without_a_key_and_a_key_without_a_limit_do_not_count
    44 scopes::only_the_limits_of_the_command_count
    45 scopes::a_report_says_what_the_standings_say
    50 limits::a_limit_of_zero_admits_nothing
    51 limits::what_is_not_asked_for_is_not_refused_even_in_debt
    52 limits::limits_that_do_not_enforce_never_refuse_and_are_counted
    53 limits::what_an_enforced_limit_refuses_counts_nowhere
    54 limits::every_resource_counts_its_own
    55 limits::concurrency_is_held_and_released_on_every_ending
    56 limits::a_lifetime_never_gives_room_again
    57 limits::several_windows_count_on_one_scope
    58 limits::a_full_store_says_so_and_holds_nothing
    60 retry::more_than_the_amount_never_fits
    61 retry::a_spent_lifetime_never_has_room
    62 retry::an_exact_log_names_the_first_instant_with_room
    63 retry::a_ring_names_the_first_instant_with_room
    64 retry::two_counters_name_the_first_instant_with_room
    65 retry::pacing_names_the_first_instant_with_room
    66 retry::a_calendar_names_the_end_of_its_period
    67 retry::the_limit_that_takes_longest_is_named_and_all_are_listed
    68 retry::where_only_holds_are_in_the_way_the_wait_is_a_second
    69 retry::holds_count_as_charged_in_the_wait
    70 retry::debt_beyond_the_holds_decides_the_wait
    80 admit::requests_are_counted_until_there_is_no_room
    81 admit::several_requests_are_admitted_together_or_not_at_all
    82 admit::other_resources_are_passed_over
    83 admit::a_request_that_is_given_back_makes_room
    84 admit::a_request_is_given_back_in_its_own_window_only
    85 admit::requests_of_both_commands_count_together
    86 admit::a_flood_of_new_keys_frees_nobody_who_is_blocked
    90 calendar::a_new_day_begins_at_zero_and_takes_over_no_unused_budget
    91 calendar::debt_is_taken_over_in_full
    92 calendar::debt_is_not_taken_over
    93 calendar::debt_is_taken_over_up_to_a_cap
    94 calendar::a_large_debt_is_repaid_over_several_days
    95 calendar::a_hold_that_spans_midnight_is_charged_to_the_new_day
    100 thresholds::a_threshold_fires_once_at_its_share
    101 thresholds::a_period_fires_each_threshold_once_and_the_next_one_again
    102 thresholds::a_sliding_threshold_fires_again_only_after_usage_was_low_for_once
    103 thresholds::counted_requests_fire_thresholds
    104 thresholds::what_is_only_held_fires_nothing
    105 thresholds::a_sliding_threshold_fires_on_the_way_up_and_never_later
}

/// Runs every case, each on a harness of its own.
///
/// # Panics
///
/// In the first case that the store does not pass.
pub async fn run_all<H: Harness>(mut fresh: impl FnMut() -> H) {
    for (_, name) in CASES {
        run(name, &fresh()).await;
    }
}
