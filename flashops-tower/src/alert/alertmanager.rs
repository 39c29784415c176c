//! The form of `POST /api/v2/alerts`.

use std::sync::Arc;

use flashops_core::alert::{Alert, AlertKind};
use flashops_core::clock::UnixSeconds;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Where alerts are taken, below the address of an Alertmanager.
pub(super) const PATH: &str = "/api/v2/alerts";

/// An array of alerts.
pub(super) fn body(alerts: &[Arc<Alert>], link: Option<&str>) -> String {
    Value::Array(alerts.iter().map(|alert| one(alert, link)).collect()).to_string()
}

fn one(alert: &Alert, link: Option<&str>) -> Value {
    let mut one = json!({
        "labels": labels(alert),
        "annotations": { "summary": alert.to_string() },
        "startsAt": rfc3339(alert.at.unix),
        "endsAt": rfc3339(alert.until),
    });
    if let Some(link) = link {
        one["generatorURL"] = link.into();
    }
    one
}

/// What tells alerts apart: figures are not among them, so that one that comes again is the same.
fn labels(alert: &Alert) -> Map<String, Value> {
    let subject = &alert.subject;
    let more = match alert.kind {
        AlertKind::Threshold { share, .. } => Some(("threshold", thousandths(share.into()))),
        AlertKind::BurnRate { factor, .. } => Some(("factor", thousandths(factor))),
        _ => None,
    };
    let labels = [
        ("alertname", name(&alert.kind)),
        ("severity", alert.severity.name()),
        ("limit", &subject.name),
        ("scope", subject.scope.name()),
        ("key", &subject.key),
        ("org", subject.org.as_deref().unwrap_or_default()),
        ("resource", subject.resource.name()),
    ];
    // An empty label is the same as none.
    let labels =
        labels.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, value.to_owned()));
    labels.chain(more).map(|(name, value)| (name.to_owned(), value.into())).collect()
}

const fn name(kind: &AlertKind) -> &'static str {
    match kind {
        AlertKind::Threshold { .. } => "FlashopsThreshold",
        AlertKind::Projection { .. } => "FlashopsProjection",
        AlertKind::BurnRate { .. } => "FlashopsBurnRate",
        AlertKind::Anomaly { .. } => "FlashopsAnomaly",
        AlertKind::UserMonth { .. } => "FlashopsUserMonth",
        _ => "Flashops",
    }
}

/// Thousandths as a decimal number, without trailing zeros.
fn thousandths(number: u64) -> String {
    let text = format!("{}.{:03}", number / 1_000, number % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// An instant in UTC; the last one that there is for those after the year 9999.
fn rfc3339(at: UnixSeconds) -> String {
    let last = if at.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(at.0).unwrap_or(last).to_string()
}
