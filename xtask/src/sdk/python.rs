//! The interpreter, and environments made with it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::at;
use crate::failure::Failure;

/// The oldest version that the packages of the lists support.
const OLDEST: &str = "3.11";

/// Written last into an environment: what it was made of.
const STAMP: &str = "made-of.txt";

/// A python3 that can make environments.
pub(super) struct Python {
    program: OsString,
    version: String,
}

impl Python {
    /// The interpreter that `PYTHON` names, else `python3`.
    pub(super) fn find() -> Result<Self, Failure> {
        Self::check(std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into()))
    }

    fn check(program: OsString) -> Result<Self, Failure> {
        let name = program.display().to_string();
        let script = "import sys, venv, ensurepip; print(sys.executable, sys.version)";
        let output = Command::new(&program).args(["-c", script]).stdin(Stdio::null()).output();
        let output = output.map_err(|error| {
            Failure::new(format!(
                "{name} is missing ({error}); on Debian, install the packages python3 and python3-venv"
            ))
        })?;
        if !output.status.success() {
            let message = format!("{name} cannot make environments; on Debian, install the package python3-venv");
            return Err(Failure::new(message));
        }
        let version = String::from_utf8_lossy(&output.stdout).trim().replace('\n', " ");
        let script = format!("import sys; sys.exit(sys.version_info < tuple(map(int, '{OLDEST}'.split('.'))))");
        let recent = Command::new(&program).args(["-c", &script]).status().is_ok_and(|status| status.success());
        if !recent {
            return Err(Failure::new(format!("{name} is older than {OLDEST}, which the clients need")));
        }
        Ok(Self { program, version })
    }

    /// Makes an environment with the packages of a list, unless it is there.
    pub(super) fn install(&self, environment: &Path, list: &Path) -> Result<(), Failure> {
        let packages = fs::read_to_string(list).map_err(|error| at(list, &error))?;
        let stamp = environment.join(STAMP);
        let made_of = format!("{}\n{packages}", self.version);
        if fs::read_to_string(&stamp).is_ok_and(|before| before == made_of) {
            return Ok(());
        }
        run(Command::new(&self.program).args(["-m", "venv", "--clear"]).arg(environment))?;
        let mut pip = Command::new(interpreter(environment));
        pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-compile", "--retries", "10"]);
        run(pip.arg("--requirement").arg(list))?;
        fs::write(&stamp, made_of).map_err(|error| at(&stamp, &error))
    }
}

/// The interpreter of an environment.
pub(super) fn interpreter(environment: &Path) -> PathBuf {
    if cfg!(windows) { environment.join("Scripts/python.exe") } else { environment.join("bin/python") }
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.stdin(Stdio::null()).status();
    let failed = |why: String| Failure::new(format!("{}: {why}", command.get_program().display()));
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(status.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_that_is_missing_is_named_with_the_packages_that_have_it() {
        let failed = Python::check("no-such-python".into()).err().unwrap().to_string();
        assert!(failed.starts_with("no-such-python is missing"), "{failed}");
        assert!(failed.ends_with("python3 and python3-venv"), "{failed}");
    }

    #[test]
    fn an_interpreter_without_environments_is_told_from_one_that_is_missing() {
        let failed = Python::check("false".into()).err().unwrap().to_string();
        assert!(failed.starts_with("false cannot make environments"), "{failed}");
    }
}
