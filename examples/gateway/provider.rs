//! The way to the providers.

use std::error::Error;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::body::Body;
use flashops::core::clock::{Clock, CoarseClock, Tick};
use flashops::core::health::{Check, Outcome, Thresholds, Traffic};
use flashops::tower::budget::CallFailed;
use flashops::tower::provider_limits::{ProviderLimited, ProviderLimits, ProviderLimitsLayer};
use flashops::tower::reject::{DefaultReject, NotDispatched, Refusal, RefusalContext, Reject};
use http::header::{self, HeaderName};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower::{Layer, ServiceExt};

use super::settings::{Settings, Upstream};

/// Headers that belong to one connection, or that a provider must not see.
const KEPT_BACK: [HeaderName; 15] = [
    header::ACCEPT_ENCODING,
    header::AUTHORIZATION,
    header::CONNECTION,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::COOKIE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("api-key"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// The header for a key, and its value.
type Header = fn(&str) -> (HeaderName, String);

fn bearer(key: &str) -> (HeaderName, String) {
    (header::AUTHORIZATION, format!("Bearer {key}"))
}

fn x_api_key(key: &str) -> (HeaderName, String) {
    (HeaderName::from_static("x-api-key"), key.to_owned())
}

pub(crate) type HttpClient = Client<HttpsConnector<HttpConnector>, Body>;

#[derive(Clone)]
pub(crate) struct Providers {
    /// Heeds what the providers say of their limits.
    client: ProviderLimited<HttpClient, CoarseClock>,
    openai: Arc<Target>,
    anthropic: Arc<Target>,
    clock: CoarseClock,
}

struct Target {
    scheme: Scheme,
    authority: Authority,
    /// What stands before the path, without a slash at its end.
    prefix: String,
    /// What it knows us by, which can be rotated.
    credential: ArcSwapOption<(HeaderName, HeaderValue)>,
    /// How the calls end.
    traffic: Traffic,
}

impl Providers {
    pub(crate) fn new(settings: &Settings, stub: &str) -> Result<Self, Box<dyn Error>> {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .build();
        let reject = DefaultReject::new().with_max_wait(settings.config.options().max_wait);
        let limits = ProviderLimitsLayer::new(ProviderLimits::new(CoarseClock::new())).with_reject(reject);
        Ok(Self {
            client: limits.layer(Client::builder(TokioExecutor::new()).build(connector)),
            openai: Arc::new(Target::new("OPENAI_BASE_URL", &settings.openai, stub, bearer)?),
            anthropic: Arc::new(Target::new("ANTHROPIC_BASE_URL", &settings.anthropic, stub, x_api_key)?),
            clock: CoarseClock::new(),
        })
    }

    /// Goes on with other keys, from the next call on.
    pub(crate) fn rotate(&self, openai: &Upstream, anthropic: &Upstream) -> Result<(), String> {
        let openai = credential_of("OPENAI_API_KEY", openai, bearer)?;
        let anthropic = credential_of("ANTHROPIC_API_KEY", anthropic, x_api_key)?;
        self.openai.credential.store(openai.map(Arc::new));
        self.anthropic.credential.store(anthropic.map(Arc::new));
        Ok(())
    }

    /// Checks of how the calls of each provider end. They cost no call.
    pub(crate) fn checks(&self) -> [Check; 2] {
        let of = |name, target: &Target| target.traffic.check(name, self.clock);
        [of("openai", &self.openai), of("anthropic", &self.anthropic)]
    }

    /// The client below all layers.
    pub(crate) fn client(&self) -> HttpClient {
        self.client.get_ref().clone()
    }

    /// Sends a request of one of OpenAI's formats.
    pub(crate) async fn openai(&self, request: Request<Body>, path: &str) -> Result<Response<Body>, Unreachable> {
        self.send(&self.openai, request, path).await
    }

    /// Sends a request of Anthropic's format.
    pub(crate) async fn anthropic(&self, request: Request<Body>, path: &str) -> Result<Response<Body>, Unreachable> {
        self.send(&self.anthropic, request, path).await
    }

    async fn send(
        &self,
        target: &Target,
        mut request: Request<Body>,
        path: &str,
    ) -> Result<Response<Body>, Unreachable> {
        target.address(&mut request, path);
        let waiting = Waiting { traffic: &target.traffic, clock: self.clock, since: self.clock.tick(), answered: None };
        let answered = self.client.clone().oneshot(request).await;
        waiting.over(answered.as_ref().ok());
        let mut response = answered.map_err(|error| Unreachable { never_left: error.is_connect() })?;
        drop_connection_headers(response.headers_mut());
        Ok(response.map(Body::new))
    }
}

/// A call that waits for the head of its answer.
struct Waiting<'t> {
    traffic: &'t Traffic,
    clock: CoarseClock,
    since: Tick,
    answered: Option<Outcome>,
}

impl Waiting<'_> {
    /// This was answered, or nobody could be reached. What was held back here says nothing of the provider.
    fn over<B>(mut self, response: Option<&Response<B>>) {
        self.answered = match response {
            Some(response) if response.extensions().get::<NotDispatched>().is_some() => None,
            Some(response) if serves(response.status()) => Some(Outcome::Success),
            _ => Some(Outcome::Failure),
        };
    }
}

