//! Who comes, from where, with how much, and what browsers are told.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::convert::Infallible;

use bytes::Bytes;
use flashops_core::limit::RoutePatterns;
use flashops_tower::body_limit::{BodyLimitLayer, TooLong};
use flashops_tower::client_ip::{Chain, ClientAddr, ClientIpLayer, PeerAddr, Source, Trust};
use flashops_tower::identify::{ByPeer, Identify};
use flashops_tower::ip_allow::{AddressList, AddressRules, IpAllowLayer};
use flashops_tower::reject::NotDispatched;
use flashops_tower::security_headers::SecurityHeadersLayer;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tower::{Layer, Service, ServiceExt, service_fn};

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing waits")
}

fn from(peer: &str, path: &str) -> Request<()> {
    let mut request = Request::get(path).body(()).unwrap();
    request.extensions_mut().insert(PeerAddr(peer.parse().unwrap()));
    request
}

/// What the service inside sees of a request's address.
fn seen(layer: &ClientIpLayer, request: Request<()>) -> (Option<ClientAddr>, String) {
    let service = layer.layer(service_fn(|request: Request<()>| async {
        let parts = request.into_parts().0;
        let user = ByPeer.identify(&parts).unwrap().user().to_owned();
        assert_eq!(parts.extensions.get::<PeerAddr>().is_some(), parts.extensions.get::<ClientAddr>().is_some());
        Ok::<_, Infallible>((ClientAddr::of(&parts.extensions), user))
    }));
    now(service.oneshot(request)).unwrap()
}

#[test]
fn an_anonymous_caller_is_the_client_and_not_the_proxy() {
    let trust = Trust::Proxies { networks: "10.0.0.0/8".parse().unwrap(), chain: Chain::XForwardedFor };
    let layer = ClientIpLayer::new(trust).with_prefix(flashops_core::network::V6Prefix::new(48).unwrap());
    let request = |client: &'static str| {
        let mut request = from("10.0.0.1:80", "/pets");
        request.headers_mut().insert("x-forwarded-for", HeaderValue::from_static(client));
        request
    };
    let (client, user) = seen(&layer, request("192.0.2.7"));
    let client = client.unwrap();
    assert_eq!((client.source, client.peer.to_string(), user), (Source::Header, "10.0.0.1".into(), "192.0.2.7".into()));
    assert_eq!(seen(&layer, request("2001:db8:1:2::7")).1, "2001:db8:1::/48");
    let (none, nobody) = seen(&layer, Request::get("/").header("x-forwarded-for", "192.0.2.7").body(()).unwrap());
    assert_eq!((none, nobody), (None, "0.0.0.0".to_owned()), "without a peer no header is believed");
}

/// A flood of made-up clients behind a trusted proxy that appends what it sees.
#[test]
fn ten_thousand_spoofed_headers_are_one_client() {
    let trust = Trust::Proxies { networks: "10.0.0.0/8".parse().unwrap(), chain: Chain::XForwardedFor };
    let layer = ClientIpLayer::new(trust);
    let users: std::collections::HashSet<String> = (0..10_000_u32)
        .map(|number| {
            let mut request = from("10.0.0.1:80", "/pets");
            let spoofed = format!("{}, {}", std::net::Ipv4Addr::from_bits(number), "192.0.2.7");
            request.headers_mut().insert("x-forwarded-for", HeaderValue::try_from(spoofed).unwrap());
            seen(&layer, request).1
        })
        .collect();
    assert_eq!(users.into_iter().collect::<Vec<_>>(), ["192.0.2.7"]);
}

fn welcome(_: Request<()>) -> std::future::Ready<Result<Response<Full<Bytes>>, Infallible>> {
    std::future::ready(Ok(Response::new(Full::default())))
}

