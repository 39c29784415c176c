//! The lists `RateLimit` and `RateLimit-Policy` of the IETF draft, as structured fields (RFC 9651).

use std::time::Duration;

use arrayvec::ArrayVec;
use flashops_core::limit::Resource;
use http::{HeaderMap, HeaderName};

use super::told::{LimitId, MAX_LIMITS, Said, Told};
use super::value;
use crate::reject::headers::{RATELIMIT, RATELIMIT_POLICY};

/// The most items of a list that are looked at.
const MAX_ITEMS: usize = 5;

/// One item: its name in quotes, and the parameters that the draft knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Item<'a> {
    name: &'a str,
    /// What is left.
    r: Option<u64>,
    /// For how many seconds.
    t: Option<u64>,
    /// All that there is.
    q: Option<u64>,
    /// The window in seconds.
    w: Option<u64>,
    /// The unit.
    qu: Option<&'a str>,
}

type Items<'a> = ArrayVec<Item<'a>, MAX_ITEMS>;

/// Adds what the lists say. One that is malformed is passed over whole, as the draft wants it.
pub(super) fn read(headers: &HeaderMap, told: &mut Told) {
    let mut field = |name| match items(headers, name) {
        Some(items) => items,
        None => {
            told.malformed += 1;
            Items::new()
        }
    };
    let (states, policies) = (field(RATELIMIT), field(RATELIMIT_POLICY));
    for state in states {
        let policy = policies.iter().find(|policy| policy.name == state.name).copied().unwrap_or_default();
        let Some(remaining) = state.r else {
            told.malformed += 1;
            continue;
        };
        // What has no end is not known to be so a moment later.
        let (Some(seconds), Some(resource)) = (state.t.or(policy.w), resource(policy.qu)) else { continue };
        let (id, reset) = (LimitId(hash(state.name)), Duration::from_secs(seconds));
        let said = Said { id, resource, limit: policy.q, remaining, reset, late_output: false };
        if told.limits.len() < MAX_LIMITS {
            told.limits.push(said);
        }
    }
}

/// What a unit counts, if it counts something that is known before a request is sent.
fn resource(unit: Option<&str>) -> Option<Resource> {
    match unit {
        None | Some("requests" | "request") => Some(Resource::Requests),
        Some("tokens") => Some(Resource::Tokens),
        Some("input-tokens") => Some(Resource::InputTokens),
        Some("output-tokens") => Some(Resource::OutputTokens),
        Some(_) => None,
    }
}

/// FNV-1a, apart from the places of headers: two names of one provider that have the same are one limit, the stricter.
fn hash(name: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, step) | 1 << 63
}

/// All items of a field; none at all if any line is malformed.
fn items(headers: &HeaderMap, name: HeaderName) -> Option<Items<'_>> {
    let mut all = Items::new();
    for line in headers.get_all(name) {
        let mut list = List { rest: value::text(line)? };
        while !list.rest.is_empty() {
            let item = list.item()?;
            if !all.is_full() {
                all.push(item);
            }
            list.comma()?;
        }
    }
    Some(all)
}

/// What is left of a list.
struct List<'a> {
    rest: &'a str,
}

