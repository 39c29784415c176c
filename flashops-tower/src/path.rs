//! Paths, however they are spelled.

use std::borrow::Cow;

/// The path as a generous server reads it: letters decoded, empty segments and dots resolved, no slash at the end.
///
/// A client that spells a route differently would otherwise leave the route's limits, where the service behind is
/// such a server.
pub(crate) fn plain(path: &str) -> Cow<'_, str> {
    if is_plain(path) {
        return Cow::Borrowed(path);
    }
    let decoded = decoded(path);
    let mut segments = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    Cow::Owned(format!("/{}", segments.join("/")))
}

/// Whether a path is spelled as [`plain`] spells it. Nearly all are, so it is one pass over the bytes.
#[inline]
fn is_plain(path: &str) -> bool {
    let (mut segment_begins, mut plain) = (false, true);
    for &byte in path.as_bytes() {
        plain &= byte != b'%' && !(segment_begins && matches!(byte, b'/' | b'.'));
        segment_begins = byte == b'/';
    }
    plain && (!segment_begins || path == "/")
}

/// The path with its ASCII letters, digits and signs decoded, once; other bytes stay encoded.
fn decoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code.filter(u8::is_ascii_graphic) {
            Some(byte) => {
                text.push(char::from(byte));
                rest = &rest[at + 3..];
            }
            None => {
                text.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    text + rest
}

/// A segment with all its percent signs decoded, once; as it is, if that gives no UTF-8.
pub(crate) fn decoded_bytes(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(segment.len()), segment.as_bytes());
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.filter(|_| first == b'%').and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(segment), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_of_a_path_is_one_path() {
        for spelled in [
            "/v1/chat/completions",
            "/v1/chat/completions/",
            "//v1///chat/completions",
            "/v1/./chat/completions",
            "/v1/models/../chat/completions",
            "/../v1/chat/completions",
            "/v1/ch%61t/completions",
            "/v1%2Fchat/%63ompletions%2f",
            "/v1/models/%2e%2E/chat/completions",
        ] {
            assert_eq!(plain(spelled), "/v1/chat/completions", "{spelled}");
        }
    }

    #[test]
    fn what_is_no_spelling_stays() {
        for path in ["/", "/v1", "/a%", "/a%2", "/a%zz", "/a%\u{e9}", "/%E2%82%AC", "/a%00", "/a.b", "*", ""] {
            assert_eq!(plain(path), path, "{path}");
        }
        assert_eq!(plain("/a%2541"), "/a%41", "decoded once");
        assert_eq!(plain("/%+41"), "/%+41");
    }

    proptest! {
        #[test]
        fn any_path_has_no_empty_segment_and_no_dots(path in "[/.%2eEfFa\u{e9}]{0,20}") {
            let plain = plain(&path);
            if plain.starts_with('/') && plain != "/" {
                prop_assert!(plain[1..].split('/').all(|segment| !matches!(segment, "" | "." | "..")), "{plain}");
            }
        }
    }
}
