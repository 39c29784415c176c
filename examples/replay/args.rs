//! The command line.

use std::ops::RangeInclusive;
use std::str::FromStr;

/// What `--help` shows.
pub(crate) const HELP: &str = "\
usage: replay --trace FILE --url http://HOST:PORT [options]
  --trace FILE   CSV with TIMESTAMP,ContextTokens,GeneratedTokens
  --url URL      the gateway, started with examples/replay.toml
  --tenants N    how many tenants share the requests (20; replay.toml has keys for 20)
  --stream F     fraction of requests that are streamed (0.5)
  --cut F        fraction of these that the client cuts (0.1)
  --speed F      how many times faster than the trace (60)
  --pace MS      milliseconds between the words of a stream that will be cut (5)
  --seed N       of all random choices (1)
  --limit N      only the first N requests";

/// The most tenants.
pub(crate) const MAX_TENANTS: usize = 10_000;
/// The longest pace: a minute for each word.
const MAX_PACE_MS: u64 = 60_000;

/// A command line, understood.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Args {
    pub(crate) trace: String,
    pub(crate) url: String,
    pub(crate) tenants: usize,
    /// Fraction of all requests.
    pub(crate) stream: Fraction,
    /// Fraction of the streamed ones.
    pub(crate) cut: Fraction,
    /// Positive and finite.
    pub(crate) speed: f64,
    pub(crate) pace_ms: u64,
    pub(crate) seed: u64,
    pub(crate) limit: usize,
}

/// A part of a whole, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fraction(u32);

impl Fraction {
    /// What a fraction is counted in.
    pub(crate) const WHOLE: u64 = 1_000_000;

    /// Whether a number drawn below [`Fraction::WHOLE`] falls into it.
    pub(crate) const fn has(self, drawn: u64) -> bool {
        drawn < self.0 as u64
    }

    fn parse(text: &str) -> Option<Self> {
        let fraction: f64 = text.parse().ok()?;
        let millionths = (fraction * Self::WHOLE as f64).round();
        (0.0..=1.0).contains(&fraction).then_some(Self(millionths as u32))
    }
}

/// Reads a command line without the program's name; nothing if it asks for help.
pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Option<Args>, String> {
    let mut args = Args {
        trace: String::new(),
        url: String::new(),
        tenants: 20,
        stream: Fraction(500_000),
        cut: Fraction(100_000),
        speed: 60.0,
        pace_ms: 5,
        seed: 1,
        limit: usize::MAX,
    };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--help" || word == "-h" {
            return Ok(None);
        }
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, words.next()),
        };
        set(&mut args, &name, value)?;
    }
    for (name, value) in [("--trace", &args.trace), ("--url", &args.url)] {
        if value.is_empty() {
            return Err(format!("{name} is missing"));
        }
    }
    Ok(Some(args))
}

fn set(args: &mut Args, name: &str, value: Option<String>) -> Result<(), String> {
    const NAMES: [&str; 9] =
        ["--trace", "--url", "--tenants", "--stream", "--cut", "--speed", "--pace", "--seed", "--limit"];
    if !NAMES.contains(&name) {
        return Err(format!("{name} is not known"));
    }
    let value = value.ok_or_else(|| format!("{name} needs a value"))?;
    let set = match name {
        "--trace" => put(&mut args.trace, Some(value.clone())),
        "--url" => put(&mut args.url, url(&value)),
        "--tenants" => put(&mut args.tenants, within(&value, 1..=MAX_TENANTS)),
        "--stream" => put(&mut args.stream, Fraction::parse(&value)),
        "--cut" => put(&mut args.cut, Fraction::parse(&value)),
        "--speed" => put(&mut args.speed, within(&value, 0.001..=1e6)),
        "--pace" => put(&mut args.pace_ms, within(&value, 0..=MAX_PACE_MS)),
        "--seed" => put(&mut args.seed, value.parse().ok()),
        _ => put(&mut args.limit, within(&value, 1..=usize::MAX)),
    };
    set.ok_or_else(|| format!("{name} {value}: expected {}", expected(name)))
}

fn put<T>(place: &mut T, value: Option<T>) -> Option<()> {
    *place = value?;
    Some(())
}

fn within<T: FromStr + PartialOrd>(text: &str, range: RangeInclusive<T>) -> Option<T> {
    text.parse().ok().filter(|value| range.contains(value))
}

fn expected(name: &str) -> String {
    match name {
        "--url" => "http://HOST:PORT".to_owned(),
        "--tenants" => format!("a number from 1 to {MAX_TENANTS}"),
        "--stream" | "--cut" => "a fraction from 0 to 1".to_owned(),
        "--speed" => "a number from 0.001 to 1000000".to_owned(),
        "--pace" => format!("milliseconds, at most {MAX_PACE_MS}"),
        "--limit" => "a positive number".to_owned(),
        _ => "a whole number".to_owned(),
    }
}

/// An address without a path, and without a slash at its end.
fn url(text: &str) -> Option<String> {
    let text = text.trim_end_matches('/');
    let authority = text.strip_prefix("http://")?;
    (!authority.is_empty() && !authority.contains(['/', '?', '#', ' '])).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Option<Args>, String> {
        parse(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn every_option_is_read_in_both_spellings() {
        let line = "--trace t.csv --url http://h:1/ --tenants 3 --stream=0.25 --cut 1 \
                    --speed=2.5 --pace 7 --seed 9 --limit 4";
        let args = parsed(line).unwrap().unwrap();
        assert_eq!((args.trace.as_str(), args.url.as_str(), args.tenants), ("t.csv", "http://h:1", 3));
        assert_eq!((args.stream, args.cut, args.speed), (Fraction(250_000), Fraction(1_000_000), 2.5));
        assert_eq!((args.pace_ms, args.seed, args.limit), (7, 9, 4));
        assert_eq!(parsed("--help"), Ok(None));
    }

    #[test]
    fn every_mistake_is_one_clear_message() {
        let mistake = |line: &str| parsed(&format!("--trace t --url http://h {line}")).unwrap_err();
        assert_eq!(parsed("--url http://h").unwrap_err(), "--trace is missing");
        assert_eq!(parsed("--trace t").unwrap_err(), "--url is missing");
        assert_eq!(mistake("--speed"), "--speed needs a value");
        assert_eq!(mistake("--sped 1"), "--sped is not known");
        assert_eq!(mistake("--url https://h"), "--url https://h: expected http://HOST:PORT");
        assert_eq!(mistake("--cut 1.1"), "--cut 1.1: expected a fraction from 0 to 1");
        assert_eq!(mistake("--tenants 0"), "--tenants 0: expected a number from 1 to 10000");
        for wrong in
            ["--stream NaN", "--speed 0", "--speed inf", "--pace -1", "--seed x", "--limit 0", "--url http:///"]
        {
            assert!(mistake(wrong).contains("expected"), "{wrong}");
        }
    }
}
