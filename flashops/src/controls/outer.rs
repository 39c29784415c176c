use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flashops_core::clock::UnixSeconds;
use flashops_core::store::ReservationId;
use flashops_tower::budget::ModelRoute;
use flashops_tower::reject::headers::{REQUEST_ID, X_REQUEST_ID};
use flashops_tower::reject::{DefaultReject, Dialect, Refusal, RefusalContext, Reject, RequestId};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{Either, Full};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::layer::Panicked;

/// The body of every response: the one from inside, or what a panic looks like.
pub type Body<B> = Either<B, Full<Bytes>>;

/// The outermost service: gives every request an identity, puts it on the response, and writes what a panic looks like.
#[derive(Clone, Debug)]
pub struct Outer<S> {
    inner: S,
    routes: Arc<[ModelRoute]>,
}

impl<S> Outer<S> {
    pub(super) const fn new(inner: S, routes: Arc<[ModelRoute]>) -> Self {
        Self { inner, routes }
    }
}

impl<S, B, R> Service<Request<B>> for Outer<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<Body<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let id = match RequestId::of(request.headers()) {
            Some(id) => HeaderValue::from_str(id.as_str()).expect("a well-formed identity is a header value"),
            None => new_id(),
        };
        set(request.headers_mut(), &id, Dialect::Problem);
        let dialect = ModelRoute::dialect_of(&self.routes, request.uri().path(), request.headers());
        ResponseFuture { inner: self.inner.call(request), id: Some(id), dialect }
    }
}

fn new_id() -> HeaderValue {
    let id = ReservationId::random().to_string();
    HeaderValue::from_str(&id).expect("hexadecimal digits are a header value")
}

/// Puts the identity where the clients of a dialect look for it. A map that is full goes without.
fn set(headers: &mut HeaderMap, id: &HeaderValue, dialect: Dialect) {
    let _full = headers.try_insert(X_REQUEST_ID, id.clone());
    if dialect == Dialect::Anthropic {
        let _full = headers.try_insert(REQUEST_ID, id.clone());
    }
}

pin_project! {
    /// The response of an [`Outer`].
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        id: Option<HeaderValue>,
        dialect: Dialect,
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<Body<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let id = this.id.take().expect("a future is not polled after it was ready");
        let mut response = match response.extensions().get::<Panicked>() {
            Some(Panicked) => internal_error(response.headers(), *this.dialect, &id),
            None => response.map(Either::Left),
        };
        set(response.headers_mut(), &id, *this.dialect);
        Poll::Ready(Ok(response))
    }
}

/// What a panic looks like from outside: nothing of it but the identity of the request, and how the limits stand.
fn internal_error<R>(limits: &HeaderMap, dialect: Dialect, id: &HeaderValue) -> Response<Body<R>> {
    let context = RefusalContext::new(dialect, UnixSeconds::default()).with_request_id(RequestId::from_value(id));
    let mut response = DefaultReject::new().reject(&Refusal::Internal, &context);
    for (name, value) in limits {
        if !response.headers().contains_key(name) {
            let _full = response.headers_mut().try_append(name, value.clone());
        }
    }
    response.map(|body| Either::Right(Full::new(body.into_bytes())))
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
