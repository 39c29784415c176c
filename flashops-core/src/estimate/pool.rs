//! What is known of the calls of one route and model, and how many of them are in flight.

use std::collections::HashMap;

use super::sample::Sample;
use super::{Estimate, OutputEstimate};
use crate::key::Fingerprint;
use crate::units::Tokens;

/// The most kinds of calls of one route and model that are told apart. Of more, the one that learned longest ago goes.
pub(super) const MAX_KINDS: usize = 64;

/// Of a thousand calls, how many may use more output than is expected.
const OUTPUT_ABOVE: usize = 50;

/// Of a thousand calls, how many may have more input than is expected.
const INPUT_ABOVE: usize = 10;

/// Tokens for a byte are counted in so many parts of a token.
const PARTS: u64 = 1 << 12;

/// A kind of call. Answers are alike whose requests are of like length, and those of other caps cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    /// The octave of the output cap.
    cap: u8,
    /// The half octave of the input bound; `None` for inputs of any length.
    input: Option<u8>,
}

impl Kind {
    pub(super) fn of(estimate: &Estimate) -> Self {
        Self { cap: octave(estimate.output), input: Some(half_octave(estimate.input)) }
    }

    const fn of_any_input(self) -> Self {
        Self { cap: self.cap, input: None }
    }
}

fn octave(tokens: Tokens) -> u8 {
    u8::try_from(u64::BITS - tokens.get().leading_zeros()).expect("a number has at most 64 bits")
}

fn half_octave(tokens: Tokens) -> u8 {
    let octave = octave(tokens);
    let second_bit = if octave < 2 { 0 } else { (tokens.get() >> (octave - 2)) & 1 };
    2 * octave + u8::from(second_bit == 1)
}

/// Everything that is known of one route and model.
#[derive(Debug, Default)]
pub(super) struct Pool {
    kinds: HashMap<Kind, (u64, Sample)>,
    /// Counts what was learned, to know what learned longest ago.
    learned: u64,
    input: Option<Sample>,
    in_flight: HashMap<Fingerprint, u64>,
}

/// How much output is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Output {
    /// For the call as one of those in flight.
    pub(super) held: Tokens,
    /// For the call alone.
    pub(super) alone: Tokens,
}

impl Pool {
    /// One more call is in flight among those that share a limit.
    pub(super) fn enter(&mut self, group: Fingerprint) {
        *self.in_flight.entry(group).or_default() += 1;
    }

    /// One less is.
    pub(super) fn leave(&mut self, group: Fingerprint) {
        if let Some(count) = self.in_flight.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                self.in_flight.remove(&group);
            }
        }
    }

    /// What a call is expected to answer; its cap if too little is known.
    pub(super) fn output(&self, kind: Kind, cap: Tokens, group: Fingerprint, how: OutputEstimate) -> Output {
        let known = [kind, kind.of_any_input()].into_iter().find_map(|kind| {
            let (_, sample) = self.kinds.get(&kind)?;
            Some((u64::from(sample.upper()?), u64::from(sample.mean_in_flight())))
        });
        let Some((upper, mean)) = known else { return Output { held: cap, alone: cap } };
        let held = match how {
            OutputEstimate::Learned => part_of_all(upper, mean, self.in_flight.get(&group).copied().unwrap_or(1)),
            OutputEstimate::Cap | OutputEstimate::LearnedEach => upper,
        };
        Output { held: cap.min(Tokens::saturating(held)), alone: cap.min(Tokens::saturating(upper)) }
    }

    /// What so much text is expected to be, in tokens.
    pub(super) fn input(&self, text: Tokens) -> Tokens {
        let Some(parts) = self.input.as_ref().and_then(Sample::upper) else { return text };
        let tokens = (u128::from(text.get()) * u128::from(parts)).div_ceil(u128::from(PARTS));
        text.min(Tokens::saturating(u64::try_from(tokens).unwrap_or(u64::MAX)))
    }

    /// A call of this kind answered with so many tokens.
    pub(super) fn learn_output(&mut self, kind: Kind, caller: Fingerprint, tokens: Tokens) {
        let tokens = u32::try_from(tokens.get()).unwrap_or(u32::MAX);
        for kind in [kind, kind.of_any_input()] {
            self.learned += 1;
            if self.kinds.len() >= MAX_KINDS && !self.kinds.contains_key(&kind) {
                self.forget_a_kind();
            }
            let (at, sample) = self.kinds.entry(kind).or_insert_with(|| (0, Sample::new(OUTPUT_ABOVE)));
            *at = self.learned;
            sample.observe(caller, tokens);
        }
    }

    /// So many bytes of text were so many tokens.
    pub(super) fn learn_input(&mut self, caller: Fingerprint, text: Tokens, tokens: Tokens) {
        let parts = u128::from(tokens.get()) * u128::from(PARTS);
        let parts = parts.div_ceil(u128::from(text.get().max(1)));
        let input = self.input.get_or_insert_with(|| Sample::new(INPUT_ABOVE));
        input.observe(caller, u32::try_from(parts).unwrap_or(u32::MAX));
    }

    fn forget_a_kind(&mut self) {
        let longest_ago = self.kinds.iter().min_by_key(|(_, (learned, _))| *learned).map(|(kind, _)| *kind);
        if let Some(kind) = longest_ago {
            self.kinds.remove(&kind);
        }
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.kinds.len(), self.in_flight.len())
    }
}

