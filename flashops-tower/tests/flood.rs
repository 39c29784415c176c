//! Sixty-four clients on one budget, over real sockets: at no instant is more used and held than there is, and in the
//! end every token is where the provider says.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use flashops_core::budget::Budget;
use flashops_core::caller::Caller;
use flashops_core::clock::ManualClock;
use flashops_core::key::{Key, Scope, Scopes};
use flashops_core::limit::{Limit, Policy, Resource, Window};
use flashops_core::price::PriceBook;
use flashops_core::record::{Ending, Event, Recorder};
use flashops_core::store::{MemoryStore, Standing};
use flashops_core::usage::{Quality, Usage};
use flashops_testkit::stub::{Produced, StubProvider};
use flashops_tower::budget::{ResponseBody, TokenBudgetLayer};
use flashops_tower::identify::IdentifyError;
use http::request::Parts;
use http::{Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt};

const CLIENTS: u64 = 64;
const REQUESTS_EACH: u64 = 10;
/// Room for about forty of the sixty-four at a time, and for about half of all that they ask for.
const TOKENS: u64 = 12_000;
const CAP: u64 = 40;
const MOST_REFUSALS: u64 = 10;

/// What a client does with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manners {
    /// Takes it to its end.
    Stays,
    /// Leaves after so many words.
    LeavesAfter(u64),
    /// Gives up before the answer begins.
    Impatient,
}

/// One request, and who sends it: nobody sends two.
struct Ask {
    user: String,
    path: &'static str,
    stream: bool,
    directives: String,
    manners: Manners,
}

/// What became of a request, as its client sees it.
#[derive(Debug, Default)]
struct Got {
    status: Option<StatusCode>,
    words: u64,
    /// How often it was refused before.
    refusals: u64,
}

impl Got {
    fn is_refused(&self) -> bool {
        let refusals = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
        self.status.is_some_and(|status| refusals.contains(&status))
    }
}

/// What the budget was told about a request: how it ended, and with what.
#[derive(Clone, Debug, Default)]
struct Book(Arc<Mutex<HashMap<String, Endings>>>);

/// Of one request: one, if all is well.
type Endings = Vec<(Ending, Usage)>;

impl Recorder for Book {
    fn record(&self, event: &Event<'_>) {
        if let Event::Settled(settled) = event {
            let user = settled.call.caller.user().to_owned();
            self.0.lock().unwrap().entry(user).or_default().push((settled.ending, *settled.usage));
        }
    }
}

// Errors are texts: with boxed ones the compiler does not see that the futures of the clients can be sent.
type Answered = Response<UnsyncBoxBody<Bytes, String>>;
type Service = BoxCloneSyncService<Request<Full<Bytes>>, Answered, String>;

struct Flood {
    provider: StubProvider,
    budget: Budget<MemoryStore<ManualClock>>,
    book: Book,
    service: Service,
}

impl Flood {
    async fn new() -> Self {
        let provider = StubProvider::start().await.unwrap();
        let hour = Window::Sliding(Duration::from_secs(3_600));
        let limit = |name, scope, resource, amount| Limit::new(name, scope, resource, amount, hour.clone()).unwrap();
        let limits = vec![
            limit("org", Scope::Org, Resource::Tokens, TOKENS),
            limit("all", Scope::Global, Resource::Tokens, TOKENS),
            limit("money", Scope::Global, Resource::Cost, 60_000_000),
            Limit::concurrency("at-once", Scope::Org, CLIENTS / 2).unwrap(),
        ];
        let store = MemoryStore::new(Arc::new(Policy::new(limits).unwrap()), ManualClock::new());
        let book = Book::default();
        let budget = Budget::new(Arc::new(store), Arc::new(PriceBook::embedded().clone()), book.clone());
        let service = service(&budget, &provider);
        Self { provider, budget, book, service }
    }

    /// Sends everything, with the budget watched all the while.
    async fn run(&self, asks: Vec<Vec<Ask>>) -> HashMap<String, Got> {
        let watch = Watch::start(self.budget.clone());
        let clients: Vec<_> = asks.into_iter().map(|asks| tokio::spawn(client(self.service.clone(), asks))).collect();
        let mut got = HashMap::new();
        for client in clients {
            got.extend(client.await.unwrap());
        }
        self.provider.idle().await;
        assert!(watch.stop() > 100, "the watch has seen little");
        assert!(standings(&self.budget).iter().all(|one| one.held == 0), "something is still held");
        got
    }

    fn tokens_used(&self) -> u64 {
        standings(&self.budget)[0].used
    }

