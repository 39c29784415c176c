use flashops_core::units::{Amounts, Tokens};
use proptest::prelude::*;

use super::super::told::{LimitId, Said};
use super::*;

const ONE: Load = Load { requests: 1, input: 10, output: 5 };

fn at(millis: u64) -> Tick {
    Tick::ZERO.after(Duration::from_millis(millis))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn said(resource: Resource, remaining: u64, reset: Duration) -> Said {
    Said { id: LimitId(resource as u64), resource, limit: Some(100), remaining, reset, late_output: false }
}

fn told(limits: &[Said]) -> Told {
    Told { limits: limits.iter().copied().collect(), ..Told::default() }
}

/// Sends a call that is answered at once.
fn call(standing: &mut Standing, told: &Told, now: Tick) {
    standing.admit(&ONE, now).unwrap();
    standing.answered(&ONE, told, now, now);
    standing.ended(&ONE);
}

fn after(told: &Told, now: Tick) -> Standing {
    let mut standing = Standing::default();
    call(&mut standing, told, now);
    standing
}

fn short(resource: Resource, asked: u64, remaining: u64, wait: Duration) -> Result<(), Short> {
    Err(Short { resource: Some(resource), asked, remaining, wait })
}

#[test]
fn nothing_remaining_refuses_until_the_reset_and_not_longer() {
    let mut standing = after(&told(&[said(Resource::Requests, 0, seconds(30))]), at(0));
    assert_eq!(standing.admit(&ONE, at(0)), short(Resource::Requests, 1, 0, seconds(30)));
    assert_eq!(standing.admit(&ONE, at(29_999)), short(Resource::Requests, 1, 0, Duration::from_millis(1)));
    assert_eq!(standing.admit(&ONE, at(30_000)), Ok(()));
}

#[test]
fn calls_in_flight_count_against_what_remains() {
    let mut standing = after(&told(&[said(Resource::Requests, 2, seconds(30))]), at(0));
    assert_eq!(standing.admit(&ONE, at(0)), Ok(()));
    assert_eq!(standing.admit(&ONE, at(0)), Ok(()));
    assert_eq!(standing.admit(&ONE, at(0)), short(Resource::Requests, 1, 0, seconds(1)), "an answer may tell of room");
    standing.not_sent(&ONE);
    assert_eq!(standing.admit(&ONE, at(0)), Ok(()));
}

#[test]
fn calls_that_were_in_flight_when_the_first_header_came_count_too() {
    let mut standing = Standing::default();
    for _ in 0..3 {
        standing.admit(&ONE, at(0)).unwrap();
    }
    standing.answered(&ONE, &told(&[said(Resource::Requests, 3, seconds(30))]), at(0), at(0));
    assert_eq!(standing.admit(&ONE, at(0)), Ok(()), "two of the three are in flight");
    assert!(standing.admit(&ONE, at(0)).is_err());
}

#[test]
fn an_older_answer_that_comes_later_raises_nothing() {
    let mut standing = Standing::default();
    for sent in [0, 10] {
        standing.admit(&ONE, at(sent)).unwrap();
    }
    standing.answered(&ONE, &told(&[said(Resource::Requests, 1, seconds(30))]), at(10), at(50));
    standing.answered(&ONE, &told(&[said(Resource::Requests, 9, seconds(30))]), at(0), at(60));
    assert_eq!(standing.admit(&ONE, at(60)), Ok(()));
    assert!(standing.admit(&ONE, at(60)).is_err());
}

#[test]
fn an_answer_of_the_next_window_replaces_and_one_of_the_last_window_changes_nothing() {
    let mut standing = after(&told(&[said(Resource::Requests, 0, seconds(5))]), at(0));
    standing.answered(&ONE, &told(&[said(Resource::Requests, 7, seconds(60))]), at(0), at(1_000));
    standing.answered(&ONE, &told(&[said(Resource::Requests, 0, seconds(5))]), at(0), at(1_000));
    for _ in 0..7 {
        assert_eq!(standing.admit(&ONE, at(1_000)), Ok(()));
    }
    assert!(standing.admit(&ONE, at(1_000)).is_err());
}

#[test]
fn the_limit_that_takes_longest_is_named() {
    let limits = [said(Resource::Requests, 0, seconds(5)), said(Resource::Tokens, 14, seconds(50))];
    let mut standing = after(&told(&limits), at(0));
    assert_eq!(standing.admit(&ONE, at(0)), short(Resource::Tokens, 15, 14, seconds(50)));
}

#[test]
fn a_call_asks_for_no_more_than_the_whole_limit() {
    let large = Load { requests: 1, input: 1_000_000, output: 0 };
    let mut standing = after(&told(&[said(Resource::Tokens, 100, seconds(50))]), at(0));
    assert_eq!(standing.admit(&large, at(0)), Ok(()));
    let mut standing = after(&told(&[said(Resource::Tokens, 99, seconds(50))]), at(0));
    assert_eq!(standing.admit(&large, at(0)), short(Resource::Tokens, 100, 99, seconds(50)));
}

#[test]
fn a_call_without_output_needs_none_to_remain() {
    let embedding = Load::of_call(&Amounts { input: Tokens::saturating(10), ..Amounts::ONE_REQUEST });
    let mut standing = after(&told(&[said(Resource::OutputTokens, 0, seconds(50))]), at(0));
    assert_eq!(standing.admit(&embedding, at(0)), Ok(()));
    assert!(standing.admit(&Load::unknown(), at(0)).is_err());
}

#[test]
fn what_was_answered_without_numbers_or_not_at_all_is_taken_for_counted() {
    let mut standing = after(&told(&[said(Resource::Requests, 3, seconds(30))]), at(0));
    call(&mut standing, &Told::default(), at(0));
    standing.admit(&ONE, at(0)).unwrap();
    standing.unanswered(&ONE);
    assert_eq!(standing.admit(&ONE, at(0)), Ok(()));
    assert!(standing.admit(&ONE, at(0)).is_err());
}

#[test]
fn output_that_counts_late_is_in_flight_until_the_answer_has_come_in() {
    let late = Said { late_output: true, ..said(Resource::OutputTokens, 9, seconds(30)) };
    for (told, fits) in [(said(Resource::OutputTokens, 9, seconds(30)), true), (late, false)] {
        let mut standing = Standing::default();
        standing.admit(&ONE, at(0)).unwrap();
        standing.answered(&ONE, &super::tests::told(&[told]), at(0), at(0));
        assert_eq!(standing.admit(&ONE, at(0)).is_ok(), fits);
        standing.ended(&ONE);
        standing.not_sent(&ONE);
        assert_eq!(standing.admit(&ONE, at(0)), Ok(()));
    }
}

#[test]
fn a_wait_that_the_provider_names_holds_back_and_comes_before_its_limits() {
    let mut standing =
        after(&Told { retry: Some(seconds(2)), ..told(&[said(Resource::Requests, 0, seconds(40))]) }, at(0));
    let wait = |standing: &mut Standing, now| standing.admit(&ONE, now).map_err(|short| short.wait);
    assert_eq!(wait(&mut standing, at(0)), Err(seconds(2)));
    assert_eq!(wait(&mut standing, at(1_500)), Err(Duration::from_millis(500)));
    assert_eq!(wait(&mut standing, at(2_000)), Ok(()));
}

#[test]
fn a_shorter_wait_takes_nothing_off_a_longer_one() {
    let retry = |wait| Told { retry: Some(seconds(wait)), ..Told::default() };
    let mut standing = Standing::default();
    for _ in 0..2 {
        standing.admit(&ONE, at(0)).unwrap();
    }
    standing.answered(&ONE, &retry(20), at(0), at(0));
    standing.answered(&ONE, &retry(5), at(0), at(0));
    assert_eq!(standing.admit(&ONE, at(0)).unwrap_err().wait, seconds(20));
}

#[test]
fn nothing_is_believed_for_longer_than_the_longest_wait() {
    let absurd = Duration::MAX;
    let mut standing = after(&told(&[said(Resource::Requests, 0, absurd)]), at(0));
    assert_eq!(standing.admit(&ONE, at(0)).unwrap_err().wait, MAX_WAIT);
    let mut standing = after(&Told { retry: Some(absurd), ..Told::default() }, at(0));
    assert_eq!(standing.admit(&ONE, at(0)).unwrap_err().wait, MAX_WAIT);
    assert_eq!(standing.admit(&ONE, Tick::ZERO.after(MAX_WAIT)), Ok(()));
}

#[test]
fn a_provider_is_idle_when_all_has_passed() {
    let mut standing = after(&told(&[said(Resource::Requests, 0, seconds(5))]), at(0));
    assert!(!standing.is_idle(at(4_999)));
    assert!(standing.is_idle(at(5_000)));
    standing.admit(&ONE, at(5_000)).unwrap();
    assert!(!standing.is_idle(at(9_000)), "a call is in flight");
}

#[test]
fn each_statement_holds_until_its_own_reset_and_many_are_as_strict_as_their_strictest() {
    let remains = |standing: &Standing, now| {
        let mut standing = standing.clone();
        (0..).take_while(|_| standing.admit(&ONE, at(now)).is_ok()).take(99).count()
    };
    // A bucket that fills up: more is left each time, and it is full a little later each time.
    let mut bucket = Standing::default();
    for step in 0..3 {
        let told = told(&[said(Resource::Requests, 1 + step, Duration::from_millis(5_000 + 200 * step))]);
        bucket.answered(&ONE, &told, at(0), at(0));
    }
    for (now, left) in [(0, 1), (4_999, 1), (5_000, 2), (5_200, 3), (5_400, 99)] {
        assert_eq!(remains(&bucket, now), left, "{now}");
    }
    for step in 3..9 {
        let told = told(&[said(Resource::Requests, 1 + step, Duration::from_millis(5_000 + 100 * step))]);
        bucket.answered(&ONE, &told, at(0), at(0));
    }
    let between = told(&[said(Resource::Requests, 4, Duration::from_millis(5_500))]);
    bucket.answered(&ONE, &between, at(0), at(0));
    for (now, most) in [(4_999, 1), (5_199, 2), (5_399, 3), (5_499, 4), (5_799, 9)] {
        assert!(remains(&bucket, now) <= most, "{now}");
    }
    assert_eq!(remains(&bucket, 5_800), 99);
}

/// A provider that counts: so many requests in each window of ten seconds. It is the oracle.
struct Provider {
    limit: u64,
    window: u64,
    used: u64,
}

const LENGTH: u64 = 10_000;

impl Provider {
    /// Counts a request at this millisecond, and says how it stands. The last is whether it was within the limit.
    fn count(&mut self, now: u64) -> (Told, bool) {
        if now / LENGTH != self.window {
            (self.window, self.used) = (now / LENGTH, 0);
        }
        self.used += 1;
        let reset = Duration::from_millis(LENGTH - now % LENGTH);
        let limit = Some(self.limit);
        let remaining = self.limit.saturating_sub(self.used);
        (told(&[Said { limit, ..said(Resource::Requests, remaining, reset) }]), self.used <= self.limit)
    }
}

/// A call on its way: when it was sent, whether the provider's window was known then and which, and its answer.
struct Flight {
    sent: u64,
    knew: Option<u64>,
    answer: Option<(Told, u64)>,
}

proptest! {
    /// Calls are sent, counted and answered in any order, and with any delay. One that was let through while the
    /// provider's window was known is within the provider's limit, if it is counted in that window.
    #[test]
    fn no_interleaving_overruns_what_the_provider_said(
        limit in 1..6_u64,
        steps in proptest::collection::vec((0..3_u8, 0..8_usize, 0..1_500_u64), 1..120),
    ) {
        let (mut standing, mut provider) = (Standing::default(), Provider { limit, window: 0, used: 0 });
        let (mut flights, mut now, mut known): (Vec<Flight>, u64, Option<u64>) = (Vec::new(), 0, None);
        for (step, which, pause) in steps {
            now += pause;
            match step {
                0 => {
                    if standing.admit(&ONE, at(now)).is_ok() {
                        let knew = known.filter(|&window| window == now / LENGTH);
                        flights.push(Flight { sent: now, knew, answer: None });
                    }
                }
                1 => {
                    let unanswered = |&place: &usize| flights[place].answer.is_none();
                    let on_their_way: Vec<usize> = (0..flights.len()).filter(unanswered).collect();
                    if let Some(&place) = on_their_way.get(which % on_their_way.len().max(1)) {
                        let (told, within) = provider.count(now);
                        let flight = &mut flights[place];
                        prop_assert!(within || flight.knew != Some(now / LENGTH), "{} of {limit}", provider.used);
                        flight.answer = Some((told, now / LENGTH));
                    }
                }
                _ => {
                    let back: Vec<usize> = (0..flights.len()).filter(|&i| flights[i].answer.is_some()).collect();
                    if let Some(&place) = back.get(which % back.len().max(1)) {
                        let flight = flights.swap_remove(place);
                        let (told, window) = flight.answer.unwrap();
                        standing.answered(&ONE, &told, at(flight.sent), at(now));
                        standing.ended(&ONE);
                        known = known.max(Some(window));
                    }
                }
            }
        }
    }

    /// One call after the other is refused exactly where the provider would refuse it.
    #[test]
    fn a_client_that_waits_for_each_answer_is_refused_only_where_the_provider_would(
        limit in 1..6_u64,
        pauses in proptest::collection::vec(0..2_000_u64, 1..60),
    ) {
        let (mut standing, mut provider) = (Standing::default(), Provider { limit, window: 0, used: 0 });
        let mut now = 0;
        for pause in pauses {
            now += pause;
            let used = if provider.window == now / LENGTH { provider.used } else { 0 };
            let admitted = standing.admit(&ONE, at(now));
            prop_assert_eq!(admitted.is_ok(), used < limit, "{:?} at {}", admitted, now);
            if admitted.is_ok() {
                let (told, _) = provider.count(now);
                standing.answered(&ONE, &told, at(now), at(now));
                standing.ended(&ONE);
            }
        }
    }
}
