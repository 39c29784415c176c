//! What a single line must not have.

use super::Finding;
use crate::tree::TextFile;

/// The width that rustfmt keeps for code, here for comments too.
const MAX_COLUMNS: usize = 120;

/// Macros that mark unfinished work or a look inside.
const MACROS: [&str; 3] = [concat!("to", "do!"), concat!("unimpl", "emented!"), concat!("db", "g!")];

/// Words that promise to come back.
const WORDS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// The same, as people say it.
const LATER: &str = concat!("for", " now");

/// Folders that belong to the machine on which somebody worked.
const MACHINE: [&str; 4] = [concat!("/wo", "rk/"), concat!("/t", "mp/"), concat!("/ro", "ot/"), concat!("/fa", "rm/")];

/// Lines that are too wide, but for those that cannot be broken: rows of tables, and literals, code in examples
/// included.
pub(super) fn width(file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_example = false;
    for (number, line) in numbered(&file.text) {
        let comment = comment(line);
        in_example = match comment {
            Some(text) => in_example ^ text.starts_with("```"),
            None => false,
        };
        let is_code = comment.is_none() || in_example;
        let is_table = comment.is_some_and(|text| text.starts_with('|'));
        let columns = line.chars().count();
        if columns > MAX_COLUMNS && !is_table && !(is_code && line.contains('"')) {
            findings.push(Finding::new(file, number, format!("{columns} columns, of at most {MAX_COLUMNS}")));
        }
    }
    findings
}

/// Words of unfinished work.
pub(super) fn words(file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in numbered(&file.text) {
        let found = MACROS.iter().chain(&WORDS).find(|word| has_word(line, word));
        if let Some(word) = found {
            findings.push(Finding::new(file, number, format!("`{word}`")));
        }
        // A loop over instants reads the same.
        let lower = line.to_ascii_lowercase();
        if has_word(&lower, LATER) && !lower.contains(&format!("{LATER} in ")) {
            findings.push(Finding::new(file, number, format!("`{LATER}`")));
        }
    }
    findings
}

/// Paths that exist on one machine only. Lock files are cargo's.
pub(super) fn machine_paths(file: &TextFile) -> Vec<Finding> {
    if file.path.ends_with(".lock") {
        return Vec::new();
    }
    let path = |line: &str| MACHINE.iter().find(|path| has_path(line, path)).copied();
    let finding = |(number, line)| Some(Finding::new(file, number, format!("a machine's path, `{}`", path(line)?)));
    numbered(&file.text).filter_map(finding).collect()
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// The text of a line that is a comment and nothing else.
fn comment(line: &str) -> Option<&str> {
    let text = line.trim_start().strip_prefix("//")?;
    Some(text.trim_start_matches(['/', '!']).trim_start())
}

/// Whether a line has a word that is neither part of another one nor the whole of a literal, which is data: ISO 4217
/// has one of them as a code.
fn has_word(line: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        let (before, after) = (&line[..start], &line[start + word.len()..]);
        let is_literal = before.ends_with('"') && after.starts_with('"');
        !is_literal && !before.ends_with(inside) && (word.ends_with('!') || !after.starts_with(inside))
    })
}

/// Whether a path of the machine begins in this line, and does not only go on with a folder of that name.
fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(start, _)| {
        let (before, after) = (&line[..start], &line[start + path.len()..]);
        let begins = !before.ends_with(|c: char| c.is_alphanumeric() || "_-./}*".contains(c));
        begins && after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '.' || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    fn rust(text: &str) -> TextFile {
        TextFile::new("a/src/lib.rs", text)
    }

    #[test]
    fn a_line_may_have_120_characters_whatever_their_bytes() {
        let text = format!("// {}\n// {}\n", "é".repeat(117), "é".repeat(118));
        assert_eq!(at(&width(&rust(&text))), [2]);
    }

    #[test]
    fn tables_and_literals_may_be_wider_and_prose_with_quotes_may_not() {
        let wide = "x".repeat(130);
        let text =
            format!("//! | {wide} |\nlet a = \"{wide}\";\n/// \"{wide}\"\n/// ```\n/// f(\"{wide}\");\n/// ```\n");
        assert_eq!(at(&width(&rust(&text))), [3]);
        assert_eq!(at(&width(&rust(&format!("{text}/// \"{wide}\"\nf({wide});\n")))), [3, 7, 8]);
    }

    #[test]
    fn words_of_unfinished_work_are_found_wherever_they_stand() {
        for word in WORDS.iter().chain(&MACROS).chain(&[LATER]) {
            assert_eq!(at(&words(&rust(&format!("fn f() {{}}\n/* {word}() */\n")))), [2], "{word}");
        }
        assert_eq!(at(&words(&rust(&format!("// {}, {LATER}.\n", WORDS[0])))), [1, 1]);
        assert_eq!(at(&words(&rust(&format!("// F{}\n", &LATER[1..])))), [1]);
    }

    #[test]
    fn other_words_with_the_same_letters_are_not() {
        let text = format!(
            "// {0}S {1}X my_{2}() {3}adays\n{3} in moments {{}}\n\"{2}\"\n",
            WORDS[0], WORDS[2], MACROS[0], LATER
        );
        assert_eq!(words(&rust(&text)), []);
    }

    #[test]
    fn a_machines_path_is_found_in_any_text() {
        for path in MACHINE {
            let file = TextFile::new("README.md", &format!("see\n`{path}x`\n"));
            assert_eq!(at(&machine_paths(&file)), [2], "{path}");
        }
    }

    #[test]
    fn a_folder_of_the_same_name_is_no_machines_path() {
        let path = MACHINE[0];
        let text = format!("frame{path}x ..{path}x https://example.org{path}x {path}\n");
        assert_eq!(machine_paths(&TextFile::new("README.md", &text)), []);
        assert_eq!(machine_paths(&TextFile::new("Cargo.lock", &format!("{path}x"))), []);
    }
}
