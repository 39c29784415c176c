//! The reference service: a gateway to model providers, with all controls that this version has.
//!
//!     cargo run --release --example gateway
//!
//! Without any environment it serves on 127.0.0.1:8080 with the limits of `examples/gateway/defaults.toml`, accounts in
//! memory, and a stub in place of the providers.
//!
//! | variable | meaning | default |
//! | --- | --- | --- |
//! | `FLASHOPS_LISTEN` | the address to serve on | `127.0.0.1:8080` |
//! | `FLASHOPS_CONFIG` | a configuration file in place of the default limits; it and what it names are read again every five seconds, and at once on SIGHUP | |
//! | `RATE_LIMIT_PER_MINUTE` | requests in a minute that call no model; only without `FLASHOPS_CONFIG` | 60 |
//! | `OPENAI_BASE_URL`, `OPENAI_API_KEY` or `OPENAI_API_KEY_FILE` | where to send OpenAI's formats, and with which key | the stub |
//! | `ANTHROPIC_BASE_URL`, `ANTHROPIC_API_KEY` or `ANTHROPIC_API_KEY_FILE` | where to send Anthropic's format, and with which key | the stub |
//! | `FLASHOPS_AUDIT` | if set, keeps an exact log of every settlement, and tells at the end whether a window held too much | |
//! | `ADMIN_ALLOW` | networks that may come to the `admin_routes` of the configuration, and whose anonymous callers see everybody's usage, the metrics and why a check fails, such as `10.0.0.0/8,::1/128` | loopback |
//! | `TRUSTED_PROXIES` | networks of proxies whose `X-Forwarded-For` is believed | none |
//! | `CORS_ORIGINS` | pages that may call from a browser, such as `https://app.example.com`, or `*` | none |
//! | `REDIS_URL` or `REDIS_URL_FILE` | the Redis or Valkey server on which instances share their accounts, such as `redis://127.0.0.1:6379` | the table `[store]` of the configuration, else memory |
//! | `LOG_FORMAT` | of lines on the standard error: `json` or `human` | `human` on a terminal, else `json` |
//! | `RUST_LOG` | which lines, such as `warn` or `info,flashops::request=off` | `info` |
//! | `ALERTMANAGER_URL`, `SLACK_WEBHOOK_URL` or either with `_FILE` | where alerts are sent, in place of `alertmanager` and `slack` of the configuration | |
//! | `HEALTH_CHECKS` | what else the service depends on, such as `redis=tcp://redis:6379,search=https://search/health,disk?=disk:/var`; while one fails it sheds, except one with `?` | |
//! | `SHUTDOWN_GRACE` | seconds for which it goes on serving after readiness fails because of a signal to stop; calls in progress then have 30 more | 0 |

mod gateway {
    pub(crate) mod admin;
    pub(crate) mod app;
    pub(crate) mod health;
    pub(crate) mod observe;
    pub(crate) mod pages;
    pub(crate) mod provider;
    pub(crate) mod reload;
    pub(crate) mod settings;
    #[cfg(test)]
    mod tests;
}

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use flashops_testkit::audit::{Finding, WindowAudit};
use flashops_testkit::stub::StubProvider;
use gateway::app::app;
use gateway::observe::{self, Lines};
use gateway::provider::Providers;
use gateway::reload::{EVERY, reloader};
use gateway::settings::Settings;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// How long calls in progress may take after the service has stopped to take new ones.
const LAST_CALLS: Duration = Duration::from_secs(30);

/// How long settlements may take after the last response has ended.
const LAST_SETTLEMENTS: Duration = Duration::from_secs(10);
/// How long the last alerts may take to be delivered, for each webhook.
const LAST_ALERTS: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_environment()?;
    Lines::new(settings.log_format.as_deref(), settings.log_filter.as_deref())?.begin()?;
    settings.config.imported().into_iter().for_each(observe::tell_import);
    let metrics = observe::collect()?;
    let stub = StubProvider::start().await?;
    let providers = Providers::new(&settings, &stub.base_url())?;
    let app = app(&settings, providers.clone(), metrics)?;
    let listener = TcpListener::bind(settings.listen).await.map_err(|error| format!("{}: {error}", settings.listen))?;
    println!("listening on http://{}", listener.local_addr()?);
    let audit = app.audit.clone();
    let checks = app.health.start();
    let following = tokio::spawn(reloader(Arc::clone(&app.controls), providers).run(EVERY));
    let stopped = app.health.drained(signal()?, settings.shutdown_grace);
    let service = app.router.into_make_service_with_connect_info::<SocketAddr>();
    let (begin, begun) = oneshot::channel();
    let serving = axum::serve(listener, service).with_graceful_shutdown(async {
        stopped.await;
        let _over = begin.send(());
    });
    tokio::select! {
        served = serving => served?,
        () = after(begun, LAST_CALLS) => eprintln!("gateway: what had not ended after {} s is cut", LAST_CALLS.as_secs()),
    }
    drop(checks);
    following.abort();
    // The store in force: the first one is kept by nobody, so that each that was replaced can go.
    let left = app.controls.budget().store().drain(LAST_SETTLEMENTS).await;
    if left > 0 {
        eprintln!("gateway: {left} settlements did not reach the store");
    }
    for delivery in app.deliveries {
        delivery.finish(LAST_ALERTS).await;
    }
    stub.shutdown().await;
    for finding in audit.iter().flat_map(WindowAudit::findings) {
        let Finding { limit, amount, keys, settlements, fullest, over } = finding;
        println!(
            "audit: {limit}: {settlements} settlements of {keys} keys, at most {fullest} of {amount} in a window, {over} over"
        );
    }
    Ok(())
}

/// Some time after something has begun.
async fn after(begun: oneshot::Receiver<()>, time: Duration) {
    if begun.await.is_ok() {
        sleep(time).await;
    } else {
        std::future::pending::<()>().await;
    }
}

/// What is sent to stop a program: from a keyboard, or by whoever started it.
#[cfg(unix)]
fn signal() -> Result<impl Future<Output = ()>, Box<dyn Error>> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn signal() -> Result<impl Future<Output = ()>, Box<dyn Error>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
