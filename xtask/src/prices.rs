//! `cargo xtask prices`: what calls cost here, beside what two other projects say that they cost.

use std::path::Path;
use std::process::Command;

use crate::cargo::cargo;
use crate::failure::Failure;
use crate::steps::Steps;
use crate::tree;

/// The projects that are compared with, as `docs/design.md` names them.
const PEERS: [&str; 2] = ["litellm==1.110.2", "genai-prices==0.2.3"];

pub(crate) fn run(steps: &mut Steps) -> Result<(), Failure> {
    let environment = tree::target("prices")?;
    let python = environment.join("bin").join("python");
    if !python.exists() {
        steps.command("environment", Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    steps.command("install", Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PEERS))?;
    let built = tree::target("")?;
    let mut build = cargo()?;
    build.args(["build", "--locked", "--package", "flashops-examples", "--example", "cost"]);
    steps.command("build", build.env("CARGO_TARGET_DIR", &built))?;
    let program = built.join("debug").join("examples").join("cost");
    steps.command("compare", &mut compare(&tree::root()?, &python, &program))
}

/// LiteLLM is told to use the prices that it was installed with, and not to fetch others.
fn compare(root: &Path, python: &Path, program: &Path) -> Command {
    let mut command = Command::new(python);
    command.arg(root.join("tests").join("prices").join("compare.py")).arg(program);
    command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
    command
}
