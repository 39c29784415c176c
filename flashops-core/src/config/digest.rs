use std::cell::RefCell;
use std::hash::Hasher;
use std::io;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::Sources;

/// What a configuration was read from, as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest(u128);

/// Sources that take note of what was read.
pub(super) struct Digesting<'s> {
    sources: &'s dyn Sources,
    read: RefCell<SipHasher13>,
}

impl<'s> Digesting<'s> {
    /// Nothing but the configuration itself was read yet.
    pub(super) fn new(sources: &'s dyn Sources, text: &str) -> Self {
        let digesting = Self { sources, read: RefCell::default() };
        digesting.note(text);
        digesting
    }

    pub(super) fn digest(&self) -> Digest {
        Digest(self.read.borrow().finish128().as_u128())
    }

    /// The length tells apart where one text ends and the next begins.
    fn note(&self, text: &str) {
        let mut read = self.read.borrow_mut();
        read.write_usize(text.len());
        read.write(text.as_bytes());
    }
}

impl Sources for Digesting<'_> {
    fn file(&self, path: &str) -> io::Result<String> {
        self.sources.file(path).inspect(|text| self.note(text))
    }

    fn variable(&self, name: &str) -> io::Result<String> {
        self.sources.variable(name).inspect(|text| self.note(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, NoSources};

    /// One file and one variable.
    struct One<'t>(&'t str);

    impl Sources for One<'_> {
        fn file(&self, _: &str) -> io::Result<String> {
            Ok(self.0.to_owned())
        }

        fn variable(&self, _: &str) -> io::Result<String> {
            Ok(self.0.to_owned())
        }
    }

    fn keyed(by: &str, key: &str) -> Config {
        let text = format!("[[caller]]\n{by} = \"sk\"\nuser = \"ann\"\norg = \"acme\"\n");
        Config::from_toml(&text, &One(key)).unwrap()
    }

    #[test]
    fn a_key_that_changed_in_its_file_or_in_the_environment_is_a_change() {
        for by in ["key_file", "key_env"] {
            assert!(keyed(by, "sk-one").is_unchanged_from(&keyed(by, "sk-one")), "{by}");
            assert!(!keyed(by, "sk-one").is_unchanged_from(&keyed(by, "sk-two")), "{by}");
        }
        let plain = |text: &str| Config::from_toml(text, &NoSources).unwrap();
        assert!(!plain("").is_unchanged_from(&plain("# a comment")));
        let html = plain("[http]\nsecurity_headers = \"html\"");
        assert!(!plain("").with_http(html.http().clone()).is_unchanged_from(&plain("")));
    }
}