#[test]
fn an_address_is_let_in_by_the_rules_of_the_moment() {
    let list = AddressList::default();
    let layer = IpAllowLayer::new(list.clone()).with_routes(RoutePatterns::new(["/admin/**"]).unwrap());
    let status =
        |peer: &str, path: &str| now(layer.layer(service_fn(welcome)).oneshot(from(peer, path))).unwrap().status();
    assert_eq!(status("192.0.2.7:1", "/admin/keys"), StatusCode::OK, "without rules everybody may come");

    list.replace(AddressRules {
        allow: Some("10.0.0.0/8".parse().unwrap()),
        deny: "10.6.6.6, 2001:db8::/32".parse().unwrap(),
    });
    for (peer, path, allowed) in [
        ("10.0.0.1:1", "/admin/keys", true),
        ("[::ffff:10.0.0.1]:1", "/admin/keys", true),
        ("192.0.2.7:1", "/admin/keys", false),
        ("192.0.2.7:1", "/%61dmin//keys", false),
        ("192.0.2.7:1", "/pets", true),
        ("10.6.6.6:1", "/admin/keys", false),
        ("10.6.6.6:1", "/pets", false),
        ("[2001:db8::1]:1", "/pets", false),
    ] {
        assert_eq!(status(peer, path) == StatusCode::OK, allowed, "{peer} {path}");
    }
    list.replace(AddressRules::default());
    assert_eq!(status("10.6.6.6:1", "/pets"), StatusCode::OK);
}

#[test]
fn whoever_has_no_address_may_not_come_where_addresses_matter() {
    let list = AddressList::new(AddressRules { allow: Some(Default::default()), ..AddressRules::default() });
    let layer = IpAllowLayer::new(list.clone());
    let status =
        || now(layer.layer(service_fn(welcome)).oneshot(Request::get("/").body(()).unwrap())).unwrap().status();
    assert_eq!(status(), StatusCode::FORBIDDEN, "an empty list allows nobody");
    list.replace(AddressRules { allow: None, deny: "192.0.2.7".parse().unwrap() });
    assert_eq!(status(), StatusCode::FORBIDDEN);
    list.replace(AddressRules::default());
    assert_eq!(status(), StatusCode::OK);
}

#[test]
fn a_refused_address_is_told_nothing_and_nobody_is_called() {
    let list = AddressList::new(AddressRules { allow: Some("10.0.0.0/8".parse().unwrap()), ..AddressRules::default() });
    let layer = IpAllowLayer::new(list);
    let inner = service_fn(|_: Request<()>| -> std::future::Ready<Result<Response<Full<Bytes>>, Infallible>> {
        panic!("it was called")
    });
    let mut request = from("192.0.2.7:1", "/v1/messages");
    request.headers_mut().insert("x-request-id", HeaderValue::from_static("r-1"));
    let response = now(layer.layer(inner).oneshot(request)).unwrap();
    assert_eq!(response.extensions().get::<NotDispatched>(), Some(&NotDispatched));
    let body = now(response.into_body().collect()).unwrap().to_bytes();
    assert_eq!(
        body,
        r#"{"type":"error","error":{"type":"permission_error","message":"Requests from your address are not allowed."},"request_id":"r-1"}"#
    );
}

fn headed(layer: &SecurityHeadersLayer, uri: &str, own: &[(&str, &str)]) -> HeaderMap {
    let mut service = layer.layer(service_fn(|_: Request<()>| {
        let mut response = Response::new(());
        for (name, value) in own {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            response.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
        }
        async { Ok::<_, Infallible>(response) }
    }));
    now(service.call(Request::get(uri).body(()).unwrap())).unwrap().into_parts().0.headers
}

#[test]
fn each_preset_has_its_headers_and_the_service_knows_better() {
    let six = [
        "content-security-policy",
        "x-frame-options",
        "x-content-type-options",
        "referrer-policy",
        "permissions-policy",
    ];
    for layer in [SecurityHeadersLayer::api(), SecurityHeadersLayer::html()] {
        let headers =
            headed(&layer, "/", &[("x-frame-options", "sameorigin"), ("server", "x/1"), ("x-powered-by", "y")]);
        assert!(six.iter().all(|name| headers.get_all(*name).iter().count() == 1), "{headers:?}");
        assert_eq!(headers["x-frame-options"], "sameorigin");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(!headers.contains_key("server") && !headers.contains_key("x-powered-by"));
        assert!(!headers.contains_key("strict-transport-security"), "there is no TLS");
    }
    let api = headed(&SecurityHeadersLayer::api(), "/", &[]);
    assert_eq!(api["content-security-policy"], "default-src 'none'; frame-ancestors 'none'");
    assert_eq!(api["cache-control"], "no-store");
    let html = headed(&SecurityHeadersLayer::html(), "/", &[]);
    assert!(html["content-security-policy"].to_str().unwrap().starts_with("default-src 'self'; form-action 'self'; "));
    assert_eq!(html["cross-origin-opener-policy"], "same-origin");
    assert_eq!(html.len(), 11);
    let other = SecurityHeadersLayer::api()
        .with(HeaderName::from_static("x-frame-options"), HeaderValue::from_static("sameorigin"));
    assert_eq!(headed(&other, "/", &[])["x-frame-options"], "sameorigin");
}

