use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flashops_core::alert::{Alert, AlertSink, WebhookUrl};
use http::{Request, Response};
use http_body::Body;
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::oneshot;
use tower_service::Service;

use super::delivery::{Delivery, Target, Waiting, deliver};
use super::{alertmanager, slack};

/// A sink that a task delivers from to a webhook. Clones feed the same queue.
///
/// See the [module docs](super) for an example.
#[derive(Clone, Debug)]
pub struct Webhook {
    queue: Sender<Arc<Alert>>,
    counts: Arc<Counts>,
}

/// What a webhook understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookForm {
    /// An Alertmanager's API of version 2. The URL is its address: the path of the API is added, unless it ends in it.
    Alertmanager,
    /// An incoming webhook of Slack.
    Slack,
}

/// How many alerts went where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookCounts {
    /// The webhook took them.
    pub delivered: u64,
    /// It did not, after all attempts.
    pub given_up: u64,
    /// The queue had no room for them.
    pub dropped: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) delivered: AtomicU64,
    pub(super) given_up: AtomicU64,
    dropped: AtomicU64,
}

/// The URL is none that a client can be asked for. It does not show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebhookError;

impl fmt::Display for WebhookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the URL of the webhook cannot be asked for")
    }
}

impl Error for WebhookError {}

impl Webhook {
    /// How many alerts wait at most.
    pub const QUEUE: usize = 256;

    /// How many go at once at most.
    pub const BATCH: usize = 32;

    /// How long an attempt may take.
    pub const DEADLINE: Duration = Duration::from_secs(5);

    /// How often the same alerts are tried.
    pub const ATTEMPTS: u32 = 4;

    /// Delivers on the runtime that this is called in, until the [`Delivery`] is dropped or has finished. A `link`, if
    /// there is one, tells where there is more.
    ///
    /// # Errors
    ///
    /// [`WebhookError`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn<S, B, R>(
        client: S,
        form: WebhookForm,
        url: &WebhookUrl,
        link: Option<String>,
    ) -> Result<(Self, Delivery), WebhookError>
    where
        S: Service<Request<B>, Response = Response<R>> + Send + 'static,
        S::Future: Send,
        S::Error: Send,
        B: From<Bytes> + Send + 'static,
        R: Body<Data: Send, Error: Send> + Send + 'static,
    {
        let target = Target { uri: form.uri(url.expose()).parse().map_err(|_| WebhookError)?, form, link };
        let (sender, queue) = channel(Self::QUEUE);
        let (stop, stopped) = oneshot::channel();
        let (waiting, counts) = (Waiting { queue, stop: stopped }, Arc::new(Counts::default()));
        let task = tokio::spawn(deliver(client, target, waiting, Arc::clone(&counts)));
        Ok((Self { queue: sender, counts }, Delivery::new(task, stop)))
    }

    /// How many alerts went where.
    pub fn counts(&self) -> WebhookCounts {
        let Counts { delivered, given_up, dropped } = &*self.counts;
        let [delivered, given_up, dropped] = [delivered, given_up, dropped].map(|count| count.load(Ordering::Relaxed));
        WebhookCounts { delivered, given_up, dropped }
    }
}

impl AlertSink for Webhook {
    fn send(&self, alert: &Arc<Alert>) {
        if self.queue.try_send(Arc::clone(alert)).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl WebhookForm {
    /// The word for it in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alertmanager => "alertmanager",
            Self::Slack => "slack",
        }
    }

    pub(super) fn body(self, alerts: &[Arc<Alert>], link: Option<&str>) -> String {
        match self {
            Self::Alertmanager => alertmanager::body(alerts, link),
            Self::Slack => slack::body(alerts, link),
        }
    }

    fn uri(self, url: &str) -> String {
        match self {
            Self::Alertmanager => {
                let (path, query) = url.split_at(url.find('?').unwrap_or(url.len()));
                let path = path.trim_end_matches('/').trim_end_matches(alertmanager::PATH);
                format!("{path}{}{query}", alertmanager::PATH)
            }
            Self::Slack => url.to_owned(),
        }
    }
}

/// A URL is a secret.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("form", &self.form).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alertmanager_is_asked_on_its_path_whatever_stands_around_it() {
        let asked = |url: &str| WebhookForm::Alertmanager.uri(url);
        for url in ["http://a:9093", "http://a:9093/", "http://a:9093/api/v2/alerts", "http://a:9093/api/v2/alerts/"] {
            assert_eq!(asked(url), "http://a:9093/api/v2/alerts");
        }
        assert_eq!(asked("https://a/pre?tok=X"), "https://a/pre/api/v2/alerts?tok=X");
        assert_eq!(WebhookForm::Slack.uri("https://a/x/?b=c"), "https://a/x/?b=c");
    }
}