/// The part of one of `n` calls in what all use together at their percentile: the mean, and what is above it divided
/// by √n, since the sum of n independent calls spreads √n times as far as one.
fn part_of_all(upper: u64, mean: u64, n: u64) -> u64 {
    /// √n is counted in so many parts.
    const ROOT_PARTS: u64 = 1 << 8;
    let mean = mean.min(upper);
    let root = n.clamp(1, 1 << 40).saturating_mul(ROOT_PARTS * ROOT_PARTS).isqrt();
    mean + ((upper - mean) * ROOT_PARTS).div_ceil(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::{InputBound, OutputCap};
    use crate::key::{Key, Scope};

    fn name(name: u64) -> Fingerprint {
        Key::new(Scope::User, &name.to_string()).fingerprint()
    }

    fn kind(input: u64, cap: u64) -> Kind {
        Kind::of(&Estimate::new(InputBound::bytes(input), OutputCap::new(Tokens::saturating(cap))))
    }

    fn tokens(tokens: u64) -> Tokens {
        Tokens::saturating(tokens)
    }

    /// A pool that has seen these answers to requests of 1,000 bytes with a cap of 1,000.
    fn pool(answers: impl IntoIterator<Item = u64>) -> Pool {
        let mut pool = Pool::default();
        for (caller, answer) in (0..).zip(answers) {
            pool.learn_output(kind(1_000, 1_000), name(caller), tokens(answer));
        }
        pool
    }

    fn held(pool: &Pool, kind: Kind, cap: u64) -> u64 {
        pool.output(kind, tokens(cap), name(0), OutputEstimate::Learned).held.get()
    }

    #[test]
    fn the_cap_is_held_until_enough_was_seen() {
        assert_eq!(held(&pool(1..=18), kind(1_000, 1_000), 1_000), 1_000);
        assert_eq!(held(&pool(1..=19), kind(1_000, 1_000), 1_000), 19);
    }

    #[test]
    fn no_more_than_the_cap_is_held() {
        let pool = pool([900; 19]);
        assert_eq!(held(&pool, kind(1_000, 1_000), 1_000), 900);
        assert_eq!(held(&pool, kind(1_000, 1_000), 600), 600);
    }

    #[test]
    fn other_caps_are_not_compared_and_other_lengths_only_until_they_are_known() {
        let mut pool = pool([200; 19]);
        assert_eq!(held(&pool, kind(1_000, 4_000), 4_000), 4_000, "answers within 1,000 say nothing about 4,000");
        assert_eq!(held(&pool, kind(50, 1_000), 1_000), 200, "the best that is known of such a length");
        for caller in 0..19 {
            pool.learn_output(kind(50, 1_000), name(caller), tokens(30));
        }
        assert_eq!(held(&pool, kind(50, 1_000), 1_000), 30);
        assert_eq!(held(&pool, kind(1_000, 1_000), 1_000), 200);
    }

    #[test]
    fn what_is_above_the_mean_is_divided_among_the_calls_in_flight() {
        // The mean of those in flight is (18 · 100² + 500²) / (18 · 100 + 500) = 186.96.
        let mut pool = pool([100; 18].into_iter().chain([500]));
        let ours = name(0);
        let expected = [(1, 500), (4, 187 + 157), (100, 187 + 32)];
        let mut calls = 0;
        for (n, held) in expected {
            while calls < n {
                pool.enter(ours);
                calls += 1;
            }
            let output = |how| pool.output(kind(1_000, 1_000), tokens(1_000), ours, how);
            assert_eq!(output(OutputEstimate::Learned), Output { held: tokens(held), alone: tokens(500) }, "{n}");
            assert_eq!(output(OutputEstimate::LearnedEach), Output { held: tokens(500), alone: tokens(500) });
        }
        pool.enter(name(7));
        let other = pool.output(kind(1_000, 1_000), tokens(1_000), name(7), OutputEstimate::Learned);
        assert_eq!(other.held.get(), 500, "calls that share no limit with it divide nothing with it");
    }

    #[test]
    fn calls_that_ended_are_forgotten() {
        let mut pool = Pool::default();
        (0..3).for_each(|_| pool.enter(name(1)));
        pool.enter(name(2));
        (0..3).for_each(|_| pool.leave(name(1)));
        assert_eq!(pool.sizes().1, 1);
    }

    #[test]
    fn a_flood_of_kinds_is_bounded_and_ends_at_the_cap() {
        let mut pool = pool([200; 19]);
        for octave in 0..40 {
            for length in 0..20 {
                pool.learn_output(kind(1 << length, 1 << octave), name(1), tokens(1));
                assert!(pool.sizes().0 <= MAX_KINDS);
            }
        }
        assert_eq!(held(&pool, kind(1_000, 1_000), 1_000), 1_000);
    }

    #[test]
    fn text_is_counted_as_bytes_until_enough_was_seen_and_never_as_more() {
        let mut pool = Pool::default();
        for caller in 0..99 {
            assert_eq!(pool.input(tokens(4_000)), tokens(4_000));
            pool.learn_input(name(caller), tokens(800), tokens(if caller == 50 { 300 } else { 200 }));
        }
        assert_eq!(pool.input(tokens(4_000)), tokens(1_500), "three tokens for eight bytes were the most");
        for caller in 0..10 {
            pool.learn_input(name(caller), tokens(10), tokens(4_000));
        }
        assert_eq!(pool.input(tokens(4_000)), tokens(4_000));
    }

    #[test]
    fn numbers_as_large_as_they_can_be_stop_at_the_bound() {
        let most = tokens(u64::MAX);
        let mut pool = Pool::default();
        for caller in 0..300 {
            pool.learn_output(kind(u64::MAX, u64::MAX), name(caller), most);
            pool.learn_input(name(caller), tokens(0), most);
        }
        assert_eq!(held(&pool, kind(u64::MAX, u64::MAX), u64::MAX), u64::from(u32::MAX));
        assert_eq!(pool.input(most), most);
        assert_eq!(part_of_all(u64::from(u32::MAX), 0, u64::MAX), 4_096);
    }
}
