//! `[policy]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;

use super::options::{Anonymous, HeaderFamilies, OnStoreError, Options, SpentStatus, StoredContent, UnmeteredRoutes};
use super::schema::{RawPolicy, Text, Whole, WordOrNumber};
use super::value::{bounded, bounded_duration, choose};
use crate::estimate::{InputEstimate, OutputEstimate};
use crate::limit::{CarryDebt, MissingUsage, OnExhausted, OnExpiry, Switches, UnknownModel};
use crate::place::Mistake;
use crate::record::{Tally, TokenThreshold};
use crate::store::Bounds;
use crate::units::{MAX_AMOUNT, Tokens};

/// The largest number of bytes, keys or reservations.
const MAX_SIZE: u64 = 1 << 30;

/// The most searches that are held for a call.
const MAX_SEARCHES: u64 = 1_000;

/// How long a hold may live.
const LIFETIMES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);

/// How long a client may be asked to wait.
const WAITS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(86_400);

/// How long a shared store may take.
const DEADLINES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);

const ON_EXHAUSTED: [(&str, OnExhausted); 2] = [("continue", OnExhausted::Continue), ("cut", OnExhausted::Cut)];

const ON_EXPIRY: [(&str, OnExpiry); 3] =
    [("checkpoint", OnExpiry::Checkpoint), ("full", OnExpiry::Full), ("release", OnExpiry::Release)];

const UNKNOWN_MODEL: [(&str, UnknownModel); 2] =
    [("deny", UnknownModel::Deny), ("tokens-only", UnknownModel::TokensOnly)];

const CARRY_DEBT: [(&str, CarryDebt); 2] = [("full", CarryDebt::Full), ("none", CarryDebt::None)];

const MISSING_USAGE: [(&str, MissingUsage); 2] =
    [("charge-estimate", MissingUsage::ChargeEstimate), ("charge-reservation", MissingUsage::ChargeReservation)];

const INPUT_ESTIMATE: [(&str, InputEstimate); 2] =
    [("bytes", InputEstimate::Bytes), ("calibrated", InputEstimate::Calibrated)];

const OUTPUT_ESTIMATE: [(&str, OutputEstimate); 3] =
    [("cap", OutputEstimate::Cap), ("learned", OutputEstimate::Learned), ("learned-each", OutputEstimate::LearnedEach)];

const ANONYMOUS: [(&str, Anonymous); 2] = [("by-ip", Anonymous::ByIp), ("refuse", Anonymous::Refuse)];

const ON_STORE_ERROR: [(&str, OnStoreError); 4] = [
    ("local-share-then-deny", OnStoreError::LocalShareThenDeny),
    ("local-then-allow", OnStoreError::LocalThenAllow),
    ("deny", OnStoreError::Deny),
    ("allow", OnStoreError::Allow),
];

type Family = fn(&mut HeaderFamilies) -> &mut bool;

const FAMILIES: [(&str, Family); 4] = [
    ("ietf", |families| &mut families.ietf),
    ("legacy", |families| &mut families.legacy),
    ("openai", |families| &mut families.openai),
    ("anthropic", |families| &mut families.anthropic),
];

const STORED_CONTENT: [(&str, StoredContent); 2] =
    [("context-window", StoredContent::ContextWindow), ("refuse", StoredContent::Refuse)];

const UNMETERED_ROUTES: [(&str, UnmeteredRoutes); 2] =
    [("refuse", UnmeteredRoutes::Refuse), ("pass", UnmeteredRoutes::Pass)];

/// The switches of the policy.
pub(super) fn switches(raw: &RawPolicy) -> Result<Switches, Mistake> {
    let usual = Switches::default();
    Ok(Switches {
        on_exhausted: or(&raw.on_exhausted, usual.on_exhausted, |word| choose(word, &ON_EXHAUSTED))?,
        on_expiry: or(&raw.on_expiry, usual.on_expiry, |word| choose(word, &ON_EXPIRY))?,
        unknown_model: raw.unknown_model.as_ref().map(|word| choose(word, &UNKNOWN_MODEL)).transpose()?,
        carry_debt: or(&raw.carry_debt, usual.carry_debt, carry_debt)?,
        missing_usage: or(&raw.missing_usage, usual.missing_usage, |word| choose(word, &MISSING_USAGE))?,
        max_lifetime: time(&raw.max_lifetime, "max_lifetime", usual.max_lifetime, LIFETIMES)?,
        input_estimate: or(&raw.input_estimate, usual.input_estimate, |word| choose(word, &INPUT_ESTIMATE))?,
        output_estimate: or(&raw.output_estimate, usual.output_estimate, |word| choose(word, &OUTPUT_ESTIMATE))?,
    })
}

