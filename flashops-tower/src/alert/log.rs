use std::sync::Arc;

use flashops_core::alert::{Alert, AlertSink};

/// The target of events of alerts.
pub const ALERT_TARGET: &str = "flashops::alert";

/// Logs every alert as a warning.
///
/// The event has the fields `alert`, `severity`, `limit`, `scope`, `key`, `org` and `resource`, and says the rest in
/// its message. It goes to whoever listens to [`tracing`], under [`ALERT_TARGET`].
#[derive(Clone, Copy, Debug, Default)]
pub struct AlertLog;

impl AlertSink for AlertLog {
    fn send(&self, alert: &Arc<Alert>) {
        let Alert { kind, subject, severity, .. } = &**alert;
        let (kind, severity, resource) = (kind.name(), severity.name(), subject.resource.name());
        let (limit, scope, key, org) = (&*subject.name, subject.scope.name(), &*subject.key, subject.org.as_deref());
        tracing::warn!(target: ALERT_TARGET, alert = kind, severity, limit, scope, key, org, resource, "{alert}");
    }
}
