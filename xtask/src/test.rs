//! `cargo xtask test`: everything that can fail.
//!
//! What the tests need beside cargo is fetched here: a Redis server before they run, and promtool, which looks at what
//! one of them leaves.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::Command;

use crate::cargo::{cargo, with_rustflags};
use crate::failure::Failure;
use crate::steps::Steps;
use crate::{promtool, redis, tidy, tree};

pub(crate) fn run(steps: &mut Steps) -> Result<(), Failure> {
    steps.step("tidy", tidy::run)?;
    let mut path = OsString::new();
    steps.step("redis-server", || {
        path = redis::path()?;
        Ok(())
    })?;
    let words = ["test", "--workspace", "--all-features", "--locked"];
    steps.tests("tests", cargo()?.args(words).env("PATH", path))?;
    promtool::run(steps)?;
    steps.tests("core without overflow checks", &mut release_tests()?)?;
    steps.tests("loom", &mut loom_tests()?)
}

/// The arithmetic of the accounts as services run it, where an overflow wraps instead of panicking.
fn release_tests() -> Result<Command, Failure> {
    let mut command = cargo()?;
    command.args(["test", "--release", "--locked", "--package", "flashops-core", "--lib"]);
    Ok(command)
}

fn loom_tests() -> Result<Command, Failure> {
    let mut command = cargo()?;
    command.args(["test", "--release", "--locked", "--lib"]);
    for package in loom_packages(&tree::files()?)? {
        command.args(["--package", &package]);
    }
    command.arg("loom").env("CARGO_TARGET_DIR", tree::target("loom")?);
    with_rustflags(&mut command, "--cfg loom");
    Ok(command)
}

/// The packages with tests for loom. A package stands in a folder of its name.
fn loom_packages(files: &[tree::TextFile]) -> Result<BTreeSet<String>, Failure> {
    let has_loom_tests = |text: &str| text.lines().any(|line| line.trim_start().starts_with("#[cfg(all(test, loom))]"));
    let packages: BTreeSet<String> = files
        .iter()
        .filter(|file| file.is_rust() && has_loom_tests(&file.text))
        .filter_map(|file| Some(file.path.split_once('/')?.0.to_owned()))
        .collect();
    if packages.is_empty() {
        return Err(Failure::new("no package has a module with `#[cfg(all(test, loom))]`"));
    }
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::TextFile;

    #[test]
    fn packages_with_loom_tests_are_found() {
        let files = [
            TextFile::new("a/src/lib.rs", "#[cfg(all(test, loom))]\nmod loom_tests {}\n"),
            TextFile::new("b/src/lib.rs", "// #[cfg(all(test, loom))]\n#[cfg(all(test, not(loom)))]\nmod tests {}\n"),
            TextFile::new("docs/testing.md", "#[cfg(all(test, loom))]\n"),
        ];
        assert!(loom_packages(&files).unwrap().iter().eq(["a"]));
        assert!(loom_packages(&files[1..]).is_err());
    }
}
