use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use flashops_core::clock::Clock;
use flashops_core::config::Config;

use crate::Controls;

/// The target of events of reloading.
pub const RELOAD_TARGET: &str = "flashops::reload";

const RELOADS: &str = "flashops_config_reloads_total";

/// Why a configuration cannot be read.
pub type LoadError = Box<dyn Error + Send + Sync>;

/// Reads the configuration.
type Load = Box<dyn FnMut() -> Result<Config, LoadError> + Send>;

/// Puts what a configuration says now into force. See the [module docs](super).
pub struct Reloader<C: Clock> {
    controls: Arc<Controls<C>>,
    load: Load,
    /// The refusal that was told last.
    told: Option<String>,
}

/// What became of a [check](Reloader::check).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It is the one in force.
    Unchanged,
    /// It is in force now.
    Applied,
    /// It cannot be, for this reason, and the one before stays in force.
    Refused(String),
}

impl<C: Clock + Clone> Reloader<C> {
    /// For a configuration that is read by a closure: from wherever it is, with whatever the service changes in it.
    pub fn new(controls: Arc<Controls<C>>, load: impl FnMut() -> Result<Config, LoadError> + Send + 'static) -> Self {
        metrics::describe_counter!(
            RELOADS,
            metrics::Unit::Count,
            "Configurations that were put into force or refused."
        );
        Self { controls, load: Box::new(load), told: None }
    }

    /// For a configuration in a file, as [`Config::from_file`] reads it.
    pub fn of_file(controls: Arc<Controls<C>>, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self::new(controls, move || {
            Config::from_file(&path).map_err(|error| format!("{}: {error}", path.display()).into())
        })
    }

    /// Reads the configuration, and puts it into force if it is another one. It reads files, so it may wait for disks.
    pub fn check(&mut self) -> Reload {
        let outcome = self.try_reload().unwrap_or_else(|reason| Reload::Refused(reason.to_string()));
        self.tell(&outcome);
        outcome
    }

    fn try_reload(&mut self) -> Result<Reload, LoadError> {
        let config = (self.load)()?;
        if self.controls.is_in_force(&config) {
            return Ok(Reload::Unchanged);
        }
        self.controls.reload(&config)?;
        Ok(Reload::Applied)
    }

    fn tell(&mut self, outcome: &Reload) {
        match outcome {
            Reload::Unchanged => self.told = None,
            Reload::Applied => {
                self.told = None;
                metrics::counter!(RELOADS, "outcome" => "applied").increment(1);
                tracing::info!(target: RELOAD_TARGET, "another configuration is in force");
            }
            Reload::Refused(reason) => {
                metrics::counter!(RELOADS, "outcome" => "refused").increment(1);
                if self.told.as_ref() != Some(reason) {
                    tracing::error!(target: RELOAD_TARGET, reason, "the configuration is refused");
                    self.told = Some(reason.clone());
                }
            }
        }
    }
}

impl<C: Clock> fmt::Debug for Reloader<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").field("controls", &self.controls).finish_non_exhaustive()
    }
}
