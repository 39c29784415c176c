//! Cargo, as every task calls it.

use std::env;
use std::process::Command;

use crate::failure::Failure;
use crate::tree;

/// This cargo, from the root.
pub(crate) fn cargo() -> Result<Command, Failure> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(tree::root()?);
    Ok(cargo)
}

/// Adds to the flags for rustc that the environment has.
pub(crate) fn with_rustflags<'a>(command: &'a mut Command, flags: &str) -> &'a mut Command {
    let given = env::var("RUSTFLAGS").unwrap_or_default();
    command.env("RUSTFLAGS", format!("{given} {flags}").trim())
}
