//! `[http]`.

use std::num::NonZeroU8;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;

use super::schema::{RawHttp, Text, Whole};
use super::value::{bounded, bounded_duration, choose};
use crate::limit::RoutePatterns;
use crate::network::{NetworkError, Networks, V6Prefix};
use crate::place::{Mistake, shortened};

/// The most origins of one configuration.
pub const MAX_ORIGINS: usize = 64;

/// The most proxies that are counted as hops.
const MAX_HOPS: u64 = 32;

/// The longest request body that may be allowed, in bytes.
const MAX_BODY: u64 = 1 << 30;

/// How long an answer, and a pause in one, may take.
const DEADLINES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(86_400);

/// How requests and responses are treated on the way in and out, whatever they ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpOptions {
    /// Whom to believe about the client's address.
    pub client: ClientTrust,
    /// Where the proxies are whose headers are believed.
    pub trusted_proxies: Networks,
    /// How many bits of an IPv6 address are one client.
    pub ipv6_prefix: V6Prefix,
    /// Whose request identities are taken over.
    pub trust_request_ids: TrustIds,
    /// Who may come to [`HttpOptions::admin_routes`].
    pub admin_allow: Networks,
    /// The routes for administrators; by default none.
    pub admin_routes: RoutePatterns,
    /// Who may not come at all.
    pub deny: Networks,
    /// Which security headers responses get.
    pub security_headers: SecurityPreset,
    /// Whether `Strict-Transport-Security` is sent whatever the scheme.
    pub hsts: bool,
    /// The pages from which browsers may call.
    pub cors_origins: Origins,
    /// The longest request body, in bytes.
    pub max_body: Option<u64>,
    /// How long a request may take until its response begins.
    pub deadline: Option<Duration>,
    /// How long a response may pause.
    pub idle_timeout: Option<Duration>,
    /// How long a response may take from its beginning to its end.
    pub response_deadline: Option<Duration>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            client: ClientTrust::Peer,
            trusted_proxies: Networks::default(),
            ipv6_prefix: V6Prefix::default(),
            trust_request_ids: TrustIds::Always,
            admin_allow: Networks::loopback(),
            admin_routes: RoutePatterns::default(),
            deny: Networks::default(),
            security_headers: SecurityPreset::Api,
            hsts: false,
            cors_origins: Origins::default(),
            max_body: None,
            deadline: None,
            idle_timeout: None,
            response_deadline: None,
        }
    }
}

/// Whom to believe about the client's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientTrust {
    /// Nobody.
    #[default]
    Peer,
    /// The proxies of [`HttpOptions::trusted_proxies`], in a header to which each appends.
    Proxies(ProxyHeader),
    /// So many proxies, wherever they are.
    Hops(NonZeroU8, ProxyHeader),
    /// A header of this name, in lower case, which [`HttpOptions::trusted_proxies`] overwrite.
    Header(String),
}

/// A header to which proxies append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded`.
    Forwarded,
}

/// Whose request identities are taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrustIds {
    /// Everybody's, if they are well-formed.
    #[default]
    Always,
    /// Those of the trusted proxies.
    TrustedProxies,
    /// Nobody's.
    Never,
}

/// A set of security headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecurityPreset {
    /// None.
    None,
    /// For answers that programs read.
    #[default]
    Api,
    /// For pages.
    Html,
}

/// The pages from which browsers may call; by default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<String>);

impl Origins {
    /// A list of origins, such as `https://app.example.com`, or `*` alone for all.
    ///
    /// # Errors
    ///
    /// What is wrong with the first that is none, and beyond [`MAX_ORIGINS`].
    pub fn new<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, String> {
        let mut origins: Vec<String> = Vec::new();
        for text in texts {
            let text = text.as_ref().trim();
            if text != "*" && !is_origin(text) {
                return Err(format!("{:?} is no origin such as https://app.example.com", shortened(text)));
            }
            origins.push(text.to_owned());
        }
        if origins.len() > MAX_ORIGINS {
            return Err(format!("there are at most {MAX_ORIGINS} origins"));
        }
        if origins.len() > 1 && origins.iter().any(|origin| origin == "*") {
            return Err("`*` stands alone".to_owned());
        }
        Ok(Self(origins))
    }

    /// The origins.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all pages may call.
    pub fn is_any(&self) -> bool {
        self.0.first().is_some_and(|origin| origin == "*")
    }
}

/// A scheme and a host, with or without a port, as browsers write it: in lower case and without a path.
fn is_origin(text: &str) -> bool {
    let Some(authority) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else { return false };
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    !authority.is_empty() && authority.len() <= 300 && authority.bytes().all(fits) && !authority.ends_with(':')
}

const TRUST_IDS: [(&str, TrustIds); 3] =
    [("always", TrustIds::Always), ("trusted-proxies", TrustIds::TrustedProxies), ("never", TrustIds::Never)];

