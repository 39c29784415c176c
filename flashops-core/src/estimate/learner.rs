//! What was used lately, by route and model.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::pool::{Kind, Output, Pool};
use super::{Estimate, InputEstimate, OutputEstimate};
use crate::key::Fingerprint;
use crate::sync::Mutex;
use crate::units::Tokens;
use crate::usage::{Quality, Usage};

/// The most pairs of a route and a model of which something is learned; the calls of more are held by their bounds.
pub(crate) const MAX_POOLS: usize = 256;

/// Learns from calls what to hold for the next ones.
///
/// It takes at most [`MAX_POOLS`] times 64 kinds of calls of 1.5 KiB each: 24 MiB.
#[derive(Debug)]
pub(crate) struct Learner {
    input: InputEstimate,
    output: OutputEstimate,
    pools: Mutex<HashMap<(Fingerprint, Fingerprint), SharedPool>>,
}

type SharedPool = Arc<Mutex<Pool>>;

/// Whose call of what it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) route: Fingerprint,
    pub(crate) model: Fingerprint,
    pub(crate) caller: Fingerprint,
    /// The narrowest key that holds the call to a limit: calls in flight under the same one share what they hold.
    pub(crate) group: Fingerprint,
}

/// What is held for a call, and what its end will be compared with.
#[derive(Debug)]
pub(crate) struct Expected {
    /// With the input that is expected, and the output cap.
    pub(crate) estimate: Estimate,
    /// The output that is held.
    pub(crate) held: Tokens,
    /// The output from near which on the call holds more.
    pub(crate) alone: Tokens,
    pub(crate) lesson: Option<Box<Lesson>>,
}

impl Expected {
    /// What is held where nothing is learned: the bound.
    pub(crate) const fn bound(estimate: Estimate) -> Self {
        Self { estimate, held: estimate.output, alone: estimate.output, lesson: None }
    }
}

/// A call in flight that something can be learned from. It is in flight until this is dropped.
#[derive(Debug)]
pub(crate) struct Lesson {
    pool: SharedPool,
    bound: Estimate,
    kind: Kind,
    caller: Fingerprint,
    group: Fingerprint,
}

impl Learner {
    /// A learner, unless nothing is to be learned.
    pub(crate) fn new(input: InputEstimate, output: OutputEstimate) -> Option<Self> {
        let learns = input != InputEstimate::Bytes || output != OutputEstimate::Cap;
        learns.then(|| Self { input, output, pools: Mutex::default() })
    }

    /// What a call is expected to use, whose bound this is. From now on it is in flight.
    pub(crate) fn expect(&self, subject: &Subject, bound: Estimate) -> Expected {
        let Some(pool) = self.pool(subject) else { return Expected::bound(bound) };
        let (kind, cap) = (Kind::of(&bound), bound.output);
        let (mut estimate, mut output) = (bound, Output { held: cap, alone: cap });
        {
            let mut pool = pool.lock();
            pool.enter(subject.group);
            if self.output != OutputEstimate::Cap {
                output = pool.output(kind, cap, subject.group, self.output);
            }
            if self.input == InputEstimate::Calibrated {
                let besides = bound.input.get().saturating_sub(bound.text.get());
                estimate.text = pool.input(bound.text);
                estimate.input = estimate.text.saturating_add(Tokens::saturating(besides));
            }
        }
        let lesson = Lesson { pool, bound, kind, caller: subject.caller, group: subject.group };
        Expected { estimate, held: output.held, alone: output.alone, lesson: Some(Box::new(lesson)) }
    }

    fn pool(&self, subject: &Subject) -> Option<SharedPool> {
        let mut pools = self.pools.lock();
        let is_full = pools.len() >= MAX_POOLS;
        match pools.entry((subject.route, subject.model)) {
            Entry::Occupied(pool) => Some(Arc::clone(pool.get())),
            Entry::Vacant(_) if is_full => None,
            Entry::Vacant(place) => Some(Arc::clone(place.insert(Arc::default()))),
        }
    }
}

