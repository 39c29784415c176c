//! Where [alerts](flashops_core::alert) go: to the log, and with the feature `tokio` to webhooks.
//!
//! ```
//! use std::sync::Arc;
//! use flashops_core::alert::{AlertRules, Alerts};
//! use flashops_core::clock::Moment;
//! use flashops_core::limit::Policy;
//! use flashops_core::price::{PriceBook, Prices};
//! use flashops_tower::alert::AlertLog;
//!
//! let prices = Prices::from(Arc::new(PriceBook::embedded().clone()));
//! let alerts = Alerts::new(Arc::new(Policy::new(vec![])?), prices, &AlertRules::default(), Moment::default());
//! alerts.add_sink(AlertLog);
//! # Ok::<(), flashops_core::limit::LimitError>(())
//! ```
//!
//! A webhook is an Alertmanager or an incoming webhook of Slack, asked through any client that is a tower service, so
//! its connections, its TLS and its proxies are the service's own:
//!
//! ```
//! # #[cfg(feature = "tokio")]
//! # async fn start(alerts: flashops_core::alert::Alerts) -> Result<(), Box<dyn std::error::Error>> {
//! use std::convert::Infallible;
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use flashops_core::alert::WebhookUrl;
//! use flashops_tower::alert::{Webhook, WebhookForm};
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::service_fn;
//!
//! // A real one is, for example, the `Client` of hyper-util that the service has anyway.
//! let client = service_fn(|_: Request<Full<Bytes>>| async { Ok::<_, Infallible>(Response::new(String::new())) });
//! let url = WebhookUrl::new("http://alertmanager:9093").ok_or("it is no URL")?;
//! let (webhook, delivery) = Webhook::spawn(client, WebhookForm::Alertmanager, &url, None)?;
//! alerts.add_sink(webhook);
//! // Serve, until it is time to stop.
//! delivery.finish(Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```
//!
//! A sink never waits. A webhook has one task and a queue of [`Webhook::QUEUE`]; what has no room is dropped and
//! counted, so that a server which is down, or accepts and never answers, delays no request. Up to
//! [`Webhook::BATCH`] alerts go at once. An attempt may take [`Webhook::DEADLINE`]; after a failure that can pass (no
//! answer, 408, 429, 5xx) there are up to [`Webhook::ATTEMPTS`] in all, with pauses of 1, 2 and 4 s between them; then,
//! and after any other answer, these alerts are given up and counted.
//!
//! An Alertmanager gets the alerts as `POST /api/v2/alerts` takes them, with the labels `alertname`, `severity`,
//! `limit`, `scope`, `key`, `org`, `resource`, and `threshold` or `factor`; it takes an alert for over when
//! `endsAt` has come. Slack gets one line for each.
//!
//! Edge cases: nothing shows the URL of a webhook; why a delivery failed is logged as a status, or as no answer. An
//! answer is read up to [`MAX_BODY`](crate::health::MAX_BODY) bytes. Names of users and organisations are in the
//! alerts, those of anonymous callers are their networks, and Slack gets them with `&`, `<` and `>` escaped, so that
//! nobody is called who calls himself `<!channel>`. A client that panics ends the task, and all that comes later is
//! dropped and counted.
//!
//! What this module does not do: follow redirects, remember alerts over a restart, or send e-mail.

#[cfg(feature = "tokio")]
mod alertmanager;
#[cfg(feature = "tokio")]
mod delivery;
mod log;
#[cfg(feature = "tokio")]
mod slack;
#[cfg(feature = "tokio")]
mod webhook;

#[cfg(feature = "tokio")]
pub use delivery::Delivery;
pub use log::{ALERT_TARGET, AlertLog};
#[cfg(feature = "tokio")]
pub use webhook::{Webhook, WebhookCounts, WebhookError, WebhookForm};
