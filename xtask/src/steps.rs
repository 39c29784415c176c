//! Steps with a name and a duration, of which the first that fails ends the run.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::tally::Tally;

/// The steps so far, and the tests that they ran.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(String, Duration)>,
    tests: Tally,
}

impl Steps {
    /// Runs a command, which must succeed.
    pub(crate) fn command(&mut self, name: &str, command: &mut Command) -> Result<(), Failure> {
        self.step(name, || {
            let status = command.stdin(Stdio::null()).status().map_err(|error| not_started(command, &error))?;
            if status.success() { Ok(()) } else { Err(Failure::new(status.to_string())) }
        })
    }

    /// Runs a command whose tests are counted. It fails too if it ran none, which is what a filter or a `cfg` that
    /// fits nothing looks like, and if it left one out that does not say why.
    pub(crate) fn tests(&mut self, name: &str, command: &mut Command) -> Result<(), Failure> {
        let mut tally = Tally::default();
        self.step(name, || {
            watch(command, &mut tally)?;
            judge(&tally)
        })?;
        self.tests.add(&tally);
        Ok(())
    }

    /// Runs something of our own.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        println!("\n==> {name}");
        let start = now();
        let result = work();
        let took = now() - start;
        result.map_err(|failure| Failure::new(format!("{name} failed after {}: {failure}", shown(took))))?;
        println!("    {name}: {}", shown(took));
        self.done.push((name.to_owned(), took));
        Ok(())
    }

    /// Says what was done. The last line is one that CI reads.
    pub(crate) fn close(&self) {
        println!();
        for (name, took) in &self.done {
            println!("{:>9}  {name}", shown(*took));
        }
        let Tally { passed, failed, ignored, .. } = self.tests;
        println!("\ntests: {passed} passed, {failed} failed, {ignored} skipped");
    }
}

fn watch(command: &mut Command, tally: &mut Tally) -> Result<(), Failure> {
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = started.map_err(|error| not_started(command, &error))?;
    let output = child.stdout.take().expect("it was piped");
    for line in BufReader::new(output).split(b'\n') {
        let line = line.map_err(|error| Failure::new(format!("its output cannot be read: {error}")))?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.read(line.trim_end());
    }
    let status = child.wait().map_err(|error| Failure::new(error.to_string()))?;
    if status.success() { Ok(()) } else { Err(Failure::new(status.to_string())) }
}

fn judge(tally: &Tally) -> Result<(), Failure> {
    if !tally.unexplained.is_empty() {
        let names = tally.unexplained.join(", ");
        return Err(Failure::new(format!("ignored without a reason (`#[ignore = \"why\"]`): {names}")));
    }
    if tally.passed == 0 {
        return Err(Failure::new("it ran no test"));
    }
    Ok(())
}

fn not_started(command: &Command, error: &std::io::Error) -> Failure {
    Failure::new(format!("{} cannot be run: {error}", command.get_program().display()))
}

fn shown(time: Duration) -> String {
    let tenths = time.as_millis() / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

#[expect(clippy::disallowed_methods, reason = "how long a step took is for people, and decides nothing")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_step_that_fails_is_named_with_what_it_said() {
        let failed = Steps::default().command("clippy", &mut shell("exit 3")).unwrap_err().to_string();
        assert!(failed.starts_with("clippy failed after "), "{failed}");
        assert!(failed.ends_with("exit status: 3"), "{failed}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let failed = Steps::default().command("x", &mut Command::new("no-such-program")).unwrap_err().to_string();
        assert!(failed.contains("no-such-program cannot be run"), "{failed}");
    }

    #[test]
    fn tests_are_counted_over_all_steps() {
        let mut steps = Steps::default();
        let two = "echo 'test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured'";
        steps.tests("one", &mut shell(two)).unwrap();
        steps.tests("two", &mut shell(two)).unwrap();
        assert_eq!(steps.tests, Tally { passed: 4, ignored: 2, ..Tally::default() });
    }

    #[test]
    fn a_step_that_ran_no_test_fails() {
        let none = "echo 'test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out'";
        let failed = Steps::default().tests("loom", &mut shell(none)).unwrap_err().to_string();
        assert!(failed.ends_with("it ran no test"), "{failed}");
    }

    #[test]
    fn a_test_is_not_left_out_in_silence() {
        let output = "echo 'test slow ... ignored'; echo 'test result: ok. 9 passed; 0 failed; 1 ignored'";
        let failed = Steps::default().tests("tests", &mut shell(output)).unwrap_err().to_string();
        assert!(failed.ends_with(": slow"), "{failed}");
    }

    #[test]
    fn tests_that_pass_do_not_hide_that_the_command_failed() {
        let output = "echo 'test result: ok. 9 passed; 0 failed; 0 ignored'; exit 101";
        assert!(Steps::default().tests("tests", &mut shell(output)).is_err());
    }
}