    fn produced(&self) -> HashMap<String, Produced> {
        self.provider.produced().into_iter().map(|one| (one.tag.clone().unwrap(), one)).collect()
    }
}

/// The layer around a client of the provider, as in a gateway.
fn service(budget: &Budget<MemoryStore<ManualClock>>, provider: &StubProvider) -> Service {
    let by_header = |parts: &Parts| {
        let user = parts.headers.get("x-user").and_then(|user| user.to_str().ok()).ok_or(IdentifyError::Missing)?;
        Ok(Caller::new(user, "acme"))
    };
    let base = provider.base_url();
    let to_provider = move |mut request: Request<_>| {
        *request.uri_mut() = Uri::try_from(format!("{base}{}", request.uri().path())).unwrap();
        request
    };
    let http = Client::builder(TokioExecutor::new()).build_http();
    let service = ServiceBuilder::new()
        .layer(TokenBudgetLayer::new(budget.clone(), by_header))
        .map_request(to_provider)
        .service(http);
    let body = |body: ResponseBody<_, _>| body.map_err(|error| format!("{error}")).boxed_unsync();
    let service =
        service.map_response(move |response: Response<_>| response.map(body)).map_err(|error| format!("{error}"));
    BoxCloneSyncService::new(service)
}

fn standings(budget: &Budget<MemoryStore<ManualClock>>) -> Vec<Standing> {
    let keys = Scopes::new().with(Key::new(Scope::Org, "acme")).with(Key::global());
    budget.store().standings_now(&keys, budget.policy().select(|_| true))
}

/// A thread that looks at the budget without a pause.
struct Watch {
    done: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Watch {
    fn start(budget: Budget<MemoryStore<ManualClock>>) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&done);
        let thread = std::thread::spawn(move || {
            let mut looks = 0;
            while !stop.load(Ordering::Relaxed) {
                for one in standings(&budget) {
                    assert!(one.used + one.held <= one.amount, "overspent: {one:?}");
                }
                looks += 1;
                std::thread::yield_now();
            }
            looks
        });
        Self { done, thread }
    }

    /// How often it has looked.
    fn stop(self) -> u64 {
        self.done.store(true, Ordering::Relaxed);
        self.thread.join().expect("at every instant there was enough")
    }
}

async fn client(service: Service, asks: Vec<Ask>) -> Vec<(String, Got)> {
    let mut got = Vec::new();
    for ask in asks {
        got.push((ask.user.clone(), patiently(&service, &ask).await));
    }
    got
}

/// Asks again while it is refused, up to a bound.
async fn patiently(service: &Service, ask: &Ask) -> Got {
    let mut refusals = 0;
    loop {
        let got = send(service, ask).await;
        if !got.is_refused() || refusals == MOST_REFUSALS {
            return Got { refusals, ..got };
        }
        refusals += 1;
        tokio::task::yield_now().await;
    }
}

async fn send(service: &Service, ask_for: &Ask) -> Got {
    let Ask { user, path, stream, directives, manners } = ask_for;
    let prompt = format!("please say something {directives}");
    let cap = if *path == "/v1/responses" { "max_output_tokens" } else { "max_tokens" };
    let content = if *path == "/v1/responses" { "input" } else { "messages" };
    let body = serde_json::json!({
        "model": "gpt-4o", "stream": stream, cap: CAP, "user": user,
        content: [{"role": "user", "content": prompt}],
    });
    let request = Request::post(*path).header("x-user", user);
    let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
    let nothing = Got::default();
    let mut call = Box::pin(service.clone().oneshot(request));
    if *manners == Manners::Impatient {
        // One poll reserves and sends; whoever is refused by it is answered at once.
        let answered = futures_util::poll!(&mut call);
        return if let Poll::Ready(Ok(response)) = answered { take(response, *manners).await } else { nothing };
    }
    match call.await {
        Ok(response) => take(response, *manners).await,
        Err(_) => nothing,
    }
}

async fn take(response: Answered, manners: Manners) -> Got {
    let status = Some(response.status());
    let (mut body, mut text) = (response.into_body(), Vec::new());
    loop {
        let words = words(&text);
        if matches!(manners, Manners::LeavesAfter(most) if words >= most) {
            return Got { status, words, refusals: 0 };
        }
        match next(&mut body).await {
            Some(data) => text.extend_from_slice(&data),
            None => return Got { status, words, refusals: 0 },
        }
    }
}

async fn next<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Option<Bytes> {
    let frame = body.frame().await?.ok()?;
    Some(frame.into_data().unwrap_or_default())
}

