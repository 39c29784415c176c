use std::time::Duration;

use super::alarm::Alarm;
use crate::key::Scope;
use crate::limit::{Algorithm, Limit, LimitIndex, LimitSet, Mode, Policy, Resource, Threshold, Window};
use crate::units::Amounts;
use crate::window::{Calendar, CarryDebt, GcraSpan, LARGEST_IN_LOG, LogSpan, RingSpan, Span};

/// What every account of one scope looks like: its limits, and how each counts.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) scope: Scope,
    pub(crate) set: LimitSet,
    pub(crate) rules: Box<[Rule]>,
    pub(crate) shape: Shape,
    /// How many alarms its limits have together.
    pub(crate) alarms: usize,
}

/// How an account of this layout is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// Small limits on requests alone: one exact log for all of them.
    Log(LogSpan),
    /// One or two limits on requests alone: rings without an allocation while the current bucket lasts.
    Pair(PairRules),
    /// One limit of any other kind, without alarms: its cell stands in the account.
    One,
    /// Anything else: a cell for each limit.
    Cells,
}

/// The limits of a pair, without what only others need.
pub(crate) type PairRules = [PairRule; 2];

/// A limit of a pair; the second may be missing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PairRule {
    set: LimitSet,
    pub(crate) amount: u64,
    pub(crate) span: RingSpan,
}

impl PairRule {
    #[inline]
    pub(crate) const fn is_in(&self, set: LimitSet) -> bool {
        !self.set.intersection(set).is_empty()
    }
}

/// One limit, ready to be applied.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) index: LimitIndex,
    pub(crate) resource: Resource,
    pub(crate) amount: u64,
    pub(crate) enforced: bool,
    pub(crate) timing: Timing,
    /// The length of a sliding window; zero for any other.
    pub(crate) window: Duration,
    pub(crate) thresholds: Box<[Threshold]>,
    /// The place of its first alarm among those of the account.
    first_alarm: usize,
}

/// How a limit counts over time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Timing {
    Approximate(Span),
    Calendar {
        calendar: Calendar,
        carry: CarryDebt,
    },
    Gcra(GcraSpan),
    /// Holds only.
    Held,
    Lifetime,
    Log {
        span: LogSpan,
        window: u64,
    },
    Ring(RingSpan),
}

impl Timing {
    /// Whether what is used leaves by itself, some time after it was used.
    pub(crate) const fn is_sliding(&self) -> bool {
        matches!(self, Self::Approximate(_) | Self::Gcra(_) | Self::Log { .. } | Self::Ring(_))
    }
}

impl Rule {
    /// Its alarms, among those of the account.
    pub(crate) fn alarms<'a>(&self, all: &'a mut [Alarm]) -> &'a mut [Alarm] {
        &mut all[self.first_alarm..][..self.thresholds.len()]
    }

    /// The usage at which a threshold is reached: never nothing.
    pub(crate) fn level(&self, threshold: Threshold) -> u64 {
        let level = (u128::from(self.amount) * u128::from(threshold)).div_ceil(1000);
        u64::try_from(level).unwrap_or(u64::MAX).max(1)
    }
}

impl Layout {
    /// The layout of a scope under a policy, for a clock that may lag by `resolution`.
    pub(crate) fn new(policy: &Policy, scope: Scope, resolution: Duration) -> Self {
        let limits: Vec<_> = policy.indexed().filter(|(_, limit)| limit.scope() == scope).collect();
        let shape = shape(&limits, resolution);
        let carry = policy.switches().carry_debt;
        let mut alarms = 0;
        let mut take_alarms = |count: usize| {
            alarms += count;
            alarms - count
        };
        let rules = limits.iter().map(|(index, limit)| Rule {
            index: *index,
            resource: limit.resource(),
            amount: limit.amount(),
            enforced: limit.mode() == Mode::Enforce,
            timing: timing(limit, shape, resolution, carry),
            window: length(limit, resolution),
            thresholds: limit.thresholds().into(),
            first_alarm: take_alarms(limit.thresholds().len()),
        });
        let rules: Box<[Rule]> = rules.collect();
        Self { scope, set: policy.select(|limit| limit.scope() == scope), rules, shape, alarms }
    }

    /// Whether the amounts fit an account that nothing was counted in.
    pub(crate) fn fits_new(&self, set: LimitSet, asked: &Amounts) -> bool {
        self.rules_in(set).all(|(_, rule)| {
            let amount = rule.resource.of(asked);
            !rule.enforced || amount == 0 || amount <= rule.amount
        })
    }

