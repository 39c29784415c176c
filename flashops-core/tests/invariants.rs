//! The tests that docs/invariants.md names exist.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

/// The text of every Rust file of these crates.
fn sources() -> String {
    let mut text = String::new();
    for crate_name in ["flashops-core", "flashops-testkit", "flashops-tower"] {
        for folder in ["src", "tests"] {
            read_all(&workspace().join(crate_name).join(folder), &mut text);
        }
    }
    text
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read_all(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_test_that_an_invariant_names_exists() {
    let document = fs::read_to_string(workspace().join("docs/invariants.md")).unwrap();
    let sources = sources();
    let is_test = |name: &&str| name.matches('_').count() >= 3 && !name.contains(':');
    let names: Vec<&str> = document.split('`').skip(1).step_by(2).filter(is_test).collect();
    assert!(names.len() > 60, "{}", names.len());
    for name in names {
        let exists = ["(", "<"].iter().any(|after| sources.contains(&format!("fn {name}{after}")));
        assert!(exists, "there is no test {name}");
    }
}
