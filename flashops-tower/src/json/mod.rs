//! A JSON reader that walks over text in place.
//!
//! Requests and usage reports are read with it instead of with a deserializer for three reasons: it gives the place of
//! each value, so that a request is changed without being written anew; it allocates nothing; and it sees a key that
//! occurs twice, and one that is written with escapes, which decide what a provider will bill.
//!
//! Edge cases: what is accepted is exactly RFC 8259, except that strings are not checked for UTF-8, and at most
//! 128 levels. A surrogate without its partner is accepted as long as nobody asks for the string.
//!
//! What this module does not do: build values, or write JSON.

mod cursor;
mod text;

pub(crate) use cursor::{Cursor, Fault};
pub(crate) use text::Text;
