//! The configuration file: callers, limits, routes, switches, HTTP and prices in one TOML schema.
//!
//! ```
//! use flashops_core::config::{Config, NoSources};
//!
//! let config = Config::from_toml(
//!     r#"
//!         [[caller]]
//!         key = "sk-ann"
//!         user = "ann"
//!         org = "acme"
//!
//!         [[limit]]
//!         name = "ai-rpm"
//!         scope = "user"
//!         resource = "requests"
//!         amount = 5
//!         window = "1m"
//!     "#,
//!     &NoSources,
//! )?;
//! assert_eq!(config.callers().find(b"sk-ann").unwrap().user(), "ann");
//! assert_eq!(config.policy().limits()[0].amount(), 5);
//!
//! let error = Config::from_toml("[policy]\nspent_statos = 402", &NoSources).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "configuration, line 2, column 1, `spent_statos = …`: unknown key `spent_statos`; did you mean `spent_status`?"
//! );
//! # Ok::<(), flashops_core::config::ConfigError>(())
//! ```
//!
//! # Sections
//!
//! All are optional. Without any there is no limit, every caller is anonymous, every switch has its default and prices
//! are those of the embedded book.
//!
//! `[[caller]]`, one for each key:
//!
//! | key | value | default |
//! | --- | --- | --- |
//! | `key`, `key_file` or `key_env` | the API key, a file or an environment variable that holds it | one is required |
//! | `user` | 1 to 128 bytes; a user of one organisation is another than its namesake in the next | required |
//! | `org` | 1 to 128 bytes | required |
//! | `admin` | whether it may see everybody's usage | `false` |
//!
//! White space around a key is dropped. A file with a key holds nothing else.
//!
//! `[[limit]]`, at most 64:
//!
//! | key | value | default |
//! | --- | --- | --- |
//! | `name` | 1 to 64 letters, digits, `-`, `_`, `.`, used once | required |
//! | `scope` | `"user"`, `"org"`, `"ip"`, `"route"`, `"model"`, `"provider"`, `"global"` | required |
//! | `resource` | `"requests"`, `"tokens"`, `"input-tokens"`, `"output-tokens"`, `"cost"`, `"concurrency"` | required |
//! | `amount` | a whole number; for `cost` a decimal string in the price book's currency, `"12.50"` | required |
//! | `window` | see below | required, but for `concurrency`, which has none |
//! | `zone` | the IANA time zone of a calendar window | `"UTC"` |
//! | `anchor` | where a calendar window begins; see [`CalendarUnit`](crate::window::CalendarUnit) | its beginning |
//! | `routes` | patterns; see [`RoutePatterns`](crate::limit::RoutePatterns) | every route of a model |
//! | `calls_model` | whether it counts calls of models only, or all else only, on whatever route | both on its `routes`; without these, calls |
//! | `mode` | `"enforce"`, `"warn"`, `"shadow"` | `"enforce"` |
//! | `algorithm` | of a sliding window: `"ring"`, `"approximate"`, `"gcra"` | `"ring"` |
//! | `share` | on a shared store: `"exact"`, `"leased"` | `"exact"` |
//! | `thresholds` | shares of the amount, 0.001 to 10 with at most 3 decimals, at most 8 | none |
//!
//! A window is sliding, a number with `s`, `m`, `h`, `d` or `w` from `"1s"` to `"400d"`; by the calendar, `"hour"`,
//! `"day"`, `"week"` or `"month"`; or `"lifetime"`.
//!
//! `[[route]]`, at most 256, of which the first that matches decides:
//!
//! | key | value | default |
//! | --- | --- | --- |
//! | `path` | a path, or a pattern that follows all narrower ones | required |
//! | `format` | of requests and answers, on all of its paths: `"mistral-chat"`, `"xai-chat"` and others, see [`Format`] | by the path |
//! | `dialect` | of refusals: `"openai"`, `"anthropic"`, `"problem"` | by the path |
//! | `max_output` | the most output tokens of a request, from 1 | the model's |
//! | `on_over` | a request for more is lowered, `"clamp"`, or refused, `"refuse"` | `"clamp"` |
//! | `default_model` | for requests that name none | none |
//! | `fallback` | models to try instead, in this order, at most 8 | none |
//!
//! `[policy]`:
//!
//! | key | value | default |
//! | --- | --- | --- |
//! | `on_expiry` | `"checkpoint"`, `"full"`, `"release"` | `"checkpoint"` |
//! | `on_exhausted` | a stream beyond its hold, without room: `"continue"`, `"cut"` | `"continue"` |
//! | `unknown_model` | `"deny"`, `"tokens-only"` | `"deny"` where a cost limit applies, else `"tokens-only"` |
//! | `carry_debt` | `"full"`, `"none"`, or the most that is carried, in the unit of each limit | `"full"` |
//! | `missing_usage` | `"charge-estimate"`, `"charge-reservation"` | `"charge-estimate"` |
//! | `max_lifetime` | of a hold, `"1s"` to `"7d"` | `"1h"` |
//! | `input_estimate` | [how text is counted](crate::estimate::InputEstimate): `"bytes"`, `"calibrated"` | `"bytes"` |
//! | `output_estimate` | [how much is held](crate::estimate::OutputEstimate): `"cap"`, `"learned"`, `"learned-each"` | `"cap"` |
//! | `stored_content` | input that the provider keeps: `"context-window"`, `"refuse"` | `"context-window"` |
//! | `searches_per_call` | held for a call that may search and does not say how often, 0 to 1000 | 10 |
//! | `unmetered_routes` | calls of a model that nobody meters: `"refuse"`, `"pass"` | `"refuse"` |
//! | `inspect_bytes` | the longest request body that is read, 1 to 1073741824 | 8388608 |
//! | `anonymous` | a caller without a key: `"by-ip"`, `"refuse"` | `"by-ip"` |
//! | `spent_status` | of a refusal for a spent budget: 429, 402 | 429 |
//! | `max_wait` | the longest wait that a client is asked to retry after, `"0s"` to `"1d"` | `"60s"` |
//! | `headers` | `"ietf"`, `"legacy"`, `"openai"`, `"anthropic"`; none is `[]` | `["ietf"]` |
//! | `max_keys` | of each scope in memory, 1 to 1073741824 | 1048576 |
//! | `max_reservations` | held in memory, 1 to 1073741824 | 1048576 |
//! | `on_store_error` | `"local-share-then-deny"`, `"local-then-allow"`, `"deny"`, `"allow"` | see [`OnStoreError`] |
//! | `store_deadline` | how long a shared store may take, `"1ms"` to `"1m"` | `"25ms"` |
//! | `threshold_tokens` | of an organisation, for the tally's alarm; from 1 | 100000 |
//! | `threshold_window` | over which it is counted, `"1s"` to `"1d"` | `"1h"` |
//!
//! `[http]`:
//!
//! | key | value | default |
//! | --- | --- | --- |
//! | `client_ip` | where the client's address is: `"peer"`, `"x-forwarded-for"`, `"forwarded"`, or one header, `"x-real-ip"` | `"x-forwarded-for"` with `trusted_proxies` or `trusted_hops`, else `"peer"` |
//! | `trusted_proxies` | the proxies whose headers are believed: [`Networks`](crate::network::Networks) | none |
//! | `trusted_hops` | instead: how many proxies there are, 1 to 32 | none |
//! | `ipv6_prefix` | how many bits of an IPv6 address are one client, 32 to 64 | 64 |
//! | `trust_request_ids` | whose are taken over: `"always"`, `"trusted-proxies"`, `"never"` | `"always"` |
//! | `admin_allow` | networks that may come to `admin_routes` | `["loopback"]` |
//! | `admin_routes` | patterns of routes; see [`RoutePatterns`](crate::limit::RoutePatterns) | none |
//! | `deny` | networks that may not come at all | none |
//! | `security_headers` | `"none"`, `"api"`, `"html"` | `"api"` |
//! | `hsts` | whether `Strict-Transport-Security` is sent without TLS too, for a proxy that has it | `false` |
//! | `cors_origins` | pages that may call from a browser, `["https://app.example.com"]`, or `["*"]`; at most 64 | none |
//! | `max_body` | of a request, in bytes, 1 to 1073741824; a call of a model has `inspect_bytes` too | none |
//! | `deadline` | until a response begins, `"1ms"` to `"1d"` | none |
//! | `idle_timeout` | of a pause in a response | none |
//! | `response_deadline` | from the beginning of a response to its end | none |
//!
//! `[alerts]`. Without this table, alerts of the thresholds that limits name are logged; with it, what it does not name
//! has these defaults, see [`alert`](crate::alert):
//!
//! | key | value | default |
//! | --- | --- | --- |
//! | `thresholds` | of limits that name none: on tokens and cost, over an hour or more, and not in shadow | `[0.8, 1.0]` |
//! | `projection` | whether limits on calendar periods are projected to their end | `true` |
//! | `projection_after` | a share of the period that is seen before, 0.001 to 1 | 0.1 |
//! | `burn_rate` | tables of `factor`, `slow`, `fast` and `severity`, at most 4; windows are `"1m"` to `"30d"`, for a limit on 30 days; see [`BurnRule`](crate::alert::BurnRule) | 14.4 in `"1h"` and `"5m"`; 6 in `"6h"` and `"30m"`; 3 in `"1d"` and `"2h"`, `"ticket"` |
//! | `anomaly` | whether users, and all together, are compared with what they used before | `true` |
//! | `anomaly_factor` | how many times the usual is too much, above 1, up to 1000 | 3 |
//! | `anomaly_period` | what is compared, `"1m"` to `"1d"` | `"1h"` |
//! | `anomaly_history` | with how many periods before, 6 to 168 | 24 |
//! | `anomaly_tokens` | fewer in a period are nothing to tell | 1000 |
//! | `user_month` | what an active user may cost in a month, a decimal string in the price book's currency | none |
//! | `log` | whether alerts are logged | `true` |
//! | `alertmanager`, `alertmanager_env` or `alertmanager_file` | the URL of an Alertmanager, or where it is | none |
//! | `slack`, `slack_env` or `slack_file` | the URL of an incoming webhook of Slack, or where it is | none |
//! | `link` | the URL of a page that alerts name | none |
//!
//! `[prices]`:
//!
//! | key | value | default |
//! | --- | --- | --- |
//! | `file` | a [price book](crate::price::PriceBook::from_toml), relative to the configuration file | embedded |
//! | `litellm` | LiteLLM's [price file](crate::price::PriceBook::from_litellm), under `file` and over the embedded book | none |
//! | `litellm_as_of` | the day of its prices, `"2026-11-20"` | required with `litellm` |
//! | `replace` | whether these replace the embedded book instead of extending it | `false` |
//!
//! `[observe]`:
//!
//! | key | value | default |
//! | --- | --- | --- |
//! | `metrics` | whether requests and calls are measured | `true` |
//! | `log` | whether requests and calls are logged | `true` |
//! | `slow` | a request that takes longer is logged as slow, `"1ms"` to `"1d"` | `"10s"` |
//! | `max_tenants` | how many organisations have labels of their own, 0 to 10000 | 100 |
//! | `gen_ai` | names of OpenTelemetry's conventions: `"latest"`, `"v1.41"`; none is `[]` | `["latest"]` |
//!
//! `[store]`, where several instances share their accounts; in memory without it:
//!
//! | key | value | default |
//! | --- | --- | --- |
//! | `url`, `url_file` or `url_env` | the address of a Redis or Valkey server, a file or an environment variable that holds it | one is required |
//! | `prefix` | of all keys there, 1 to 64 letters, digits, `-`, `_`, `.` or `:` | `"flashops"` |
//!
//! # Example
//!
//! ```toml
#![doc = include_str!("example.toml")]
//! ```
//!
//! Edge cases: a text above [`MAX_TEXT_BYTES`] is refused unread. An error is one line, and speaks of one mistake. It
//! never contains an API key, the URL of a webhook or the address of a store: of a line with a key that is not in these
//! tables, or that could hold a secret, it shows only what stands before the `=`. A user or an organisation cannot be
//! named like an address, since anonymous callers count under theirs. Where a limit is on cost, a route's models must
//! have a price in the book.
//!
//! What this module does not do: read files or the environment other than through [`Sources`], watch them for changes,
//! or build stores and layers.

mod alerts;
mod callers;
#[allow(clippy::module_inception, reason = "the file is about one type, and that is its name")]
mod config;
mod digest;
mod error;
mod http;
mod limits;
mod observe;
mod options;
mod policy;
mod prices;
mod routes;
mod schema;
mod sources;
mod store;
mod value;
mod wording;

pub use alerts::AlertOptions;
pub use config::{Config, MAX_TEXT_BYTES};
pub use error::ConfigError;
pub use http::{ClientTrust, HttpOptions, MAX_ORIGINS, Origins, ProxyHeader, SecurityPreset, TrustIds};
pub use limits::Share;
pub use observe::{GenAiSets, Observe};
pub use options::{Anonymous, HeaderFamilies, OnStoreError, Options, SpentStatus, StoredContent, UnmeteredRoutes};
pub use routes::{Dialect, Format, MAX_FALLBACK, MAX_ROUTES, OnOver, RouteConfig};
pub use sources::{MAX_SOURCE_BYTES, NoSources, Sources, SystemSources};
pub use store::StoreConfig;
