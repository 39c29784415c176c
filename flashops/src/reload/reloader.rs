use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use flashops_core::config::Config;
use flashops_core::store::{Store, Succeed};

use crate::Controls;

/// The target of events of reloading.
pub const RELOAD_TARGET: &str = "flashops::reload";

const RELOADS: &str = "flashops_config_reloads_total";

/// Why a configuration cannot be read.
pub type LoadError = Box<dyn Error + Send + Sync>;

/// Reads the configuration.
type Load = Box<dyn FnMut() -> Result<Config, LoadError> + Send>;

/// Puts what a configuration says now into force. See the [module docs](super).
pub struct Reloader<T: Store> {
    controls: Arc<Controls<T>>,
    load: Load,
    /// The refusal that was told last.
    told: Option<String>,
    /// What the last look found that is not in force.
    seen: Option<Config>,
}

/// What became of a [check](Reloader::check).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It is the one in force, or another one that a [look](Reloader::look) found for the first time.
    Unchanged,
    /// It is in force now.
    Applied,
    /// It cannot be, for this reason, and the one before stays in force.
    Refused(String),
}

impl<T: Succeed> Reloader<T> {
    /// For a configuration that is read by a closure: from wherever it is, with whatever the service changes in it.
    pub fn new(controls: Arc<Controls<T>>, load: impl FnMut() -> Result<Config, LoadError> + Send + 'static) -> Self {
        metrics::describe_counter!(
            RELOADS,
            metrics::Unit::Count,
            "Configurations that were put into force or refused."
        );
        Self { controls, load: Box::new(load), told: None, seen: None }
    }

    /// For a configuration in a file, as [`Config::from_file`] reads it.
    pub fn of_file(controls: Arc<Controls<T>>, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self::new(controls, move || {
            Config::from_file(&path).map_err(|error| format!("{}: {error}", path.display()).into())
        })
    }

    /// Reads the configuration, and puts it into force if it is another one: for when somebody says that it is whole.
    /// It reads files, so it may wait for disks.
    pub fn check(&mut self) -> Reload {
        let outcome = self.try_reload(true).unwrap_or_else(|reason| Reload::Refused(reason.to_string()));
        self.tell(&outcome);
        outcome
    }

    /// The same for looking again and again: another configuration comes into force when two looks after each other
    /// have found it, so that none is taken that somebody is writing.
    pub fn look(&mut self) -> Reload {
        let outcome = self.try_reload(false).unwrap_or_else(|reason| Reload::Refused(reason.to_string()));
        self.tell(&outcome);
        outcome
    }

    fn try_reload(&mut self, is_whole: bool) -> Result<Reload, LoadError> {
        let before = self.seen.take();
        let config = (self.load)()?;
        if self.controls.is_in_force(&config) {
            return Ok(Reload::Unchanged);
        }
        let is_settled = is_whole || before.is_some_and(|before| before.is_unchanged_from(&config));
        let reloaded =
            if is_settled { self.controls.reload(&config).map(|()| Reload::Applied) } else { Ok(Reload::Unchanged) };
        if !matches!(reloaded, Ok(Reload::Applied)) {
            self.seen = Some(config);
        }
        Ok(reloaded?)
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

impl<T: Store> fmt::Debug for Reloader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").field("controls", &self.controls).finish_non_exhaustive()
    }
}
