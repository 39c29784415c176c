//! A configuration that follows its file, without a restart.
//!
//! ```
//! use std::sync::Arc;
//! use flashops::Controls;
//! use flashops::core::config::{Config, NoSources};
//! use flashops::reload::{Reload, Reloader};
//!
//! # let path = std::env::temp_dir().join(format!("flashops-reload-{}.toml", std::process::id()));
//! std::fs::write(&path, "[http]\nmax_body = 1000\n")?;
//! let controls = Arc::new(Controls::new(&Config::from_file(&path)?));
//! let mut reloader = Reloader::of_file(Arc::clone(&controls), &path);
//! assert_eq!(reloader.check(), Reload::Unchanged);
//!
//! std::fs::write(&path, "[http]\nmax_bdy = 2000\n")?;
//! let Reload::Refused(why) = reloader.check() else { panic!() };
//! assert!(why.contains("max_bdy"), "{why}");
//!
//! std::fs::write(&path, "[http]\nmax_body = 2000\n")?;
//! assert_eq!(reloader.check(), Reload::Applied);
//! # std::fs::remove_file(&path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Reloader::check`] reads everything again: the configuration, and each file and variable that it names, such as
//! the keys of callers and the prices. Only if something differs it is put into force, wholly, by
//! [`Controls::reload`]. With the feature `tokio`, `Reloader::run` [looks](Reloader::look) every few seconds, and checks
//! at once on SIGHUP where there is that signal. What a file holds is compared and not when it was written, so it does not matter how
//! it is replaced: by an editor, by a rename, or through the links of a mounted volume.
//!
//! Each outcome is an event under [`RELOAD_TARGET`], a refusal once for each reason, and
//! `flashops_config_reloads_total{outcome}` counts them (`applied`, `refused`; every check that is refused counts).
//!
//! Edge cases: a file that is gone, cannot be read or has a mistake is refused, and what is in force stays. A file that
//! is being written can be without a mistake: a look takes what the look before has found too, and SIGHUP says that the
//! file is whole. Whoever writes for longer than that writes beside it and renames. Environment variables of a running process do not change by themselves.
//!
//! What this module does not do: change what [`Controls::reload`] says needs a restart.

mod reloader;
#[cfg(feature = "tokio")]
mod run;

#[cfg(doc)]
use crate::Controls;
pub use reloader::{LoadError, RELOAD_TARGET, Reload, Reloader};
