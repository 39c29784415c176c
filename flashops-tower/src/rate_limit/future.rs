use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flashops_core::caller::Caller;
use flashops_core::clock::UnixSeconds;
use flashops_core::limit::{Denied, LimitSet};
use flashops_core::store::{Admitted, Receipt, Standings, Store, StoreError};
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::body::ResponseBody;
use super::layer::{Shared, scopes};
use crate::identify::Identify;
use crate::path::plain;
use crate::reject::{NotDispatched, Refusal, RejectBody};

pin_project! {
    /// The response of a [`RateLimit`](super::RateLimit).
    pub struct ResponseFuture<S, T, I, B>
    where
        S: Service<Request<B>>,
        T: Store,
    {
        #[pin]
        state: State<S, T, B, S::Future>,
        shared: Arc<Shared<T, I>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, T, B, F>
    where
        T: Store,
    {
        // The store counts the request, or not.
        Admitting { #[pin] admit: T::Admit, pending: Option<Pending<S, B>> },
        // The inner service has the request.
        Calling { #[pin] call: F, counted: Counted },
        // It is not counted.
        Passing { #[pin] call: F },
        // It was refused before there was anything to wait for.
        Refused { response: Option<Response<RejectBody>> },
    }
}

/// A request that waits for the store.
struct Pending<S, B> {
    service: S,
    request: Request<B>,
    caller: Caller,
    limits: LimitSet,
}

/// A request that was counted, for giving it back.
struct Counted {
    caller: Caller,
    route: Option<Box<str>>,
    limits: LimitSet,
    receipt: Receipt,
    standings: Standings,
    at: UnixSeconds,
}

const POLLED_AGAIN: &str = "a future is not polled after it was ready";

impl<S, T, I, B> ResponseFuture<S, T, I, B>
where
    S: Service<Request<B>>,
    T: Store,
    I: Identify,
{
    pub(super) fn new(mut service: S, shared: Arc<Shared<T, I>>, request: Request<B>) -> Self {
        if shared.passes(request.method(), request.uri().path()) {
            return Self { state: State::Passing { call: service.call(request) }, shared };
        }
        let (mut parts, body) = request.into_parts();
        let state = match shared.identify.identify(&parts) {
            Ok(caller) => {
                let limits = shared.limits(parts.uri.path());
                let route = shared.route(parts.uri.path());
                let keys = scopes(&caller, route.as_deref());
                let admit = shared.limiter.admit(&keys, limits);
                drop(keys);
                parts.extensions.insert(caller.clone());
                let request = Request::from_parts(parts, body);
                State::Admitting { admit, pending: Some(Pending { service, request, caller, limits }) }
            }
            Err(error) => State::Refused { response: Some(shared.refuse(&parts, &Refusal::Unidentified(error))) },
        };
        Self { state, shared }
    }
}

impl<S, T, I, B, R> Future for ResponseFuture<S, T, I, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    T: Store,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Admitting { admit, pending } => {
                    let answer = ready!(admit.poll(cx));
                    this.shared.decide(pending.take().expect(POLLED_AGAIN), answer)
                }
                StateProj::Calling { call, counted } => {
                    let answered = ready!(call.poll(cx));
                    return Poll::Ready(answered.map(|response| this.shared.pass(response, counted)));
                }
                StateProj::Passing { call } => {
                    return call.poll(cx).map_ok(|response| response.map(ResponseBody::passed));
                }
                StateProj::Refused { response } => {
                    let response = response.take().expect(POLLED_AGAIN);
                    return Poll::Ready(Ok(response.map(|body| ResponseBody::refused(body.into_bytes()))));
                }
            };
            this.state.set(next);
        }
    }
}

impl<T: Store, I> Shared<T, I> {
    /// Calls the inner service if the request was counted.
    fn decide<S, B>(
        &self,
        mut pending: Pending<S, B>,
        answer: Result<Result<Admitted, Denied>, StoreError>,
    ) -> State<S, T, B, S::Future>
    where
        S: Service<Request<B>>,
    {
        let refusal = match answer {
            Ok(Ok(Admitted { receipt, standings, crossings })) => {
                let Pending { caller, limits, request, .. } = pending;
                self.limiter.tell(&caller, &plain(request.uri().path()), crossings, &standings);
                let route = self.route(request.uri().path()).map(|route| route.into_owned().into());
                let at = self.limiter.store().now().unix;
                let counted = Counted { caller, route, limits, receipt, standings, at };
                return State::Calling { call: pending.service.call(request), counted };
            }
            Ok(Err(denied)) => Refusal::denied(self.limiter.policy(), denied),
            Err(ref error) => Refusal::Store(error),
        };
        State::Refused { response: Some(self.refuse(&pending.request.into_parts().0, &refusal)) }
    }

    /// Announces the limits, and gives the request back if it was not dispatched.
    fn pass<R>(&self, mut response: Response<R>, counted: &Counted) -> Response<ResponseBody<R>> {
        if response.extensions().get::<NotDispatched>().is_some() {
            let keys = scopes(&counted.caller, counted.route.as_deref());
            self.limiter.give_back_receipt(&keys, counted.limits, counted.receipt);
        } else {
            self.headers.apply(response.headers_mut(), &counted.standings, counted.at);
        }
        response.map(ResponseBody::passed)
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
