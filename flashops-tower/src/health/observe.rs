use std::iter;

use flashops_core::health::{HealthObserver, Status, Transition};
use metrics::Unit;

/// The target of events of checks.
pub const HEALTH_TARGET: &str = "flashops::health";

const STATUS: &str = "flashops_health_status";

/// The most bytes that are logged of why a check fails.
pub const MAX_LOGGED_OUTPUT: usize = 256;

/// Logs every change of a check: an error when it fails, a warning when it half works, information when it is well.
///
/// The event has the fields `check`, `from` (`unknown` at first), `to` and `output`. It goes to whoever listens to
/// [`tracing`], under [`HEALTH_TARGET`].
#[derive(Clone, Copy, Debug, Default)]
pub struct HealthLog;

impl HealthObserver for HealthLog {
    fn changed(&self, transition: &Transition<'_>) {
        let Transition { check, from, to, output } = *transition;
        let (from, output) = (from.map_or("unknown", Status::name), output.map(bounded));
        macro_rules! event {
            ($level:ident) => {
                tracing::$level!(target: HEALTH_TARGET, check, from, to = to.name(), output, "health changed")
            };
        }
        match to {
            Status::Pass => event!(info),
            Status::Warn => event!(warn),
            Status::Fail => event!(error),
        }
    }
}

/// The beginning of a text.
fn bounded(text: &str) -> &str {
    let ends = text.char_indices().map(|(at, _)| at).chain(iter::once(text.len()));
    &text[..ends.take_while(|&end| end <= MAX_LOGGED_OUTPUT).last().unwrap_or(0)]
}

/// Keeps the gauge `flashops_health_status{check}`: 1 is well, 0.5 half works, 0 fails.
///
/// A check is there from its first answer on. There are as many as the registry has, and one for its end.
#[derive(Clone, Copy, Debug)]
pub struct HealthGauges(());

impl HealthGauges {
    /// Make it once, after the exporter was installed.
    pub fn new() -> Self {
        metrics::describe_gauge!(STATUS, Unit::Count, "How well a check is: 1 passes, 0.5 warns, 0 fails.");
        Self(())
    }
}

impl Default for HealthGauges {
    fn default() -> Self {
        Self::new()
    }
}

impl HealthObserver for HealthGauges {
    fn changed(&self, transition: &Transition<'_>) {
        let level = match transition.to {
            Status::Pass => 1.0,
            Status::Warn => 0.5,
            Status::Fail => 0.0,
        };
        metrics::gauge!(STATUS, "check" => transition.check.to_owned()).set(level);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let text = format!("{}{}", "a".repeat(MAX_LOGGED_OUTPUT - 1), "éé");
        assert_eq!((bounded(&text).len(), bounded("down"), bounded("")), (MAX_LOGGED_OUTPUT - 1, "down", ""));
    }
}
