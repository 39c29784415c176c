use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::layer::Shared;
use crate::path::plain;
use crate::reject::{RefusableBody, RefusableFuture, Refusal};

/// The service of an [`IpAllowLayer`](super::IpAllowLayer).
#[derive(Clone, Debug)]
pub struct IpAllow<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> IpAllow<S> {
    pub(super) const fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S, B, R> Service<Request<B>> for IpAllow<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<RefusableBody<R>>;
    type Error = S::Error;
    type Future = RefusableFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Shared { list, routes, refuser } = &*self.shared;
        let listed = routes.as_ref().is_none_or(|routes| routes.contains(&plain(request.uri().path())));
        if list.permits_listed(request.extensions(), listed) {
            return RefusableFuture::passing(self.inner.call(request));
        }
        RefusableFuture::refused(refuser.refuse(&request.into_parts().0, &Refusal::AddressNotAllowed))
    }
}
