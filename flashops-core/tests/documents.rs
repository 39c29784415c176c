//! The tests that documents name exist, where they are said to be.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

/// The packages whose tests documents speak of.
const PACKAGES: [&str; 8] = [
    "benches",
    "examples",
    "flashops",
    "flashops-axum",
    "flashops-core",
    "flashops-redis",
    "flashops-testkit",
    "flashops-tower",
];

/// The rows of docs/compare.md: what is reported of gateways, as far as one process can have it.
const PAINS: [u32; 18] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 19, 20];

/// A Rust file, by its path in the workspace.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn has(&self, test: &str) -> bool {
        ["(", "<"].iter().any(|after| self.text.contains(&format!("fn {test}{after}")))
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn document(name: &str) -> String {
    fs::read_to_string(workspace().join("docs").join(name)).unwrap()
}

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    for package in PACKAGES {
        read_all(&workspace().join(package), &mut sources);
    }
    sources
}

fn read_all(folder: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(workspace()).unwrap().to_str().unwrap().replace('\\', "/");
            sources.push(Source { path, text });
        }
    }
}

/// The tests that a line names, each with the file that it names before them, if it does.
fn named(line: &str) -> Vec<(Option<&str>, &str)> {
    let is_test = |word: &str| {
        word.matches('_').count() >= 3 && word.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    };
    let (mut file, mut tests) = (None, Vec::new());
    for word in line.split('`').skip(1).step_by(2) {
        if word.ends_with(".rs") {
            file = Some(word);
        } else if is_test(word) {
            tests.push((file, word));
        }
    }
    tests
}

/// That every test which a document names exists, and how many it names.
fn check(text: &str, sources: &[Source]) -> usize {
    let tests: Vec<_> = text.lines().flat_map(named).collect();
    for &(file, test) in &tests {
        let exists = sources.iter().any(|source| file.is_none_or(|path| source.path == path) && source.has(test));
        assert!(exists, "there is no test {test}{}", file.map_or(String::new(), |path| format!(" in {path}")));
    }
    tests.len()
}

#[test]
fn every_test_that_an_invariant_a_failure_mode_or_a_control_names_exists() {
    let sources = sources();
    for (name, least) in [("invariants.md", 60), ("failure-modes.md", 80), ("controls.md", 35)] {
        let count = check(&document(name), &sources);
        assert!(count > least, "{name} names {count} tests");
    }
}

#[test]
fn every_pain_of_the_comparison_has_tests_and_all_of_them_exist() {
    let (text, sources) = (document("compare.md"), sources());
    check(&text, &sources);
    for pain in PAINS {
        let row = text.lines().find(|line| line.starts_with(&format!("| {pain} |")));
        let row = row.unwrap_or_else(|| panic!("pain {pain} has no row"));
        assert_eq!(row.matches(" | ").count(), 4, "pain {pain} has five columns");
        let tests = named(row.rsplit(" | ").next().unwrap());
        assert!(!tests.is_empty(), "pain {pain} has no test");
        assert!(
            tests.iter().all(|(file, _)| file.is_some()),
            "pain {pain} has a test of which nobody knows where it is"
        );
    }
}
