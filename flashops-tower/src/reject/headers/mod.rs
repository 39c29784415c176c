//! What responses tell about limits, on success and on refusal.
//!
//! ```
//! use std::time::Duration;
//! use flashops_core::clock::UnixSeconds;
//! use flashops_core::key::Scope;
//! use flashops_core::limit::{Limit, Policy, Resource, Window};
//! use flashops_core::store::Standing;
//! use flashops_tower::reject::headers::{Family, Headers};
//! use http::HeaderMap;
//!
//! let minute = Window::Sliding(Duration::from_secs(60));
//! let policy = Policy::new(vec![Limit::new("ai-rpm", Scope::User, Resource::Requests, 5, minute)?])?;
//! let headers = Headers::new(&policy, [Family::Ietf, Family::OpenAi]);
//!
//! let (limit, _) = policy.indexed().next().expect("it has one limit");
//! let standing = Standing { limit, amount: 5, used: 2, held: 0, reset: Some(Duration::from_millis(11_500)) };
//! let mut response = HeaderMap::new();
//! headers.apply(&mut response, &[standing], UnixSeconds(0));
//!
//! assert_eq!(response["ratelimit-policy"], r#""ai-rpm";q=5;w=60"#);
//! assert_eq!(response["ratelimit"], r#""ai-rpm";r=3;t=12"#);
//! assert_eq!(response["x-ratelimit-reset-requests"], "11.5s");
//! # Ok::<(), flashops_core::limit::LimitError>(())
//! ```
//!
//! | family | headers | reset |
//! | --- | --- | --- |
//! | [`Family::Ietf`] | `RateLimit-Policy`, `RateLimit`: lists of RFC 9651 with all limits | `t`, in seconds |
//! | [`Family::Legacy`] | `X-RateLimit-{Limit,Remaining,Reset}` | seconds since 1970 |
//! | [`Family::OpenAi`] | `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` | a Go duration |
//! | [`Family::Anthropic`] | `anthropic-ratelimit-R-{limit,remaining,reset}` | RFC 3339 |
//!
//! R is `requests`, `tokens`, `input-tokens` and `output-tokens`. The families of vendors tell for each resource of the
//! limit with least left; the legacy one tells of the request limit with least left, else of the limit with the
//! smallest share left.
//!
//! In the IETF family, limits on other things than requests name their unit: `tokens`, `input-tokens` and
//! `output-tokens` (not registered, but used), `concurrent-requests`, and for money its unit (`nano-usd`), which is
//! shown only if [`Headers::with_cost_unit`] gives it. Whatever the families, `flashops-warning` lists the exceeded
//! limits that only warn.
//!
//! Edge cases: limits in shadow are never shown. Only enforced limits are in the families of vendors, since those have
//! no word for a limit that warns. Calendar and lifetime windows have no `w`: their length changes or is endless. What
//! never resets has no reset. The IETF headers are lists and are added to those of an inner service; the others replace
//! them. On a refusal the headers tell of the limit that takes longest, with the wait as its reset; the policy names
//! all that had no room. Integers are cut at 999,999,999,999,999, the largest of RFC 9651, in the lists. More than
//! eight limits are not shown.
//!
//! What this module does not do: say when to come back ([`DefaultReject`](super::DefaultReject) does), ask a store, or
//! write trailers.

mod advert;
mod names;
mod notice;
mod policies;
mod vendors;

use std::sync::Arc;

use advert::{Advert, MAX_ITEM};
use flashops_core::clock::UnixSeconds;
use flashops_core::limit::{Denied, LimitIndex, Mode, Policy, Resource, Retry};
use flashops_core::store::{MAX_STANDINGS, Standing};
use flashops_core::units::MoneyUnit;
use http::{HeaderMap, HeaderValue};
use notice::Told;
use policies::{Policies, Which};

pub(crate) use names::insert;
pub use names::{
    FLASHOPS_WARNING, RATELIMIT, RATELIMIT_POLICY, REQUEST_ID, RETRY_AFTER_MS, X_REQUEST_ID, X_SHOULD_RETRY,
    X_TRACE_ID, exposed,
};

pub(crate) use notice::Notice;

use super::text::{Line, Text};

/// A way of telling clients how limits stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// The standard to be, draft-ietf-httpapi-ratelimit-headers-11.
    Ietf,
    /// What most services had before.
    Legacy,
    /// As `OpenAI` has them.
    OpenAi,
    /// As Anthropic has them.
    Anthropic,
}

/// The header families of a service, prepared for the limits of one policy.
///
/// See the [module docs](self) for an example.
#[derive(Clone, Debug)]
pub struct Headers {
    /// One for each limit of the policy, in its order; `None` for those that are not shown.
    adverts: Box<[Option<Advert>]>,
    families: [bool; 4],
    warns: bool,
    policies: Arc<Policies>,
}

/// Limits that are shown, and how they stand.
#[derive(Clone, Copy)]
struct Shown<'a> {
    headers: &'a Headers,
    standings: &'a [Standing],
}

impl<'a> Shown<'a> {
    #[inline]
    fn iter(self) -> impl Iterator<Item = (&'a Standing, &'a Advert)> {
        let shown = self.standings.iter().filter_map(move |standing| {
            let advert = self.headers.advert(standing.limit)?;
            Some((standing, advert))
        });
        shown.take(MAX_STANDINGS)
    }
}

