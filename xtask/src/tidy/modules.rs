//! What the documentation of public modules has.

use super::Finding;
use crate::tree::TextFile;

/// The parts of a public module's documentation, in their order: how its line begins, and what it is.
const PARTS: [(&str, &str); 3] = [
    ("```", "an example"),
    ("Edge cases:", "the paragraph `Edge cases:`"),
    ("What this module does not do:", "the paragraph `What this module does not do:`"),
];

/// Public modules of published libraries without their parts, and libraries without any documentation.
pub(super) fn public_docs(files: &[TextFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for root in files.iter().filter(|file| file.path.ends_with("src/lib.rs") && is_published(file, files)) {
        if !root.text.starts_with("//!") {
            findings.push(Finding::new(root, 1, "a library opens with its documentation"));
        }
        let folder = root.path.trim_end_matches("lib.rs");
        inspect_modules(root, folder, files, &mut findings);
    }
    findings
}

fn is_published(root: &TextFile, files: &[TextFile]) -> bool {
    let manifest = root.path.replace("src/lib.rs", "Cargo.toml");
    files.iter().any(|file| file.path == manifest && !file.text.contains("publish = false"))
}

/// Looks at the public modules that a file declares, and at theirs. Their files are in `folder`.
fn inspect_modules(parent: &TextFile, folder: &str, files: &[TextFile], findings: &mut Vec<Finding>) {
    for (index, line) in parent.text.lines().enumerate() {
        let Some(name) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) else {
            continue;
        };
        let paths = [format!("{folder}{name}.rs"), format!("{folder}{name}/mod.rs")];
        match files.iter().find(|file| paths.contains(&file.path)) {
            Some(module) => {
                findings.extend(missing_part(module));
                inspect_modules(module, &format!("{folder}{name}/"), files, findings);
            }
            None => findings.push(Finding::new(parent, index + 1, format!("the file of `{name}` is not found"))),
        }
    }
}

/// The first part that is missing, or not where it belongs.
fn missing_part(module: &TextFile) -> Option<Finding> {
    let docs: Vec<&str> = module.text.lines().map_while(doc_text).collect();
    let mut from = 0;
    for (start, what) in PARTS {
        let opens = |&at: &usize| docs[at].starts_with(start) && (at == 0 || docs[at - 1].is_empty());
        let Some(at) = (from..docs.len()).find(opens) else {
            return Some(Finding::new(module, 1, format!("{what} is missing, or not in its place")));
        };
        from = at;
    }
    None
}

/// The text of a line of documentation. An attribute between them may include a file, whose text does not count.
fn doc_text(line: &str) -> Option<&str> {
    if line.starts_with("#![") { Some("") } else { line.strip_prefix("//!").map(str::trim) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "\
//! One line.
//!
//! ```
//! f();
//! ```
//!
//! Edge cases: none.
//!
//! What this module does not do: anything.
";

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<TextFile> = files.iter().map(|(path, text)| TextFile::new(path, text)).collect();
        public_docs(&files).into_iter().map(|finding| format!("{}: {}", finding.path, finding.what)).collect()
    }

    fn library<'a>(root: &'a str, module: &'a str) -> [(&'a str, &'a str); 3] {
        [("a/Cargo.toml", "[package]"), ("a/src/lib.rs", root), ("a/src/b.rs", module)]
    }

    #[test]
    fn a_public_module_has_all_parts_in_order() {
        assert_eq!(found(&library("//! A.\npub mod b;\n", WHOLE)), [""; 0]);
        for (missing, what) in [("```", "example"), ("Edge", "Edge cases"), ("What", "does not do")] {
            let without = WHOLE.replace(missing, "x");
            let found = found(&library("//! A.\npub mod b;\n", &without));
            assert!(found.len() == 1 && found[0].contains(what), "{missing}: {found:?}");
        }
        let late = format!("//! B.\n//!\n{}//!\n//! ```\n//! ```\n", &WHOLE[WHOLE.find("//! Edge").unwrap()..]);
        assert_eq!(found(&library("//! A.\npub mod b;\n", &late)).len(), 1);
    }

    #[test]
    fn an_included_file_does_not_end_the_documentation() {
        let included = WHOLE.replace("f();", "f();\n#![doc = include_str!(\"b.toml\")]");
        assert_ne!(included, WHOLE);
        assert_eq!(found(&library("//! A.\npub mod b;\n", &included)), [""; 0]);
    }

    #[test]
    fn a_part_begins_a_paragraph() {
        let inside = WHOLE.replace("//!\n//! Edge", "//! Edge");
        assert_eq!(found(&library("//! A.\npub mod b;\n", &inside)).len(), 1);
    }

    #[test]
    fn modules_inside_public_modules_are_looked_at() {
        let tree = [
            ("a/Cargo.toml", "[package]"),
            ("a/src/lib.rs", "//! A.\npub mod b;\n"),
            ("a/src/b/mod.rs", &format!("{WHOLE}pub mod c;\npub mod gone;\n")),
            ("a/src/b/c.rs", "//! C.\n"),
        ];
        let found = found(&tree);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a/src/b/c.rs: an example is missing"));
        assert_eq!(found[1], "a/src/b/mod.rs: the file of `gone` is not found");
    }

    #[test]
    fn private_modules_and_packages_may_be_brief() {
        assert_eq!(found(&library("//! A.\nmod b;\npub(crate) mod b;\n", "")), [""; 0]);
        let tree = [("a/Cargo.toml", "publish = false"), ("a/src/lib.rs", "pub mod b;\n"), ("a/src/b.rs", "")];
        assert_eq!(found(&tree), [""; 0]);
    }

    #[test]
    fn a_library_says_what_it_is() {
        assert_eq!(found(&[("a/Cargo.toml", ""), ("a/src/lib.rs", "mod b;\n")]).len(), 1);
    }
}
