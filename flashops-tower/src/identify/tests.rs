use std::collections::HashMap;

use http::{HeaderValue, Request};
use proptest::prelude::*;

use super::*;
use crate::client_ip::PeerAddr;

fn request(headers: &[(&str, &[u8])], peer: Option<&str>) -> Parts {
    let mut request = Request::new(());
    for (name, value) in headers {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
    }
    if let Some(peer) = peer {
        request.extensions_mut().insert(PeerAddr(peer.parse().unwrap()));
    }
    request.into_parts().0
}

fn keys() -> ApiKeys<impl Fn(&str) -> Option<Caller>> {
    let table = HashMap::from([("sk-ann", Caller::new("ann", "acme")), ("sk-bob", Caller::new("bob", "acme"))]);
    ApiKeys::new(move |key: &str| table.get(key).cloned())
}

fn user(headers: &[(&str, &[u8])]) -> Result<String, IdentifyError> {
    keys().identify(&request(headers, Some("192.0.2.7:1"))).map(|caller| caller.user().to_owned())
}

#[test]
fn a_key_is_found_in_either_header_however_its_scheme_is_written() {
    for headers in [
        &[("authorization", &b"Bearer sk-ann"[..])][..],
        &[("authorization", b"bearer  sk-ann ")],
        &[("authorization", b"BEARER sk-ann")],
        &[("x-api-key", b"sk-ann")],
        &[("authorization", b"Bearer sk-ann"), ("x-api-key", b"sk-ann")],
        &[("x-api-key", b"sk-ann"), ("x-api-key", b"sk-ann")],
    ] {
        assert_eq!(user(headers).as_deref(), Ok("ann"), "{headers:?}");
    }
}

#[test]
fn two_different_keys_are_refused_even_if_both_are_known() {
    for headers in [
        &[("authorization", &b"Bearer sk-ann"[..]), ("x-api-key", b"sk-bob")][..],
        &[("authorization", b"Bearer sk-ann"), ("authorization", b"Bearer sk-bob")],
        &[("x-api-key", b"sk-ann"), ("x-api-key", b"sk-bob")],
    ] {
        assert_eq!(user(headers), Err(IdentifyError::Ambiguous), "{headers:?}");
    }
}

#[test]
fn credentials_that_are_there_and_known_to_nobody_are_refused_and_never_anonymous() {
    let long = vec![b'k'; 8 * 1024];
    let long_bearer = [b"Bearer ", &long[..]].concat();
    for headers in [
        &[("authorization", &b"Bearer sk-eve"[..])][..],
        &[("authorization", b"Bearer ")],
        &[("authorization", b"Bearer")],
        &[("authorization", b"Bearersk-ann")],
        &[("authorization", b"Basic c2stYW5uOg==")],
        &[("authorization", b"")],
        &[("authorization", b"Bearer \xff\xfe")],
        &[("authorization", long_bearer.as_slice())],
        &[("x-api-key", b"")],
        &[("x-api-key", b"sk-ann\xc3")],
        &[("x-api-key", long.as_slice())],
        &[("authorization", b"Basic c2stYW5uOg=="), ("x-api-key", b"sk-ann")],
    ] {
        assert_eq!(user(headers), Err(IdentifyError::Unknown), "{headers:?}");
    }
}

#[test]
fn a_key_beyond_the_bound_is_not_even_looked_up() {
    let trusting = ApiKeys::new(|key: &str| Some(Caller::new(key, "everybody")));
    let with = |length| request(&[("x-api-key", &vec![b'k'; length])], None);
    assert!(trusting.identify(&with(ApiKeys::MAX_KEY)).is_ok());
    assert_eq!(trusting.identify(&with(ApiKeys::MAX_KEY + 1)).unwrap_err(), IdentifyError::Unknown);
    assert_eq!(trusting.identify(&with(0)).unwrap_err(), IdentifyError::Unknown);
}

#[test]
fn no_credentials_are_anonymous_at_the_address_or_refused_by_choice() {
    assert_eq!(user(&[]).as_deref(), Ok("192.0.2.7"));
    let strict = keys().with_anonymous(Anonymous::Refused);
    assert_eq!(strict.identify(&request(&[], Some("192.0.2.7:1"))).unwrap_err(), IdentifyError::Missing);
    let strict = FromExtension::new().with_anonymous(Anonymous::Refused);
    assert_eq!(strict.identify(&request(&[], None)).unwrap_err(), IdentifyError::Missing);
}

#[test]
fn anonymous_callers_whose_address_nobody_knows_share_one_account() {
    let caller = |identify: &dyn Identify| identify.identify(&request(&[], None)).unwrap();
    for caller in [caller(&keys()), caller(&FromExtension::new()), caller(&ByPeer)] {
        assert!(caller.is_anonymous());
        assert_eq!((caller.user(), caller.ip()), ("0.0.0.0", Some("0.0.0.0")));
    }
}

#[test]
fn a_known_caller_has_the_address_it_comes_from() {
    let known = request(&[("x-api-key", b"sk-ann")], Some("[2001:db8::7]:1"));
    assert_eq!(keys().identify(&known).unwrap().ip(), Some("2001:db8::/64"));
    let nowhere = request(&[("x-api-key", b"sk-ann")], None);
    assert_eq!(keys().identify(&nowhere).unwrap().ip(), None);
}

#[test]
fn an_address_that_the_application_gave_is_not_replaced() {
    let mut parts = request(&[], Some("192.0.2.7:1"));
    parts.extensions.insert(Caller::new("ann", "acme").at("198.51.100.9".parse().unwrap()));
    assert_eq!(FromExtension::new().identify(&parts).unwrap().ip(), Some("198.51.100.9"));
    parts.extensions.insert(Caller::new("ann", "acme"));
    assert_eq!(FromExtension::new().identify(&parts).unwrap().ip(), Some("192.0.2.7"));
}

#[test]
fn by_peer_looks_at_no_credentials() {
    let parts = request(&[("x-api-key", b"sk-ann")], Some("192.0.2.7:1"));
    assert_eq!(ByPeer.identify(&parts).unwrap().user(), "192.0.2.7");
}

#[test]
fn debug_output_shows_no_key() {
    assert_eq!(format!("{:?}", keys()), "ApiKeys { anonymous: Admitted, .. }");
}

proptest! {
    #[test]
    fn no_header_value_makes_a_stranger_known(
        bearer in prop::collection::vec(any::<u8>(), 0..40),
        plain in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
    ) {
        let mut parts = request(&[], Some("192.0.2.7:1"));
        let Ok(value) = HeaderValue::from_bytes(&bearer) else { return Ok(()) };
        parts.headers.insert("authorization", value);
        if let Some(Ok(value)) = plain.map(|plain| HeaderValue::from_bytes(&plain)) {
            parts.headers.insert("x-api-key", value);
        }
        prop_assert!(keys().identify(&parts).is_err());
    }
}
