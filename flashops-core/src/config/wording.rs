//! The reader's messages in the words of a configuration file, without the values that they quote: one can be a key.

/// A longer name is shown nowhere.
const MAX_NAME: usize = 24;

/// How far a mistyped name may be from the one that is suggested.
const MAX_DISTANCE: usize = 2;

/// What the reader says, in plain words.
pub(super) fn plain(message: &str) -> String {
    unknown_key(message)
        .or_else(|| missing_key(message))
        .or_else(|| wrong_type(message))
        .unwrap_or_else(|| message.to_owned())
}

/// Whether this can be a mistyped name of ours, and is surely no API key: those have digits, capitals or hyphens.
pub(super) fn is_plain_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// `; did you mean …?`, or nothing if no name is near.
pub(super) fn suggestion<'n>(given: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    let near = names.into_iter().map(|name| (distance(given, name), name)).min();
    match near {
        Some((changes, name)) if is_slip(changes, given, name) => format!("; did you mean `{name}`?"),
        _ => String::new(),
    }
}

/// Names in backticks, as a choice: `a`, `b` or `c`.
pub(super) fn choice<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let mut quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    let Some(last) = quoted.pop() else {
        return String::new();
    };
    if quoted.is_empty() { last } else { format!("{} or {last}", quoted.join(", ")) }
}

/// Whether so few letters differ that nothing else can be meant. The first is seldom wrong.
fn is_slip(changes: usize, given: &str, name: &str) -> bool {
    let same_start = given.get(..1) == name.get(..1);
    changes <= name.len() / 2 && (changes <= 1 || (changes <= MAX_DISTANCE && same_start))
}

fn unknown_key(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field `")?;
    let (key, expected) = rest.rsplit_once("`, expected ")?;
    // Between backticks, every second part is a name.
    let names: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let more = match suggestion(key, names.iter().copied()) {
        none if none.is_empty() => format!("; the keys here are {}", names.join(", ")),
        near => near,
    };
    Some(format!("unknown key `{}`{more}", if is_plain_name(key) { key } else { "…" }))
}

fn missing_key(message: &str) -> Option<String> {
    let key = message.strip_prefix("missing field ")?;
    Some(format!("{key} is missing"))
}

fn wrong_type(message: &str) -> Option<String> {
    let rest = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "))?;
    let (found, expected) = rest.rsplit_once(", expected ")?;
    // The value follows its kind in quotes.
    let kind = found.split(['`', '"']).next().unwrap_or("").trim();
    let double = match (kind, expected) {
        ("map", "a sequence") => "; a section that can stand several times has two brackets, `[[…]]`",
        _ => "",
    };
    let wanted = expected_kind(expected);
    let found = match kind {
        "integer" if !wanted.starts_with("a whole number") => "a whole number",
        "integer" if found.contains("`-") => "a negative number",
        "integer" => "one that is too large",
        kind => found_kind(kind),
    };
    Some(format!("expected {wanted}, found {found}{double}"))
}

fn expected_kind(kind: &str) -> &str {
    match kind {
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "a string" => "a text in quotes",
        "u64" => "a whole number, 0 or more",
        kind if kind.starts_with("struct ") => "a table",
        kind => kind,
    }
}

fn found_kind(kind: &str) -> &str {
    match kind {
        "boolean" => "true or false",
        "floating point" => "a number with a fraction",
        "map" => "a table",
        "sequence" => "an array",
        "string" => "a text",
        kind => kind,
    }
}

/// How many letters must be added, dropped or replaced to make one name of the other; too many for a long text.
fn distance(given: &str, name: &str) -> usize {
    if given.len() > name.len() + MAX_DISTANCE {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=name.len()).collect();
    for (i, a) in given.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in name.bytes().enumerate() {
            let replaced = diagonal + usize::from(!a.eq_ignore_ascii_case(&b));
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        let names = ["window", "zone", "user", "org"];
        assert_eq!(suggestion("windw", names), "; did you mean `window`?");
        assert_eq!(suggestion("wind", names), "; did you mean `window`?");
        assert_eq!(suggestion("zoen", names), "; did you mean `zone`?");
        assert_eq!(suggestion("Org", names), "; did you mean `org`?");
        for far in ["", "colour", "win", "so", &"window".repeat(1 << 16)] {
            assert_eq!(suggestion(far, names), "", "{far}");
        }
    }

    #[test]
    fn distance_is_the_number_of_single_letter_changes() {
        for (a, b, changes) in [("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3), ("ab", "ba", 2)] {
            assert_eq!(distance(a, b), changes, "{a} {b}");
        }
    }

    #[test]
    fn a_value_that_the_reader_quotes_is_dropped() {
        for (message, expected) in [
            ("invalid type: string \"sk, expected `x`\", expected a boolean", "expected true or false, found a text"),
            ("invalid type: integer `7`, expected a string", "expected a text in quotes, found a whole number"),
            (
                "invalid value: integer `-7`, expected u64",
                "expected a whole number, 0 or more, found a negative number",
            ),
        ] {
            assert_eq!(plain(message), expected);
        }
    }
}
