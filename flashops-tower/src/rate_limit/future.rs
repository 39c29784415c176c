use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use flashops_core::caller::Caller;
use flashops_core::clock::UnixSeconds;
use flashops_core::key::Scopes;
use flashops_core::limit::{Denied, LimitSet};
use flashops_core::store::{Admitted, Receipt, Store, StoreError};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::layer::{Copied, Shared};
use crate::identify::Identify;
use crate::path::plain;
use crate::reject::headers::Notice;
use crate::reject::{NotDispatched, RefusableBody, Refusal, RejectBody};

pin_project! {
    /// The response of a [`RateLimit`](super::RateLimit).
    pub struct ResponseFuture<S, T, I, B>
    where
        S: Service<Request<B>>,
        T: Store,
    {
        #[pin]
        state: State<S, T, I, B, S::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, T, I, B, F>
    where
        T: Store,
    {
        // The store counts the request, or not, and needs time for it.
        Admitting { pending: Option<Box<Pending<S, T, I, B>>> },
        // The inner service has the request.
        Calling { #[pin] call: F, counted: Counted<T, I> },
        // It is not counted.
        Passing { #[pin] call: F },
        // It was refused.
        Refused { response: Option<Response<RejectBody>> },
    }
}

/// A request that waits for the store, with the instance that was ready.
struct Pending<S, T: Store, I, B> {
    admit: T::Admit,
    service: S,
    shared: Copied<T, I>,
    request: Request<B>,
    caller: Caller,
    limits: LimitSet,
}

/// A request that was counted: what its response is told, and what giving it back takes.
struct Counted<T, I> {
    notice: Notice,
    shared: Copied<T, I>,
    caller: Caller,
    /// `None` where no limit counts for each route.
    path: Option<PathAndQuery>,
    limits: LimitSet,
    receipt: Receipt,
}

/// The answer of a store.
type Answer = Result<Result<Admitted, Denied>, StoreError>;

const POLLED_AGAIN: &str = "a future is not polled after it was ready";

impl<S, T, I, B> ResponseFuture<S, T, I, B>
where
    S: Service<Request<B>> + Clone,
    T: Store,
    I: Identify,
{
    /// `service` is ready, and is called here unless the store needs time.
    pub(super) fn new(service: &mut S, shared: &Copied<T, I>, request: Request<B>) -> Self {
        let (mut parts, body) = request.into_parts();
        let path = shared.0.path(parts.uri.path());
        if shared.0.passes(&parts.method, &path) {
            drop(path);
            return Self { state: State::Passing { call: service.call(Request::from_parts(parts, body)) } };
        }
        let caller = match shared.0.identify.identify(&parts) {
            Ok(caller) => caller,
            Err(error) => {
                return Self::refused(shared.0.refuse(&parts, &Refusal::Unidentified(error)));
            }
        };
        let limits = shared.0.limits(&path);
        let mut admit = {
            let mut keys = Scopes::new();
            shared.0.add_keys(&caller, &path, &mut keys);
            shared.0.limiter.admit(&keys, limits)
        };
        drop(path);
        if shared.0.extends {
            parts.extensions.insert(caller.clone());
        }
        // A store in memory has answered already, and then the request need not wait to be polled: nothing moves but
        // once. Whoever polls this future later does so with a waker of its own.
        match Pin::new(&mut admit).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => decide(shared, service, parts, body, caller, limits, &answer),
            Poll::Pending => {
                let not_ready = service.clone();
                let service = std::mem::replace(service, not_ready);
                let (shared, request) = (Arc::clone(shared), Request::from_parts(parts, body));
                let pending = Some(Box::new(Pending { admit, service, shared, request, caller, limits }));
                Self { state: State::Admitting { pending } }
            }
        }
    }
}

impl<S, T, I, B> ResponseFuture<S, T, I, B>
where
    S: Service<Request<B>>,
    T: Store,
{
    fn refused(response: Response<RejectBody>) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }
}

impl<S, T, I, B, R> Future for ResponseFuture<S, T, I, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    T: Store,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<RefusableBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Admitting { pending } => {
                    let admit = &mut pending.as_mut().expect(POLLED_AGAIN).admit;
                    let answer = ready!(Pin::new(admit).poll(cx));
                    let Pending { mut service, shared, request, caller, limits, .. } =
                        *pending.take().expect(POLLED_AGAIN);
                    let (parts, body) = request.into_parts();
                    decide(&shared, &mut service, parts, body, caller, limits, &answer).state
                }
                StateProj::Calling { call, counted } => {
                    let answered = ready!(call.poll(cx));
                    return Poll::Ready(answered.map(|response| counted.pass(response)));
                }
                StateProj::Passing { call } => {
                    return call.poll(cx).map_ok(|response| response.map(RefusableBody::passed));
                }
                StateProj::Refused { response } => {
                    let response = response.take().expect(POLLED_AGAIN);
                    return Poll::Ready(Ok(response.map(RefusableBody::refused)));
                }
            };
            this.state.set(next);
        }
    }
}

/// Calls the inner service if the request was counted.
#[inline]
fn decide<S, T, I, B>(
    shared: &Copied<T, I>,
    service: &mut S,
    parts: Parts,
    body: B,
    caller: Caller,
    limits: LimitSet,
    answer: &Answer,
) -> ResponseFuture<S, T, I, B>
where
    S: Service<Request<B>>,
    T: Store,
{
    let refusal = match answer {
        Ok(Ok(admitted)) => {
            let Admitted { receipt, standings, crossings } = admitted;
            let Shared { limiter, headers, .. } = &shared.0;
            limiter.tell(&caller, || plain(parts.uri.path()).into(), crossings, standings);
            let path = if shared.0.counts_routes() { parts.uri.path_and_query().cloned() } else { None };
            let call = service.call(Request::from_parts(parts, body));
            let now = if headers.tell_instants() { limiter.store().now().unix } else { UnixSeconds::default() };
            let (notice, shared) = (headers.notice(standings, now), Arc::clone(shared));
            let counted = Counted { notice, shared, caller, path, limits, receipt: *receipt };
            return ResponseFuture { state: State::Calling { call, counted } };
        }
        Ok(Err(denied)) => {
            shared.0.limiter.tell_denied(&caller, denied);
            Refusal::denied(shared.0.limiter.policy(), *denied)
        }
        Err(error) => Refusal::Store(error),
    };
    ResponseFuture::refused(shared.0.refuse(&parts, &refusal))
}

impl<T: Store, I> Counted<T, I> {
    /// Announces the limits, or gives the request back if it was not dispatched.
    #[inline]
    fn pass<R>(&mut self, mut response: Response<R>) -> Response<RefusableBody<R>> {
        if response.extensions().get::<NotDispatched>().is_some() {
            self.give_back();
        } else {
            self.notice.apply(response.headers_mut());
        }
        response.map(RefusableBody::passed)
    }

    #[cold]
    fn give_back(&self) {
        let Shared { limiter, .. } = &self.shared.0;
        let path = plain(self.path.as_ref().map_or("", PathAndQuery::path));
        let mut keys = Scopes::new();
        self.shared.0.add_keys(&self.caller, &path, &mut keys);
        limiter.give_back_receipt(&keys, self.limits, self.receipt);
    }
}

impl<S, T, I, B> fmt::Debug for ResponseFuture<S, T, I, B>
where
    S: Service<Request<B>>,
    T: Store,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
