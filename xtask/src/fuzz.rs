//! `cargo xtask fuzz`: the fuzz targets, without cargo-fuzz and without a nightly compiler.
//!
//! libFuzzer needs code that counts its edges, for which stable rustc has the pass. Only the sanitizers need nightly,
//! and they look for what code without `unsafe` cannot do. `cargo fuzz` works on the same folders.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cargo::{cargo, with_rustflags};
use crate::failure::Failure;
use crate::steps::Steps;
use crate::tree::{self, TextFile};

const INSTRUMENTED: &str = "--cfg fuzzing -Cdebug-assertions -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";

/// How long each target runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Effort {
    /// So long, from what earlier runs have found and kept.
    Seconds(u64),
    /// So many inputs, always the same ones for the same program.
    Runs(u64),
}

impl Default for Effort {
    fn default() -> Self {
        Self::Seconds(60)
    }
}

pub(crate) fn run(steps: &mut Steps, effort: Effort) -> Result<(), Failure> {
    let fuzz = tree::root()?.join("fuzz");
    let targets = targets(&tree::files()?);
    if targets.is_empty() {
        return Err(Failure::new("there is no fuzz target in fuzz/fuzz_targets"));
    }
    need_cpp()?;
    let host = host()?;
    let built = tree::target("fuzz")?;
    steps.command("fuzz targets: build", &mut build(&fuzz, &host, &built)?)?;
    for target in targets {
        let program = built.join(&host).join("release").join(&target);
        steps.command(&format!("fuzz target: {target}"), &mut fuzzing(&fuzz, &program, &target, effort)?)?;
    }
    Ok(())
}

fn targets(files: &[TextFile]) -> Vec<String> {
    let name = |file: &TextFile| Some(file.path.strip_prefix("fuzz/fuzz_targets/")?.strip_suffix(".rs")?.to_owned());
    files.iter().filter_map(name).filter(|name| !name.contains('/')).collect()
}

/// libFuzzer is C++ and is compiled with the targets.
fn need_cpp() -> Result<(), Failure> {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| OsString::from("c++"));
    let mut version = Command::new(&compiler);
    let found = version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let compiler = compiler.display();
    Err(Failure::new(format!("the C++ compiler `{compiler}` is missing; on Debian, install the package g++")))
}

/// Naming the host as the target keeps the instrumentation out of build scripts and procedural macros.
fn host() -> Result<String, Failure> {
    let output = cargo()?.arg("-vV").output().map_err(|error| Failure::new(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Failure::new("cargo -vV names no host"))
}

fn build(fuzz: &Path, host: &str, built: &Path) -> Result<Command, Failure> {
    let mut command = cargo()?;
    command.args(["build", "--release", "--locked", "--bins", "--target", host]);
    command.arg("--manifest-path").arg(fuzz.join("Cargo.toml")).env("CARGO_TARGET_DIR", built);
    with_rustflags(&mut command, INSTRUMENTED);
    Ok(command)
}

fn fuzzing(fuzz: &Path, program: &Path, target: &str, effort: Effort) -> Result<Command, Failure> {
    let (corpus, artifacts) = (fuzz.join("corpus").join(target), fuzz.join("artifacts").join(target));
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder).map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
    }
    let mut command = Command::new(program);
    let mut prefix = OsString::from("-artifact_prefix=");
    prefix.push(artifacts.join(""));
    command.arg(prefix).args(["-timeout=10", "-print_final_stats=1", "-verbosity=0"]);
    match effort {
        Effort::Seconds(seconds) => command.arg(format!("-max_total_time={seconds}")).arg(corpus),
        Effort::Runs(runs) => command.args([format!("-runs={runs}"), "-seed=1".to_owned()]),
    };
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_the_files_of_their_folder() {
        let files = ["fuzz/fuzz_targets/sse.rs", "fuzz/fuzz_targets/shared/mod.rs", "fuzz/Cargo.toml", "a/src/lib.rs"];
        assert_eq!(targets(&files.map(|path| TextFile::new(path, ""))), ["sse"]);
    }
}
