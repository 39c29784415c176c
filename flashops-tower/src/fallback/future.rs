use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flashops_core::record::{Event, FallbackReason, FellBack};
use flashops_core::store::Store;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::Recording;
use super::layer::Shared;
use super::patience::Patience;
use crate::budget::{Attempt, RequestBody};
use crate::inspect::{Inspected, Rewrite};
use crate::reject::NotDispatched;
use crate::reject::headers::insert;

/// The header that tells a client which model answered in place of the one before, and why; with a refusal, each model
/// that was tried before it, in this order.
pub const FALLBACK: HeaderName = HeaderName::from_static("flashops-fallback");

/// The most bytes of a failed answer that are read before the next model is tried.
const MAX_DRAINED: usize = 64 << 10;

pin_project! {
    /// The response of a [`Fallback`](super::Fallback).
    pub struct ResponseFuture<S, T, B, R>
    where
        S: Service<Request<RequestBody<B>>>,
        T: Store,
    {
        #[pin]
        state: State<S::Future, R>,
        attempts: Option<Attempts<S, T>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, R> {
        // The inner service has the request.
        Calling { #[pin] call: F },
        // The answer of a model that failed is read to its end.
        Draining { #[pin] body: R, left: usize, patience: Patience, next: Option<Next> },
        // The inner service gets ready for the next attempt.
        Waiting { next: Option<Next> },
    }
}

/// What the next attempt sends.
struct Next {
    body: Bytes,
    trailers: Option<HeaderMap>,
}

struct Attempts<S, T: Store> {
    service: S,
    shared: Arc<Shared<T>>,
    route: usize,
    head: Parts,
    recording: Recording,
    /// The request as the client sent it, once another attempt is needed.
    sent: Option<(Inspected, Option<HeaderMap>)>,
    /// The place in the chain of the model that is tried next.
    next: usize,
    /// The models that were tried in place of the first, and why; at most as many as the chain has.
    fell: Vec<(Arc<str>, FallbackReason)>,
}

const POLLED_AGAIN: &str = "a future is not polled after it was ready";

impl<S, T, B, R> ResponseFuture<S, T, B, R>
where
    S: Service<Request<RequestBody<B>>>,
    T: Store,
{
    pub(super) fn first(mut service: S, shared: Arc<Shared<T>>, route: usize, request: Request<B>) -> Self {
        let (mut head, body) = request.into_parts();
        head.extensions.insert(Attempt::first());
        let recording = Recording::default();
        let body = RequestBody::recorded(body, recording.clone());
        let call = service.call(Request::from_parts(head.clone(), body));
        let attempts = Attempts { service, shared, route, head, recording, sent: None, next: 0, fell: Vec::new() };
        Self { state: State::Calling { call }, attempts: Some(attempts) }
    }

    pub(super) fn passing(mut service: S, request: Request<B>) -> Self {
        Self { state: State::Calling { call: service.call(request.map(RequestBody::passed)) }, attempts: None }
    }
}

impl<S, T, B, R> Future for ResponseFuture<S, T, B, R>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    T: Store,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Calling { call } => {
                    let answered = ready!(call.poll(cx));
                    let Some(attempts) = this.attempts else { return Poll::Ready(answered) };
                    match attempts.judge(answered) {
                        Judged::Final(answered) => return Poll::Ready(answered),
                        Judged::Again { failed: Some(body), next } => {
                            let patience = Patience::new(attempts.shared.max_drain_time);
                            State::Draining { body, left: MAX_DRAINED, patience, next: Some(next) }
                        }
                        Judged::Again { failed: None, next } => State::Waiting { next: Some(next) },
                    }
                }
                StateProj::Draining { body, left, patience, next } => {
                    if poll_to_the_end(body, left, cx).is_pending() && !patience.is_over(cx) {
                        return Poll::Pending;
                    }
                    // What has not ended is dropped here, and settles what it knows.
                    State::Waiting { next: next.take() }
                }
                StateProj::Waiting { next } => {
                    let attempts = this.attempts.as_mut().expect("only another attempt is waited for");
                    ready!(attempts.service.poll_ready(cx))?;
                    State::Calling { call: attempts.call(next.take().expect(POLLED_AGAIN)) }
                }
            };
            this.state.set(next);
        }
    }
}

