use http::{HeaderMap, HeaderValue};

use super::headers::X_REQUEST_ID;

/// The identity of a request, safe to be written into headers and bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId<'a>(&'a str);

impl<'a> RequestId<'a> {
    /// The longest, in bytes.
    pub const MAX: usize = 128;

    /// This text, if it is 1 to [`RequestId::MAX`] letters, digits, `.`, `_` or `-`.
    pub fn new(text: &'a str) -> Option<Self> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        ((1..=Self::MAX).contains(&text.len()) && text.bytes().all(fits)).then_some(Self(text))
    }

    /// The identity in a header value, under the same conditions.
    pub fn from_value(value: &'a HeaderValue) -> Option<Self> {
        value.to_str().ok().and_then(Self::new)
    }

    /// The identity in the `x-request-id` of a request, under the same conditions. Of several the first counts.
    pub fn of(headers: &'a HeaderMap) -> Option<Self> {
        headers.get(X_REQUEST_ID).and_then(Self::from_value)
    }

    /// The text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_identity_is_128_letters_digits_dots_dashes_and_underscores_at_most() {
        let longest = "a".repeat(128);
        for good in ["req_011CSH.x-7", "0", longest.as_str()] {
            assert_eq!(RequestId::new(good).map(RequestId::as_str), Some(good));
        }
        let too_long = "a".repeat(129);
        for bad in ["", " ", "a b", "a\"b", "a\\", "a\r\nset-cookie: x", "é", too_long.as_str()] {
            assert_eq!(RequestId::new(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_from_a_header_needs_no_escape_anywhere(bytes in prop::collection::vec(any::<u8>(), 0..140)) {
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
            if let Some(id) = RequestId::from_value(&value) {
                prop_assert_eq!(serde_json::to_string(id.as_str()).unwrap(), format!("\"{}\"", id.as_str()));
                prop_assert!(id.as_str().bytes().all(|b| b.is_ascii_graphic()));
            }
        }
    }
}