const PRESETS: [(&str, SecurityPreset); 3] =
    [("none", SecurityPreset::None), ("api", SecurityPreset::Api), ("html", SecurityPreset::Html)];

pub(super) fn read(raw: &RawHttp) -> Result<HttpOptions, Mistake> {
    let usual = HttpOptions::default();
    let trusted_proxies = networks(&raw.trusted_proxies, usual.trusted_proxies)?;
    let trust_request_ids = raw.trust_request_ids.as_ref().map(|word| choose(word, &TRUST_IDS)).transpose()?;
    if let (Some(TrustIds::TrustedProxies), true, Some(word)) =
        (trust_request_ids, trusted_proxies.is_empty(), &raw.trust_request_ids)
    {
        return Err((word.span(), "it needs `trusted_proxies`".to_owned()));
    }
    Ok(HttpOptions {
        client: client(raw, &trusted_proxies)?,
        trusted_proxies,
        ipv6_prefix: raw.ipv6_prefix.as_ref().map_or(Ok(usual.ipv6_prefix), prefix)?,
        trust_request_ids: trust_request_ids.unwrap_or_default(),
        admin_allow: networks(&raw.admin_allow, usual.admin_allow)?,
        admin_routes: raw.admin_routes.as_ref().map_or(Ok(usual.admin_routes), patterns)?,
        deny: networks(&raw.deny, usual.deny)?,
        security_headers: raw.security_headers.as_ref().map_or(Ok(usual.security_headers), |w| choose(w, &PRESETS))?,
        hsts: raw.hsts.unwrap_or(usual.hsts),
        cors_origins: raw.cors_origins.as_ref().map_or(Ok(usual.cors_origins), origins)?,
        max_body: raw.max_body.as_ref().map(|most| bounded(most, "max_body", 1..=MAX_BODY)).transpose()?,
        deadline: duration(&raw.deadline, "deadline")?,
        idle_timeout: duration(&raw.idle_timeout, "idle_timeout")?,
        response_deadline: duration(&raw.response_deadline, "response_deadline")?,
    })
}

fn client(raw: &RawHttp, proxies: &Networks) -> Result<ClientTrust, Mistake> {
    let header = raw.client_ip.as_ref().map(Spanned::get_ref).map(String::as_str);
    let chain = match header {
        None | Some("x-forwarded-for") => ProxyHeader::XForwardedFor,
        Some("forwarded") => ProxyHeader::Forwarded,
        Some(_) if raw.trusted_hops.is_some() => return Err(no_chain(raw)),
        Some("peer") => return Ok(ClientTrust::Peer),
        Some(_) => return single(raw, proxies),
    };
    match (&raw.trusted_hops, &raw.client_ip) {
        (Some(hops), _) if !proxies.is_empty() => {
            Err((hops.span(), "proxies are known by `trusted_proxies` or by `trusted_hops`, not by both".to_owned()))
        }
        (Some(hops), _) => {
            let count = bounded(hops, "trusted_hops", 1..=MAX_HOPS)?;
            let count = u8::try_from(count).ok().and_then(NonZeroU8::new);
            Ok(count.map_or(ClientTrust::Peer, |count| ClientTrust::Hops(count, chain)))
        }
        (None, Some(header)) if proxies.is_empty() => Err(needs_proxies(header)),
        (None, _) if proxies.is_empty() => Ok(ClientTrust::Peer),
        (None, _) => Ok(ClientTrust::Proxies(chain)),
    }
}

fn no_chain(raw: &RawHttp) -> Mistake {
    let place = raw.client_ip.as_ref().map_or(0..0, Spanned::span);
    (place, "with `trusted_hops` it is `x-forwarded-for` or `forwarded`".to_owned())
}

/// A header that is no chain.
fn single(raw: &RawHttp, proxies: &Networks) -> Result<ClientTrust, Mistake> {
    let Some(header) = &raw.client_ip else { return Ok(ClientTrust::Peer) };
    let name = header.get_ref();
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    // A word without a hyphen is a mistyped one rather than a header: all such headers have one.
    if !(name.contains('-') && name.len() <= 64 && name.bytes().all(fits)) {
        let message = "expected `peer`, `x-forwarded-for`, `forwarded`, or a header such as `x-real-ip`";
        return Err((header.span(), message.to_owned()));
    }
    if proxies.is_empty() { Err(needs_proxies(header)) } else { Ok(ClientTrust::Header(name.clone())) }
}

fn needs_proxies(header: &Text) -> Mistake {
    (header.span(), "a header is believed only from `trusted_proxies`, which are missing".to_owned())
}

fn prefix(bits: &Whole) -> Result<V6Prefix, Mistake> {
    let bits = bounded(bits, "ipv6_prefix", V6Prefix::MIN.into()..=V6Prefix::MAX.into())?;
    Ok(u8::try_from(bits).ok().and_then(V6Prefix::new).unwrap_or_default())
}

