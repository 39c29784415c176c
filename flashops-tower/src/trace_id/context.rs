use std::fmt;

use http::HeaderValue;

/// The place of a request in a trace, as the W3C's trace context has it.
///
/// ```
/// use flashops_tower::trace_id::TraceContext;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let context = TraceContext::parse(text.as_bytes()).expect("it is well-formed");
/// assert!(context.is_sampled());
/// assert_eq!(context.to_string(), text);
/// let next = context.continued();
/// assert_eq!(next.trace_id(), context.trace_id());
/// assert_ne!(next.span_id(), context.span_id());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

/// The caller records this trace.
const SAMPLED: u8 = 1;

/// The low seven bytes of the trace's identity are random.
const RANDOM: u8 = 2;

impl TraceContext {
    /// The length of a `traceparent` of version 00.
    pub const LENGTH: usize = 55;

    /// A new trace with random identities. It is not sampled.
    pub fn new() -> Self {
        Self::of(fastrand::u128(1..), RANDOM)
    }

    /// A new trace with this identity, which is not 0.
    pub(super) fn of(trace_id: u128, flags: u8) -> Self {
        Self { trace_id, span_id: fastrand::u64(1..), flags }
    }

    /// Reads a `traceparent`: of version 00, or the part of a higher version that is known. Flags that are not known
    /// are dropped.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (known, beyond) = text.split_at_checked(Self::LENGTH)?;
        let version = hex(&known[..2])?;
        let fits = match version {
            0 => beyond.is_empty(),
            0xff => false,
            _ => beyond.is_empty() || beyond[0] == b'-',
        };
        if !fits || [2, 35, 52].iter().any(|&at| known[at] != b'-') {
            return None;
        }
        let trace_id = hex(&known[3..35])?;
        let span_id = u64::try_from(hex(&known[36..52])?).ok()?;
        let flags = u8::try_from(hex(&known[53..])?).ok()? & (SAMPLED | RANDOM);
        (trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, flags })
    }

    /// The next span of the same trace.
    #[must_use]
    pub fn continued(self) -> Self {
        Self::of(self.trace_id, self.flags)
    }

    /// The identity of the trace, not 0.
    pub const fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// The identity of the span, not 0.
    pub const fn span_id(&self) -> u64 {
        self.span_id
    }

    /// Whether the caller records the trace.
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The value of the header `traceparent`, of version 00.
    pub fn header(&self) -> HeaderValue {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&mut text[3..35], self.trace_id);
        write_hex(&mut text[36..52], self.span_id.into());
        write_hex(&mut text[53..], self.flags.into());
        HeaderValue::from_bytes(&text).expect("hexadecimal digits are a header value")
    }
}

impl Default for TraceContext {
    fn default() -> Self {
        Self::new()
    }
}

/// As in the header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// The number that lower-case hexadecimal digits write, at most 32 of them.
pub(super) fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((number << 4) | u128::from(value))
    })
}

/// Writes a number with as many digits as there is room for.
pub(super) fn write_hex(room: &mut [u8], mut number: u128) {
    for digit in room.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}
