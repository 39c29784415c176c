//! Who is asking, and who shares what with whom.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use bytes::Bytes;
use flashops::core::caller::Caller;
use flashops::tower::client_ip::PeerAddr;
use http::Request;
use http_body_util::Full;
use support::{CHAT, Desk, ask, get, with_header, without_key};

#[test]
fn a_namesake_in_another_organisation_neither_uses_up_nor_sees_what_a_user_has() {
    let desk = Desk::new(
        r#"
        [[limit]]
        name = "rpm"
        scope = "user"
        resource = "requests"
        amount = 1
        window = "1m"
        routes = ["/**"]
        "#,
    );
    let by_namesake = |request| with_header(request, "x-api-key", "sk-namesake");
    assert_eq!(desk.send(get("/pets")).status, 404);
    assert_eq!(desk.send(ask(CHAT)).status, 429);
    let other = desk.send(by_namesake(ask(CHAT)));
    assert_eq!((other.status, desk.used()), (200, vec![1]));
    assert_eq!(desk.send(by_namesake(get("/pets"))).status, 429);
}

#[test]
fn without_a_key_a_caller_is_its_address() {
    let config = r#"
        [[limit]]
        name = "rpm"
        scope = "user"
        resource = "requests"
        amount = 1
        window = "1m"
        routes = ["/**"]
    "#;
    let at = |address: &str| {
        let mut request = without_key(get("/whoami"));
        request.extensions_mut().insert(PeerAddr(address.parse().unwrap()));
        request
    };
    let desk = Desk::new(config);
    let first = desk.send(at("192.0.2.7:1"));
    assert_eq!(&first.body[..], b"192.0.2.7 of 192.0.2.7, admin: false");
    assert_eq!(desk.send(at("192.0.2.7:2")).status, 429);
    assert_eq!(desk.send(at("192.0.2.8:1")).status, 200);
    assert_eq!(desk.send(without_key(get("/whoami"))).status, 200, "all without an address are one");
    assert_eq!(desk.send(without_key(get("/whoami"))).status, 429);

    let strict = Desk::new(&format!("{config}[policy]\nanonymous = \"refuse\""));
    for request in [at("192.0.2.7:1"), without_key(ask(CHAT))] {
        let refused = strict.send(request);
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    }
}

#[test]
fn an_unknown_key_is_refused_and_never_anonymous() {
    let desk = Desk::new("");
    for request in [get("/pets"), ask(CHAT)] {
        let refused = desk.send(with_header(request, "x-api-key", "sk-ann2"));
        assert_eq!(refused.status, 401);
        assert!(!std::str::from_utf8(&refused.body).unwrap().contains("sk-ann"));
    }
}

#[test]
fn a_caller_that_the_application_found_comes_before_any_key_and_has_its_address_too() {
    let desk = Desk::new(
        r#"
        [[limit]]
        name = "address"
        scope = "ip"
        resource = "requests"
        amount = 2
        window = "1m"
        routes = ["/**"]
        "#,
    );
    let from = |mut request: Request<Full<Bytes>>| {
        request.extensions_mut().insert(PeerAddr("192.0.2.7:1".parse().unwrap()));
        request
    };
    let by_extension = |path| {
        let mut request = with_header(from(get(path)), "x-api-key", "sk-nobody");
        request.extensions_mut().insert(Caller::admin("bob", "own"));
        request
    };
    let response = desk.send(by_extension("/whoami"));
    assert_eq!(&response.body[..], b"bob of own, admin: true");
    assert_eq!(
        &desk.send(with_header(from(get("/whoami")), "x-api-key", "sk-root")).body[..],
        b"root of ops, admin: true"
    );
    assert_eq!(desk.send(by_extension("/whoami")).status, 429);
    assert_eq!(desk.send(from(get("/whoami"))).status, 429);
}