fn networks(raw: &Option<Spanned<Vec<String>>>, usual: Networks) -> Result<Networks, Mistake> {
    let Some(texts) = raw else { return Ok(usual) };
    Networks::new(texts.get_ref()).map_err(|error: NetworkError| (texts.span(), error.to_string()))
}

fn patterns(raw: &Spanned<Vec<String>>) -> Result<RoutePatterns, Mistake> {
    RoutePatterns::new(raw.get_ref()).map_err(|error| (raw.span(), error.to_string()))
}

fn origins(raw: &Spanned<Vec<String>>) -> Result<Origins, Mistake> {
    Origins::new(raw.get_ref()).map_err(|message| (raw.span(), message))
}

fn duration(raw: &Option<Text>, key: &str) -> Result<Option<Duration>, Mistake> {
    raw.as_ref().map(|text| bounded_duration(text, key, DEADLINES)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, NoSources};

    fn http(text: &str) -> HttpOptions {
        Config::from_toml(&format!("[http]\n{text}"), &NoSources).unwrap().http().clone()
    }

    #[test]
    fn the_defaults_written_out_are_the_defaults() {
        let written = "client_ip = \"peer\"\ntrusted_proxies = []\nipv6_prefix = 64\ntrust_request_ids = \"always\"\n\
                       admin_allow = [\"127.0.0.0/8\", \"::1\"]\nadmin_routes = []\ndeny = []\n\
                       security_headers = \"api\"\nhsts = false\ncors_origins = []\n";
        assert_eq!(http(written), HttpOptions::default());
        assert_eq!(http(""), HttpOptions::default());
    }

    #[test]
    fn every_key_can_be_changed() {
        let changed = http(
            r#"
            client_ip = "forwarded"
            trusted_proxies = ["private", "192.0.2.7"]
            ipv6_prefix = 48
            trust_request_ids = "trusted-proxies"
            admin_allow = ["10.1.0.0/16"]
            admin_routes = ["/admin/**"]
            deny = ["198.51.100.0/24"]
            security_headers = "html"
            hsts = true
            cors_origins = ["https://app.example.com", "http://localhost:3000"]
            max_body = 1048576
            deadline = "30s"
            idle_timeout = "500ms"
            response_deadline = "10m"
            "#,
        );
        assert_eq!(changed.client, ClientTrust::Proxies(ProxyHeader::Forwarded));
        assert_eq!((changed.trusted_proxies.len(), changed.ipv6_prefix.get()), (5, 48));
        assert_eq!(changed.trust_request_ids, TrustIds::TrustedProxies);
        assert!(changed.admin_allow.contains("10.1.2.3".parse().unwrap()));
        assert!(changed.admin_routes.contains("/admin/keys") && changed.deny.contains("198.51.100.1".parse().unwrap()));
        assert_eq!((changed.security_headers, changed.hsts), (SecurityPreset::Html, true));
        assert_eq!(changed.cors_origins.as_slice(), ["https://app.example.com", "http://localhost:3000"]);
        let durations = [changed.deadline, changed.idle_timeout, changed.response_deadline];
        assert_eq!(durations.map(|time| time.map_or(0, |time| time.as_millis())), [30_000, 500, 600_000]);
        assert_eq!(changed.max_body, Some(1_048_576));
    }

    #[test]
    fn proxies_are_known_by_their_networks_their_number_or_one_header() {
        let trust = |text: &str| http(text).client;
        let hops = NonZeroU8::new(2).unwrap();
        assert_eq!(trust("trusted_proxies = [\"private\"]"), ClientTrust::Proxies(ProxyHeader::XForwardedFor));
        assert_eq!(trust("trusted_hops = 2"), ClientTrust::Hops(hops, ProxyHeader::XForwardedFor));
        let forwarded = "client_ip = \"forwarded\"\ntrusted_hops = 2";
        assert_eq!(trust(forwarded), ClientTrust::Hops(hops, ProxyHeader::Forwarded));
        let one = "client_ip = \"x-real-ip\"\ntrusted_proxies = [\"loopback\"]";
        assert_eq!(trust(one), ClientTrust::Header("x-real-ip".to_owned()));
        assert_eq!(trust("client_ip = \"peer\"\ntrusted_proxies = [\"loopback\"]"), ClientTrust::Peer);
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for good in ["https://app.example.com", "http://localhost:3000", "https://[::1]:8443", "https://1.2.3.4", "*"] {
            assert!(Origins::new([good]).is_ok(), "{good}");
        }
        for bad in
            ["", "null", "https://", "https://App.example.com", "https://a/b", "ftp://a", "https://a:", "https://a b"]
        {
            assert!(Origins::new([bad]).is_err(), "{bad}");
        }
        assert!(Origins::new(vec!["https://a"; MAX_ORIGINS]).is_ok());
        assert!(Origins::new(vec!["https://a"; MAX_ORIGINS + 1]).is_err());
    }
}
