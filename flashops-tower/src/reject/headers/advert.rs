//! What of a limit never changes, written once.

use flashops_core::limit::{Limit, Mode, Resource, Window};
use flashops_core::store::Standing;
use flashops_core::units::MoneyUnit;

use crate::reject::text::{Text, whole_seconds};

/// The largest integer of a structured field, RFC 9651 section 3.3.1.
const MAX_INTEGER: u64 = 999_999_999_999_999;

/// The most bytes of one limit in one header, with what separates it from the next: its name, two numbers of 15 digits
/// and the longest unit.
pub(super) const MAX_ITEM: usize = Limit::MAX_NAME + 64;

/// A limit as headers tell of it.
#[derive(Clone, Debug)]
pub(super) struct Advert {
    /// Its whole item in `RateLimit-Policy`: `"ai-rpm";q=5;w=60`.
    policy: Box<str>,
    /// The beginning of its item in `RateLimit`: `"ai-rpm";r=`.
    state: Box<str>,
    /// How much of both is the name, with its quotes.
    name: usize,
    pub(super) amount: u64,
    pub(super) resource: Resource,
    pub(super) mode: Mode,
    /// The length of a sliding window in seconds, rounded up.
    window: Option<u64>,
}

impl Advert {
    /// `None` for limits that no header may tell of: those in shadow, and those on money unless its unit is given.
    pub(super) fn new(limit: &Limit, cost_unit: Option<MoneyUnit>) -> Option<Self> {
        if limit.mode() == Mode::Shadow {
            return None;
        }
        let unit = match limit.resource() {
            Resource::Requests => None,
            Resource::Concurrency => Some("concurrent-requests".to_owned()),
            Resource::Cost => Some(name_of(cost_unit?)),
            tokens => Some(tokens.name().to_owned()),
        };
        let window = match limit.window() {
            Some(Window::Sliding(length)) => Some(whole_seconds(*length)),
            Some(Window::Calendar(_) | Window::Lifetime) | None => None,
        };
        let name = format!("\"{}\"", limit.name());
        let mut policy = format!("{name};q={}", limit.amount().min(MAX_INTEGER));
        if let Some(unit) = unit {
            policy.push_str(&format!(";qu=\"{unit}\""));
        }
        if let Some(seconds) = window {
            policy.push_str(&format!(";w={seconds}"));
        }
        let state = format!("{name};r=").into();
        let (amount, resource, mode) = (limit.amount(), limit.resource(), limit.mode());
        Some(Self { policy: policy.into(), state, name: name.len(), amount, resource, mode, window })
    }

    pub(super) fn write_policy(&self, out: &mut impl Text) {
        out.raw(&self.policy);
    }

    pub(super) fn write_state(&self, standing: &Standing, out: &mut impl Text) {
        out.raw(&self.state);
        out.number(standing.remaining().min(MAX_INTEGER));
        if let Some(seconds) = self.effective_window(standing) {
            out.raw(";t=");
            out.number(seconds.min(MAX_INTEGER));
        }
    }

    pub(super) fn write_name(&self, out: &mut impl Text) {
        out.raw(&self.policy[..self.name]);
    }

    /// In how many seconds no more than what is left can be used. Where nothing was used yet, that is the whole window,
    /// and not known for a period of the calendar.
    fn effective_window(&self, standing: &Standing) -> Option<u64> {
        match standing.reset {
            Some(reset) if reset.is_zero() && standing.used == 0 => self.window,
            reset => reset.map(whole_seconds),
        }
    }
}

/// The unit of money as a quota unit: `nano-usd`.
fn name_of(unit: MoneyUnit) -> String {
    let currency = unit.currency().to_ascii_lowercase();
    match unit.scale() {
        0 => currency,
        2 => format!("centi-{currency}"),
        3 => format!("milli-{currency}"),
        6 => format!("micro-{currency}"),
        9 => format!("nano-{currency}"),
        12 => format!("pico-{currency}"),
        scale => format!("{currency}e-{scale}"),
    }
}
