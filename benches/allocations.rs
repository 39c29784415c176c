//! The row about allocations, in a program of its own: counting them would slow the peers.

use flashops_benches::keys::Keys;
use flashops_benches::ours::{Case, Purse};
use flashops_core::clock::ManualClock;

const PAIRS: u64 = 10_000;

fn main() {
    let (keys, callers) = (Keys::new(100), Case::Fleet.callers());
    let purse = Purse::new(Case::Fleet, ManualClock::new());
    let all = || {
        for round in 0..PAIRS as usize {
            let place = round % keys.len();
            purse.reserve_and_settle(&callers.scopes(keys.text(place), place));
        }
    };
    all();
    let counted = allocation_counter::measure(all).count_total;
    let each = counted as f64 / PAIRS as f64;
    println!("reserve and settle, three scopes, five limits, accounts and book warm:");
    println!("    {each} allocations (target ≤ 1, the reservation itself)\n");
    assert!(each <= 1.0, "{counted} allocations in {PAIRS} reservations");
}
