use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flashops_core::budget::{Begin, BeginError, Call, CallRequest};
use flashops_core::caller::Caller;
use flashops_core::config::UnmeteredRoutes;
use flashops_core::estimate::Estimate;
use flashops_core::limit::OnExhausted;
use flashops_core::record::Ending;
use flashops_core::store::Store;
use flashops_core::units::{Amounts, Tokens};
use flashops_core::usage::Usage;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::attempt::Attempt;
use super::body::ResponseBody;
use super::collect::{Collect, Collected, Uncollected};
use super::held::Held;
use super::layer::Shared;
use super::metering::Metering;
use super::plan::Plan;
use super::request_body::RequestBody;
use super::route::ModelRoute;
use super::unmetered::calls_a_model;
use super::{CallFailed, RequestSent};
use crate::identify::Identify;
use crate::inspect::WireFormat;
use crate::path::plain;
use crate::reject::headers::insert;
use crate::reject::{Dialect, NotDispatched, Refusal, RefusalContext, RejectBody, RequestId, least, refuse};
use crate::usage::{BodyKind, ContentCoding, CutStream};

/// The response header that names the output cap which the layer wrote into the request.
pub const OUTPUT_CAP: HeaderName = HeaderName::from_static("flashops-output-cap");

pin_project! {
    /// The response of a [`TokenBudget`](super::TokenBudget).
    pub struct ResponseFuture<S, T, I, K, B>
    where
        S: Service<Request<RequestBody<B>>>,
        T: Store,
    {
        #[pin]
        state: State<T, B, S::Future>,
        metered: Option<Metered<S, T, I, K>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<T, B, F>
    where
        T: Store,
    {
        // The request body comes in.
        Collecting { #[pin] collect: Collect<B>, head: Option<(Parts, Caller)> },
        // Step 2: the store holds the estimate, or not, and needs time for it.
        Reserving { waiting: Option<Box<Waiting<T, B>>> },
        // Step 3: the inner service has the request; dropping the call settles it.
        Calling { #[pin] call: F, guard: Option<Call<T>>, planned: Planned },
        // The route calls no model.
        Passing { #[pin] call: F },
        // It was refused before there was anything to wait for.
        Refused { response: Option<Response<RejectBody>> },
    }
}

/// What a metered request needs from beginning to end.
struct Metered<S, T: Store, I, K> {
    /// The instance that was ready, until it is called.
    service: Option<S>,
    shared: Arc<Shared<T, I, K>>,
    route: usize,
    format: WireFormat,
    /// Where this attempt is the one that the request is counted with.
    counts: Option<Attempt>,
}

/// A request that waits for the store.
struct Waiting<T: Store, B> {
    begin: Begin<T>,
    request: Request<RequestBody<B>>,
    planned: Planned,
}

/// What was planned for the request, and is needed later.
struct Planned {
    model: Arc<str>,
    estimate: Estimate,
    cap_written: Option<Tokens>,
    hides_usage: bool,
}

impl<S, T, I, K, B> ResponseFuture<S, T, I, K, B>
where
    S: Service<Request<RequestBody<B>>>,
    T: Store,
    I: Identify,
    B: Body<Data = Bytes>,
{
    pub(super) fn metered(service: S, shared: Arc<Shared<T, I, K>>, route: usize, request: Request<B>) -> Self {
        let (parts, body) = request.into_parts();
        let format = shared.options.routes[route].format(parts.uri.path());
        let state = match shared.identify.identify(&parts) {
            Ok(caller) => State::Collecting {
                collect: Collect::new(body, shared.options.inspect_bytes),
                head: Some((parts, caller)),
            },
            Err(error) => {
                State::Refused { response: Some(shared.refuse(route, &parts, &Refusal::Unidentified(error))) }
            }
        };
        Self { state, metered: Some(Metered { service: Some(service), shared, route, format, counts: None }) }
    }

    pub(super) fn unmetered(shared: &Shared<T, I, K>, request: Request<B>) -> Self {
        let parts = request.into_parts().0;
        Self {
            state: State::Refused { response: Some(shared.refuse_in(None, &parts, &Refusal::UnmeteredRoute)) },
            metered: None,
        }
    }

    pub(super) fn passing(mut service: S, request: Request<B>) -> Self {
        Self { state: State::Passing { call: service.call(request.map(RequestBody::passed)) }, metered: None }
    }
}

impl<S, T, I, K, B, R> Future for ResponseFuture<S, T, I, K, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    T: Store,
    K: RequestSent<S::Error>,
    B: Body<Data = Bytes>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<R, T>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let metered = this.metered.as_mut();
            let next = match this.state.as_mut().project() {
                StateProj::Passing { call } => {
                    return call.poll(cx).map_ok(|response| response.map(ResponseBody::passed));
                }
                StateProj::Collecting { collect, head } => {
                    let collected = ready!(collect.poll(cx));
                    let (parts, caller) = head.take().expect(POLLED_AGAIN);
                    metered.expect(METERED).reserve(parts, caller, collected, cx)
                }
                StateProj::Reserving { waiting } => {
                    let begin = &mut waiting.as_mut().expect(POLLED_AGAIN).begin;
                    let begun = ready!(Pin::new(begin).poll(cx));
                    let Waiting { request, planned, .. } = *waiting.take().expect(POLLED_AGAIN);
                    metered.expect(METERED).call(request, begun, planned)
                }
                StateProj::Refused { response } => {
                    let response = response.take().expect(POLLED_AGAIN);
                    return Poll::Ready(Ok(response.map(|body| ResponseBody::refused(body.into_bytes()))));
                }
                StateProj::Calling { call, guard, planned } => {
                    let answered = ready!(call.poll(cx));
                    let guard = guard.take().expect(POLLED_AGAIN);
                    return Poll::Ready(metered.expect(METERED).answer(answered, guard, planned));
                }
            };
            this.state.set(next);
        }
    }
}

const METERED: &str = "only what passes and what is refused is not metered";
const POLLED_AGAIN: &str = "a future is not polled after it was ready";

impl<S, T: Store, I, K> Metered<S, T, I, K> {
    fn route(&self) -> &ModelRoute {
        &self.shared.options.routes[self.route]
    }

    /// Steps 1 and 2: estimates the request and asks for its reservation. Where the store answers at once, as the one
    /// in memory does, step 3 follows here.
    fn reserve<B>(
        &mut self,
        mut parts: Parts,
        caller: Caller,
        collected: Result<Collected, Uncollected>,
        cx: &mut Context<'_>,
    ) -> State<T, B, S::Future>
    where
        S: Service<Request<RequestBody<B>>>,
    {
        let options = &*self.shared.options;
        let (data, trailers) = match collected {
            Ok(Collected { data, trailers }) => (data, trailers),
            Err(uncollected) => return self.refused(&parts, &uncollected.refusal(options.inspect_bytes)),
        };
        let budget = &self.shared.budget;
        let in_path = self.format.model_in_path(parts.uri.path());
        let (prices, format) = (budget.prices(), (self.format, in_path.as_deref()));
        let now = budget.store().now().unix;
        let plan = match Plan::new(self.route(), format, data, (&prices, now), options) {
            Ok(plan) => plan,
            Err(unplanned) => return self.refused(&parts, &unplanned.refusal()),
        };
        if options.extends {
            parts.extensions.insert(caller.clone());
        }
        let call = CallRequest {
            caller,
            route: Arc::clone(self.route().label()),
            model: Arc::clone(&plan.model),
            estimate: plan.estimate,
            limits: budget.policy().limits_on(&plain(parts.uri.path()), true),
        };
        let attempt = parts.extensions.get::<Attempt>();
        let again = attempt.is_some_and(Attempt::is_counted);
        let mut begin = budget.begin_attempt(call, again);
        self.counts = attempt.filter(|_| !again).cloned();
        set_length(&mut parts.headers, plan.body.len(), trailers.is_some());
        let request = Request::from_parts(parts, RequestBody::read(plan.body, trailers));
        let Plan { model, estimate, cap_written, hides_usage, .. } = plan;
        let planned = Planned { model, estimate, cap_written, hides_usage };
        match Pin::new(&mut begin).poll(cx) {
            Poll::Ready(begun) => self.call(request, begun, planned),
            Poll::Pending => State::Reserving { waiting: Some(Box::new(Waiting { begin, request, planned })) },
        }
    }

    /// Step 3: makes the call, if it was reserved.
    fn call<B>(
        &mut self,
        mut request: Request<RequestBody<B>>,
        begun: Result<Call<T>, BeginError>,
        planned: Planned,
    ) -> State<T, B, S::Future>
    where
        S: Service<Request<RequestBody<B>>>,
    {
        match begun {
            Ok(mut guard) => {
                let mut service = self.service.take().expect(POLLED_AGAIN);
                if self.shared.options.tells_held {
                    let (input, output) = (guard.estimate().input, guard.held_output());
                    let amounts = Amounts { input, output, ..Amounts::ONE_REQUEST };
                    request.extensions_mut().insert(Held { model: Arc::clone(&planned.model), amounts });
                }
                guard.dispatched();
                self.counted(true);
                State::Calling { call: service.call(request), guard: Some(guard), planned }
            }
            Err(error) => {
                let budget = &self.shared.budget;
                let prices = budget.prices();
                let price = prices.price(&planned.model, budget.store().now().unix);
                let least = least(planned.estimate, price.map(Arc::as_ref));
                let refusal = Refusal::begin(&error, budget.policy(), Some(least), &planned.model);
                self.refused(&request.into_parts().0, &refusal)
            }
        }
    }

    /// Notes whether the request is counted, for the attempts after this one.
    fn counted(&self, counted: bool) {
        if let Some(attempt) = &self.counts {
            attempt.set_counted(counted);
        }
    }

    fn refused<B, F>(&self, parts: &Parts, refusal: &Refusal<'_>) -> State<T, B, F> {
        State::Refused { response: Some(self.shared.refuse(self.route, parts, refusal)) }
    }

    /// Hands the call over to the response body, or ends it where there is none.
    fn answer<R, E>(
        &self,
        answered: Result<Response<R>, E>,
        guard: Call<T>,
        planned: &Planned,
    ) -> Result<Response<ResponseBody<R, T>>, E>
    where
        K: RequestSent<E>,
        R: Body<Data = Bytes>,
    {
        let mut response = match answered {
            Ok(response) if response.extensions().get::<NotDispatched>().is_some() => {
                guard.void();
                self.counted(false);
                return Ok(response.map(ResponseBody::passed));
            }
            Ok(response) => response,
            Err(error) => {
                if self.shared.sent.request_sent(&error) {
                    guard.settle(&Usage::absent(), Ending::Failed);
                } else {
                    guard.void();
                    self.counted(false);
                }
                return Err(error);
            }
        };
        let now = guard.info().started.unix;
        self.shared.options.headers.apply(response.headers_mut(), guard.standings(), now);
        let cap = planned.cap_written.map(|cap| HeaderValue::from(cap.get()));
        insert(response.headers_mut(), OUTPUT_CAP, cap);
        if response.extensions().get::<CallFailed>().is_some() {
            guard.settle(&Usage::absent(), Ending::Failed);
            return Ok(response.map(ResponseBody::passed));
        }
        Ok(self.meter(response, guard, planned))
    }

    fn meter<R>(&self, mut response: Response<R>, guard: Call<T>, planned: &Planned) -> Response<ResponseBody<R, T>>
    where
        R: Body<Data = Bytes>,
    {
        let kind = body_kind(response.headers());
        let length = declared_length(response.headers());
        // From a coded stream nothing can be taken out, and none can be ended.
        let plain = kind.filter(|(_, coding)| *coding == ContentCoding::Identity).map(|(kind, _)| kind);
        let hides = planned.hides_usage && plain == Some(BodyKind::Sse);
        // A JSON document whose length is known is no stream.
        let cuttable = plain.filter(|kind| self.shared.cuts() && (*kind != BodyKind::Json || length.is_none()));
        let cut = cuttable.and_then(|kind| CutStream::new(self.format, kind));
        if hides || cut.is_some() {
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        // What is no success, a redirect too, used no model unless it says so.
        let ending = if response.status().is_success() { Ending::Complete } else { Ending::Rejected };
        let format = self.format;
        response.map(|body| {
            let mut metering = Metering::new(guard, format, kind, hides, ending);
            metering.set_cut(cut);
            metering.set_length(length.or_else(|| body.size_hint().exact()));
            if body.is_end_stream() {
                metering.end(true);
            }
            ResponseBody::metered(body, metering)
        })
    }
}

impl<T: Store, I, K> Shared<T, I, K> {
    fn cuts(&self) -> bool {
        self.budget.policy().switches().on_exhausted == OnExhausted::Cut
    }

    /// Whether a request on none of the routes is not let through.
    pub(super) fn refuses(&self, method: &Method, plain_path: &str) -> bool {
        self.options.unmetered == UnmeteredRoutes::Refuse && calls_a_model(method, plain_path)
    }

    fn refuse(&self, route: usize, parts: &Parts, refusal: &Refusal<'_>) -> Response<RejectBody> {
        self.refuse_in(self.options.routes[route].dialect(), parts, refusal)
    }

    fn refuse_in(&self, dialect: Option<Dialect>, parts: &Parts, refusal: &Refusal<'_>) -> Response<RejectBody> {
        let dialect = Dialect::of(parts.uri.path(), &parts.headers, dialect);
        let context = RefusalContext::new(dialect, self.budget.store().now().unix);
        let context = context.with_request_id(RequestId::of(&parts.headers));
        refuse(&*self.options.reject, &self.options.headers, refusal, &context)
    }
}

/// Declares the length of a body that may have been changed. One with trailers stays in chunks, since only they can
/// have any.
fn set_length(headers: &mut HeaderMap, length: usize, has_trailers: bool) {
    if has_trailers && headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    } else if headers.remove(TRANSFER_ENCODING).is_some() || headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// How a response body can be read, if it can. More than one content coding cannot.
fn body_kind(headers: &HeaderMap) -> Option<(BodyKind, ContentCoding)> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    let coding = match codings.next() {
        Some(coding) => ContentCoding::of(coding.to_str().ok()?)?,
        None => ContentCoding::Identity,
    };
    if codings.next().is_some() {
        return None;
    }
    Some((BodyKind::of(headers.get(CONTENT_TYPE)?.to_str().ok()?)?, coding))
}

impl<S, T, I, K, B> fmt::Debug for ResponseFuture<S, T, I, K, B>
where
    S: Service<Request<RequestBody<B>>>,
    T: Store,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
