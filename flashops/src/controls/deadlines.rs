//! How long a response may take to begin, and once it has begun.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower_http::timeout::{DeadlineBody, TimeoutBody};
use tower_layer::Layer;
use tower_service::Service;

type BoxError = Box<dyn Error + Send + Sync>;

/// Bounds the time until responses begin, pauses in them, and all of their time. Without bounds no timer is set, and no
/// runtime needed. One layer with three switches, since an optional layer doubles the types inside of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeadlinesLayer {
    pub(super) head: Option<Duration>,
    pub(super) idle: Option<Duration>,
    pub(super) total: Option<Duration>,
}

impl<S> Layer<S> for DeadlinesLayer {
    type Service = Deadlines<S>;

    fn layer(&self, inner: S) -> Deadlines<S> {
        Deadlines { inner, times: *self }
    }
}

/// The service that bounds the time of responses.
#[derive(Clone, Debug)]
pub struct Deadlines<S> {
    inner: S,
    times: DeadlinesLayer,
}

impl<S, B, R> Service<Request<B>> for Deadlines<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body + Default,
{
    type Response = Response<TimedBody<R>>;
    type Error = S::Error;
    type Future = DeadlinesFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let deadline = self.times.head.map(tokio::time::sleep);
        DeadlinesFuture { call: self.inner.call(request), deadline, idle: self.times.idle, total: self.times.total }
    }
}

pin_project! {
    /// The response of a [`Deadlines`].
    pub struct DeadlinesFuture<F> {
        #[pin]
        call: F,
        #[pin]
        deadline: Option<Sleep>,
        idle: Option<Duration>,
        total: Option<Duration>,
    }
}

impl<F, R, E> Future for DeadlinesFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body + Default,
{
    type Output = Result<Response<TimedBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(response) = this.call.poll(cx)? {
            return Poll::Ready(Ok(response.map(|body| TimedBody::new(body, *this.idle, *this.total))));
        }
        ready!(this.deadline.as_pin_mut().map_or(Poll::Pending, |deadline| deadline.poll(cx)));
        let mut late = Response::new(TimedBody::default());
        *late.status_mut() = StatusCode::GATEWAY_TIMEOUT;
        Poll::Ready(Ok(late))
    }
}

impl<F> fmt::Debug for DeadlinesFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlinesFuture").finish_non_exhaustive()
    }
}

pin_project! {
    /// A response body that ends in an error when it takes too long.
    pub struct TimedBody<R> {
        #[pin]
        kind: Kind<R>,
        // What is left of a body whose length is known; the bodies with timers forget it.
        left: Option<u64>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<R> {
        Unbounded { #[pin] body: R },
        Idle { #[pin] body: TimeoutBody<R> },
        Total { #[pin] body: DeadlineBody<R> },
        Both { #[pin] body: DeadlineBody<TimeoutBody<R>> },
    }
}

impl<R: Body> TimedBody<R> {
    fn new(body: R, idle: Option<Duration>, total: Option<Duration>) -> Self {
        let left = body.size_hint().exact();
        let kind = match (idle, total) {
            _ if body.is_end_stream() => Kind::Unbounded { body },
            (None, None) => Kind::Unbounded { body },
            (Some(idle), None) => Kind::Idle { body: TimeoutBody::new(idle, body) },
            (None, Some(total)) => Kind::Total { body: DeadlineBody::new(total, body) },
            (Some(idle), Some(total)) => Kind::Both { body: DeadlineBody::new(total, TimeoutBody::new(idle, body)) },
        };
        Self { kind, left }
    }
}

impl<R: Body + Default> Default for TimedBody<R> {
    fn default() -> Self {
        Self::new(R::default(), None, None)
    }
}

impl<R> Body for TimedBody<R>
where
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let frame = ready!(match this.kind.project() {
            KindProj::Unbounded { body } => {
                body.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            KindProj::Idle { body } => body.poll_frame(cx),
            KindProj::Total { body } => body.poll_frame(cx),
            KindProj::Both { body } => body.poll_frame(cx),
        });
        if let (Some(left), Some(Ok(frame))) = (this.left.as_mut(), &frame) {
            *left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len) as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Unbounded { body } => body.is_end_stream(),
            Kind::Total { body } => body.is_end_stream(),
            Kind::Idle { .. } | Kind::Both { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.kind, self.left) {
            (Kind::Unbounded { body }, _) => body.size_hint(),
            (_, Some(left)) => SizeHint::with_exact(left),
            (_, None) => SizeHint::default(),
        }
    }
}

impl<R> fmt::Debug for TimedBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimedBody").finish_non_exhaustive()
    }
}
