use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use flashops_core::clock::Tick;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::body::MeasuredBody;
use super::future::ResponseFuture;
use super::layer::Shared;
use super::names;
use super::table::Place;
use crate::path::plain;

/// The service of an [`HttpMetricsLayer`](super::HttpMetricsLayer).
#[derive(Clone)]
pub struct HttpMetrics<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> HttpMetrics<S> {
    pub(super) const fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, without this one.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: fmt::Debug> fmt::Debug for HttpMetrics<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpMetrics").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<B>> for HttpMetrics<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    type Response = Response<MeasuredBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let running = Running::begin(&self.shared, &request);
        ResponseFuture::new(self.inner.call(request), running)
    }
}

/// A request under way. Dropping it ends it, however it ended.
#[derive(Debug)]
pub(super) struct Running {
    shared: Arc<Shared>,
    route: Place,
    method: &'static str,
    /// 0 as long as there is no response.
    pub(super) status: u16,
    started: Tick,
}

impl Running {
    fn begin<B>(shared: &Arc<Shared>, request: &Request<B>) -> Option<Self> {
        if !shared.enabled {
            return None;
        }
        let path = plain(request.uri().path());
        if shared.exempt.as_ref().is_some_and(|exempt| exempt.contains(&path)) {
            return None;
        }
        let started = shared.clock.tick();
        let route = shared.table.route((shared.template)(request.extensions()), &path);
        shared.table.in_flight().increment(1);
        let (shared, method) = (Arc::clone(shared), names::method(request.method()));
        Some(Self { shared, route, method, status: 0, started })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Self { shared, route, method, status, started } = self;
        shared.table.in_flight().decrement(1);
        shared.table.record(*route, method, *status, shared.clock.tick().since(*started));
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
