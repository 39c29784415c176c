//! Whether the gateway, its providers and what else it depends on are well.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use flashops::axum::handler::{
    health, health_detailed, health_liveness, health_readiness, livez, livez_check, readyz, readyz_check,
};
use flashops::core::health::{Check, HealthError, HealthRegistry};
use flashops::tower::health::{DiskThresholds, HealthGauges, HealthLog, Refresher, disk_check, http_check, tcp_check};
use http::Uri;
use tokio::time::sleep;

use super::admin::{Admins, mark};
use super::provider::Providers;

/// The checks of the service, and those of the providers alone.
///
/// A provider that fails is a warning for readiness: other instances would have the same one, and there would be
/// nobody left to answer.
#[derive(Clone)]
pub(crate) struct Health {
    pub(crate) service: HealthRegistry,
    pub(crate) models: HealthRegistry,
}

impl Health {
    pub(crate) fn new(providers: &Providers, dependencies: &[Dependency]) -> Result<Self, HealthError> {
        let service = HealthRegistry::with_observer((HealthLog, HealthGauges::new()));
        let models = HealthRegistry::new();
        service.register(Check::ping())?;
        for check in providers.checks() {
            service.register(check.not_critical())?;
        }
        for check in providers.checks() {
            models.register(check)?;
        }
        for dependency in dependencies {
            service.register(dependency.check(providers))?;
        }
        Ok(Self { service, models })
    }

    /// Runs the checks, until what is returned is dropped.
    pub(crate) fn start(&self) -> [Refresher; 2] {
        [&self.service, &self.models].map(|registry| Refresher::spawn(registry.clone()))
    }

    /// The routes of probes and monitors. Details are for admins.
    pub(crate) fn routes(&self, admins: Admins) -> Router {
        let models = Router::new().route("/api/v1/ai/health", get(health_detailed)).with_state(self.models.clone());
        Router::new()
            .route("/livez", get(livez))
            .route("/livez/{name}", get(livez_check))
            .route("/readyz", get(readyz))
            .route("/readyz/{name}", get(readyz_check))
            .route("/api/v1/health", get(health))
            .route("/api/v1/health/detailed", get(health_detailed))
            .route("/api/v1/health/liveness", get(health_liveness))
            .route("/api/v1/health/readiness", get(health_readiness))
            .with_state(self.service.clone())
            .merge(models)
            .layer(from_fn_with_state(admins, mark))
    }

    /// Waits for the signal to stop, and then until whoever sends traffic has seen that readiness fails.
    pub(crate) async fn drained(self, signal: impl Future<Output = ()>, grace: Duration) {
        signal.await;
        self.service.shut_down();
        sleep(grace).await;
    }
}

/// Something else that the service depends on: `name=target`, or `name?=target` where it works without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    name: String,
    critical: bool,
    target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    /// `tcp://host:port`
    Tcp(String),
    /// `http://…` or `https://…`
    Http(Uri),
    /// `disk:/path`
    Disk(PathBuf),
}

impl Dependency {
    fn check(&self, providers: &Providers) -> Check {
        let check = match &self.target {
            Target::Tcp(address) => tcp_check(&self.name, address.as_str()),
            Target::Http(uri) => http_check(&self.name, providers.client(), uri.clone()),
            Target::Disk(path) => disk_check(&self.name, path, DiskThresholds::default()),
        };
        if self.critical { check } else { check.not_critical() }
    }
}

impl FromStr for Dependency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || format!("{text:?} is no NAME=tcp://HOST:PORT, NAME=http://… or NAME=disk:/PATH");
        let (name, target) = text.trim().split_once('=').ok_or_else(malformed)?;
        let (name, critical) = name.strip_suffix('?').map_or((name, true), |name| (name, false));
        let target = if let Some(address) = target.strip_prefix("tcp://") {
            Target::Tcp(address.to_owned())
        } else if let Some(path) = target.strip_prefix("disk:") {
            Target::Disk(path.into())
        } else {
            let uri: Uri = target.parse().map_err(|_| malformed())?;
            let known = matches!(uri.scheme_str(), Some("http" | "https"));
            Target::Http(known.then_some(uri).ok_or_else(malformed)?)
        };
        Ok(Self { name: name.to_owned(), critical, target })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_is_a_name_and_a_target() {
        let read = |text: &str| text.parse::<Dependency>().map(|read| (read.name, read.critical, read.target));
        let expected = |name: &str, critical, target| Ok((name.to_owned(), critical, target));
        assert_eq!(read("redis=tcp://redis:6379"), expected("redis", true, Target::Tcp("redis:6379".to_owned())));
        let uri = "https://search/health?a=b".parse().unwrap();
        assert_eq!(read(" search?=https://search/health?a=b"), expected("search", false, Target::Http(uri)));
        assert_eq!(read("disk?=disk:/var"), expected("disk", false, Target::Disk("/var".into())));
        for wrong in ["", "redis", "redis=redis:6379", "x=ftp://y", "x=/health"] {
            assert!(wrong.parse::<Dependency>().is_err(), "{wrong}");
        }
    }
}
