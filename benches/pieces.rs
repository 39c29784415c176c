//! What the parts of a decision cost, with criterion.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use flashops_benches::ours::{self, Case, Purse};
use flashops_core::budget::RateLimiter;
use flashops_core::clock::{Clock, CoarseClock, ManualClock, SystemClock};
use flashops_core::key::{Key, Scope};
use flashops_core::limit::{Algorithm, Limit, Policy, Resource, Window};

const KEY: &str = "0b6ee1a5-7a3b-4c51-9a53-1f0f0a6c5d11";

fn clocks(criterion: &mut Criterion) {
    let coarse = CoarseClock::new();
    criterion.bench_function("clock/coarse", |bencher| bencher.iter(|| coarse.tick()));
    criterion.bench_function("clock/system", |bencher| bencher.iter(|| SystemClock.tick()));
    criterion.bench_function("key/36 bytes", |bencher| bencher.iter(|| Key::new(Scope::User, black_box(KEY))));
}

/// One window on one hot key, on a clock that stands still: what is left is the table, the lock and the window.
fn windows(criterion: &mut Criterion) {
    let cases = [("ring", Algorithm::Ring), ("approximate", Algorithm::Approximate), ("gcra", Algorithm::Gcra)];
    for (name, algorithm) in cases {
        let limit = Limit::new("rpm", Scope::User, Resource::Requests, 1 << 31, Window::Sliding(ours::MINUTE))
            .and_then(|limit| limit.with_algorithm(algorithm))
            .expect("the limit is valid");
        let limiter = RateLimiter::new(Policy::new(vec![limit]).expect("one limit is a policy"), ManualClock::new());
        criterion.bench_function(&format!("check/{name}"), |bencher| {
            bencher.iter(|| limiter.check(Key::new(Scope::User, black_box(KEY))));
        });
    }
}

/// The exact log of small limits admits when time passes: a second between two requests.
fn log(criterion: &mut Criterion) {
    let clock = ManualClock::new();
    let limiter = RateLimiter::new(ours::requests(64, 64), clock.clone());
    criterion.bench_function("check/exact log of 64, two windows", |bencher| {
        bencher.iter(|| {
            clock.advance(Duration::from_secs(57));
            assert!(ours::check(&limiter, black_box(KEY)));
        });
    });
}

fn reservations(criterion: &mut Criterion) {
    let cases = [
        ("one scope, one limit", Case::Tokens),
        ("requests, tokens and cost", Case::User),
        ("three scopes, five limits", Case::Fleet),
    ];
    for (name, case) in cases {
        let (purse, callers) = (Purse::new(case, ManualClock::new()), case.callers());
        criterion.bench_function(&format!("reserve and settle/{name}"), |bencher| {
            bencher.iter(|| purse.reserve_and_settle(&callers.scopes(black_box(KEY), 0)));
        });
    }
}

criterion_group! {
    name = pieces;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = clocks, windows, log, reservations
}
criterion_main!(pieces);