/// Whether a provider that answers so does its work. What it refuses because of the request is not its fault; that it
/// does not know our key, or has no room for us, is a fault that we have to look at.
fn serves(status: StatusCode) -> bool {
    let ours =
        [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    !status.is_server_error() && !ours.contains(&status)
}

/// A client that has left is no failure of the provider, unless it waited for too long.
impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let now = self.clock.tick();
        let waited = now.since(self.since);
        let left = || (waited >= Thresholds::default().slow).then_some(Outcome::Failure);
        if let Some(outcome) = self.answered.or_else(left) {
            self.traffic.record(outcome, waited, now);
        }
    }
}

/// A call that got no answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unreachable {
    never_left: bool,
}

impl Unreachable {
    /// What the client sees. A call that never left costs nothing; one that failed on its way is charged its input
    /// estimate.
    pub(crate) fn response(self, context: &RefusalContext<'_>) -> Response<Body> {
        let mut response = DefaultReject::new().reject(&Refusal::ProviderUnreachable, context);
        if self.never_left {
            response.extensions_mut().insert(NotDispatched);
        } else {
            response.extensions_mut().insert(CallFailed);
        }
        response.map(|body| Body::from(body.into_bytes()))
    }
}

impl Target {
    fn new(name: &str, upstream: &Upstream, stub: &str, credential: Header) -> Result<Self, Box<dyn Error>> {
        let base = upstream.base_url.as_deref().unwrap_or(stub);
        let shown = without_credentials(base);
        let malformed = || format!("{name}: {shown:?} is no URL such as https://api.example.com");
        let uri: Uri = base.parse().map_err(|_| malformed())?;
        if let Some(port) = uri.authority().and_then(impossible_port) {
            return Err(format!("{name}: {shown:?} has {port:?} as its port, which is a number from 1 to 65535").into());
        }
        let parts = uri.into_parts();
        let credential = ArcSwapOption::new(
            credential_of(&name.replace("_BASE_URL", "_API_KEY"), upstream, credential)?.map(Arc::new),
        );
        let scheme = parts.scheme.filter(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme));
        let path = parts.path_and_query.map_or_else(String::new, |path| path.path().to_owned());
        // The official clients' base URLs end in /v1, which the routes have too.
        let prefix = path.trim_end_matches('/').trim_end_matches("/v1").to_owned();
        Ok(Self {
            scheme: scheme.ok_or_else(malformed)?,
            authority: parts.authority.ok_or_else(malformed)?,
            prefix,
            credential,
            traffic: Traffic::new(Thresholds::default()),
        })
    }

    fn address(&self, request: &mut Request<Body>, path: &str) {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("{}{path}{query}", self.prefix);
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(self.scheme.clone());
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = PathAndQuery::try_from(path).ok();
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        *request.version_mut() = http::Version::HTTP_11;
        for name in KEPT_BACK {
            request.headers_mut().remove(name);
        }
        if let Some((name, value)) = self.credential.load().as_deref() {
            request.headers_mut().insert(name, value.clone());
        }
    }
}

/// What a provider knows us by, in its own header.
fn credential_of(name: &str, upstream: &Upstream, header: Header) -> Result<Option<(HeaderName, HeaderValue)>, String> {
    let Some((header, value)) = upstream.key.as_deref().map(header) else { return Ok(None) };
    let mut value = HeaderValue::try_from(value).map_err(|_| format!("{name}: the key is malformed"))?;
    value.set_sensitive(true);
    Ok(Some((header, value)))
}

/// A URL as a message shows it: what stands before the host may be a secret.
fn without_credentials(url: &str) -> String {
    let begins = url.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = url.split_at(begins);
    let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    host.rfind('@').map_or_else(|| url.to_owned(), |at| format!("{scheme}…{}", &rest[at..]))
}

/// What stands in place of a port and is none: the type of an authority takes any digits there.
fn impossible_port(authority: &Authority) -> Option<&str> {
    let whole = authority.as_str();
    let address = whole.rsplit_once('@').map_or(whole, |(_, address)| address);
    let port = address.strip_prefix(authority.host())?.strip_prefix(':')?;
    (!port.parse::<u16>().is_ok_and(|port| port > 0)).then_some(port)
}

fn drop_connection_headers(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, HeaderName::from_static("keep-alive")] {
        headers.remove(name);
    }
}