/// The deltas of a stream.
fn words(text: &[u8]) -> u64 {
    text.windows(4).filter(|window| window.starts_with(b":\"w") && window[3].is_ascii_digit()).count() as u64
}

/// What all clients ask for; `turn` says how the request of a turn is to go.
fn asks(turn: impl Fn(u64, &mut fastrand::Rng) -> (String, Manners)) -> Vec<Vec<Ask>> {
    let mut rng = fastrand::Rng::with_seed(7);
    let paths = ["/v1/chat/completions", "/v1/messages", "/v1/responses"];
    let mut ask = |client, n| {
        let (directives, manners) = turn(client * REQUESTS_EACH + n, &mut rng);
        let stream = rng.bool() || manners != Manners::Stays;
        let path = if directives.contains("no-usage") { paths[0] } else { paths[rng.usize(..3)] };
        Ask { user: format!("u{client}-{n}"), path, stream, directives, manners }
    };
    (0..CLIENTS).map(|client| (0..REQUESTS_EACH).map(|n| ask(client, n)).collect()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_of_clients_never_spends_more_than_there_is_and_every_token_is_accounted_for() {
    let flood = Flood::new().await;
    let got = flood.run(asks(|_, rng| (format!("[reply {}]", rng.u64(..2 * CAP)), Manners::Stays))).await;

    let admitted = got.values().filter(|got| !got.is_refused()).count();
    let refusals: u64 = got.values().map(|got| got.refusals).sum();
    assert!(got.values().all(|got| got.is_refused() || got.status == Some(StatusCode::OK)));
    assert!(admitted > 100 && got.len() > admitted && refusals > 100, "{admitted} admitted, {refusals} refused");

    let sums = flood.provider.sums();
    assert_eq!(sums.answers, admitted as u64, "nobody who was refused was called for");
    assert_eq!(flood.tokens_used(), sums.prompt_tokens + sums.completion_tokens);
    let (book, produced) = (flood.book.0.lock().unwrap(), flood.produced());
    assert_eq!(book.len(), admitted);
    for (user, settled) in &*book {
        let [(Ending::Complete, usage)] = settled[..] else { panic!("{user}: {settled:?}") };
        let Produced { prompt_tokens, completion_tokens, .. } = produced[user];
        assert_eq!((usage.total_input().get(), usage.total_output().get()), (prompt_tokens, completion_tokens));
        assert_eq!(usage.quality, Quality::Exact);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_of_clients_that_leave_and_providers_that_fail_never_spends_more_than_there_is() {
    let flood = Flood::new().await;
    let got = flood
        .run(asks(|turn, rng| {
            let words = rng.u64(1..CAP);
            match turn % 8 {
                0 => (format!("[reply {words}]"), Manners::Stays),
                1 => (format!("[cut {words}]"), Manners::Stays),
                2 => (format!("[hang {words}]"), Manners::LeavesAfter(words)),
                3 => (String::new(), Manners::LeavesAfter(words)),
                4 => ("[fail 500]".to_owned(), Manners::Stays),
                5 => ("[no-usage]".to_owned(), Manners::Stays),
                6 => ("[hang 0]".to_owned(), Manners::Impatient),
                _ => ("[fail 400]".to_owned(), Manners::Stays),
            }
        }))
        .await;

    let (book, produced) = (flood.book.0.lock().unwrap(), flood.produced());
    let mut endings = HashMap::new();
    let mut total = 0;
    for (user, settled) in &*book {
        let [(ending, usage)] = settled[..] else { panic!("{user} was settled more than once: {settled:?}") };
        *endings.entry(ending).or_insert(0) += 1;
        total += usage.total().get();
        let received = got[user].words;
        match (ending, produced.get(user)) {
            (Ending::Complete, Some(produced)) if usage.quality == Quality::Exact => {
                let of_provider = (produced.prompt_tokens, produced.completion_tokens);
                assert_eq!((usage.total_input().get(), usage.total_output().get()), of_provider, "{user}");
            }
            (Ending::Rejected, _) => assert_eq!(usage.total().get(), 0, "{user}"),
            // Never less than what the client got, and never more than what was held.
            _ => assert!(
                usage.total_output().get() >= received && usage.total_output().get() <= CAP,
                "{user}: {usage:?}"
            ),
        }
    }
    assert_eq!(flood.tokens_used(), total);
    for ending in [Ending::Complete, Ending::Rejected, Ending::Failed, Ending::Cut] {
        assert!(endings.get(&ending).is_some_and(|number| *number > 5), "{ending:?}: {endings:?}");
    }
}
