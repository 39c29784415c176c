//! How long functions are.

use super::Finding;
use crate::tree::TextFile;

/// What fits on a screen.
const MAX_LINES: usize = 70;

/// Functions that are too long, tests included.
pub(super) fn length(file: &TextFile) -> Vec<Finding> {
    let lines: Vec<&str> = file.text.lines().collect();
    let mut findings = Vec::new();
    for start in (0..lines.len()).filter(|&start| opens_function(lines[start])) {
        let length = lines_of(&lines[start..]);
        if length > MAX_LINES {
            let what = format!("a function of {length} lines, of at most {MAX_LINES}");
            findings.push(Finding::new(file, start + 1, what));
        }
    }
    findings
}

fn opens_function(line: &str) -> bool {
    let mut rest = line.trim_start();
    if let Some(after) = rest.strip_prefix("pub") {
        rest = if after.starts_with('(') { after.split_once(") ").map_or("", |(_, rest)| rest) } else { after };
    }
    let rest = rest.split_whitespace().find(|word| !matches!(*word, "const" | "async" | "unsafe" | "extern" | "\"C\""));
    rest == Some("fn")
}

/// From the line that opens a function to the one that closes it, which is the next brace of the same indentation.
fn lines_of(lines: &[&str]) -> usize {
    let indentation = indentation(lines[0]);
    let header = lines.iter().position(|line| code(line).ends_with(['{', ';', '}'])).unwrap_or(0);
    if !code(lines[header]).ends_with('{') {
        return header + 1;
    }
    let closes = |line: &&str| line.trim_start().starts_with('}') && self::indentation(line) == indentation;
    let body = lines[header + 1..].iter().position(closes);
    body.map_or(lines.len(), |body| header + 1 + body + 1)
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The line without a comment at its end.
fn code(line: &str) -> &str {
    line.split(" //").next().unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A function of so many lines in all.
    fn function(header: &str, lines: usize) -> String {
        let indentation = &header[..indentation(header)];
        let body = format!("{indentation}    if a {{\n{indentation}    }}\n").repeat(lines / 2 - 1);
        let odd = if lines % 2 == 1 { "\n" } else { "" };
        format!("{header}\n{body}{odd}{indentation}}}\n")
    }

    fn found(text: &str) -> Vec<usize> {
        length(&TextFile::new("a/src/lib.rs", text)).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_function_may_have_70_lines() {
        assert_eq!(found(&function("fn f() {", 70)), []);
        assert_eq!(found(&function("fn f() {", 71)), [1]);
    }

    #[test]
    fn every_kind_of_function_is_measured() {
        for header in [
            "pub fn f() {",
            "    pub(super) async fn f() {",
            "pub const unsafe fn f() { // why",
            "extern \"C\" fn f() {",
        ] {
            assert_eq!(found(&function(header, 71)), [1], "{header}");
        }
    }

    #[test]
    fn the_lines_of_its_header_count() {
        let header = "fn f(\n    a: u8,\n) -> u8\nwhere\n    u8: Copy,\n{";
        let rest = function("fn f() {", 65);
        let text = rest.replacen("fn f() {", header, 1);
        assert_eq!(text.lines().count(), 70);
        assert_eq!(found(&text), []);
        assert_eq!(found(&text.replacen("    if", "\n    if", 1)), [1]);
    }

    #[test]
    fn a_function_without_a_body_ends_at_its_semicolon() {
        let text = format!("trait T {{\n    fn f(\n        &self,\n    );\n{}}}\n", "    // more\n".repeat(80));
        assert_eq!(found(&text), []);
        assert_eq!(found(&format!("impl T {{\n    fn f() {{}}\n{}}}\n", "    const A: u8 = 1;\n".repeat(80))), []);
    }

    #[test]
    fn short_functions_after_each_other_are_not_one() {
        assert_eq!(found(&function("    fn f() {", 40).repeat(3)), []);
    }
}
