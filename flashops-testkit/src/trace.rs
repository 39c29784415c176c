//! Request traces: when requests came, and how many tokens they had.
//!
//! ```
//! use std::time::Duration;
//! use flashops_testkit::trace;
//!
//! let requests = trace::generate(7, 100, Duration::from_secs(60));
//! assert_eq!(trace::parse(&trace::write(&requests))?, requests);
//! assert_eq!(requests[0].at, Duration::ZERO);
//! # Ok::<(), trace::TraceError>(())
//! ```
//!
//! The form is that of the Azure LLM inference traces: CSV with the columns `TIMESTAMP,ContextTokens,GeneratedTokens`
//! and timestamps like `2023-11-16 18:15:46.6805900`, in order, without a zone.
//!
//! Edge cases: lines may end with CR LF, the last one needs no end, and empty lines at the end are skipped. A timestamp
//! before the one above it, a count over [`MAX_TOKENS`] and more than [`MAX_REQUESTS`] lines are errors that name the
//! line. Requests at the same instant are fine.
//!
//! What this module does not do: read quoted CSV, other columns, or compressed files.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::civil::DateTime;

/// The most requests of a trace.
pub const MAX_REQUESTS: usize = 1_000_000;
/// The most tokens of a prompt or of an answer: what the stub provider produces at most.
pub const MAX_TOKENS: u64 = crate::stub::MAX_WORDS;

const HEADER: &str = "TIMESTAMP,ContextTokens,GeneratedTokens";
/// Where generated traces begin: 2024-01-01 00:00:00.
const START: DateTime = DateTime::constant(2024, 1, 1, 0, 0, 0, 0);

/// One request of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceRequest {
    /// When it came, after the first one.
    pub at: Duration,
    /// Tokens of its prompt.
    pub context: u64,
    /// Tokens of its answer.
    pub generated: u64,
}

/// What is wrong with a trace, and in which line.
#[derive(Debug)]
#[non_exhaustive]
pub enum TraceError {
    /// The file cannot be read.
    Read(io::Error),
    /// The first line is not the names of the columns.
    Header,
    /// There is no request.
    Empty,
    /// There are more than [`MAX_REQUESTS`] requests.
    TooMany,
    /// A line that is not a request.
    Line {
        /// Its number; the header is line 1.
        number: usize,
        /// What is wrong with it.
        mistake: Mistake,
    },
}

/// What is wrong with one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mistake {
    /// It has not exactly three columns.
    Columns,
    /// Its first column is no timestamp.
    Timestamp,
    /// Its timestamp is before that of the line above.
    Order,
    /// A count is no whole number from 0 to [`MAX_TOKENS`].
    Tokens,
}

impl fmt::Display for TraceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(formatter, "cannot read the trace: {error}"),
            Self::Header => write!(formatter, "line 1: expected the columns {HEADER}"),
            Self::Empty => formatter.write_str("the trace has no requests"),
            Self::TooMany => write!(formatter, "the trace has more than {MAX_REQUESTS} requests"),
            Self::Line { number, mistake } => write!(formatter, "line {number}: {mistake}"),
        }
    }
}

impl std::error::Error for TraceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Columns => write!(formatter, "expected three columns, {HEADER}"),
            Self::Timestamp => formatter.write_str("expected a timestamp like 2023-11-16 18:15:46.6805900"),
            Self::Order => formatter.write_str("the timestamp is before the one above it"),
            Self::Tokens => write!(formatter, "expected whole numbers of tokens, from 0 to {MAX_TOKENS}"),
        }
    }
}

/// Reads a trace from a file.
///
/// # Errors
///
/// When the file cannot be read or is not a trace.
pub fn load(path: impl AsRef<Path>) -> Result<Vec<TraceRequest>, TraceError> {
    parse(&fs::read_to_string(path).map_err(TraceError::Read)?)
}

