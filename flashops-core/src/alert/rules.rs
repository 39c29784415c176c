use std::time::Duration;

use crate::limit::Threshold;
use crate::units::Cost;

/// What is watched for, beside the thresholds that limits name themselves.
///
/// The default watches for all of it but the cost of an active user, for which there is no figure that suits everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AlertRules {
    /// Whether limits will be used up before their calendar period ends.
    pub projection: Option<ProjectionRule>,
    /// Whether limits are used up faster than evenly; at most [`AlertRules::MAX_BURN_RATES`].
    pub burn_rates: Vec<BurnRule>,
    /// Whether a caller uses more than it used to.
    pub anomaly: Option<AnomalyRule>,
    /// What a month costs, and each of its active users.
    pub month: Option<MonthRule>,
}

impl AlertRules {
    /// Nothing is watched for.
    pub const NONE: Self = Self { projection: None, burn_rates: Vec::new(), anomaly: None, month: None };

    /// The most rules on burn rates.
    pub const MAX_BURN_RATES: usize = 4;

    /// The shares of a limit at which somebody is told where neither it nor the configuration says otherwise, in
    /// thousandths.
    pub const THRESHOLDS: [Threshold; 2] = [800, 1_000];
}

impl Default for AlertRules {
    fn default() -> Self {
        Self {
            projection: Some(ProjectionRule::default()),
            burn_rates: BurnRule::USUAL.to_vec(),
            anomaly: Some(AnomalyRule::default()),
            month: Some(MonthRule::default()),
        }
    }
}

/// When a limit on a calendar period is projected to be used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProjectionRule {
    /// What part of the period must have been seen before anything is said, in thousandths.
    pub after: u16,
}

impl Default for ProjectionRule {
    /// A tenth.
    fn default() -> Self {
        Self { after: 100 }
    }
}

/// When a limit is used up too fast: when in both windows so many times as much is used as evenly.
///
/// The windows are those of a limit on [`BurnRule::PERIOD`], and shorter or longer in the same measure for others, but
/// never shorter than [`BurnRule::MIN_WINDOW`]. The slow one says that it matters, and the fast one that it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BurnRule {
    /// How many times as much as evenly, in thousandths.
    pub factor: u64,
    /// The long window.
    pub slow: Duration,
    /// The short window.
    pub fast: Duration,
    /// How urgent it is.
    pub severity: Severity,
}

impl BurnRule {
    /// The period that the windows are meant for: 30 days.
    pub const PERIOD: Duration = Duration::from_secs(30 * 86_400);

    /// The shortest window: one call of a model takes a good part of it.
    pub const MIN_WINDOW: Duration = Duration::from_secs(60);

    /// Those of Google's workbook on reliability: 2 % in an hour and 5 % in six are urgent, 10 % in a day are not.
    pub const USUAL: [Self; 3] = [
        Self::new(14_400, 3_600, 300, Severity::Page),
        Self::new(6_000, 6 * 3_600, 1_800, Severity::Page),
        Self::new(3_000, 24 * 3_600, 7_200, Severity::Ticket),
    ];

    const fn new(factor: u64, slow: u64, fast: u64, severity: Severity) -> Self {
        Self { factor, slow: Duration::from_secs(slow), fast: Duration::from_secs(fast), severity }
    }
}

/// When a caller uses more than it used to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnomalyRule {
    /// How many times the usual amount is out of the ordinary, in thousandths.
    pub factor: u64,
    /// The length of what is compared.
    pub period: Duration,
    /// How many periods before are looked at; at most [`AnomalyRule::MAX_HISTORY`].
    pub history: usize,
    /// Fewer tokens than this are never out of the ordinary.
    pub least: u64,
}

impl AnomalyRule {
    /// The most periods that are remembered: the hours of a week.
    pub const MAX_HISTORY: usize = 168;
}

impl Default for AnomalyRule {
    /// Three times what the last 24 hours were, from 1,000 tokens on.
    fn default() -> Self {
        Self { factor: 3_000, period: Duration::from_secs(3_600), history: 24, least: 1_000 }
    }
}

/// What a calendar month in UTC costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MonthRule {
    /// Tells when an active user is projected to cost more than this in the month.
    pub each: Option<Cost>,
}

/// How urgent an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Somebody should look now.
    Page,
    /// Somebody should look in the next days.
    Ticket,
}

impl Severity {
    /// The word for it in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
        }
    }
}
