//! What a request asks for.

mod wire_format;

pub use wire_format::WireFormat;