/// Reads a trace from its text.
///
/// # Errors
///
/// When the text is not a trace.
pub fn parse(text: &str) -> Result<Vec<TraceRequest>, TraceError> {
    let mut lines = text.trim_end().lines();
    if lines.next().map(str::trim) != Some(HEADER) {
        return Err(TraceError::Header);
    }
    let mut requests = Vec::new();
    let mut first = None;
    for (index, line) in lines.enumerate() {
        if index == MAX_REQUESTS {
            return Err(TraceError::TooMany);
        }
        let previous = requests.last().map_or(Duration::ZERO, |request: &TraceRequest| request.at);
        let request = parse_line(line, &mut first, previous)
            .map_err(|mistake| TraceError::Line { number: index + 2, mistake })?;
        requests.push(request);
    }
    if requests.is_empty() { Err(TraceError::Empty) } else { Ok(requests) }
}

/// Writes a trace, beginning at 2024-01-01 00:00:00; what is finer than 100 ns is cut off.
pub fn write(requests: &[TraceRequest]) -> String {
    let mut text = format!("{HEADER}\n");
    for request in requests {
        let time =
            START.saturating_add(jiff::SignedDuration::try_from(request.at).unwrap_or(jiff::SignedDuration::MAX));
        let ticks = time.subsec_nanosecond() / 100;
        let TraceRequest { context, generated, .. } = request;
        text += &format!("{}.{ticks:07},{context},{generated}\n", time.strftime("%Y-%m-%d %H:%M:%S"));
    }
    text
}

/// Makes up a trace: the same for the same arguments, on every machine.
///
/// Requests come in bursts of one to eight with pauses between them, about `span` in all. Token counts are spread as in
/// real traces: many small ones and few large ones, around 700 for prompts and 120 for answers.
pub fn generate(seed: u64, count: usize, span: Duration) -> Vec<TraceRequest> {
    let mut random = SplitMix64::new(seed);
    let mut at = Duration::ZERO;
    let mut left_in_burst = 0;
    let pause = pause_between_bursts(count, span);
    let mut requests = Vec::with_capacity(count.min(MAX_REQUESTS));
    for index in 0..count.min(MAX_REQUESTS) {
        if left_in_burst == 0 {
            left_in_burst = 1 + random.below(8);
            if index > 0 {
                at += micros(random.below(2 * pause + 1));
            }
        } else {
            at += micros(random.below(200_000));
        }
        left_in_burst -= 1;
        let context = spread(&mut random, 700, 100).clamp(4, 4_096);
        let generated = spread(&mut random, 120, 70).clamp(4, 1_000);
        requests.push(TraceRequest { at, context, generated });
    }
    requests
}

/// SplitMix64, the generator of Steele, Lea and Flood: small, fast, and the same everywhere. Not for secrets.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// A generator whose numbers follow from the seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a bound; 0 if the bound is 0. Even to within one part in 2^64 / bound.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next_u64() as u128 * bound as u128) >> 64) as u64
    }
}

fn parse_line(line: &str, first: &mut Option<DateTime>, previous: Duration) -> Result<TraceRequest, Mistake> {
    let mut columns = line.split(',').map(str::trim);
    let (Some(time), Some(context), Some(generated), None) =
        (columns.next(), columns.next(), columns.next(), columns.next())
    else {
        return Err(Mistake::Columns);
    };
    let time: DateTime = time.parse().map_err(|_| Mistake::Timestamp)?;
    let first = *first.get_or_insert(time);
    let at = Duration::try_from(time.duration_since(first)).map_err(|_| Mistake::Order)?;
    if at < previous {
        return Err(Mistake::Order);
    }
    Ok(TraceRequest { at, context: tokens(context)?, generated: tokens(generated)? })
}

fn tokens(text: &str) -> Result<u64, Mistake> {
    text.parse().ok().filter(|tokens| *tokens <= MAX_TOKENS).ok_or(Mistake::Tokens)
}

/// Microseconds between bursts of 4.5 requests on average, each 0.1 s after the other, that fill the span.
fn pause_between_bursts(count: usize, span: Duration) -> u64 {
    let bursts = (2 * count as u64 / 9).max(1);
    let span = u64::try_from(span.as_micros()).unwrap_or(u64::MAX).min(u64::MAX / 4);
    (span / bursts).saturating_sub(350_000)
}

const fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// A number around a median whose logarithm is bell-shaped: eight dice, thrown in sixteenths of an octave. Integers
/// only, because a float's exponential is not the same on every machine.
fn spread(random: &mut SplitMix64, median: u64, width: u64) -> u64 {
    /// 2^(n/16) in 1/65536.
    const SIXTEENTHS: [u64; 16] = [
        65_536, 68_438, 71_468, 74_632, 77_936, 81_386, 84_990, 88_752, 92_682, 96_785, 101_070, 105_545, 110_218,
        115_098, 120_194, 125_515,
    ];
    let dice: u64 = (0..8).map(|_| random.below(width / 4 + 1)).sum();
    let (octaves, sixteenths) = (dice / 16, (dice % 16) as usize);
    let scaled = ((median * SIXTEENTHS[sixteenths]) << octaves) >> 16;
    // The dice are on average at `width`, which is to be no change.
    let (octaves, sixteenths) = (width / 16, (width % 16) as usize);
    ((scaled << 16) / SIXTEENTHS[sixteenths]) >> octaves
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mistake(lines: &str) -> (usize, Mistake) {
        match parse(&format!("{HEADER}\n2023-11-16 18:15:46.68,1,2\n{lines}")) {
            Err(TraceError::Line { number, mistake }) => (number, mistake),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_generated_trace_lasts_about_its_span_and_has_many_small_and_few_large_requests() {
        let trace = generate(1, 10_000, Duration::from_secs(20_000));
        let last = trace[trace.len() - 1].at.as_secs();
        assert!((18_000..22_000).contains(&last), "{last}");
        let mut contexts: Vec<u64> = trace.iter().map(|request| request.context).collect();
        contexts.sort_unstable();
        assert!((500..900).contains(&contexts[5_000]), "{}", contexts[5_000]);
        assert!(contexts[9_500] > 3 * contexts[5_000], "{}", contexts[9_500]);
        let bursts = trace.windows(2).filter(|pair| pair[1].at - pair[0].at < Duration::from_millis(200));
        assert!(bursts.count() > 7_000);
    }

    #[test]
    fn times_count_from_the_first_request_to_the_last_digit() {
        let text = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-12-31 23:59:59.6805900,374,44\r\n\
                    2024-01-01 00:00:00.0000001,396,109\r\n2024-01-01 00:00:00.0000001,0,0";
        let trace = parse(text).unwrap();
        let at: Vec<u128> = trace.iter().map(|request| request.at.as_nanos()).collect();
        assert_eq!(at, [0, 319_410_100, 319_410_100]);
        assert_eq!((trace[1].context, trace[1].generated), (396, 109));
    }

    #[test]
    fn every_mistake_names_its_line() {
        assert_eq!(mistake("2023-11-16 18:15:47,1"), (3, Mistake::Columns));
        assert_eq!(mistake("2023-11-16 18:15:47,1,2,3"), (3, Mistake::Columns));
        assert_eq!(mistake("\n2023-11-16 18:15:47,1,2"), (3, Mistake::Columns));
        assert_eq!(mistake("yesterday,1,2"), (3, Mistake::Timestamp));
        assert_eq!(mistake("2023-11-16 18:15:47,1,2\n2023-11-16 18:15:46.9,1,2"), (4, Mistake::Order));
        assert_eq!(mistake("2023-11-16 18:15:46.67,1,2"), (3, Mistake::Order));
        assert_eq!(mistake("2023-11-16 18:15:47,-1,2"), (3, Mistake::Tokens));
        assert_eq!(mistake("2023-11-16 18:15:47,1,1000001"), (3, Mistake::Tokens));
        assert!(matches!(parse("a,b,c\n"), Err(TraceError::Header)));
        assert!(matches!(parse(HEADER), Err(TraceError::Empty)));
        assert_eq!(
            parse(&format!("{HEADER}\nx,1,2")).unwrap_err().to_string(),
            "line 2: expected a timestamp like 2023-11-16 18:15:46.6805900"
        );
    }

    #[test]
    fn the_random_numbers_are_those_of_splitmix64() {
        // The first values of the reference implementation for the seed 1234567.
        let mut random = SplitMix64::new(1_234_567);
        assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
        assert_eq!(random.below(0), 0);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seed: u64, count in 1_usize..50, seconds in 0_u64..100_000) {
            let trace = generate(seed, count, Duration::from_secs(seconds));
            prop_assert_eq!(trace.len(), count);
            prop_assert_eq!(parse(&write(&trace)).unwrap(), trace);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,80}") {
            let _ = parse(&text);
            let _ = parse(&format!("{HEADER}\n{text}"));
        }
    }
}