/// Reads a body to its end, or up to the bound.
fn poll_to_the_end<R: Body<Data = Bytes>>(mut body: Pin<&mut R>, left: &mut usize, cx: &mut Context<'_>) -> Poll<()> {
    while !body.is_end_stream() {
        let Some(Ok(frame)) = ready!(body.as_mut().poll_frame(cx)) else { break };
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(rest) => *left = rest,
            None => break,
        }
    }
    Poll::Ready(())
}

/// What is made of an answer.
enum Judged<R, E> {
    Final(Result<Response<R>, E>),
    Again { failed: Option<R>, next: Next },
}

impl<S, T: Store> Attempts<S, T> {
    fn judge<R, E>(&mut self, answered: Result<Response<R>, E>) -> Judged<R, E> {
        let reason = match &answered {
            Ok(response) => self.shared.reason(response),
            Err(_) => Some(FallbackReason::Provider),
        };
        if let Some(next) = reason.and_then(|reason| self.next(reason)) {
            return Judged::Again { failed: answered.ok().map(Response::into_body), next };
        }
        Judged::Final(answered.map(|mut response| {
            let refused = response.extensions().get::<NotDispatched>().is_some();
            self.tell(response.headers_mut(), refused);
            response
        }))
    }

    /// The request for the next model of the chain; `None` at its end, or if the request is not known.
    fn next(&mut self, reason: FallbackReason) -> Option<Next> {
        let route = &self.shared.routes[self.route];
        let chain = route.fallback();
        if self.sent.is_none() {
            let (path, (body, trailers)) = (self.head.uri.path(), self.recording.whole()?);
            let format = route.format(path);
            if format.model_in_path(path).is_some() {
                return None;
            }
            let inspected = Inspected::read(format, body).ok()?;
            let asked = inspected.model().or(route.default_model().map(|model| &**model));
            self.next = chain.iter().position(|model| Some(&**model) == asked).map_or(0, |place| place + 1);
            self.sent = Some((inspected, trailers));
        }
        let (inspected, trailers) = self.sent.as_ref()?;
        let to = chain.get(self.next)?;
        let asked = inspected.model().or(route.default_model().map(|model| &**model)).unwrap_or_default();
        let from = self.fell.last().map_or(asked, |(model, _)| model);
        let fell = FellBack { route: route.label(), from, to, reason };
        self.shared.budget.recorder().record(&Event::FellBack(&fell));
        let body = inspected.rewrite(Rewrite { model: Some(to), ..Rewrite::default() });
        let next = Next { body, trailers: trailers.clone() };
        self.next += 1;
        self.fell.push((Arc::clone(to), reason));
        Some(next)
    }

    fn call<B>(&mut self, next: Next) -> S::Future
    where
        S: Service<Request<RequestBody<B>>>,
    {
        let body = RequestBody::read(next.body, next.trailers);
        self.service.call(Request::from_parts(self.head.clone(), body))
    }

    /// Names the model that answered; in a refusal, which is nobody's answer, all that were tried, one after the other.
    fn tell(&self, headers: &mut HeaderMap, refused: bool) {
        let told = if refused { &self.fell[..] } else { &self.fell[self.fell.len().saturating_sub(1)..] };
        if told.is_empty() {
            return;
        }
        let each: Vec<String> =
            told.iter().map(|(model, reason)| format!("{model}; reason={}", reason.name())).collect();
        insert(headers, FALLBACK, HeaderValue::try_from(each.join(", ")).ok());
    }
}

impl<S, T, B, R> fmt::Debug for ResponseFuture<S, T, B, R>
where
    S: Service<Request<RequestBody<B>>>,
    T: Store,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