impl<'a> List<'a> {
    fn item(&mut self) -> Option<Item<'a>> {
        const KNOWN: [&str; 5] = ["r", "t", "q", "w", "qu"];
        let name = self.string()?;
        let mut values = [None; KNOWN.len()];
        while self.semicolon() {
            let key = self.key()?;
            let value = if self.take('=') { self.bare()? } else { "?1" };
            // Of a key that stands there twice, the last one counts.
            if let Some(place) = KNOWN.iter().position(|known| *known == key) {
                values[place] = Some(value);
            }
        }
        let [r, t, q, w, qu] = values;
        let number = |value: Option<&str>| value.map_or(Some(None), |value| value::number(value).map(Some));
        let text = |value: &'a str| value.strip_prefix('"')?.strip_suffix('"');
        let qu = if let Some(unit) = qu { Some(text(unit)?) } else { None };
        Some(Item { name, r: number(r)?, t: number(t)?, q: number(q)?, w: number(w)?, qu })
    }

    /// Whether a parameter follows.
    fn semicolon(&mut self) -> bool {
        self.rest = self.rest.trim_start_matches(' ');
        let follows = self.take(';');
        self.rest = self.rest.trim_start_matches(' ');
        follows
    }

    /// What separates two items; `None` if something else follows, or nothing does.
    fn comma(&mut self) -> Option<()> {
        let space = [' ', '\t'];
        self.rest = self.rest.trim_start_matches(space);
        if self.rest.is_empty() {
            return Some(());
        }
        self.take(',').then_some(())?;
        self.rest = self.rest.trim_start_matches(space);
        (!self.rest.is_empty()).then_some(())
    }

    fn take(&mut self, sign: char) -> bool {
        let tail = self.rest.strip_prefix(sign);
        self.rest = tail.unwrap_or(self.rest);
        tail.is_some()
    }

    fn split(&mut self, at: usize) -> &'a str {
        let (head, tail) = self.rest.split_at(at);
        self.rest = tail;
        head
    }

    /// A string with its quotes. Escapes stay: each character has one spelling.
    fn string(&mut self) -> Option<&'a str> {
        let bytes = self.rest.as_bytes();
        let mut at = usize::from(bytes.first() == Some(&b'"'));
        loop {
            match bytes.get(at).filter(|_| at > 0)? {
                b'"' => return Some(self.split(at + 1)),
                b'\\' if matches!(bytes.get(at + 1)?, b'"' | b'\\') => at += 2,
                b'\\' => return None,
                b' '..=b'~' => at += 1,
                _ => return None,
            }
        }
    }

    fn key(&mut self) -> Option<&'a str> {
        let of_key = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte);
        let first = self.rest.bytes().next()?;
        let end = self.rest.bytes().position(|byte| !of_key(byte)).unwrap_or(self.rest.len());
        (first.is_ascii_lowercase() || first == b'*').then(|| self.split(end))
    }

    /// The value of a parameter, of which only strings and numbers are looked into.
    fn bare(&mut self) -> Option<&'a str> {
        if self.rest.starts_with('"') {
            return self.string();
        }
        let end = self.rest.find([' ', '\t', ';', ',', '"']).unwrap_or(self.rest.len());
        (end > 0).then(|| self.split(end))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;
    use sfv::BareItem;

    use super::*;

    fn told(lines: &[(HeaderName, &str)]) -> Told {
        let mut headers = HeaderMap::new();
        for (name, line) in lines {
            headers.append(name, HeaderValue::from_str(line).unwrap());
        }
        let mut told = Told::default();
        read(&headers, &mut told);
        told
    }

    fn numbers(told: &Told) -> Vec<(Resource, Option<u64>, u64, u64)> {
        told.limits.iter().map(|said| (said.resource, said.limit, said.remaining, said.reset.as_secs())).collect()
    }

    #[test]
    fn a_state_has_the_unit_and_the_amount_of_its_policy() {
        let told = told(&[
            (RATELIMIT_POLICY, r#""rpm";q=100;w=60, "tpm";q=5000;qu="tokens";w=60"#),
            (RATELIMIT_POLICY, r#""open";q=3;qu="concurrent-requests", "day";q=9;w=86400;pk=:QQ==:"#),
            (RATELIMIT, r#""tpm";r=40;t=17, "rpm";r=7;t=30;x="a\"b";y"#),
            (RATELIMIT, r#""open";r=1, "day";r=2"#),
        ]);
        let expected = [
            (Resource::Tokens, Some(5_000), 40, 17),
            (Resource::Requests, Some(100), 7, 30),
            (Resource::Requests, Some(9), 2, 86_400),
        ];
        assert_eq!((numbers(&told), told.malformed), (expected.to_vec(), 0));
        assert_ne!(told.limits[1].id, told.limits[2].id);
    }

    #[test]
    fn a_malformed_list_is_passed_over_whole_and_counted() {
        for line in [
            "limit=100, remaining=50, reset=5",
            r#""a";r=1;t=5,"#,
            r#""a";r=1;t=5 "b";r=1"#,
            r#""a";r=-1;t=5"#,
            r#""a";r=1.5;t=5"#,
            r#""a";r=1;t="5""#,
            r#""a";t=5"#,
            r#""a;r=1;t=5"#,
            r#"("a");r=1;t=5"#,
            r#""a";R=1;t=5"#,
            r#""a";r=;t=5"#,
        ] {
            let told = told(&[(RATELIMIT, line)]);
            assert_eq!((numbers(&told), told.malformed), (vec![], 1), "{line}");
        }
    }

    #[test]
    fn a_list_of_any_length_takes_bounded_room() {
        let line = (0..100).map(|i| format!("\"{i}\";r=1;t=1")).collect::<Vec<_>>().join(",");
        assert_eq!(told(&[(RATELIMIT, &line)]).limits.len(), MAX_ITEMS);
    }

    fn is_of_the_draft(entry: &sfv::ListEntry) -> bool {
        let sfv::ListEntry::Item(item) = entry else { return false };
        let parameter = |(key, value): (&sfv::Key, &BareItem)| match key.as_str() {
            "r" | "t" => matches!(value, BareItem::Integer(number) if i64::from(*number) >= 0),
            "qu" => matches!(value, BareItem::String(_)),
            _ => true,
        };
        matches!(item.bare_item, BareItem::String(_)) && item.params.iter().all(parameter)
    }

    proptest! {
        /// The oracle is another reader of structured fields: what it takes for a list of strings with the right types
        /// of parameters is one, and what it takes for something else is not.
        #[test]
        fn what_another_reader_reads_is_read(
            first in r#""[ab ]{0,2}"|a"#,
            parameters in r#"(;(r|t|qu|b|R)(=([0-9]{1,2}|"[a ]?"|:QQ==:|\?1)?)?){0,3}"#,
            second in r#"([ ,]{0,3}"c";r=[0-9])?"#,
        ) {
            let line = first + &parameters + &second;
            let mut headers = HeaderMap::new();
            headers.insert(RATELIMIT, HeaderValue::from_str(&line).unwrap());
            let ours = items(&headers, RATELIMIT).map(|items| items.len());
            if let Ok(list) = sfv::Parser::new(line.as_str()).parse::<sfv::List>() {
                let theirs = list.iter().all(is_of_the_draft).then_some(list.len());
                prop_assert_eq!(ours, theirs, "{}", line);
            }
        }

        #[test]
        fn any_line_is_read_or_not(line in "[\"\\\\;,=:a-c0-9 ?()-]{0,40}") {
            let _ = told(&[(RATELIMIT, &line), (RATELIMIT_POLICY, &line)]);
        }
    }
}
