//! CORS, where a configuration opens the service to pages of other origins.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_http::cors::{self, Cors, CorsLayer};
use tower_layer::Layer;
use tower_service::Service;

/// CORS with a switch. An optional layer would name the service inside of it twice, and so double the types of the
/// stack.
#[derive(Clone, Debug)]
pub(super) struct OpenedLayer(pub(super) Option<CorsLayer>);

impl<S> Layer<S> for OpenedLayer {
    type Service = Opened<S>;

    fn layer(&self, inner: S) -> Opened<S> {
        Opened { cors: self.0.clone().unwrap_or_default().layer(inner), is_open: self.0.is_some() }
    }
}

/// A service that pages of other origins may call, or may not.
#[derive(Clone, Debug)]
pub struct Opened<S> {
    cors: Cors<S>,
    is_open: bool,
}

impl<S, B, R> Service<Request<B>> for Opened<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = OpenedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.cors.get_mut().poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let kind = if self.is_open {
            Kind::Open { call: self.cors.call(request) }
        } else {
            Kind::Closed { call: self.cors.get_mut().call(request) }
        };
        OpenedFuture { kind }
    }
}

pin_project! {
    /// The response of an [`Opened`].
    pub struct OpenedFuture<F> {
        #[pin]
        kind: Kind<F>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<F> {
        Open { #[pin] call: cors::ResponseFuture<F> },
        Closed { #[pin] call: F },
    }
}

impl<F, R, E> Future for OpenedFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Default,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProj::Open { call } => call.poll(cx),
            KindProj::Closed { call } => call.poll(cx),
        }
    }
}

impl<F> fmt::Debug for OpenedFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedFuture").finish_non_exhaustive()
    }
}
