use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::{Entry, HeaderName, SERVER, STRICT_TRANSPORT_SECURITY};
use http::{HeaderMap, HeaderValue, Response};
use pin_project_lite::pin_project;

use super::presets::{HSTS, Pair};

const X_POWERED_BY: HeaderName = HeaderName::from_static("x-powered-by");

pin_project! {
    /// The response of a [`SecurityHeaders`](super::SecurityHeaders).
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        call: F,
        pairs: Option<Arc<[Pair]>>,
        hsts: bool,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn new(call: F, pairs: Option<Arc<[Pair]>>, hsts: bool) -> Self {
        Self { call, pairs, hsts }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.call.poll(cx))?;
        let Some(pairs) = this.pairs else { return Poll::Ready(Ok(response)) };
        let headers = response.headers_mut();
        let _full = headers.try_reserve(pairs.len() + 1);
        for (name, value) in pairs.iter() {
            add(headers, name, value);
        }
        if *this.hsts {
            add(headers, &STRICT_TRANSPORT_SECURITY, &HSTS);
        }
        headers.remove(SERVER);
        headers.remove(X_POWERED_BY);
        Poll::Ready(Ok(response))
    }
}

/// Adds a header if it is not there, and if there is room.
fn add(headers: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    if let Ok(Entry::Vacant(place)) = headers.try_entry(name) {
        let _full = place.try_insert(value.clone());
    }
}
