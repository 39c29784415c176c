//! `cargo xtask deny`: cargo-deny with `deny.toml`.

use std::process::Stdio;

use crate::cargo::cargo;
use crate::failure::Failure;
use crate::steps::Steps;

pub(crate) fn run(steps: &mut Steps) -> Result<(), Failure> {
    let version = cargo()?.args(["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !version.is_ok_and(|status| status.success()) {
        return Err(Failure::new("cargo-deny is missing; install it with `cargo install --locked cargo-deny`"));
    }
    steps.command("deny", cargo()?.args(["deny", "--workspace", "--locked", "check"]))
}