#[test]
fn a_layer_that_is_off_adds_nothing_and_takes_nothing_away() {
    let theirs = [("server", "x/1"), ("x-powered-by", "y")];
    for layer in [SecurityHeadersLayer::off(), SecurityHeadersLayer::off().with_hsts()] {
        for uri in ["/", "https://pets.example/"] {
            let headers = headed(&layer, uri, &theirs);
            assert_eq!((headers.len(), headers["server"].to_str().unwrap()), (2, "x/1"), "{uri}: {headers:?}");
        }
    }
}

#[test]
fn hsts_is_sent_where_there_is_tls_or_somebody_says_so() {
    let sent = |layer: &SecurityHeadersLayer, uri| headed(layer, uri, &[]).get("strict-transport-security").cloned();
    let (usual, forced) = (SecurityHeadersLayer::api(), SecurityHeadersLayer::api().with_hsts());
    let value = HeaderValue::from_static("max-age=63072000; includeSubDomains");
    assert_eq!(sent(&usual, "https://example.com/"), Some(value.clone()));
    assert_eq!(sent(&usual, "http://example.com/"), None);
    assert_eq!(sent(&forced, "/"), Some(value));
}

/// Answers with the number of bytes that it read, or 400 if it could not.
async fn count<B: Body<Data = Bytes, Error = tower::BoxError>>(
    request: Request<B>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(match request.into_body().collect().await {
        Ok(body) => Response::new(Full::from(body.to_bytes().len().to_string())),
        Err(error) => {
            assert!(error.is::<TooLong>());
            Response::builder().status(400).body(Full::default()).unwrap()
        }
    })
}

fn chunks(sizes: &[usize]) -> impl Body<Data = Bytes, Error = Infallible> + Unpin + use<> {
    let frames: Vec<_> = sizes.iter().map(|size| Ok(Frame::data(Bytes::from(vec![b'x'; *size])))).collect();
    StreamBody::new(futures_util::stream::iter(frames))
}

#[test]
fn a_body_may_be_as_long_as_it_may_and_no_byte_longer_however_it_comes() {
    let layer = BodyLimitLayer::new(100);
    let whole = |length: usize| {
        let request = Request::post("/v1/chat/completions").body(Full::from(vec![b'x'; length])).unwrap();
        now(layer.layer(service_fn(count)).oneshot(request)).unwrap()
    };
    let parts = |sizes: &[usize]| {
        let request = Request::post("/v1/chat/completions").body(chunks(sizes)).unwrap();
        now(layer.layer(service_fn(count)).oneshot(request)).unwrap()
    };
    for (response, expected) in [
        (whole(100), 200),
        (whole(101), 413),
        (whole(0), 200),
        (parts(&[99, 1]), 200),
        (parts(&[99, 1, 0]), 200),
        (parts(&[99, 2]), 413),
        (parts(&[1_000_000]), 413),
        (parts(&[]), 200),
    ] {
        assert_eq!(response.status().as_u16(), expected);
        let body = now(response.into_body().collect()).unwrap().to_bytes();
        let text = std::str::from_utf8(&body).unwrap();
        assert_eq!(
            expected == 413,
            text.contains(r#""code":"request_too_large""#) && text.contains("100 bytes"),
            "{text}"
        );
    }
    let mut declared = Request::post("/").body(chunks(&[1])).unwrap();
    declared.headers_mut().insert("content-length", HeaderValue::from_static("101"));
    assert_eq!(now(layer.layer(service_fn(count)).oneshot(declared)).unwrap().status(), 413);
}
