//! What the benchmarks of layers share: a provider, its callers, and calls of it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use flashops_benches::keys::Keys;
use flashops_benches::measure::{Figures, Times, Worker};
use flashops_core::caller::{Caller, CallerTable};
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Policy, Resource, Window};
use flashops_tower::identify::ApiKeys;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower_service::Service;

/// More than any run uses.
pub(crate) const HUGE: u64 = 1 << 40;

/// A provider: a JSON answer of about a kilobyte, with usage.
#[derive(Clone)]
pub(crate) struct Provider(pub(crate) Bytes);

impl<B> Service<Request<B>> for Provider {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let mut response = Response::new(Full::new(self.0.clone()));
        let json = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(http::header::CONTENT_TYPE, json);
        ready(Ok(response))
    }
}

/// Calls a service once, and reads the response to its end.
pub(crate) fn exchange<S, R>(service: &mut S, request: Request<Full<Bytes>>)
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    let future = std::pin::pin!(service.call(request));
    let Poll::Ready(Ok(response)) = future.poll(&mut context) else { unreachable!("nothing here waits or fails") };
    assert_eq!(response.status(), StatusCode::OK);
    let body = std::pin::pin!(response.into_body().collect());
    assert!(body.poll(&mut context).is_ready());
}

pub(crate) fn api_keys(keys: &Keys) -> ApiKeys<impl Fn(&str) -> Option<Caller> + use<>> {
    let mut table = CallerTable::new();
    for key in keys.iter() {
        table.insert(key, Caller::new(key, "acme")).expect("the keys are well-formed and differ");
    }
    ApiKeys::new(move |key: &str| table.find(key.as_bytes()))
}

/// The key that an operation uses, touched as a server that has just read the request has.
pub(crate) fn pick<'k>(keys: &'k Keys, worker: &mut Worker) -> &'k str {
    keys.text(worker.pick(keys.len()))
}

/// What a layer adds: run by run, less the bare service.
pub(crate) fn added(layered: &Figures, bare: &Figures) -> Figures {
    let less = |a: &Times, b: &Times| Times(a.0.iter().zip(&b.0).map(|(a, b)| a - b).collect());
    Figures { one: less(&layered.one, &bare.one), two: less(&layered.two, &bare.two) }
}

/// A chat request of about a kilobyte, and an answer of about a kilobyte.
pub(crate) fn kilobytes() -> (Bytes, Bytes) {
    let words = "lorem ipsum ".repeat(78);
    let ask =
        format!(r#"{{"model":"gpt-4o-mini","max_tokens":200,"messages":[{{"role":"user","content":"{words}"}}]}}"#);
    let answer = format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion","choices":[{{"index":0,"message":{{"role":"assistant","content":"{words}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":230,"completion_tokens":180,"total_tokens":410}}}}"#
    );
    (ask.into(), answer.into())
}

pub(crate) fn fleet() -> Policy {
    let hour = || Window::Sliding(Duration::from_secs(3_600));
    let limit = |name, scope, resource| Limit::new(name, scope, resource, HUGE, hour()).expect("the limit is valid");
    let limits = vec![
        limit("user-requests", Scope::User, Resource::Requests),
        limit("user-tokens", Scope::User, Resource::Tokens),
        limit("org-tokens", Scope::Org, Resource::Tokens),
        limit("org-cost", Scope::Org, Resource::Cost),
        limit("all-tokens", Scope::Global, Resource::Tokens),
    ];
    Policy::new(limits).expect("the names differ")
}
