//! `[[limit]]`.

use std::ops::Range;

use toml::Spanned;

use super::schema::{RawLimit, Text, WordOrNumber};
use super::value::{choose, duration};
use crate::key::Scope;
use crate::limit::{Algorithm, Limit, LimitError, Mode, Policy, Resource, Threshold, Window};
use crate::place::Mistake;
use crate::units::{Cost, MoneyUnit, parse_decimal};
use crate::window::{Calendar, CalendarError, CalendarUnit};

const MODES: [(&str, Mode); 3] = [("enforce", Mode::Enforce), ("warn", Mode::Warn), ("shadow", Mode::Shadow)];

const ALGORITHMS: [(&str, Algorithm); 3] =
    [("ring", Algorithm::Ring), ("approximate", Algorithm::Approximate), ("gcra", Algorithm::Gcra)];

const SHARES: [(&str, Share); 2] = [("exact", Share::Exact), ("leased", Share::Leased)];

const CALENDARS: [(&str, CalendarUnit); 4] = [
    ("hour", CalendarUnit::Hour),
    ("day", CalendarUnit::Day),
    ("week", CalendarUnit::Week),
    ("month", CalendarUnit::Month),
];

const WINDOWS: &str = "a window is a number with s, m, h, d or w, such as \"90s\"; or \"hour\", \"day\", \"week\" or \
                       \"month\" by the calendar; or \"lifetime\"";

/// How instances of a service share a limit whose accounts are in a store that they share.
///
/// In memory it changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Share {
    /// Every request asks the store.
    #[default]
    Exact,
    /// Each instance takes a part of what is left in advance, and spends it by itself.
    Leased,
}

/// The limits, and how each is shared.
pub(super) fn read(
    raw: &[Spanned<RawLimit>],
    text: &str,
    money: MoneyUnit,
) -> Result<(Vec<Limit>, Vec<Share>), Mistake> {
    if let Some(beyond) = raw.get(Policy::MAX_LIMITS) {
        return Err((beyond.span(), LimitError::TooManyLimits.to_string()));
    }
    let (mut limits, mut shares): (Vec<Limit>, Vec<Share>) = (Vec::new(), Vec::new());
    for raw in raw {
        let limit = limit(raw, text, money)?;
        if limits.iter().any(|other| other.name() == limit.name()) {
            let error = LimitError::DuplicateName(limit.name().to_owned());
            return Err((raw.get_ref().name.span(), error.to_string()));
        }
        limits.push(limit);
        shares.push(raw.get_ref().share.as_ref().map_or(Ok(Share::default()), |share| choose(share, &SHARES))?);
    }
    Ok((limits, shares))
}

fn limit(raw: &Spanned<RawLimit>, text: &str, money: MoneyUnit) -> Result<Limit, Mistake> {
    let (header, raw) = (raw.span(), raw.get_ref());
    let mut limit = base(header, raw, money)?;
    if let Some(mode) = &raw.mode {
        limit = limit.with_mode(choose(mode, &MODES)?);
    }
    if let Some(algorithm) = &raw.algorithm {
        let choice = choose(algorithm, &ALGORITHMS)?;
        limit = limit.with_algorithm(choice).map_err(|error| (algorithm.span(), error.to_string()))?;
    }
    if let Some(routes) = &raw.routes {
        limit = limit.with_routes(routes.get_ref()).map_err(|error| (routes.span(), error.to_string()))?;
    }
    if let Some(calls) = &raw.calls_model {
        limit = limit.with_calls_model(*calls.get_ref()).map_err(|error| (calls.span(), error.to_string()))?;
    }
    if let Some(shares) = &raw.thresholds {
        let places = shares.get_ref().iter().map(Spanned::span);
        let list = places.map(|place| threshold(text, place)).collect::<Result<Vec<_>, _>>()?;
        limit = limit.with_thresholds(list).map_err(|error| (shares.span(), error.to_string()))?;
    }
    Ok(limit)
}

