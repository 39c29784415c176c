use std::time::Duration;

use super::{Limit, LimitError, Resource};
use crate::estimate::{InputEstimate, OutputEstimate};
use crate::window::CarryDebt;

/// The place of a limit in its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitIndex(pub(crate) u8);

impl LimitIndex {
    /// The place as a number.
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

/// A set of limits of one policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitSet(u64);

impl LimitSet {
    /// No limit.
    pub const EMPTY: Self = Self(0);

    /// Whether the limit is in the set.
    #[inline]
    pub const fn contains(self, limit: LimitIndex) -> bool {
        self.0 >> limit.0 & 1 == 1
    }

    /// Whether the set has no limit.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Puts a limit in.
    pub const fn insert(&mut self, limit: LimitIndex) {
        self.0 |= 1 << limit.0;
    }

    /// The limits that are in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The limits that are in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The limits, in the order of the policy.
    pub fn iter(self) -> impl Iterator<Item = LimitIndex> {
        (0..64).map(LimitIndex).filter(move |index| self.contains(*index))
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// What a hold is charged when its deadline passes before it was settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExpiry {
    /// The last checkpoint: the input estimate once the request was sent, more as output was counted.
    #[default]
    Checkpoint,
    /// All that was held.
    Full,
    /// Nothing.
    Release,
}

/// What a model without a price means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownModel {
    /// The request is refused.
    Deny,
    /// Tokens are counted, cost limits do not see the request.
    TokensOnly,
}

/// What happens to a stream whose counted output goes beyond what is held, when no limit has room for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExhausted {
    /// It goes on, and what it uses beyond is debt.
    #[default]
    Continue,
    /// It waits for the answer, and ends in its own wire format.
    Cut,
}

/// What a complete, successful answer without usage is charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingUsage {
    /// The larger of what was counted and the input estimate.
    #[default]
    ChargeEstimate,
    /// All that was held.
    ChargeReservation,
}

/// How a policy behaves where there is a choice.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Switches {
    /// What an expired hold is charged.
    pub on_expiry: OnExpiry,
    /// What a model without a price means; `None` is [`UnknownModel::Deny`] where a cost limit applies, else
    /// [`UnknownModel::TokensOnly`].
    pub unknown_model: Option<UnknownModel>,
    /// How much of the debt of a calendar period the next one starts with.
    pub carry_debt: CarryDebt,
    /// What an answer without usage is charged.
    pub missing_usage: MissingUsage,
    /// What happens to a stream that goes beyond its hold.
    pub on_exhausted: OnExhausted,
    /// How long a hold may live after it was made, or renewed by a call that goes on.
    pub max_lifetime: Duration,
    /// How the input of a call is estimated.
    pub input_estimate: InputEstimate,
    /// How much output is held for a call.
    pub output_estimate: OutputEstimate,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            on_expiry: OnExpiry::default(),
            unknown_model: None,
            carry_debt: CarryDebt::default(),
            missing_usage: MissingUsage::default(),
            on_exhausted: OnExhausted::default(),
            max_lifetime: Duration::from_secs(3600),
            input_estimate: InputEstimate::default(),
            output_estimate: OutputEstimate::default(),
        }
    }
}

/// A validated set of limits with its switches.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    limits: Vec<Limit>,
    switches: Switches,
}

impl Policy {
    /// The most limits of one policy.
    pub const MAX_LIMITS: usize = 64;

    /// A policy with the default switches.
    ///
    /// # Errors
    ///
    /// [`LimitError::DuplicateName`] and [`LimitError::TooManyLimits`].
    pub fn new(limits: Vec<Limit>) -> Result<Self, LimitError> {
        if limits.len() > Self::MAX_LIMITS {
            return Err(LimitError::TooManyLimits);
        }
        for (index, limit) in limits.iter().enumerate() {
            if limits[..index].iter().any(|other| other.name() == limit.name()) {
                return Err(LimitError::DuplicateName(limit.name().to_owned()));
            }
        }
        Ok(Self { limits, switches: Switches::default() })
    }

    /// Changes the switches.
    #[must_use]
    pub fn with_switches(mut self, switches: Switches) -> Self {
        self.switches = switches;
        self
    }

    /// The limits.
    pub fn limits(&self) -> &[Limit] {
        &self.limits
    }

    /// The limits with their places.
    pub fn indexed(&self) -> impl Iterator<Item = (LimitIndex, &Limit)> {
        (0..).map(LimitIndex).zip(&self.limits)
    }

    /// The limit at a place.
    ///
    /// # Panics
    ///
    /// If the place is of a larger policy.
    pub fn limit(&self, index: LimitIndex) -> &Limit {
        &self.limits[index.get()]
    }

    /// The switches.
    pub const fn switches(&self) -> &Switches {
        &self.switches
    }

    /// The limits that count a request on a route, which calls a model or not. Those that say neither routes nor
    /// [which](Limit::with_calls_model) count it if it does.
    pub fn limits_on(&self, path: &str, calls_model: bool) -> LimitSet {
        self.select(|limit| limit.counts(path, calls_model))
    }

    /// The limits for which this holds.
    pub fn select(&self, mut wanted: impl FnMut(&Limit) -> bool) -> LimitSet {
        let mut set = LimitSet::EMPTY;
        for (index, limit) in self.indexed() {
            if wanted(limit) {
                set.insert(index);
            }
        }
        set
    }

    /// The limits that count requests and nothing else: all that can be decided without a reservation.
    pub fn request_limits(&self) -> LimitSet {
        self.select(|limit| limit.resource() == Resource::Requests)
    }
}
