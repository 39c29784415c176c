//! A service under controls, for the tests of this crate.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flashops::Controls;
use flashops::core::caller::Caller;
use flashops::core::clock::ManualClock;
use flashops::core::config::{Config, NoSources};
use flashops::core::key::{Key, Scopes};
use flashops::core::record::{Event, Recorder};
use flashops::core::store::MemoryStore;
use flashops::core::store::Standing;
use flashops_testkit::stub;
use futures_util::FutureExt;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::util::BoxCloneService;
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const AI_CHAT: &str = "/api/v1/ai/chat";

pub(crate) const CALLERS: &str = r#"
[[caller]]
key = "sk-ann"
user = "ann"
org = "acme"

[[caller]]
key = "sk-namesake"
user = "ann"
org = "initech"

[[caller]]
key = "sk-root"
user = "root"
org = "ops"
admin = true
"#;

pub(crate) const NONE_ANYWHERE: &str = r#"
    [[limit]]
    name = "none"
    scope = "user"
    resource = "requests"
    amount = 0
    window = "1m"
    routes = ["/**"]
"#;

pub(crate) const ROUTES: &str = r#"
    [[route]]
    path = "/api/v1/ai/chat"
    dialect = "openai"
    max_output = 15
    default_model = "gpt-4o-mini"

    [[route]]
    path = "/api/v1/ai/claude"
    dialect = "anthropic"

    [[route]]
    path = "/api/v1/ai/strict"
    dialect = "problem"
    max_output = 25
    on_over = "refuse"
"#;

pub(crate) type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

/// A service under the controls of a configuration.
pub(crate) struct Desk {
    pub(crate) controls: Controls<MemoryStore<ManualClock>>,
    pub(crate) clock: ManualClock,
    calls: Arc<AtomicUsize>,
    service: BoxCloneService<Request<Full<Bytes>>, Response<AnyBody>, BoxError>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

impl Desk {
    pub(crate) fn new(config: &str) -> Self {
        Self::with(config, ())
    }

    pub(crate) fn with(config: &str, recorder: impl Recorder) -> Self {
        let config = Config::from_toml(&format!("{CALLERS}{config}"), &NoSources).unwrap();
        let clock = ManualClock::new();
        let controls = Controls::with(&config, clock.clone(), recorder).with_timer(clock.clone());
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let counted = service_fn(move |request| {
            counter.fetch_add(1, Ordering::Relaxed);
            async move { Ok::<_, BoxError>(inner(request).await) }
        });
        let service = ServiceBuilder::new().layer(controls.layer()).service(counted);
        let service = service.map_response(|response| response.map(|body| body.map_err(Into::into).boxed_unsync()));
        Self { controls, clock, calls, service: service.boxed_clone() }
    }

    /// How often the service behind the controls was called.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// A call that its service does not answer, and that its client gives up; what is held meanwhile, by limit.
    pub(crate) fn give_up(&self, request: Request<Full<Bytes>>) -> Vec<u64> {
        let mut call = Box::pin(self.service.clone().oneshot(with_script(request, Script::DoesNotAnswer)));
        assert!(call.as_mut().now_or_never().is_none());
        self.held()
    }

    /// A response of which nothing was read yet.
    pub(crate) fn open(&self, request: Request<Full<Bytes>>) -> Response<AnyBody> {
        self.service.clone().oneshot(request).now_or_never().expect("nothing waits").unwrap()
    }

    pub(crate) fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let answer = async {
            let response = self.service.clone().oneshot(request).await.unwrap();
            let (head, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Answer { status: head.status.as_u16(), headers: head.headers, body }
        };
        answer.now_or_never().expect("nothing waits")
    }

    /// A whole answer, however long it takes.
    pub(crate) async fn wait(&self, request: Request<Full<Bytes>>) -> Answer {
        let (head, body) = self.service.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    pub(crate) fn standings(&self, keys: &Scopes<'_>) -> Vec<Standing> {
        let budget = self.controls.budget();
        budget.store().standings_now(keys, budget.policy().select(|_| true))
    }

    /// How the limits of ann and of everybody stand, narrowest scope first.
    pub(crate) fn limits(&self) -> Vec<Standing> {
        self.standings(&Caller::new("ann", "acme").scopes().with(Key::global()))
    }

    /// What ann and everybody have used, by limit.
    pub(crate) fn used(&self) -> Vec<u64> {
        self.limits().iter().map(|one| one.used).collect()
    }

    /// What is held for ann and for everybody, by limit.
    pub(crate) fn held(&self) -> Vec<u64> {
        self.limits().iter().map(|one| one.held).collect()
    }
}

/// An extension of requests: what the provider does instead of what it is asked for.
#[derive(Clone, Debug)]
pub(crate) enum Script {
    /// It answers with this, whole or as a stream of events.
    Says(String),
    /// It never does.
    DoesNotAnswer,
    /// It says this much of a stream of events, and then nothing.
    StopsAfter(String),
    /// It takes every output cap for this number.
    IgnoresTheCap(u64),
}

impl Script {
    /// It answers with this, and reports this usage.
    pub(crate) fn reports(usage: Value) -> Self {
        Self::Says(json!({"choices": [{"message": {"content": "x"}}], "usage": usage}).to_string())
    }

