//! How long files are, what they are called, and whether anything compiles them.

use super::Finding;
use crate::tree::TextFile;

/// Without the tests at their end.
const MAX_LINES: usize = 600;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 4] = ["util", "utils", "helpers", "misc"];

/// Files that hold too much for one idea. Files of nothing but tests may.
pub(super) fn length(file: &TextFile) -> Option<Finding> {
    let only_tests = file.path.split('/').any(|part| matches!(part, "tests" | "tests.rs"));
    let lines = lines_before_tests(&file.text);
    let too_long = lines > MAX_LINES && !only_tests;
    too_long.then(|| Finding::new(file, 1, format!("{lines} lines without tests, of at most {MAX_LINES}")))
}

pub(super) fn name(file: &TextFile) -> Option<Finding> {
    let name = module_name(&file.path);
    EMPTY_NAMES.contains(&name).then(|| Finding::new(file, 1, format!("`{name}` does not say what is inside")))
}

/// Files that nothing compiles: no `mod` of their package names them, and no target is made of them.
pub(super) fn dead(files: &[TextFile]) -> Vec<Finding> {
    let rust = files.iter().filter(|file| file.is_rust());
    let dead = rust.filter(|file| !is_alive(file, files));
    dead.map(|file| Finding::new(file, 1, "nothing compiles this file")).collect()
}

fn lines_before_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let opens_tests = |&at: &usize| {
        let after = lines[at..].iter().find(|line| !line.starts_with("#["));
        lines[at].starts_with("#[cfg(") && lines[at].contains("test") && after.is_some_and(|line| is_module_block(line))
    };
    (0..lines.len()).find(opens_tests).unwrap_or(lines.len())
}

fn is_module_block(line: &str) -> bool {
    line.contains("mod ") && line.ends_with('{')
}

fn module_name(path: &str) -> &str {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    stem.rsplit('/').next().unwrap_or(stem)
}

fn is_alive(file: &TextFile, files: &[TextFile]) -> bool {
    let Some(manifest) = manifest(&file.path, files) else {
        return false;
    };
    let package = folder(&manifest.path);
    let inside = &file.path[package.len()..];
    if matches!(inside, "build.rs" | "src/lib.rs" | "src/main.rs") || manifest.text.contains(&format!("\"{inside}\"")) {
        return true;
    }
    found_by_cargo(inside, &manifest.text) || declared(file, package, files)
}

/// The manifest of the package that a file belongs to.
fn manifest<'a>(path: &str, files: &'a [TextFile]) -> Option<&'a TextFile> {
    let manifests = files.iter().filter(|file| file.path.ends_with("Cargo.toml") && file.text.contains("[package]"));
    manifests.filter(|manifest| path.starts_with(folder(&manifest.path))).max_by_key(|manifest| manifest.path.len())
}

fn folder(path: &str) -> &str {
    &path[..path.rfind('/').map_or(0, |slash| slash + 1)]
}

/// Targets that cargo makes without being told.
fn found_by_cargo(inside: &str, manifest: &str) -> bool {
    let kinds =
        [("tests/", "autotests"), ("benches/", "autobenches"), ("examples/", "autoexamples"), ("src/bin/", "autobins")];
    kinds.iter().any(|(kind, switch)| {
        let target = inside.strip_prefix(kind).map(|file| file.strip_suffix("/main.rs").unwrap_or(file));
        target.is_some_and(|target| !target.contains('/')) && !manifest.contains(&format!("{switch} = false"))
    })
}

fn declared(file: &TextFile, package: &str, files: &[TextFile]) -> bool {
    let declaration = format!("mod {};", module_name(&file.path));
    let names_it = |line: &str| {
        let line = line.trim_start();
        line.strip_suffix(&declaration).is_some_and(|before| before.is_empty() || before.starts_with("pub"))
    };
    let siblings = files.iter().filter(|other| other.is_rust() && other.path.starts_with(package));
    siblings.filter(|other| other.path != file.path).any(|other| other.text.lines().any(names_it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_have_600_lines_before_its_tests() {
        let tests = format!("#[cfg(all(test, not(loom)))]\n#[allow(x)]\nmod tests {{\n{}}}\n", "//\n".repeat(900));
        let file = |lines: usize| TextFile::new("a/src/b.rs", &format!("{}{tests}", "//\n".repeat(lines)));
        assert_eq!(length(&file(600)), None);
        assert!(length(&file(601)).is_some_and(|finding| finding.what.starts_with("601 lines")));
    }

    #[test]
    fn a_module_for_tests_in_another_file_does_not_end_the_count() {
        let text = format!("#[cfg(test)]\nmod fixtures;\n{}", "//\n".repeat(600));
        assert!(length(&TextFile::new("a/src/b.rs", &text)).is_some());
    }

    #[test]
    fn files_of_tests_may_be_long() {
        for path in ["a/tests/b.rs", "a/src/b/tests.rs", "tests/b.rs"] {
            assert_eq!(length(&TextFile::new(path, &"//\n".repeat(900))), None, "{path}");
        }
    }

    #[test]
    fn a_name_that_says_nothing_is_found() {
        let found = |path| name(&TextFile::new(path, "")).is_some();
        assert!(found("a/src/utils.rs") && found("a/src/b/util/mod.rs"));
        assert!(!found("a/src/utilities_bill.rs") && !found("a/utils/src/bill.rs"));
    }

    fn found_dead(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<TextFile> = files.iter().map(|(path, text)| TextFile::new(path, text)).collect();
        dead(&files).into_iter().map(|finding| finding.path).collect()
    }

    #[test]
    fn a_file_that_no_module_names_is_dead() {
        let tree = [
            ("Cargo.toml", "[workspace]"),
            ("a/Cargo.toml", "[package]"),
            ("a/src/lib.rs", "mod one;\n// mod gone;\n#[cfg(test)]\npub(crate) mod two;\n"),
            ("a/src/one.rs", ""),
            ("a/src/two/mod.rs", ""),
            ("a/src/gone.rs", "mod gone;\n"),
            ("b/Cargo.toml", "[package]"),
            ("b/src/main.rs", ""),
            ("b/src/one.rs", ""),
        ];
        assert_eq!(found_dead(&tree), ["a/src/gone.rs", "b/src/one.rs"]);
    }

    #[test]
    fn a_target_is_alive_when_cargo_finds_it_or_the_manifest_names_it() {
        let tree = [
            ("a/Cargo.toml", "[package]\nautobenches = false\n"),
            ("a/build.rs", ""),
            ("a/tests/found.rs", ""),
            ("a/examples/found/main.rs", ""),
            ("a/benches/gone.rs", ""),
            ("a/tests/support/gone.rs", ""),
            ("b/Cargo.toml", "[package]\n[[example]]\npath = \"named.rs\"\n"),
            ("b/named.rs", "#[path = \"named/part.rs\"]\nmod part;\n"),
            ("b/named/part.rs", ""),
            ("b/gone.rs", ""),
        ];
        assert_eq!(found_dead(&tree), ["a/benches/gone.rs", "a/tests/support/gone.rs", "b/gone.rs"]);
    }
}
