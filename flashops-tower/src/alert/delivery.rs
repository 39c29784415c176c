use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use flashops_core::alert::Alert;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tower_service::Service;

use super::log::ALERT_TARGET;
use super::webhook::{Counts, Webhook, WebhookForm};
use crate::health::exchange;

/// The pause after the first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What delivers to a webhook, until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it stops the delivery"]
pub struct Delivery {
    task: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
}

impl Delivery {
    pub(super) const fn new(task: JoinHandle<()>, stop: oneshot::Sender<()>) -> Self {
        Self { task, stop: Some(stop) }
    }

    /// Takes no more alerts, and waits until all that wait are delivered or given up, but no longer than this.
    pub async fn finish(mut self, within: Duration) {
        let _gone = self.stop.take().map(|stop| stop.send(()));
        let _late = timeout(within, &mut self.task).await;
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where alerts go, and how.
pub(super) struct Target {
    pub(super) uri: Uri,
    pub(super) form: WebhookForm,
    pub(super) link: Option<String>,
}

impl Target {
    fn request<B: From<Bytes>>(&self, body: &Bytes) -> Request<B> {
        let mut request = Request::new(B::from(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request
    }
}

/// Why an attempt failed: as much as can be told without the URL.
enum Failure {
    Status(StatusCode),
    NoAnswer,
    TooLate,
}

impl Failure {
    /// Whether the same can succeed later.
    fn can_pass(&self) -> bool {
        match self {
            Self::Status(status) => {
                status.is_server_error()
                    || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(status)
            }
            Self::NoAnswer | Self::TooLate => true,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Status(status) => status.to_string(),
            Self::NoAnswer => "no answer".to_owned(),
            Self::TooLate => format!("no answer in {} s", Webhook::DEADLINE.as_secs()),
        }
    }
}

/// What is to be delivered.
pub(super) struct Waiting {
    pub(super) queue: Receiver<Arc<Alert>>,
    pub(super) stop: oneshot::Receiver<()>,
}

impl Waiting {
    /// Waits for the next alerts; there are none when it was stopped, or when all who could send more are gone.
    async fn next(&mut self, batch: &mut Vec<Arc<Alert>>) -> usize {
        let Self { queue, stop } = self;
        poll_fn(|cx| {
            if !stop.is_terminated() && Pin::new(&mut *stop).poll(cx).is_ready() {
                queue.close();
            }
            queue.poll_recv_many(cx, batch, Webhook::BATCH)
        })
        .await
    }
}

/// Delivers what waits.
pub(super) async fn deliver<S, B, R>(mut client: S, target: Target, mut waiting: Waiting, counts: Arc<Counts>)
where
    S: Service<Request<B>, Response = Response<R>>,
    B: From<Bytes>,
    R: Body,
{
    let mut batch = Vec::with_capacity(Webhook::BATCH);
    while waiting.next(&mut batch).await > 0 {
        let body = Bytes::from(target.form.body(&batch, target.link.as_deref()));
        let count = match try_often(&mut client, &target, &body).await {
            Ok(()) => &counts.delivered,
            Err(failure) => {
                let (webhook, reason) = (target.form.name(), failure.text());
                tracing::warn!(target: ALERT_TARGET, webhook, reason, alerts = batch.len(), "alerts were not delivered");
                &counts.given_up
            }
        };
        count.fetch_add(batch.len() as u64, Ordering::Relaxed);
        batch.clear();
    }
}

async fn try_often<S, B, R>(client: &mut S, target: &Target, body: &Bytes) -> Result<(), Failure>
where
    S: Service<Request<B>, Response = Response<R>>,
    B: From<Bytes>,
    R: Body,
{
    let mut pause = FIRST_PAUSE;
    for _ in 1..Webhook::ATTEMPTS {
        match attempt(client, target.request(body)).await {
            Err(failure) if failure.can_pass() => {}
            over => return over,
        }
        sleep(pause).await;
        pause *= 2;
    }
    attempt(client, target.request(body)).await
}

async fn attempt<S, B, R>(client: &mut S, request: Request<B>) -> Result<(), Failure>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    match timeout(Webhook::DEADLINE, exchange(client, request)).await {
        Ok(Ok(status)) if status.is_success() => Ok(()),
        Ok(Ok(status)) => Err(Failure::Status(status)),
        Ok(Err(_)) => Err(Failure::NoAnswer),
        Err(_) => Err(Failure::TooLate),
    }
}
