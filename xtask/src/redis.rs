//! A Redis server for the tests, which start it themselves.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::failure::Failure;

/// Names of the program; the last is that of Debian's package of tools, which brings no system service.
const PROGRAMS: [&str; 3] = ["redis-server", "valkey-server", "redis-check-rdb"];

/// Sees to it that there is one, by Debian's package manager if it has to and may.
pub(crate) fn provide() -> Result<(), Failure> {
    if let Some(found) = find() {
        println!("    {}", found.display());
        return Ok(());
    }
    install(&["update"])?;
    install(&["install", "--yes", "--no-install-recommends", "redis-tools"])?;
    match find() {
        Some(_) => Ok(()),
        None => Err(missing("the package redis-tools did not bring it")),
    }
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    PROGRAMS
        .iter()
        .flat_map(|program| folders.iter().map(move |folder| folder.join(program)))
        .find(|file| file.is_file())
}

fn install(words: &[&str]) -> Result<(), Failure> {
    let status =
        Command::new("apt-get").args(words).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(missing(&format!("apt-get {}: {status}", words[0]))),
        Err(error) => Err(missing(&format!("apt-get cannot be run: {error}"))),
    }
}

fn missing(why: &str) -> Failure {
    Failure::new(format!(
        "the tests need redis-server or valkey-server on the PATH ({why}); on Debian: apt-get install redis-tools, which \
         has the program under another name and starts no service"
    ))
}