impl Lesson {
    /// Learns what the call used, if that is known.
    pub(crate) fn learn(&self, usage: &Usage) {
        if usage.quality != Quality::Exact {
            return;
        }
        let mut pool = self.pool.lock();
        if self.bound.output > Tokens::ZERO {
            pool.learn_output(self.kind, self.caller, usage.total_output().min(self.bound.output));
        }
        // What came besides the text cannot be told apart from it.
        if self.bound.text == self.bound.input && self.bound.text > Tokens::ZERO {
            pool.learn_input(self.caller, self.bound.text, usage.total_input());
        }
    }
}

impl Drop for Lesson {
    fn drop(&mut self) {
        self.pool.lock().leave(self.group);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::{InputBound, OutputCap};
    use crate::key::{Key, Scope};

    fn subject(route: u64, caller: u64) -> Subject {
        let of = |scope, name: u64| Key::new(scope, &name.to_string()).fingerprint();
        let caller = of(Scope::User, caller);
        Subject { route: of(Scope::Route, route), model: of(Scope::Model, 0), caller, group: caller }
    }

    fn bound(text: u64, media: u64, cap: u64) -> Estimate {
        let input = InputBound::bytes(text).with_media(media, Tokens::saturating(1_000));
        Estimate::new(input, OutputCap::new(Tokens::saturating(cap)))
    }

    fn used(input: u64, output: u64) -> Usage {
        let (input, output) = (Tokens::saturating(input), Tokens::saturating(output));
        Usage { input, output, ..Usage::exact() }
    }

    fn taught(usage: Usage) -> Learner {
        let learner = Learner::new(InputEstimate::Calibrated, OutputEstimate::Learned).expect("it learns");
        for caller in 0..120 {
            let expected = learner.expect(&subject(0, caller), bound(400, 0, 500));
            expected.lesson.expect("there is room").learn(&usage);
        }
        learner
    }

    #[test]
    fn nothing_is_learned_by_default() {
        assert!(Learner::new(InputEstimate::default(), OutputEstimate::default()).is_none());
    }

    #[test]
    fn only_text_is_calibrated() {
        let learner = taught(used(100, 50));
        let expected = learner.expect(&subject(0, 1), bound(800, 2, 500));
        assert_eq!((expected.estimate.input.get(), expected.estimate.output.get()), (200 + 2_000, 500));
        assert_eq!((expected.held.get(), expected.alone.get()), (50, 50));
    }

    #[test]
    fn a_request_with_media_teaches_nothing_about_text() {
        let learner = taught(used(100, 50));
        for caller in 0..300 {
            let expected = learner.expect(&subject(0, caller), bound(400, 1, 500));
            expected.lesson.expect("there is room").learn(&used(9_000, 50));
        }
        assert_eq!(learner.expect(&subject(0, 1), bound(800, 0, 500)).estimate.input.get(), 200);
    }

    #[test]
    fn what_is_not_exact_teaches_nothing() {
        let learner = taught(Usage { quality: Quality::Estimated, ..used(100, 50) });
        let expected = learner.expect(&subject(0, 1), bound(800, 0, 500));
        assert_eq!((expected.estimate.input.get(), expected.held.get()), (800, 500));
    }

    #[test]
    fn output_beyond_the_cap_is_learned_as_the_cap() {
        let learner = taught(used(100, 9_000));
        assert_eq!(learner.expect(&subject(0, 1), bound(400, 0, 500)).held.get(), 500);
        assert_eq!(learner.expect(&subject(0, 1), bound(400, 0, 511)).held.get(), 500);
    }

    #[test]
    fn routes_do_not_learn_from_each_other() {
        let learner = taught(used(100, 50));
        assert_eq!(learner.expect(&subject(1, 1), bound(400, 0, 500)).held.get(), 500);
    }

    #[test]
    fn what_has_no_place_is_held_by_its_bound() {
        let learner = taught(used(100, 50));
        for route in 0..2 * MAX_POOLS as u64 {
            drop(learner.expect(&subject(route, 1), bound(400, 0, 500)));
        }
        assert_eq!(learner.pools.lock().len(), MAX_POOLS);
        let expected = learner.expect(&subject(2 * MAX_POOLS as u64, 1), bound(400, 0, 500));
        assert!(expected.lesson.is_none());
        assert_eq!((expected.held.get(), expected.estimate), (500, bound(400, 0, 500)));
    }
}