    /// It answers as OpenAI does, and reports so many tokens of input and output.
    pub(crate) fn used(input: u64, output: u64) -> Self {
        Self::reports(json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output}))
    }
}

/// The stub provider on the routes of models, a panic on demand, and nothing elsewhere.
pub(crate) async fn inner<B>(request: Request<B>) -> Response<AnyBody>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Debug,
{
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    assert!(!parts.headers.contains_key("x-panic"), "a panic on demand");
    if parts.uri.path() == "/whoami" {
        let caller = parts.extensions.get::<Caller>().unwrap();
        let text = format!("{} of {}, admin: {}", caller.user(), caller.org(), caller.is_admin());
        return Response::new(full(text));
    }
    if parts.uri.path() == AI_CHAT {
        parts.uri = CHAT.parse().unwrap();
    }
    let body = match parts.extensions.remove() {
        Some(Script::Says(text)) => return says(text),
        Some(Script::DoesNotAnswer) => std::future::pending().await,
        Some(Script::StopsAfter(text)) => {
            let begun = says(format!("{text}\n"));
            let rest = futures_util::stream::pending::<Result<http_body::Frame<Bytes>, BoxError>>();
            return begun.map(|body| {
                let body = http_body_util::BodyStream::new(body);
                let body = futures_util::StreamExt::chain(body, rest);
                http_body_util::StreamBody::new(body).boxed_unsync()
            });
        }
        Some(Script::IgnoresTheCap(words)) => with_caps(&body, words),
        None => body,
    };
    let response = stub::respond(Request::from_parts(parts, body));
    response.map(|body| body.map_err(|error| BoxError::from(format!("{error:?}"))).boxed_unsync())
}

fn says(text: String) -> Response<AnyBody> {
    let media_type = if text.starts_with('{') { "application/json" } else { "text/event-stream" };
    Response::builder().header("content-type", media_type).body(full(text)).unwrap()
}

fn with_caps(body: &Bytes, cap: u64) -> Bytes {
    let mut body: Value = serde_json::from_slice(body).unwrap();
    for name in ["max_tokens", "max_output_tokens"] {
        if let Some(declared) = body.get_mut(name) {
            *declared = cap.into();
        }
    }
    body.to_string().into()
}

pub(crate) fn full(text: String) -> AnyBody {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("x-api-key", "sk-ann").body(Full::default()).unwrap()
}

/// A call of a model: five words in, and ten out.
pub(crate) fn ask(path: &str) -> Request<Full<Bytes>> {
    let message = json!({"role": "user", "content": "one two three [reply 10]"});
    ask_with(path, json!({"model": "gpt-4o-mini", "max_tokens": 20, "messages": [message]}))
}

/// A stream of a model: `cap` words out, unless the directives say otherwise.
pub(crate) fn stream(path: &str, cap: u64, directives: &str) -> Request<Full<Bytes>> {
    let cap_name = if path == "/v1/responses" { "max_output_tokens" } else { "max_tokens" };
    let content = if path == "/v1/responses" { "input" } else { "messages" };
    let message = json!([{"role": "user", "content": format!("say {directives}")}]);
    ask_with(path, json!({"model": "gpt-4o-mini", "stream": true, cap_name: cap, content: message}))
}

/// The bytes of a request: the bound of its input.
pub(crate) fn length(request: &Request<Full<Bytes>>) -> u64 {
    http_body::Body::size_hint(request.body()).exact().unwrap()
}

/// Reads a body up to its end, up to an error, or as long as more comes at once; or until it has so many words.
pub(crate) fn read(body: &mut AnyBody, words: usize) -> String {
    let (mut text, mut seen) = (String::new(), 0);
    while seen < words {
        let Some(Some(Ok(frame))) = body.frame().now_or_never() else { break };
        let data = frame.into_data().unwrap_or_default();
        let more = std::str::from_utf8(&data).unwrap();
        seen += words_of(more);
        text.push_str(more);
    }
    text
}

/// The words of the stub in a stream.
pub(crate) fn words_of(text: &str) -> usize {
    text.as_bytes().windows(4).filter(|four| four.starts_with(b":\"w") && four[3].is_ascii_digit()).count()
}

pub(crate) fn with_script<T>(mut request: Request<T>, script: Script) -> Request<T> {
    request.extensions_mut().insert(script);
    request
}

pub(crate) fn ask_with(path: &str, body: Value) -> Request<Full<Bytes>> {
    let body = Full::new(Bytes::from(body.to_string()));
    Request::post(path).header("x-api-key", "sk-ann").body(body).unwrap()
}

pub(crate) fn with_header<T>(mut request: Request<T>, name: &'static str, value: &str) -> Request<T> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

pub(crate) fn without_key<T>(mut request: Request<T>) -> Request<T> {
    request.headers_mut().remove("x-api-key");
    request
}

/// Writes down which thresholds it is told of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(pub(crate) Arc<Mutex<Vec<String>>>);

impl Recorder for Notes {
    fn record(&self, event: &Event<'_>) {
        let note = match event {
            Event::Threshold { crossing, policy, .. } => {
                format!("{} at {}", policy.limit(crossing.limit).name(), crossing.threshold)
            }
            Event::OrgThreshold(reached) => format!("{} used {} tokens", reached.org, reached.tokens),
            _ => return,
        };
        self.0.lock().unwrap().push(note);
    }
}
