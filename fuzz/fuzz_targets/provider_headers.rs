//! Headers of a provider that limits us: nothing panics, and nothing is held back for longer than the bound.
//!
//! The first byte of the input chooses the status. Each line after it is a header: a byte for its name, and its value.
//! Run it with `cargo +nightly fuzz run provider_headers`.
#![no_main]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use flashops_core::clock::ManualClock;
use flashops_tower::provider_limits::{MAX_WAIT, ProviderLimits, ProviderLimitsLayer};
use flashops_tower::reject::RejectBody;
use http::{HeaderValue, Request, Response, StatusCode};
use libfuzzer_sys::fuzz_target;
use tower_layer::Layer;
use tower_service::Service;

const NAMES: [&str; 14] = [
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "retry-after-ms",
    "date",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "anthropic-ratelimit-tokens-limit",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
    "x-request-id",
];

struct Provider<'a>(&'a [u8]);

impl Service<Request<()>> for Provider<'_> {
    type Response = Response<RejectBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let mut response = Response::new(RejectBody::default());
        let (status, headers) = self.0.split_first().unwrap_or((&0, &[]));
        *response.status_mut() = [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS][usize::from(*status % 2)];
        for line in headers.split(|byte| *byte == b'\n') {
            let Some((name, value)) = line.split_first() else { continue };
            if let Ok(value) = HeaderValue::from_bytes(value) {
                response.headers_mut().append(NAMES[usize::from(*name) % NAMES.len()], value);
            }
        }
        ready(Ok(response))
    }
}

fuzz_target!(|input: &[u8]| {
    let clock = ManualClock::new();
    let limits = ProviderLimits::new(clock.clone());
    let mut client = ProviderLimitsLayer::new(limits.clone()).layer(Provider(input));
    let mut call = || {
        let call = pin!(client.call(Request::new(())));
        let Poll::Ready(Ok(response)) = call.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("the provider answers at once");
        };
        response.extensions().get::<flashops_tower::provider_limits::HeldBack>().is_none()
    };
    assert!(call(), "nothing was said before the first call");
    call();
    clock.advance(MAX_WAIT);
    assert!(call(), "what was said is believed for no longer");
});
