use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flashops_core::clock::UnixSeconds;
use flashops_core::store::ReservationId;
use flashops_tower::reject::headers::{REQUEST_ID, X_REQUEST_ID};
use flashops_tower::reject::{DefaultReject, Dialect, Refusal, RefusalContext, Reject, RequestId};
use http::{HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::layer::Panicked;

/// An error of a body, whatever its type.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of every response.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// The outermost service: gives every request an identity, puts it on the response, and boxes the response body.
#[derive(Clone, Debug)]
pub struct Outer<S> {
    inner: S,
}

impl<S> Outer<S> {
    pub(super) const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S, B, R> Service<Request<B>> for Outer<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Body>;
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
        request.headers_mut().insert(X_REQUEST_ID, id.clone());
        let dialect = Dialect::of(request.uri().path(), request.headers(), None);
        ResponseFuture { inner: self.inner.call(request), id: Some(id), dialect }
    }
}

fn new_id() -> HeaderValue {
    let id = ReservationId::random().to_string();
    HeaderValue::from_str(&id).expect("hexadecimal digits are a header value")
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
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let id = this.id.take().expect("a future is not polled after it was ready");
        let mut response = match response.extensions().get::<Panicked>() {
            Some(Panicked) => internal_error(*this.dialect, &id),
            None => response.map(|body| body.map_err(Into::into).boxed_unsync()),
        };
        if *this.dialect == Dialect::Anthropic {
            response.headers_mut().insert(REQUEST_ID, id.clone());
        }
        response.headers_mut().insert(X_REQUEST_ID, id);
        Poll::Ready(Ok(response))
    }
}

/// What a panic looks like from outside: nothing of it but the identity of the request.
fn internal_error(dialect: Dialect, id: &HeaderValue) -> Response<Body> {
    let context = RefusalContext::new(dialect, UnixSeconds::default()).with_request_id(RequestId::from_value(id));
    let response = DefaultReject::new().reject(&Refusal::Internal, &context);
    response.map(|body| Full::new(body.into_bytes()).map_err(|never| match never {}).boxed_unsync())
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
