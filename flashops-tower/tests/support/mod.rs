//! What the tests of the layers share.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

pub(crate) mod faulty;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use flashops_core::budget::Budget;
use flashops_core::caller::Caller;
use flashops_core::clock::ManualClock;
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Policy, Resource, Switches, Window};
use flashops_core::store::{MemoryStore, Store};
use flashops_tower::budget::{RequestBody, ResponseBody, TokenBudgetLayer};
use flashops_tower::identify::{Identify, IdentifyError};
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tower::util::BoxCloneService;
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};

pub(crate) type AnyBody = UnsyncBoxBody<Bytes, BoxError>;
pub(crate) type Answer = Response<AnyBody>;
pub(crate) type Layered = ResponseBody<AnyBody, MemoryStore<ManualClock>>;

/// The budget of one million tokens and a hundred requests of one caller, and a request to spend it with.
pub(crate) struct Fixture {
    pub(crate) budget: Budget<MemoryStore<ManualClock>>,
    pub(crate) clock: ManualClock,
    pub(crate) caller: Caller,
    pub(crate) body: String,
}

impl Fixture {
    /// A fixture whose request streams and asks for at most so many tokens of output.
    pub(crate) fn new(max_tokens: u64) -> Self {
        Self::with_switches(max_tokens, Switches::default())
    }

    /// The same, for a policy with these switches.
    pub(crate) fn with_switches(max_tokens: u64, switches: Switches) -> Self {
        let hour = Window::Sliding(Duration::from_secs(3_600));
        let tokens = Limit::new("tokens", Scope::User, Resource::Tokens, 1_000_000, hour.clone()).unwrap();
        let requests = Limit::new("requests", Scope::User, Resource::Requests, 100, hour).unwrap();
        let clock = ManualClock::new();
        let policy = Policy::new(vec![tokens, requests]).unwrap().with_switches(switches);
        let budget = Budget::in_memory(policy, clock.clone());
        let body = format!(
            r#"{{"model":"gpt-4o-mini","stream":true,"max_tokens":{max_tokens},"messages":[{{"role":"user","content":"hi"}}]}}"#
        );
        Self { budget, clock, caller: Caller::new("ann", "acme"), body }
    }

