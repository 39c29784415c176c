//! The chores of this repository, as `cargo xtask COMMAND`.

use std::process::ExitCode;

mod failure;
mod tree;
mod cargo;
mod tally;
mod steps;
mod tidy;
mod promtool;
mod test;
mod fuzz;
mod sdk;
mod deny;
mod prices;
mod ci;

use failure::Failure;
use steps::Steps;

const USAGE: &str = "\
cargo xtask COMMAND

  test            tidy, all tests with doctests, what promtool says of the metrics, the tests of core without overflow
                  checks, the loom tests
  ci              formatting, clippy, documentation, test, sdk, the fuzz targets for a moment: what .ci/run runs
  tidy            the house rules that no other tool checks
  sdk             the official Python clients of OpenAI and Anthropic against the gateway; needs python3 and PyPI
  fuzz [SECONDS]  each fuzz target for so long (60 unless said), on stable Rust
  promtool        what promtool says of the page of metrics that the tests left
  prices          compares costs with LiteLLM's and genai-prices' own; needs Python 3 with venv, and PyPI
  deny            licences, sources, advisories and duplicates of the dependencies, by cargo-deny";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match dispatch(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(words: &[&str]) -> Result<(), Failure> {
    let mut steps = Steps::default();
    match words {
        ["test"] => test::run(&mut steps)?,
        ["ci"] => ci::run(&mut steps)?,
        ["tidy"] => return tidy::run(),
        ["sdk"] => sdk::run(&mut steps)?,
        ["fuzz"] => return fuzz::run(&mut steps, fuzz::Effort::default()),
        ["fuzz", seconds] => {
            let seconds = seconds.parse().map_err(|_| Failure::new("fuzz takes a number of seconds"))?;
            return fuzz::run(&mut steps, fuzz::Effort::Seconds(seconds));
        }
        ["promtool"] => promtool::run(&mut steps)?,
        ["prices"] => prices::run(&mut steps)?,
        ["deny"] => return deny::run(&mut steps),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            return Ok(());
        }
        _ => return Err(Failure::new(format!("{words:?} is not a command\n\n{USAGE}"))),
    }
    steps.close();
    Ok(())
}
