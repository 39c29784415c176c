//! `cargo xtask tidy`: the house rules that neither rustfmt nor clippy checks.
//!
//! Everything works on lines, and counts on rustfmt having laid them out.

use std::fmt;

use crate::failure::Failure;
use crate::tree::{self, TextFile};

mod lines;
mod functions;
mod files;
mod modules;

/// One place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// From 1.
    line: usize,
    what: String,
}

impl Finding {
    fn new(file: &TextFile, line: usize, what: impl Into<String>) -> Self {
        Self { path: file.path.clone(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

pub(crate) fn run() -> Result<(), Failure> {
    let files = tree::files()?;
    let findings = inspect(&files);
    findings.iter().for_each(|finding| println!("{finding}"));
    if !findings.is_empty() {
        return Err(Failure::new(format!("places that are not tidy: {}", findings.len())));
    }
    println!("{} files are tidy", files.len());
    Ok(())
}

fn inspect(all: &[TextFile]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = all.iter().flat_map(lines::machine_paths).collect();
    for file in all.iter().filter(|file| file.is_rust()) {
        findings.extend(lines::width(file));
        findings.extend(lines::words(file));
        findings.extend(functions::length(file));
        findings.extend(files::length(file));
        findings.extend(files::name(file));
    }
    findings.extend(files::dead(all));
    findings.extend(modules::public_docs(all));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let findings = inspect(&tree::files().unwrap());
        let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(findings.is_empty(), "\n{}", findings.join("\n"));
    }
}