    /// The layered service around an answer.
    pub(crate) fn service<F, A>(&self, answer: F) -> BoxCloneService<Request<AnyBody>, Response<Layered>, BoxError>
    where
        F: FnOnce(Request<RequestBody<AnyBody>>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Result<Answer, BoxError>> + Send + 'static,
    {
        layered(self.layer(), answer)
    }

    /// The layer, for services that want it otherwise.
    pub(crate) fn layer(&self) -> TokenBudgetLayer<MemoryStore<ManualClock>, Everybody> {
        TokenBudgetLayer::new(self.budget.clone(), Everybody(self.caller.clone()))
    }

    /// Sends the fixture's request.
    pub(crate) async fn run<F, A>(&self, answer: F) -> Result<Response<Layered>, BoxError>
    where
        F: FnOnce(Request<RequestBody<AnyBody>>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Result<Answer, BoxError>> + Send + 'static,
    {
        self.service(answer).oneshot(ask("/v1/chat/completions", full(self.body.clone()))).await
    }

    /// Tokens and requests used.
    pub(crate) fn used(&self) -> (u64, u64) {
        let standings = self.standings();
        (standings[0].used, standings[1].used)
    }

    /// Tokens held.
    pub(crate) fn held(&self) -> u64 {
        self.standings()[0].held
    }

    fn standings(&self) -> Vec<flashops_core::store::Standing> {
        self.budget.store().standings_now(&self.caller.scopes(), self.budget.policy().select(|_| true))
    }
}

/// Takes everybody for one caller.
#[derive(Clone)]
pub(crate) struct Everybody(pub(crate) Caller);

impl Identify for Everybody {
    fn identify(&self, _: &Parts) -> Result<Caller, IdentifyError> {
        Ok(self.0.clone())
    }
}

/// A layer around an answer.
pub(crate) fn layered<T, I, F, A>(
    layer: TokenBudgetLayer<T, I>,
    answer: F,
) -> BoxCloneService<Request<AnyBody>, Response<ResponseBody<AnyBody, T>>, BoxError>
where
    T: Store,
    I: Identify + Send + Sync + 'static,
    F: FnOnce(Request<RequestBody<AnyBody>>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<Answer, BoxError>> + Send + 'static,
    T::Reserve: 'static,
{
    let inner = service_fn(move |request| answer.clone()(request));
    ServiceBuilder::new().layer(layer).service(inner).boxed_clone()
}

/// A request as the inner service got it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: Arc<Parts>,
    pub(crate) body: String,
    pub(crate) trailers: Option<HeaderMap>,
}

/// Where an inner service leaves the requests that it got.
#[derive(Clone, Default)]
pub(crate) struct Visitors(Arc<Mutex<Vec<Seen>>>);

impl Visitors {
    /// Keeps a request.
    pub(crate) async fn note(&self, request: Request<RequestBody<AnyBody>>) {
        let (head, body) = request.into_parts();
        let collected = body.collect().await.unwrap();
        let trailers = collected.trailers().cloned();
        let body = String::from_utf8(collected.to_bytes().to_vec()).unwrap();
        self.0.lock().unwrap().push(Seen { head: Arc::new(head), body, trailers });
    }

    /// All requests so far.
    pub(crate) fn all(&self) -> Vec<Seen> {
        self.0.lock().unwrap().clone()
    }

    /// The only request.
    pub(crate) fn only(&self) -> Seen {
        let all = self.all();
        assert_eq!(all.len(), 1);
        all[0].clone()
    }
}

/// A request with this body.
pub(crate) fn ask(path: &str, body: AnyBody) -> Request<AnyBody> {
    Request::post(path).header("content-type", "application/json").body(body).unwrap()
}

/// A body in one piece.
pub(crate) fn full(text: String) -> AnyBody {
    http_body_util::Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}

/// A JSON answer.
pub(crate) fn json(text: String) -> Answer {
    Response::builder().header("content-type", "application/json").body(full(text)).unwrap()
}

/// A complete chat answer with this usage.
pub(crate) fn complete(prompt: u64, completion: u64) -> String {
    let total = prompt + completion;
    format!(
        r#"{{"choices":[{{"message":{{"content":"x"}}}}],"usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total}}}}}"#
    )
}

/// An event with this content.
pub(crate) fn sse_frame(content: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{content}\"}}}}],\"usage\":null}}\n\n")
}

/// The event that carries the usage.
pub(crate) fn usage_frame(prompt: u64, completion: u64) -> String {
    let total = prompt + completion;
    format!(
        "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\"total_tokens\":{total}}}}}\n\n"
    )
}

/// A body of prepared frames, and of what comes after them.
pub(crate) struct Chunks {
    frames: VecDeque<Frame<Bytes>>,
    after: After,
}

enum After {
    End,
    Hang,
    Reset,
}

impl Chunks {
    /// An event stream that ends properly.
    pub(crate) fn stream(chunks: Vec<String>) -> Answer {
        Self::frames(chunks.into_iter().map(|chunk| Frame::data(Bytes::from(chunk))).collect())
    }

    /// An event stream of these frames, which may have trailers.
    pub(crate) fn frames(frames: Vec<Frame<Bytes>>) -> Answer {
        sse(Self { frames: frames.into(), after: After::End }.boxed())
    }

    /// An event stream that breaks off.
    pub(crate) fn broken(chunks: Vec<String>) -> Answer {
        let frames = chunks.into_iter().map(|chunk| Frame::data(Bytes::from(chunk))).collect();
        sse(Self { frames, after: After::Reset }.boxed())
    }

    /// An event stream that stops and never ends.
    pub(crate) fn hanging_stream(chunks: Vec<Bytes>) -> Answer {
        sse(Self::hanging(chunks))
    }

    /// A body that stops and never ends.
    pub(crate) fn hanging(chunks: Vec<Bytes>) -> AnyBody {
        Self { frames: chunks.into_iter().map(Frame::data).collect(), after: After::Hang }.boxed()
    }

    fn boxed(self) -> AnyBody {
        self.boxed_unsync()
    }
}

fn sse(body: AnyBody) -> Answer {
    Response::builder().header("content-type", "text/event-stream; charset=utf-8").body(body).unwrap()
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match (self.frames.pop_front(), &self.after) {
            (Some(frame), _) => Poll::Ready(Some(Ok(frame))),
            (None, After::End) => Poll::Ready(None),
            (None, After::Hang) => Poll::Pending,
            (None, After::Reset) => Poll::Ready(Some(Err("reset".into()))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