    /// The limits of this layout that are in a set, with their places in it.
    #[inline]
    pub(crate) fn rules_in(&self, set: LimitSet) -> impl Iterator<Item = (usize, &Rule)> {
        self.rules.iter().enumerate().filter(move |(_, rule)| set.contains(rule.index))
    }
}

/// The largest amount of a limit that a pair keeps: an enforced count in 32 bits cannot overflow below it.
const LARGEST_IN_PAIR: u64 = 1 << 31;

fn shape(limits: &[(LimitIndex, &Limit)], resolution: Duration) -> Shape {
    let plain = |limit: &Limit| {
        limit.resource() == Resource::Requests
            && limit.mode() == Mode::Enforce
            && limit.algorithm() == Algorithm::Ring
            && limit.thresholds().is_empty()
            && matches!(limit.window(), Some(Window::Sliding(_)))
    };
    if limits.is_empty() || !limits.iter().all(|(_, limit)| plain(limit)) {
        return cells(limits);
    }
    let largest = limits.iter().map(|(_, limit)| limit.amount()).max().unwrap_or(0);
    let always_together = limits.windows(2).all(|pair| pair[0].1.counts_the_same_as(pair[1].1));
    if always_together && largest > 0 && largest <= LARGEST_IN_LOG {
        let longest = limits.iter().map(|(_, limit)| length(limit, resolution)).max().unwrap_or_default();
        return Shape::Log(LogSpan::new(longest, largest));
    }
    // Beside a large limit a small one keeps a log of its own, and stays exact.
    let any_small = limits.iter().any(|(_, limit)| fits_a_log(limit));
    if limits.len() > 2 || any_small || largest > LARGEST_IN_PAIR {
        return cells(limits);
    }
    let mut rules = [PairRule { set: LimitSet::EMPTY, amount: 0, span: RingSpan::new(Duration::MAX) }; 2];
    for (rule, (index, limit)) in rules.iter_mut().zip(limits) {
        rule.set.insert(*index);
        (rule.amount, rule.span) = (limit.amount(), RingSpan::new(length(limit, resolution)));
    }
    Shape::Pair(rules)
}

fn cells(limits: &[(LimitIndex, &Limit)]) -> Shape {
    match limits {
        [(_, limit)] if limit.thresholds().is_empty() => Shape::One,
        _ => Shape::Cells,
    }
}

fn timing(limit: &Limit, shape: Shape, resolution: Duration, carry: CarryDebt) -> Timing {
    let window = length(limit, resolution);
    match (limit.window(), limit.algorithm()) {
        (None, _) => Timing::Held,
        (Some(Window::Lifetime), _) => Timing::Lifetime,
        (Some(Window::Calendar(calendar)), _) => Timing::Calendar { calendar: calendar.clone(), carry },
        (Some(Window::Sliding(_)), Algorithm::Approximate) => Timing::Approximate(Span::new(window)),
        (Some(Window::Sliding(length)), Algorithm::Gcra) => Timing::Gcra(
            GcraSpan::new(limit.amount(), *length).expect("a limit checks its span when it chooses this algorithm"),
        ),
        (Some(Window::Sliding(_)), Algorithm::Ring) => strict(limit, shape, window),
    }
}

/// A log keeps as many instants as the amount, so it is only for what never exceeds it: enforced limits on requests.
fn fits_a_log(limit: &Limit) -> bool {
    limit.mode() == Mode::Enforce
        && limit.resource() == Resource::Requests
        && (1..=LARGEST_IN_LOG).contains(&limit.amount())
}

fn strict(limit: &Limit, shape: Shape, window: Duration) -> Timing {
    let span = match shape {
        Shape::Log(shared) => shared,
        Shape::One | Shape::Cells if fits_a_log(limit) => LogSpan::new(window, limit.amount()),
        Shape::One | Shape::Cells | Shape::Pair(_) => return Timing::Ring(RingSpan::new(window)),
    };
    Timing::Log { span, window: span.window(window) }
}

/// The length of a sliding window on a clock that may lag: longer by the lag, so that the bound holds in real time.
fn length(limit: &Limit, resolution: Duration) -> Duration {
    match limit.window() {
        Some(Window::Sliding(length)) => *length + resolution,
        _ => Duration::ZERO,
    }
}
