//! The form of Slack's incoming webhooks.

use std::fmt::Write;
use std::sync::Arc;

use flashops_core::alert::Alert;
use serde_json::json;

/// A message with one line for each alert.
pub(super) fn body(alerts: &[Arc<Alert>], link: Option<&str>) -> String {
    let mut text = String::new();
    for alert in alerts {
        let line = format!("[{}] {alert}", alert.severity.name());
        text.push_str(&escaped(&line));
        text.push('\n');
    }
    if let Some(link) = link {
        let _infallible = write!(text, "<{}|More>", escaped(link));
    }
    json!({ "text": text.trim_end() }).to_string()
}

/// The only three characters that mean something to Slack wherever they stand.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
