//! A Redis server for the tests, which start it themselves: from the PATH, else from Debian's packages, which are
//! unpacked under the target folder and not installed, so that no service starts and nobody has to be root.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::tree;

/// Names of the program; the last is that of Debian's package of tools, which is the same program.
const PROGRAMS: [&str; 3] = ["redis-server", "valkey-server", "redis-check-rdb"];

/// The package that has it, and those of its libraries that a small system may not have.
const PACKAGES: &str = "redis-tools libjemalloc2 liblzf1 libatomic1";

/// Starts the unpacked program with the unpacked libraries. It looks at its name for what it is to do.
const STARTER: &str = r#"#!/bin/sh
root=$(dirname "$0")/..
LD_LIBRARY_PATH=$(echo "$root"/usr/lib/*-linux-gnu*):$LD_LIBRARY_PATH exec "$root/usr/bin/redis-server" "$@"
"#;

/// The PATH on which there is one.
pub(crate) fn path() -> Result<OsString, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) = find(&path) {
        println!("    {}", found.display());
        return Ok(path);
    }
    let folder = tree::target("redis")?;
    let starter = folder.join("bin/redis-server");
    if !starter.is_file() {
        unpack(&folder).map_err(|why| missing(&why))?;
        write_starter(&starter).map_err(|error| missing(&error.to_string()))?;
    }
    println!("    {}", starter.display());
    let folders = std::iter::once(folder.join("bin")).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).map_err(|error| missing(&error.to_string()))
}

fn find(path: &OsString) -> Option<PathBuf> {
    let folders: Vec<PathBuf> = std::env::split_paths(path).collect();
    PROGRAMS
        .iter()
        .flat_map(|program| folders.iter().map(move |folder| folder.join(program)))
        .find(|file| file.is_file())
}

fn unpack(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    // The lists of packages may be old, or not there at all.
    let download = format!("apt-get download {PACKAGES} || {{ apt-get update && apt-get download {PACKAGES}; }}");
    let unpack = "for package in *.deb; do dpkg-deb --extract \"$package\" . && rm \"$package\"; done";
    let rename = "mv usr/bin/redis-check-rdb usr/bin/redis-server";
    for script in [&*download, unpack, rename] {
        let status = Command::new("sh").args(["-c", script]).current_dir(folder).stdin(Stdio::null()).status();
        if !status.is_ok_and(|status| status.success()) {
            return Err(format!("`{script}` failed"));
        }
    }
    Ok(())
}

fn write_starter(starter: &Path) -> std::io::Result<()> {
    fs::create_dir_all(starter.parent().unwrap_or(starter))?;
    fs::write(starter, STARTER)?;
    let made = Command::new("chmod").arg("+x").arg(starter).status()?;
    if made.success() { Ok(()) } else { Err(std::io::Error::other("it cannot be made to run")) }
}

fn missing(why: &str) -> Failure {
    Failure::new(format!(
        "the tests need redis-server or valkey-server on the PATH ({why}); on Debian: apt-get install redis-tools, which \
         has the program under another name and starts no service"
    ))
}
