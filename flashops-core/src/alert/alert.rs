use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::rules::Severity;
use crate::clock::{Moment, UnixSeconds};
use crate::key::Scope;
use crate::limit::{Resource, Threshold};
use crate::units::{Cost, MoneyUnit};

/// Something that an operator should know.
///
/// `Display` says it in one line of plain text, without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alert {
    /// What happened.
    pub kind: AlertKind,
    /// Whom it is about, and by which limit.
    pub subject: Subject,
    /// How urgent it is.
    pub severity: Severity,
    /// When it happened.
    pub at: Moment,
    /// Until when it is of interest: the end of the period or window, or a day.
    pub until: UnixSeconds,
    /// The unit of amounts where the resource is money.
    pub unit: MoneyUnit,
}

/// Whom an alert is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The name of the limit; where none is concerned, the key of the configuration: `threshold_tokens`, `anomaly`,
    /// `user_month`.
    pub name: Arc<str>,
    /// What the limit counts for.
    pub scope: Scope,
    /// Which instance of it, as it is shown: cut to [`MAX_ROW_NAME`](crate::record::MAX_ROW_NAME) bytes. An anonymous
    /// caller is called by its network; everything together by nothing.
    pub key: Arc<str>,
    /// The organisation of a user.
    pub org: Option<Arc<str>>,
    /// What amounts are of.
    pub resource: Resource,
}

/// What happened. Amounts are in units of the resource.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlertKind {
    /// Settled usage came up to a share of the amount.
    Threshold {
        /// The share, in thousandths.
        share: Threshold,
        /// What is used.
        used: u64,
        /// The amount of the limit.
        amount: u64,
    },
    /// The amount will be used up before the period ends, if use goes on as it was.
    Projection {
        /// What is used.
        used: u64,
        /// What will be.
        projected: u64,
        /// The amount of the limit.
        amount: u64,
    },
    /// It is used up too fast.
    BurnRate {
        /// So many times as much as evenly is too fast, in thousandths.
        factor: u64,
        /// The rate in the long window.
        slow: Burned,
        /// The rate in the short window.
        fast: Burned,
        /// The amount of the limit.
        amount: u64,
    },
    /// It is more than usual.
    Anomaly {
        /// What is used in this period.
        used: u64,
        /// What is usual: the median of the periods before in which there was any.
        usual: u64,
        /// The length of a period.
        period: Duration,
    },
    /// An active user is projected to cost more in the month than it may.
    UserMonth {
        /// How many users were active.
        users: u64,
        /// What each will cost, rounded up.
        each: u64,
        /// What each may cost.
        amount: u64,
    },
}

/// How fast a limit was used up in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burned {
    /// The window.
    pub window: Duration,
    /// How many times as much as evenly, in thousandths.
    pub rate: u64,
}

impl AlertKind {
    /// The word for it in labels.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Threshold { .. } => "threshold",
            Self::Projection { .. } => "projection",
            Self::BurnRate { .. } => "burn-rate",
            Self::Anomaly { .. } => "anomaly",
            Self::UserMonth { .. } => "user-month",
        }
    }
}

