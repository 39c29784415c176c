use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use flashops_core::clock::Clock;
use flashops_core::key::{Fingerprint, Key, Scope};
use http::header::{AUTHORIZATION, HOST, HeaderName};
use http::{HeaderValue, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::body::ResponseBody;
use super::future::ResponseFuture;
use super::load::Load;
use super::standing::Short;
use super::table::ProviderLimits;
use crate::budget::Held;
use crate::reject::{Dialect, NotDispatched, Refusal, RefusalContext, Reject, RejectBody, RequestId};

/// An extension of responses: the call was refused in place of its provider, which had said that it would.
///
/// A [`FallbackLayer`](crate::fallback::FallbackLayer) further outside takes it for a failure of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBack;

/// The service of a [`ProviderLimitsLayer`](super::ProviderLimitsLayer). It is ready when the inner service is.
pub struct ProviderLimited<S, C> {
    inner: S,
    limits: ProviderLimits<C>,
    reject: Arc<dyn Reject + Send + Sync>,
}

impl<S, C> ProviderLimited<S, C> {
    pub(super) fn new(inner: S, limits: ProviderLimits<C>, reject: Arc<dyn Reject + Send + Sync>) -> Self {
        Self { inner, limits, reject }
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

impl<S: Clone, C> Clone for ProviderLimited<S, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), limits: self.limits.clone(), reject: Arc::clone(&self.reject) }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for ProviderLimited<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderLimited").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, C, B, R> Service<Request<B>> for ProviderLimited<S, C>
where
    S: Service<Request<B>, Response = Response<R>>,
    C: Clock,
    R: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let call = request.extensions().get::<Held>().map_or(Load::unknown(), |held| Load::of_call(&held.amounts));
        match self.limits.admit(provider(&request), call) {
            Ok(ticket) => ResponseFuture::calling(self.inner.call(request), ticket, self.limits.clone()),
            Err(short) => ResponseFuture::refused(self.refuse(&request, short)),
        }
    }
}

impl<S, C: Clock> ProviderLimited<S, C> {
    #[cold]
    fn refuse<B>(&self, request: &Request<B>, short: Short) -> Response<RejectBody> {
        let Short { resource, asked, remaining, wait } = short;
        let refusal = Refusal::ProviderLimited { resource, asked, remaining, retry: wait };
        let configured = request.extensions().get::<Dialect>().copied();
        let dialect = Dialect::of(request.uri().path(), request.headers(), configured);
        let context = RefusalContext::new(dialect, self.limits.clock().now().unix);
        let context = context.with_request_id(RequestId::of(request.headers()));
        let mut response = self.reject.reject(&refusal, &context);
        response.extensions_mut().insert(NotDispatched);
        response.extensions_mut().insert(HeldBack);
        response
    }
}

/// The headers that say on whose account a provider counts a call.
const CREDENTIALS: [HeaderName; 4] = [
    AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// Who counts a call: the host, for the credentials, and for the model where a token budget has read it. Only a hash is
/// kept.
fn provider<B>(request: &Request<B>) -> Fingerprint {
    let host = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let host = host.or_else(|| Some(request.headers().get(HOST)?.as_bytes())).unwrap_or_default();
    let mut name = String::from_utf8_lossy(host).to_ascii_lowercase();
    let credentials = CREDENTIALS.into_iter().filter_map(|credential| request.headers().get(credential));
    let model = request.extensions().get::<Held>().map_or(&b""[..], |held| held.model.as_bytes());
    for part in std::iter::once(model).chain(credentials.map(HeaderValue::as_bytes)) {
        name.push('\n');
        name.push_str(&String::from_utf8_lossy(part));
    }
    Key::new(Scope::Provider, &name).fingerprint()
}
