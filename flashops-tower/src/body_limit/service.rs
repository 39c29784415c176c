use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::body::LimitedBody;
use super::future::{ResponseFuture, Watch};
use crate::reject::headers::X_REQUEST_ID;
use crate::reject::{RefusableBody, Refusal, Refuser};

/// The service of a [`BodyLimitLayer`](super::BodyLimitLayer).
#[derive(Clone, Debug)]
pub struct BodyLimit<S> {
    inner: S,
    most: u64,
    refuser: Arc<Refuser>,
}

impl<S> BodyLimit<S> {
    pub(super) const fn new(inner: S, most: u64, refuser: Arc<Refuser>) -> Self {
        Self { inner, most, refuser }
    }
}

impl<S, B, R> Service<Request<B>> for BodyLimit<S>
where
    S: Service<Request<LimitedBody<B>>, Response = Response<R>>,
    B: Body<Data = Bytes>,
{
    type Response = Response<RefusableBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let length = body.size_hint();
        let least = declared_length(&parts.headers).unwrap_or(0).max(length.lower());
        if least > self.most {
            let refusal = Refusal::BodyTooLarge { most: self.most };
            return ResponseFuture::refused(self.refuser.refuse(&parts, &refusal));
        }
        if length.upper().is_some_and(|longest| longest <= self.most) {
            let request = Request::from_parts(parts, LimitedBody::fitting(body));
            return ResponseFuture::passing(self.inner.call(request), None);
        }
        let watch = Watch {
            exceeded: Arc::default(),
            most: self.most,
            dialect: self.refuser.dialect(parts.uri.path(), &parts.headers),
            id: parts.headers.get(X_REQUEST_ID).cloned(),
            refuser: Arc::clone(&self.refuser),
        };
        let body = LimitedBody::counted(body, self.most, Arc::clone(&watch.exceeded));
        let call = self.inner.call(Request::from_parts(parts, body));
        ResponseFuture::passing(call, Some(Box::new(watch)))
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