/// What makes a limit: who, what, how much and over which time.
fn base(header: Range<usize>, raw: &RawLimit, money: MoneyUnit) -> Result<Limit, Mistake> {
    let scope = choose(&raw.scope, &Scope::ALL.map(|scope| (scope.name(), scope)))?;
    let resource = choose(&raw.resource, &Resource::ALL.map(|resource| (resource.name(), resource)))?;
    let amount = amount(&raw.amount, resource, money)?;
    let name = raw.name.get_ref();
    let limit = match window(raw)? {
        Some(window) => Limit::new(name, scope, resource, amount, window),
        None if resource == Resource::Concurrency => Limit::concurrency(name, scope, amount),
        None => return Err((header, format!("`window` is missing: {WINDOWS}"))),
    };
    limit.map_err(|error| (place_of(&error, header, raw), error.to_string()))
}

fn place_of(error: &LimitError, header: Range<usize>, raw: &RawLimit) -> Range<usize> {
    match error {
        LimitError::AmountTooLarge => raw.amount.span(),
        LimitError::BadName(_) => raw.name.span(),
        _ => raw.window.as_ref().map_or(header, Spanned::span),
    }
}

fn amount(amount: &Spanned<WordOrNumber>, resource: Resource, money: MoneyUnit) -> Result<u64, Mistake> {
    let currency = money.currency();
    let wrong = |message: String| (amount.span(), message);
    match (amount.get_ref(), resource) {
        (WordOrNumber::Word(decimal), Resource::Cost) => {
            money.parse(decimal).map(Cost::get).map_err(|error| wrong(format!("{error}, in {currency}")))
        }
        (WordOrNumber::Number(whole), Resource::Cost) => {
            Err(wrong(format!("an amount of money is a decimal number of {currency} in quotes: write \"{whole}\"")))
        }
        (WordOrNumber::Number(whole), _) => Ok(*whole),
        (WordOrNumber::Word(_), _) => {
            Err(wrong(format!("an amount of {} is a whole number without quotes", resource.name())))
        }
    }
}

fn window(raw: &RawLimit) -> Result<Option<Window>, Mistake> {
    let Some(window) = &raw.window else {
        return only_for_calendars(raw).map(|()| None);
    };
    let word = window.get_ref().as_str();
    if let Some((_, unit)) = CALENDARS.into_iter().find(|(name, _)| *name == word) {
        return calendar(unit, window, raw).map(|calendar| Some(Window::Calendar(calendar)));
    }
    only_for_calendars(raw)?;
    match duration(word).filter(|_| !word.ends_with("ms")) {
        Some(length) => Ok(Some(Window::Sliding(length))),
        None if word == "lifetime" => Ok(Some(Window::Lifetime)),
        None => Err((window.span(), WINDOWS.to_owned())),
    }
}

fn calendar(unit: CalendarUnit, window: &Text, raw: &RawLimit) -> Result<Calendar, Mistake> {
    let zone = raw.zone.as_ref().map_or("UTC", |zone| zone.get_ref());
    // No unit has an anchor of 255, so that a larger one is as wrong as this.
    let anchor = raw.anchor.as_ref().map(|anchor| u8::try_from(*anchor.get_ref()).unwrap_or(u8::MAX));
    Calendar::new(unit, zone, anchor).map_err(|error| {
        let place = match error {
            CalendarError::AnchorOutOfRange => raw.anchor.as_ref().map(Spanned::span),
            CalendarError::UnknownZone => raw.zone.as_ref().map(Spanned::span),
        };
        (place.unwrap_or_else(|| window.span()), error.to_string())
    })
}

fn only_for_calendars(raw: &RawLimit) -> Result<(), Mistake> {
    let zone = raw.zone.as_ref().map(|zone| (zone.span(), "zone"));
    let anchor = raw.anchor.as_ref().map(|anchor| (anchor.span(), "anchor"));
    match zone.or(anchor) {
        None => Ok(()),
        Some((place, key)) => Err((place, format!("only a window of `hour`, `day`, `week` or `month` has a `{key}`"))),
    }
}

/// A share in thousandths, read from the text, so that none passes through a binary fraction.
pub(super) fn threshold(text: &str, place: Range<usize>) -> Result<Threshold, Mistake> {
    let thousandths = text.get(place.clone()).and_then(|share| parse_decimal(share, 3).ok());
    let thousandths = thousandths.and_then(|share| Threshold::try_from(share).ok());
    thousandths.ok_or_else(|| {
        (place, "a threshold is a share of the amount from 0.001 to 10, with at most 3 decimals".to_owned())
    })
}