/// A header value with room for the longest list.
type List = Line<{ MAX_STANDINGS * MAX_ITEM }>;

impl Headers {
    /// Headers of these families for the limits of a policy, but for those on money; without any family only warnings
    /// are written.
    pub fn new(policy: &Policy, families: impl IntoIterator<Item = Family>) -> Self {
        let mut chosen = [false; 4];
        for family in families {
            chosen[family as usize] = true;
        }
        let warns = policy.limits().iter().any(|limit| limit.mode() == Mode::Warn);
        Self { adverts: adverts(policy, None), families: chosen, warns, policies: Arc::default() }
    }

    /// Shows the limits on money too, in this unit; `policy` is the same again. It tells clients what they cost.
    #[must_use]
    pub fn with_cost_unit(self, policy: &Policy, unit: MoneyUnit) -> Self {
        Self { adverts: adverts(policy, Some(unit)), policies: Arc::default(), ..self }
    }

    /// Writes how limits stand. Standings of another policy are passed over where it is larger.
    pub fn apply(&self, headers: &mut HeaderMap, standings: &[Standing], now: UnixSeconds) {
        self.tell(headers, standings, now);
    }

    /// The same, for a response that is still to come.
    pub(crate) fn notice(&self, standings: &[Standing], now: UnixSeconds) -> Notice {
        let mut notice = Notice::default();
        self.tell(&mut notice, standings, now);
        notice
    }

    /// Whether any header names an instant, so that the time is needed.
    pub(crate) const fn tell_instants(&self) -> bool {
        self.has(Family::Legacy) || self.has(Family::Anthropic)
    }

    /// Writes which limits refused, and how the one stands that takes longest. No reset is later than the answer's
    /// `Retry-After`.
    pub fn apply_denied(&self, headers: &mut HeaderMap, denied: &Denied, now: UnixSeconds) {
        if self.has(Family::Ietf) {
            let violated = || denied.violated.iter().take(MAX_STANDINGS);
            let adverts = || violated().filter_map(|index| self.advert(index));
            let list = self.policies.list(Which::of(violated()), || list(adverts(), Advert::write_policy));
            headers.policy(list);
        }
        let Some(advert) = self.advert(denied.limit) else { return };
        let reset = match denied.retry {
            Retry::After(wait) if advert.resource != Resource::Concurrency => Some(wait),
            Retry::After(_) | Retry::Never => None,
        };
        let (limit, amount) = (denied.limit, advert.amount);
        let standing = Standing { limit, amount, used: amount.saturating_sub(denied.remaining), held: 0, reset };
        self.state(headers, self.shown(&[standing]), now);
    }

    #[inline]
    fn tell(&self, out: &mut impl Told, standings: &[Standing], now: UnixSeconds) {
        let shown = self.shown(standings);
        if self.has(Family::Ietf) {
            let which = Which::of(shown.iter().map(|(standing, _)| standing.limit));
            let adverts = || shown.iter().map(|(_, advert)| advert);
            out.policy(self.policies.list(which, || list(adverts(), Advert::write_policy)));
        }
        self.state(out, shown, now);
        if self.warns {
            let exceeded = |standing: &Standing| standing.used.saturating_add(standing.held) > standing.amount;
            let warnings = shown.iter().filter(|(standing, limit)| limit.mode == Mode::Warn && exceeded(standing));
            out.warning(list(warnings, |(_, advert), out| advert.write_name(out)));
        }
    }

    /// Everything but what is constant.
    #[inline]
    fn state(&self, out: &mut impl Told, shown: Shown<'_>, now: UnixSeconds) {
        if self.has(Family::Ietf) {
            out.state(list(shown.iter(), |(standing, advert), out| advert.write_state(standing, out)));
        }
        if self.has(Family::Legacy) {
            vendors::legacy(out, shown, now);
        }
        if self.has(Family::OpenAi) {
            vendors::open_ai(out, shown);
        }
        if self.has(Family::Anthropic) {
            vendors::anthropic(out, shown, now);
        }
    }

    const fn shown<'a>(&'a self, standings: &'a [Standing]) -> Shown<'a> {
        Shown { headers: self, standings }
    }

    #[inline]
    fn advert(&self, limit: LimitIndex) -> Option<&Advert> {
        self.adverts.get(limit.get())?.as_ref()
    }

    const fn has(&self, family: Family) -> bool {
        self.families[family as usize]
    }
}

fn adverts(policy: &Policy, cost_unit: Option<MoneyUnit>) -> Box<[Option<Advert>]> {
    policy.limits().iter().map(|limit| Advert::new(limit, cost_unit)).collect()
}

/// A header that lists these; none if there are none.
#[inline]
fn list<T>(items: impl Iterator<Item = T>, write: impl Fn(T, &mut List)) -> Option<HeaderValue> {
    let mut list = List::default();
    for (place, item) in items.enumerate() {
        if place > 0 {
            list.raw(", ");
        }
        write(item, &mut list);
    }
    HeaderValue::from_bytes(list.as_bytes()).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
