//! What the tests printed: how many passed, and which did not run.

/// Counts over any number of test binaries.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
    /// Tests that are ignored and do not say why.
    pub(crate) unexplained: Vec<String>,
}

impl Tally {
    /// Reads one line of output: the result of a libtest binary, or the closing line of another runner, `N passed, N
    /// failed` and nothing else. Lines of others change nothing.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += number_before(result, " passed");
            self.failed += number_before(result, " failed");
            self.ignored += number_before(result, " ignored");
        } else if let Some((passed, failed)) = closing(line) {
            self.passed += passed;
            self.failed += failed;
        } else if let Some(name) = line.strip_prefix("test ").and_then(|test| test.strip_suffix(" ... ignored")) {
            self.unexplained.push(name.to_owned());
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.unexplained.extend_from_slice(&other.unexplained);
    }
}

/// The numbers of `N passed, N failed`.
fn closing(line: &str) -> Option<(u64, u64)> {
    let (passed, failed) = line.strip_suffix(" failed")?.split_once(" passed, ")?;
    Some((passed.parse().ok()?, failed.parse().ok()?))
}

fn number_before(text: &str, word: &str) -> u64 {
    let before = text.split(word).next().unwrap_or_default();
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str) -> Tally {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.read(line));
        tally
    }

    #[test]
    fn binaries_add_up() {
        let output = "\
running 3 tests
test a ... ok
test b ... ignored, needs a server
test c ... ok

test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 4 filtered out; finished in 1.25s
";
        assert_eq!(tally(output), Tally { passed: 14, failed: 3, ignored: 1, unexplained: vec![] });
    }

    #[test]
    fn an_ignored_test_is_named_unless_it_says_why() {
        let output = "\
test clock::ticks ... ignored
test clock::stops ... ignored, the kernel decides
test src/lib.rs - clock (line 3) ... ignored
";
        assert_eq!(tally(output).unexplained, ["clock::ticks", "src/lib.rs - clock (line 3)"]);
    }

    #[test]
    fn the_closing_line_of_another_runner_counts() {
        let output = "ok a check: 1 try\n\n102 passed, 3 failed\n";
        assert_eq!(tally(output), Tally { passed: 102, failed: 3, ..Tally::default() });
        assert_eq!(tally("tests: 1 passed, 2 failed\n1 passed, 2 failed, 3 skipped\n"), Tally::default());
    }

    #[test]
    fn what_programs_print_is_not_counted() {
        assert_eq!(tally("5 passed\nTesting reserve\nSuccess\ntest result\n"), Tally::default());
    }
}
