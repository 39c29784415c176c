//! How often a request lets its provider search.
//!
//! Anthropic bounds the uses of each tool (`max_uses`), `OpenAI`'s responses all calls of hosted tools together
//! (`max_tool_calls`), xAI's former live search its results. A chat completion that searches does so once, and is
//! billed for it without saying so.
//!
//! Edge cases: of a bound that is given twice the larger counts, and one that is no plain number is none.

use super::scan::Scan;
use super::{Inspected, WireFormat};
use crate::json::{Cursor, Fault, Text};

/// How many results xAI's live search has where a request does not say.
const LIVE_SEARCH_RESULTS: u64 = 20;

/// Gemini's tools that look something up for each query.
const GROUNDING: [&str; 8] = [
    "googleSearch",
    "google_search",
    "googleSearchRetrieval",
    "google_search_retrieval",
    "enterpriseWebSearch",
    "enterprise_web_search",
    "googleMaps",
    "google_maps",
];

/// What of a request can lead to searches that are billed one by one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Searches {
    /// How many the tools with a bound allow.
    bounded: u64,
    /// Tools without one.
    open: u64,
    /// How many calls of tools the request allows in all.
    calls: Option<Bound>,
    /// A chat completion searches.
    chat: bool,
}

/// How often something is allowed, as far as the request says.
#[derive(Clone, Copy, Debug)]
enum Bound {
    AtMost(u64),
    Unknown,
}

impl Searches {
    /// Whether a tool of this type searches.
    pub(super) fn is_search(kind: Text<'_>) -> bool {
        kind.decode().is_some_and(|kind| kind.starts_with("web_search") || kind == "x_search" || kind == "live_search")
    }

    /// Whether a tool of Gemini's under this key searches.
    pub(super) fn is_grounding(key: Text<'_>) -> bool {
        GROUNDING.iter().any(|name| key.is(name))
    }

    /// Adds a tool that searches, of which its uses are bounded or not.
    pub(super) const fn add(&mut self, uses: Option<u64>) {
        match uses {
            Some(uses) => self.bounded = self.bounded.saturating_add(uses),
            None => self.open += 1,
        }
    }

    fn most(&self, otherwise: u64) -> u64 {
        let tools = self.bounded.saturating_add(self.open.saturating_mul(otherwise));
        match self.calls {
            // Of a tool that says nothing, all calls of the request can be searches.
            Some(Bound::AtMost(calls)) if self.open > 0 => calls,
            Some(Bound::AtMost(calls)) => tools.min(calls),
            Some(Bound::Unknown) | None => tools,
        }
    }
}

/// The bound of a tool's uses while its members are read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Uses(Option<Bound>);

impl Uses {
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        self.0 = Some(Bound::read(cursor)?.or_larger(self.0));
        Ok(())
    }

    pub(super) const fn get(self) -> Option<u64> {
        match self.0 {
            Some(Bound::AtMost(uses)) => Some(uses),
            Some(Bound::Unknown) | None => None,
        }
    }
}

impl Bound {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        if !cursor.peek()?.is_ascii_digit() {
            cursor.skip()?;
            return Ok(Self::Unknown);
        }
        let number = std::str::from_utf8(cursor.number()?).unwrap_or_default().parse();
        Ok(number.map_or(Self::Unknown, Self::AtMost))
    }

    fn or_larger(self, other: Option<Self>) -> Self {
        match (self, other) {
            (Self::AtMost(one), Some(Self::AtMost(two))) => Self::AtMost(one.max(two)),
            (Self::AtMost(one), None) => Self::AtMost(one),
            _ => Self::Unknown,
        }
    }
}

impl Scan {
    /// `max_tool_calls` of `OpenAI`'s responses.
    pub(super) fn max_tool_calls(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        self.searches.calls = Some(Bound::read(cursor)?.or_larger(self.searches.calls));
        Ok(())
    }

    /// `web_search_options` of a chat completion.
    pub(super) fn web_search_options(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        self.searches.chat |= cursor.peek()? != b'n';
        cursor.skip()
    }

    /// `search_parameters` of xAI's chat completions.
    pub(super) fn live_search(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        if cursor.peek()? == b'n' {
            return cursor.skip();
        }
        self.tools.hosted += 1;
        let mut results = Uses::default();
        if cursor.peek()? == b'{' {
            cursor.object(|cursor, key| match key.is("max_search_results") {
                true => results.read(cursor),
                false => cursor.skip(),
            })?;
        } else {
            cursor.skip()?;
        }
        self.searches.add(results.get().or(Some(LIVE_SEARCH_RESULTS)));
        Ok(())
    }
}

impl Inspected {
    /// The most searches that the provider makes for this request and bills one by one, as far as the request bounds
    /// them, and so many for each tool that has no bound.
    pub fn searches(&self, otherwise: u64) -> u64 {
        self.scan.searches.most(otherwise)
    }

    /// How many searches a call of this model makes without its usage saying so: a chat completion one, if it asks for
    /// it, or the model always searches.
    pub fn unreported_searches(&self, model: &str) -> u64 {
        u64::from(self.format() == WireFormat::OpenAiChat && (self.scan.searches.chat || model.contains("-search")))
    }
}
