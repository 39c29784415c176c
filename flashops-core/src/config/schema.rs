//! What the text may consist of. Values that need more than a type are checked where they are used.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, Visitor};
use toml::Spanned;

use super::alerts::RawAlerts;
use super::observe::RawObserve;

/// A text with its place.
pub(super) type Text = Spanned<String>;

/// A whole number with its place.
pub(super) type Whole = Spanned<u64>;

/// The keys whose values no secret belongs in. A key that is missing here is only shown without its value.
#[rustfmt::skip]
pub(super) const PUBLIC_KEYS: [&str; 82] = [
    "admin", "admin_allow", "admin_routes", "algorithm", "amount", "anchor", "anomaly", "anomaly_factor",
    "anomaly_history", "anomaly_period", "anomaly_tokens", "anonymous", "burn_rate", "calls_model", "carry_debt",
    "client_ip", "cors_origins", "deadline", "default_model", "deny", "dialect", "factor", "fallback", "fast", "file",
    "format", "gen_ai", "headers", "hsts", "idle_timeout", "input_estimate", "inspect_bytes", "ipv6_prefix",
    "litellm", "litellm_as_of", "log", "max_body", "max_keys", "max_lifetime", "max_output", "max_reservations",
    "max_tenants", "max_wait", "metrics", "missing_usage", "mode", "name", "on_exhausted", "on_expiry", "on_over",
    "on_store_error", "org", "output_estimate", "path", "prefix", "projection", "projection_after", "replace", "resource",
    "response_deadline", "routes", "scope", "searches_per_call", "security_headers", "severity", "share", "slow",
    "spent_status", "store_deadline", "stored_content", "threshold_tokens", "threshold_window", "thresholds",
    "trust_request_ids", "trusted_hops", "trusted_proxies", "unknown_model", "unmetered_routes", "user", "user_month",
    "window", "zone",
];

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawConfig {
    pub(super) caller: Vec<Spanned<RawCaller>>,
    pub(super) limit: Vec<Spanned<RawLimit>>,
    pub(super) route: Vec<Spanned<RawRoute>>,
    pub(super) policy: RawPolicy,
    pub(super) http: RawHttp,
    pub(super) alerts: Option<RawAlerts>,
    pub(super) prices: RawPrices,
    pub(super) observe: RawObserve,
    pub(super) store: Option<Spanned<RawStore>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawStore {
    pub(super) url: Option<Text>,
    pub(super) url_file: Option<Text>,
    pub(super) url_env: Option<Text>,
    pub(super) prefix: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawCaller {
    pub(super) key: Option<Text>,
    pub(super) key_file: Option<Text>,
    pub(super) key_env: Option<Text>,
    pub(super) user: Text,
    pub(super) org: Text,
    #[serde(default)]
    pub(super) admin: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawLimit {
    pub(super) name: Text,
    pub(super) scope: Text,
    pub(super) resource: Text,
    pub(super) amount: Spanned<WordOrNumber>,
    pub(super) window: Option<Text>,
    pub(super) zone: Option<Text>,
    pub(super) anchor: Option<Whole>,
    pub(super) routes: Option<Spanned<Vec<String>>>,
    pub(super) calls_model: Option<Spanned<bool>>,
    pub(super) mode: Option<Text>,
    pub(super) algorithm: Option<Text>,
    pub(super) share: Option<Text>,
    pub(super) thresholds: Option<Spanned<Vec<Spanned<IgnoredAny>>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawRoute {
    pub(super) path: Text,
    pub(super) format: Option<Text>,
    pub(super) dialect: Option<Text>,
    pub(super) max_output: Option<Whole>,
    pub(super) on_over: Option<Text>,
    pub(super) default_model: Option<Text>,
    #[serde(default)]
    pub(super) fallback: Vec<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawPolicy {
    pub(super) on_expiry: Option<Text>,
    pub(super) on_exhausted: Option<Text>,
    pub(super) unknown_model: Option<Text>,
    pub(super) carry_debt: Option<Spanned<WordOrNumber>>,
    pub(super) missing_usage: Option<Text>,
    pub(super) max_lifetime: Option<Text>,
    pub(super) input_estimate: Option<Text>,
    pub(super) output_estimate: Option<Text>,
    pub(super) stored_content: Option<Text>,
    pub(super) searches_per_call: Option<Whole>,
    pub(super) unmetered_routes: Option<Text>,
    pub(super) inspect_bytes: Option<Whole>,
    pub(super) anonymous: Option<Text>,
    pub(super) spent_status: Option<Whole>,
    pub(super) max_wait: Option<Text>,
    pub(super) headers: Option<Vec<Text>>,
    pub(super) max_keys: Option<Whole>,
    pub(super) max_reservations: Option<Whole>,
    pub(super) on_store_error: Option<Text>,
    pub(super) store_deadline: Option<Text>,
    pub(super) threshold_tokens: Option<Whole>,
    pub(super) threshold_window: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawHttp {
    pub(super) client_ip: Option<Text>,
    pub(super) trusted_proxies: Option<Spanned<Vec<String>>>,
    pub(super) trusted_hops: Option<Whole>,
    pub(super) ipv6_prefix: Option<Whole>,
    pub(super) trust_request_ids: Option<Text>,
    pub(super) admin_allow: Option<Spanned<Vec<String>>>,
    pub(super) admin_routes: Option<Spanned<Vec<String>>>,
    pub(super) deny: Option<Spanned<Vec<String>>>,
    pub(super) security_headers: Option<Text>,
    pub(super) hsts: Option<bool>,
    pub(super) cors_origins: Option<Spanned<Vec<String>>>,
    pub(super) max_body: Option<Whole>,
    pub(super) deadline: Option<Text>,
    pub(super) idle_timeout: Option<Text>,
    pub(super) response_deadline: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawPrices {
    pub(super) file: Option<Text>,
    pub(super) litellm: Option<Text>,
    pub(super) litellm_as_of: Option<Text>,
    pub(super) replace: Option<Spanned<bool>>,
}

/// A value that is a text or a whole number.
pub(super) enum WordOrNumber {
    Word(String),
    Number(u64),
}

impl<'de> Deserialize<'de> for WordOrNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOrNumberVisitor)
    }
}

struct WordOrNumberVisitor;

impl Visitor<'_> for WordOrNumberVisitor {
    type Value = WordOrNumber;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, 0 or more, or a text in quotes")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        let number = u64::try_from(number);
        number
            .map(WordOrNumber::Number)
            .map_err(|_| E::invalid_value(de::Unexpected::Other("a negative number"), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(WordOrNumber::Number(number))
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Self::Value, E> {
        Ok(WordOrNumber::Word(word.to_owned()))
    }
}
