//! Figures that need a process of their own: memory, and the first sight of a key.
//!
//! ```
//! use flashops_benches::process::resident_bytes;
//!
//! assert!(resident_bytes() > 0);
//! ```
//!
//! A benchmark starts itself again with `--child` and the words of the case, and reads the numbers that the child
//! prints.
//!
//! Edge cases: memory is read from /proc/self/statm; on a system without it the figure is zero.
//!
//! What this module does not do: run children side by side.

use std::env;
use std::process::Command;

const CHILD: &str = "--child";

/// The words of the case, if this process is a child.
pub fn child_words() -> Option<Vec<String>> {
    let mut words = env::args().skip(1);
    (words.next().as_deref() == Some(CHILD)).then(|| words.collect())
}

/// Runs a case in a process of its own and returns the numbers that it printed.
///
/// # Panics
///
/// If the child does not start, fails, or prints anything else.
pub fn child(words: &[&str]) -> Vec<f64> {
    let this = env::current_exe().expect("a process knows its own file");
    let output = Command::new(this).arg(CHILD).args(words).output().expect("the child starts");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace().map(|word| word.parse().expect("a child prints numbers")).collect()
}

/// The resident memory of this process.
pub fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|word| word.parse::<usize>().ok());
    pages.unwrap_or(0) * rustix::param::page_size()
}