/// The other switches.
pub(super) fn options(raw: &RawPolicy) -> Result<Options, Mistake> {
    let usual = Options::default();
    let windows = TokenThreshold::MIN_WINDOW..=Tally::MAX_WINDOW;
    let tokens = |tokens: &Whole| bounded(tokens, "threshold_tokens", 1..=MAX_AMOUNT).map(Tokens::saturating);
    Ok(Options {
        anonymous: or(&raw.anonymous, usual.anonymous, |word| choose(word, &ANONYMOUS))?,
        bounds: Bounds {
            max_keys: size(&raw.max_keys, "max_keys", usual.bounds.max_keys)?,
            max_reservations: size(&raw.max_reservations, "max_reservations", usual.bounds.max_reservations)?,
        },
        headers: or(&raw.headers, usual.headers, |words| headers(words))?,
        inspect_bytes: size(&raw.inspect_bytes, "inspect_bytes", usual.inspect_bytes)?,
        max_wait: time(&raw.max_wait, "max_wait", usual.max_wait, WAITS)?,
        on_store_error: raw.on_store_error.as_ref().map(|word| choose(word, &ON_STORE_ERROR)).transpose()?,
        spent_status: or(&raw.spent_status, usual.spent_status, spent_status)?,
        store_deadline: time(&raw.store_deadline, "store_deadline", usual.store_deadline, DEADLINES)?,
        stored_content: or(&raw.stored_content, usual.stored_content, |word| choose(word, &STORED_CONTENT))?,
        searches_per_call: or(&raw.searches_per_call, usual.searches_per_call, |number| {
            bounded(number, "searches_per_call", 0..=MAX_SEARCHES)
        })?,
        unmetered_routes: or(&raw.unmetered_routes, usual.unmetered_routes, |word| choose(word, &UNMETERED_ROUTES))?,
        threshold_tokens: or(&raw.threshold_tokens, usual.threshold_tokens, tokens)?,
        threshold_window: time(&raw.threshold_window, "threshold_window", usual.threshold_window, windows)?,
    })
}

/// What is read, or the default where nothing is written.
fn or<R, T>(raw: &Option<R>, usual: T, read: impl FnOnce(&R) -> Result<T, Mistake>) -> Result<T, Mistake> {
    raw.as_ref().map_or(Ok(usual), read)
}

fn time(raw: &Option<Text>, key: &str, usual: Duration, bounds: RangeInclusive<Duration>) -> Result<Duration, Mistake> {
    or(raw, usual, |text| bounded_duration(text, key, bounds))
}

fn size(raw: &Option<Whole>, key: &str, usual: usize) -> Result<usize, Mistake> {
    let Some(number) = raw else {
        return Ok(usual);
    };
    let size = bounded(number, key, 1..=MAX_SIZE)?;
    usize::try_from(size).map_err(|_| (number.span(), "it is too large for this machine".to_owned()))
}

fn carry_debt(raw: &Spanned<WordOrNumber>) -> Result<CarryDebt, Mistake> {
    match raw.get_ref() {
        WordOrNumber::Number(most) => {
            bounded(&Spanned::new(raw.span(), *most), "carry_debt", 0..=MAX_AMOUNT).map(CarryDebt::Capped)
        }
        WordOrNumber::Word(word) => choose(&Spanned::new(raw.span(), word.clone()), &CARRY_DEBT),
    }
}

fn spent_status(raw: &Whole) -> Result<SpentStatus, Mistake> {
    match raw.get_ref() {
        429 => Ok(SpentStatus::TooManyRequests),
        402 => Ok(SpentStatus::PaymentRequired),
        _ => Err((raw.span(), "expected 429 or 402".to_owned())),
    }
}

fn headers(words: &[Text]) -> Result<HeaderFamilies, Mistake> {
    let mut families = HeaderFamilies::NONE;
    for word in words {
        let family = choose(word, &FAMILIES)?(&mut families);
        if std::mem::replace(family, true) {
            return Err((word.span(), "a family stands twice in `headers`".to_owned()));
        }
    }
    Ok(families)
}
