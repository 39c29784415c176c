//! What stands around the limits: who comes, under which identity, from where, and for how long.

use std::fmt;
use std::sync::Arc;

use flashops_core::config::{ClientTrust, HttpOptions, Origins, ProxyHeader, SecurityPreset, TrustIds};
use flashops_core::limit::RoutePatterns;
use flashops_tower::body_limit::{BodyLimit, BodyLimitLayer};
use flashops_tower::budget::ModelRoute;
use flashops_tower::client_ip::{Chain, ClientIp, ClientIpLayer, Trust};
use flashops_tower::ip_allow::{AddressList, AddressRules, IpAllow, IpAllowLayer};
use flashops_tower::reject::DefaultReject;
use flashops_tower::reject::headers::exposed;
use flashops_tower::security_headers::{SecurityHeaders, SecurityHeadersLayer};
use flashops_tower::trace_id::{TraceIdLayer, TraceIdService, TrustIncoming};
use http::{HeaderName, HeaderValue};
use tower::util::{Either, option_layer};
use tower_http::cors::{AllowHeaders, AllowMethods, Any, Cors, CorsLayer};
use tower_layer::Layer;

use super::deadlines::{Deadlines, DeadlinesLayer};
use super::observe::{Observed, Observers};

/// How long browsers remember that a page may call.
const CORS_MAX_AGE: std::time::Duration = std::time::Duration::from_secs(3_600);

/// The layers around the limits, of one configuration. A layer that is switched off is not there.
#[derive(Clone)]
pub(super) struct EdgeLayer {
    client_ip: ClientIpLayer,
    trace_id: TraceIdLayer,
    observers: Observers,
    security_headers: SecurityHeadersLayer,
    cors: Option<CorsLayer>,
    deadlines: DeadlinesLayer,
    ip_allow: IpAllowLayer,
    body_limit: BodyLimitLayer,
}

/// The layers around the limits, from the outside in.
pub type Edge<S> = ClientIp<TraceIdService<Observed<SecurityHeaders<Opened<Deadlines<IpAllow<BodyLimit<S>>>>>>>>;

type Opened<S> = Either<Cors<S>, S>;

impl EdgeLayer {
    pub(super) fn new(
        http: &HttpOptions,
        addresses: AddressList,
        routes: &Arc<[ModelRoute]>,
        exempt: &RoutePatterns,
        reject: &DefaultReject,
        observers: Observers,
    ) -> Self {
        Self {
            observers,
            client_ip: ClientIpLayer::new(trust(http)).with_prefix(http.ipv6_prefix),
            trace_id: TraceIdLayer::new()
                .with_trust(trust_ids(http))
                .with_reject(reject.clone())
                .with_model_routes(Arc::clone(routes))
                .with_text_routes(exempt.clone()),
            security_headers: security_headers(http),
            cors: (!http.cors_origins.is_empty()).then(|| cors(&http.cors_origins)),
            deadlines: DeadlinesLayer { head: http.deadline, idle: http.idle_timeout, total: http.response_deadline },
            ip_allow: IpAllowLayer::new(addresses)
                .with_routes(http.admin_routes.clone())
                .with_reject(reject.clone())
                .with_model_routes(Arc::clone(routes)),
            body_limit: BodyLimitLayer::new(http.max_body.unwrap_or(u64::MAX))
                .with_reject(reject.clone())
                .with_model_routes(Arc::clone(routes)),
        }
    }
}

impl<S> Layer<S> for EdgeLayer {
    type Service = Edge<S>;

    fn layer(&self, inner: S) -> Edge<S> {
        let allowed = self.ip_allow.layer(self.body_limit.layer(inner));
        let opened = optional(self.cors.clone(), self.deadlines.layer(allowed));
        let headed = self.security_headers.layer(opened);
        self.client_ip.layer(self.trace_id.layer(self.observers.layer(headed)))
    }
}

fn optional<L: Layer<S>, S>(layer: Option<L>, inner: S) -> Either<L::Service, S> {
    option_layer::<L>(layer).layer(inner)
}

impl fmt::Debug for EdgeLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EdgeLayer").field("client_ip", &self.client_ip).finish_non_exhaustive()
    }
}

/// The rules for addresses that a configuration states.
pub(super) fn address_rules(http: &HttpOptions) -> AddressRules {
    AddressRules { allow: Some(http.admin_allow.clone()), deny: http.deny.clone() }
}

fn trust(http: &HttpOptions) -> Trust {
    let proxies = || http.trusted_proxies.clone();
    match &http.client {
        ClientTrust::Peer => Trust::Peer,
        ClientTrust::Proxies(header) => Trust::Proxies { networks: proxies(), chain: chain(*header) },
        ClientTrust::Hops(count, header) => Trust::Hops { count: *count, chain: chain(*header) },
        ClientTrust::Header(name) => {
            let name = HeaderName::try_from(name).expect("a configuration has checked the names of its headers");
            Trust::Header { name, peers: proxies() }
        }
    }
}

const fn chain(header: ProxyHeader) -> Chain {
    match header {
        ProxyHeader::XForwardedFor => Chain::XForwardedFor,
        ProxyHeader::Forwarded => Chain::Forwarded,
    }
}

fn trust_ids(http: &HttpOptions) -> TrustIncoming {
    match http.trust_request_ids {
        TrustIds::Always => TrustIncoming::Always,
        TrustIds::TrustedProxies => TrustIncoming::FromTrustedPeers(http.trusted_proxies.clone()),
        TrustIds::Never => TrustIncoming::Never,
    }
}

fn security_headers(http: &HttpOptions) -> SecurityHeadersLayer {
    let preset = match http.security_headers {
        SecurityPreset::None => return SecurityHeadersLayer::off(),
        SecurityPreset::Api => SecurityHeadersLayer::api(),
        SecurityPreset::Html => SecurityHeadersLayer::html(),
    };
    if http.hsts { preset.with_hsts() } else { preset }
}

/// Pages may call with any method and the headers that they ask for; keys travel in headers, so no cookies.
fn cors(origins: &Origins) -> CorsLayer {
    let layer = CorsLayer::new()
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(exposed().collect::<Vec<_>>())
        .max_age(CORS_MAX_AGE);
    if origins.is_any() {
        return layer.allow_origin(Any);
    }
    let value = |origin: &String| HeaderValue::from_str(origin).expect("a configuration has checked its origins");
    layer.allow_origin(origins.as_slice().iter().map(value).collect::<Vec<_>>())
}
