use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::errors::Answering;
use super::future::ResponseFuture;
use super::identity::{TRACEPARENT, TRACESTATE, TraceId};
use super::layer::Shared;
use crate::reject::RefusableBody;
use crate::reject::headers::{X_REQUEST_ID, X_TRACE_ID};

/// The service of a [`TraceIdLayer`](super::TraceIdLayer).
#[derive(Clone, Debug)]
pub struct TraceIdService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> TraceIdService<S> {
    pub(super) const fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S, B, R> Service<Request<B>> for TraceIdService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    type Response = Response<RefusableBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Shared { trust, refuser, .. } = &*self.shared;
        let (id, continues) = TraceId::of(request.headers(), request.extensions(), trust);
        let answering = Answering {
            id: id.header().clone(),
            dialect: refuser.dialect(request.uri().path(), request.headers()),
            path: request.uri().path_and_query().cloned(),
            has_body: request.method() != Method::HEAD,
            shared: Arc::clone(&self.shared),
        };
        mark(request.headers_mut(), &id, continues);
        request.extensions_mut().insert(id);
        ResponseFuture::new(self.inner.call(request), answering)
    }
}

/// Tells the inside the identity, and nothing of what else came in.
fn mark(headers: &mut HeaderMap, id: &TraceId, continues: bool) {
    if !continues {
        headers.remove(TRACESTATE);
    }
    let pairs = [(X_REQUEST_ID, id.header().clone()), (X_TRACE_ID, id.header().clone())];
    for (name, value) in pairs.into_iter().chain([(TRACEPARENT, id.context().header())]) {
        let _full = headers.try_insert(name, value);
    }
}
