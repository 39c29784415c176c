use std::fmt;

/// Which routes a limit counts on: path patterns, of which the last that matches decides.
///
/// A pattern is a path of segments: `*` stands for one segment, `**` at the end for any number of them, none included,
/// and a leading `!` excludes what it matches. `["/v1/**", "!/v1/models"]` is everything below `/v1` but that one
/// route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutePatterns(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    text: String,
    has_star: bool,
    excludes: bool,
}

/// Why a text is not a route pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteError {
    pattern: String,
}

impl RoutePatterns {
    /// The most patterns that one limit may have.
    pub const MAX: usize = 64;

    /// Reads patterns.
    ///
    /// # Errors
    ///
    /// [`RouteError`] names the first pattern that does not begin with `/` or has `**` anywhere but at its end, or the
    /// first beyond [`RoutePatterns::MAX`].
    pub fn new<I>(patterns: I) -> Result<Self, RouteError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut list = Vec::new();
        for pattern in patterns {
            let text = pattern.as_ref();
            let (excludes, path) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
            let misplaced = path.strip_suffix("/**").unwrap_or(path).contains("**");
            if !path.starts_with('/') || misplaced || list.len() == Self::MAX {
                return Err(RouteError { pattern: text.to_owned() });
            }
            list.push(Pattern { text: path.to_owned(), has_star: path.contains('*'), excludes });
        }
        Ok(Self(list))
    }

    /// Whether the path of a request is one of these routes. A query is not part of the path.
    pub fn contains(&self, path: &str) -> bool {
        self.0.iter().rev().find(|pattern| pattern.matches(path)).is_some_and(|pattern| !pattern.excludes)
    }

    /// Whether only an exclusion, or nothing, was given, so that no path can match.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|pattern| pattern.excludes)
    }
}

impl Pattern {
    fn matches(&self, path: &str) -> bool {
        if !self.has_star {
            return self.text == path;
        }
        let mut segments = path.split('/');
        for wanted in self.text.split('/') {
            if wanted == "**" {
                return true;
            }
            match segments.next() {
                Some(segment) if wanted == "*" || wanted == segment => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a route pattern: it begins with `/` (or `!/`), `**` stands only at its end, at most {} a limit",
            self.pattern,
            RoutePatterns::MAX
        )
    }
}

impl std::error::Error for RouteError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(patterns: &[&str], path: &str) -> bool {
        RoutePatterns::new(patterns).unwrap().contains(path)
    }

    #[test]
    fn a_star_is_one_segment_and_two_are_any_number() {
        assert!(matches(&["/v1/**"], "/v1/chat/completions"));
        assert!(matches(&["/v1/**"], "/v1"));
        assert!(!matches(&["/v1/**"], "/v10/chat"));
        assert!(matches(&["/v1/*/runs"], "/v1/threads/runs"));
        assert!(!matches(&["/v1/*/runs"], "/v1/threads/a/runs"));
        assert!(matches(&["/**"], "/"));
    }

    #[test]
    fn the_last_matching_pattern_decides() {
        let patterns = ["/**", "!/v1/**", "/v1/models"];
        assert!(matches(&patterns, "/pets"));
        assert!(!matches(&patterns, "/v1/chat/completions"));
        assert!(matches(&patterns, "/v1/models"));
    }

    #[test]
    fn a_malformed_pattern_is_named() {
        for bad in ["v1", "", "/a/**/b", "/a**", "!v1"] {
            let error = RoutePatterns::new([bad]).unwrap_err();
            assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
        }
    }
}
