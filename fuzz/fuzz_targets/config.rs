//! The configuration reader on any text: it never panics, each error is one line of bounded length, and what it read
//! from an environment variable is in no error.
//!
//! After a first NUL the input is what every file holds. Run it with `cargo +nightly fuzz run config`.
#![no_main]

use std::io;

use flashops_core::config::{Config, Sources};
use libfuzzer_sys::fuzz_target;

/// No input of the fuzzer holds this by accident.
const SECRET: &str = "sk-5b1c9e02d7f94a36";

/// Every file is the second half of the input, every variable the secret.
struct Given<'t>(&'t str);

impl Sources for Given<'_> {
    fn file(&self, _: &str) -> io::Result<String> {
        Ok(self.0.to_owned())
    }

    fn variable(&self, _: &str) -> io::Result<String> {
        Ok(SECRET.to_owned())
    }
}

fuzz_target!(|text: &str| {
    if text.contains(SECRET) {
        return;
    }
    let (text, file) = text.split_once('\0').unwrap_or((text, ""));
    match Config::from_toml(text, &Given(file)) {
        Ok(config) => {
            assert!(config.callers().find(b"").is_none());
            assert!(!format!("{config:?}").contains(SECRET));
        }
        Err(error) => {
            let line = error.to_string();
            assert!(!line.contains(char::is_control), "{line:?}");
            assert!(line.chars().count() < 1_500, "{line}");
            assert!(!line.contains(SECRET), "{line}");
        }
    }
});
