//! What reserving output by its cap loses of a limit, and what a learned estimate wins back.
//!
//! ```sh
//! cargo run --release -p flashops-benches --bin estimates -- --trace azure-llm-conv.csv
//! ```
//!
//! The file has the columns of the Azure LLM inference traces. Without one, the program makes up a trace.
//!
//! Edge cases: a file that is no trace ends the program with a message and status 1.
//!
//! What this program does not do: judge. A test has the same experiment on a made-up trace, with bounds.

use std::process::ExitCode;
use std::time::Duration;

use flashops_benches::estimates::{Experiment, Table};
use flashops_testkit::trace::{self, TraceRequest};

fn main() -> ExitCode {
    let requests = match requests() {
        Ok(requests) => requests,
        Err(message) => {
            eprintln!("estimates: {message}");
            return ExitCode::FAILURE;
        }
    };
    for slowness in [1, 4] {
        println!("{} requests, {slowness} × (0.5 s + 30 ms for each token)\n", requests.len());
        println!("{}", Table::new(&Experiment::new(&requests, slowness)));
    }
    ExitCode::SUCCESS
}

fn requests() -> Result<Vec<TraceRequest>, String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(trace::generate(7, 20_000, Duration::from_secs(3_600))),
        ["--trace", path] => trace::load(path).map_err(|error| format!("{path}: {error}")),
        _ => Err("usage: estimates [--trace FILE]".to_owned()),
    }
}