impl Alert {
    /// An amount of the resource as people read it: of money as a decimal number with its currency.
    pub fn amount(&self, amount: u64) -> impl fmt::Display {
        let Subject { resource, .. } = &self.subject;
        match resource {
            Resource::Cost => format!("{} {}", self.unit.format(Cost::saturating(amount)), self.unit.currency()),
            resource => format!("{amount} {}", resource.name()),
        }
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ", self.subject.name, self.subject)?;
        match &self.kind {
            AlertKind::Threshold { share, used, amount } => {
                let (used, amount) = (self.amount(*used), self.amount(*amount));
                write!(f, "came up to {} %: used {used} of {amount}", decimal(u64::from(*share) * 100))
            }
            AlertKind::Projection { used, projected, amount } => {
                let [used, projected, amount] = [used, projected, amount].map(|&amount| self.amount(amount));
                write!(f, "will use {projected} of {amount} until the period ends, if it goes on so: used {used}")
            }
            AlertKind::BurnRate { factor, slow, fast, amount } => {
                write!(f, "uses {} {} times too fast", self.amount(*amount), decimal(slow.rate))?;
                write!(
                    f,
                    " in {} s, {} times in {} s",
                    slow.window.as_secs(),
                    decimal(fast.rate),
                    fast.window.as_secs()
                )?;
                write!(f, ", of {} times", decimal(*factor))
            }
            AlertKind::Anomaly { used, usual, period } => {
                let (used, usual) = (self.amount(*used), self.amount(*usual));
                write!(f, "used {used} in this period of {} s, and usually {usual}", period.as_secs())
            }
            AlertKind::UserMonth { users, each, amount } => {
                let (each, amount) = (self.amount(*each), self.amount(*amount));
                write!(f, "will cost {each} for each of {users} active users until the month ends, of {amount}")
            }
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.scope, &self.org) {
            (Scope::Global, _) => f.write_str("all together"),
            (scope, Some(org)) if *org != self.key => write!(f, "{scope} {} of {org}", self.key),
            (scope, _) => write!(f, "{scope} {}", self.key),
        }
    }
}

/// Thousandths as a decimal number, without trailing zeros.
fn decimal(thousandths: u64) -> String {
    let (whole, part) = (thousandths / 1_000, thousandths % 1_000);
    if part == 0 {
        return whole.to_string();
    }
    let digits = format!("{part:03}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(kind: AlertKind, scope: Scope, key: &str, org: Option<&str>, resource: Resource) -> Alert {
        let subject = Subject { name: "budget".into(), scope, key: key.into(), org: org.map(Into::into), resource };
        let (at, until) = (Moment::default(), UnixSeconds(60));
        Alert { kind, subject, severity: Severity::Page, at, until, unit: MoneyUnit::NANO_USD }
    }

    #[test]
    fn each_kind_is_one_line_that_says_who_and_how_much() {
        let burned = |seconds, rate| Burned { window: Duration::from_secs(seconds), rate };
        for (alert, expected) in [
            (
                alert(
                    AlertKind::Threshold { share: 805, used: 80_500, amount: 100_000 },
                    Scope::User,
                    "ann",
                    Some("acme"),
                    Resource::Tokens,
                ),
                "budget: user ann of acme came up to 80.5 %: used 80500 tokens of 100000 tokens",
            ),
            (
                alert(
                    AlertKind::Projection { used: 50_000_000_000, projected: 123_456_789_012, amount: 100_000_000_000 },
                    Scope::Org,
                    "acme",
                    None,
                    Resource::Cost,
                ),
                "budget: org acme will use 123.456789012 USD of 100 USD until the period ends, if it goes on so: \
                 used 50 USD",
            ),
            (
                alert(
                    AlertKind::BurnRate {
                        factor: 14_400,
                        slow: burned(3_600, 15_020),
                        fast: burned(300, 16_000),
                        amount: 720,
                    },
                    Scope::Model,
                    "gpt-4o",
                    None,
                    Resource::Requests,
                ),
                "budget: model gpt-4o uses 720 requests 15.02 times too fast in 3600 s, 16 times in 300 s, of 14.4 \
                 times",
            ),
            (
                alert(
                    AlertKind::Anomaly { used: 301, usual: 100, period: Duration::from_secs(3_600) },
                    Scope::User,
                    "192.0.2.7",
                    Some("192.0.2.7"),
                    Resource::Tokens,
                ),
                "budget: user 192.0.2.7 used 301 tokens in this period of 3600 s, and usually 100 tokens",
            ),
            (
                alert(
                    AlertKind::UserMonth { users: 3, each: 10_500_000_000, amount: 10_000_000_000 },
                    Scope::Global,
                    "",
                    None,
                    Resource::Cost,
                ),
                "budget: all together will cost 10.5 USD for each of 3 active users until the month ends, of 10 USD",
            ),
        ] {
            assert_eq!(alert.to_string(), expected);
        }
    }
}
