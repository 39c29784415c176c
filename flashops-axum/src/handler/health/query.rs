use axum::extract::Query;
use flashops_core::health::HealthRegistry;
use http::Uri;

/// What a probe of the Kubernetes kind asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) verbose: bool,
    /// The names of checks that do not count, each once, in their order.
    pub(super) excluded: Vec<String>,
}

/// The most names that a probe excludes; there are not more checks.
const MAX_EXCLUDED: usize = HealthRegistry::MAX_CHECKS;

/// The most characters of such a name, one more than the name of a check has: a longer one is only repeated.
const MAX_NAME: usize = HealthRegistry::MAX_NAME + 1;

impl Asked {
    /// Reads `?verbose` and `?exclude=NAME`, which may stand many times. What else is there is nobody's business.
    pub(super) fn of(uri: &Uri) -> Self {
        let mut asked = Self::default();
        if uri.query().is_none() {
            return asked;
        }
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri).map_or_else(|_| Vec::new(), |Query(pairs)| pairs);
        for (key, value) in pairs {
            match key.as_str() {
                "verbose" => asked.verbose = true,
                "exclude" => asked.exclude(&value),
                _ => {}
            }
        }
        asked
    }

    pub(super) fn excludes(&self, name: &str) -> bool {
        self.excluded.iter().any(|excluded| excluded == name)
    }

    fn exclude(&mut self, name: &str) {
        let name: String = name.chars().take(MAX_NAME).collect();
        if self.excluded.len() < MAX_EXCLUDED && !self.excluded.contains(&name) {
            self.excluded.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(query: &str) -> Asked {
        Asked::of(&format!("/readyz?{query}").parse().unwrap())
    }

    fn excluded(query: &str) -> Vec<String> {
        asked(query).excluded
    }

    #[test]
    fn a_word_is_enough_and_names_may_repeat() {
        assert_eq!(Asked::of(&"/readyz".parse().unwrap()), Asked::default());
        for query in ["verbose", "verbose=", "verbose=false", "a=b&verbose=true", "verbose&verbose"] {
            assert!(asked(query).verbose, "{query}: as with Kubernetes, it is enough that the word stands there");
        }
        assert!(!asked("verbos&xverbose&Verbose").verbose);
        assert_eq!(excluded("exclude=a&exclude=b&exclude=a"), ["a", "b"]);
        assert_eq!(excluded("exclude=a%2Eb&exclude=c+d&exclude"), ["a.b", "c d", ""]);
    }

    #[test]
    fn names_are_bounded_in_number_and_length() {
        let many: Vec<String> = (0..1_000).map(|index| format!("exclude=check-{index}")).collect();
        assert_eq!(excluded(&many.join("&")).len(), HealthRegistry::MAX_CHECKS);
        let longest = "x".repeat(HealthRegistry::MAX_NAME);
        assert_eq!(excluded(&format!("exclude={longest}")), [longest.as_str()]);
        assert_eq!(excluded(&format!("exclude={longest}xyz")), [longest + "x"], "and it is no name of a check");
    }

    /// Writes every byte of a name as a client may do that is in doubt.
    fn encoded(name: &str) -> String {
        name.bytes().map(|byte| format!("%{byte:02X}")).collect()
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_read_whatever_stands_around_it(
            names in prop::collection::vec("\\PC{0,20}", 0..10),
            noise in "[a-z=%+&;]{0,20}",
            verbose: bool,
        ) {
            let mut query: String = names.iter().map(|name| format!("exclude={}&", encoded(name))).collect();
            query += if verbose { "verbose" } else { "" };
            let read = asked(&format!("{query}&x{noise}"));
            prop_assert_eq!(read.verbose, verbose || noise.split('&').skip(1).any(|pair| pair.split('=').next() == Some("verbose")));
            let mut once: Vec<String> = Vec::new();
            names.into_iter().for_each(|name| if !once.contains(&name) { once.push(name) });
            prop_assert_eq!(&read.excluded[..once.len()], &once[..]);
        }

        #[test]
        fn no_query_panics_or_goes_beyond_the_bounds(query in "[ -~]{0,400}") {
            let Ok(uri) = format!("/readyz?{query}").parse::<Uri>() else { return Ok(()) };
            let read = Asked::of(&uri);
            prop_assert!(read.excluded.len() <= MAX_EXCLUDED);
            prop_assert!(read.excluded.iter().all(|name| name.chars().count() <= MAX_NAME));
        }
    }
}
