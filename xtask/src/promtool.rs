//! promtool, Prometheus' own judge of what is exported: from the PATH, else from Debian's package `prometheus`, which
//! is unpacked under the target folder and not installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::steps::Steps;
use crate::tree;

/// The page that a test of the axum handlers leaves.
const PAGE: &str = "tmp/metrics.txt";

/// The test's page must be there, and promtool must find nothing wrong with it.
pub(crate) fn run(steps: &mut Steps) -> Result<(), Failure> {
    let folder = tree::target("promtool")?;
    let mut program = PathBuf::new();
    steps.step("promtool: program", || {
        program = find(&folder)?;
        Ok(())
    })?;
    let page = tree::target(PAGE)?;
    steps.step("promtool check metrics", || check(&program, &page))
}

fn find(folder: &Path) -> Result<PathBuf, Failure> {
    let unpacked = folder.join("usr/bin/promtool");
    for program in [Path::new("promtool"), &unpacked] {
        if Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok() {
            return Ok(program.to_owned());
        }
    }
    fs::create_dir_all(folder).map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
    let failed = |what: &str| Failure::new(format!("promtool is not on the PATH, and {what} failed"));
    // The lists of packages may be old, or not there at all.
    let download = "apt-get download prometheus || { apt-get update && apt-get download prometheus; }";
    succeed(Command::new("sh").args(["-c", download]).current_dir(folder), || failed("`apt-get download prometheus`"))?;
    let unpack = "for package in prometheus_*.deb; do dpkg-deb --extract \"$package\" . && rm \"$package\"; done";
    succeed(Command::new("sh").args(["-c", unpack]).current_dir(folder), || failed("unpacking Debian's package"))?;
    if unpacked.exists() { Ok(unpacked) } else { Err(failed("finding it in Debian's package")) }
}

fn succeed(command: &mut Command, failed: impl Fn() -> Failure) -> Result<(), Failure> {
    let status = command.stdin(Stdio::null()).status().map_err(|_| failed())?;
    if status.success() { Ok(()) } else { Err(failed()) }
}

fn check(program: &Path, page: &Path) -> Result<(), Failure> {
    let file = fs::File::open(page).map_err(|error| Failure::new(format!("{}: {error}", page.display())))?;
    let status = Command::new(program).args(["check", "metrics"]).stdin(file).status();
    let status = status.map_err(|error| Failure::new(error.to_string()))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("it found what it says above: {status}"))) }
}
