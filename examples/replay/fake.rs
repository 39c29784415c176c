//! A gateway without limits for the tests of the replay: the stub's answers, and books beside them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flashops_testkit::stub::{self, StubBody};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Every so many requests, one is refused.
const REFUSED_OF: u64 = 7;

/// What the gateway counts: requests, prompt and completion tokens by organisation.
#[derive(Debug, Default)]
struct Books {
    requests: u64,
    orgs: BTreeMap<String, [u64; 3]>,
}

/// A running fake.
#[derive(Debug)]
pub(crate) struct FakeGateway {
    url: String,
}

type Body = Either<StubBody, Full<Bytes>>;

impl FakeGateway {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let books = Arc::new(Mutex::new(Books::default()));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let books = Arc::clone(&books);
                let service = service_fn(move |request| answer(request, Arc::clone(&books)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
            }
        });
        Self { url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

async fn answer(request: Request<Incoming>, books: Arc<Mutex<Books>>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/api/v1/ai/usage" {
        return Ok(json_response(StatusCode::OK, &books.lock().unwrap().shown()));
    }
    let body = body.collect().await.unwrap().to_bytes();
    let used = used(parts.uri.path(), &body).await;
    if !books.lock().unwrap().admit(&org(&parts.headers), used) {
        let error = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "no"}});
        return Ok(json_response(StatusCode::TOO_MANY_REQUESTS, &error));
    }
    Ok(stub::respond(Request::from_parts(parts, body)).map(Either::Left))
}

/// What the whole answer will have used, from the same request not streamed.
async fn used(path: &str, body: &[u8]) -> [u64; 2] {
    let mut body: Value = serde_json::from_slice(body).unwrap();
    body["stream"] = Value::Null;
    let body = body.to_string().replace("[pace 1]", "[pace 0]");
    let request = Request::post(path).body(Bytes::from(body)).unwrap();
    let answer = stub::respond(request).into_body().collect().await.unwrap().to_bytes();
    let usage = serde_json::from_slice::<Value>(&answer).unwrap()["usage"].take();
    let number = |names: [&str; 2]| names.iter().find_map(|name| usage[name].as_u64()).unwrap();
    [number(["prompt_tokens", "input_tokens"]), number(["completion_tokens", "output_tokens"])]
}

fn org(headers: &HeaderMap) -> String {
    let key = headers.get("authorization").or(headers.get("x-api-key")).unwrap().to_str().unwrap();
    format!("t{}", key.trim_start_matches("Bearer ").trim_start_matches("sk-replay-"))
}

fn json_response(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Either::Right(Full::from(body.to_string())));
    *response.status_mut() = status;
    response
}

impl Books {
    fn admit(&mut self, org: &str, [prompt, completion]: [u64; 2]) -> bool {
        self.requests += 1;
        if self.requests.is_multiple_of(REFUSED_OF) {
            return false;
        }
        let counts = self.orgs.entry(org.to_owned()).or_default();
        *counts = [counts[0] + 1, counts[1] + prompt, counts[2] + completion];
        true
    }

    fn shown(&self) -> Value {
        let entry = |org: &str, [requests, prompt, completion]: [u64; 3]| {
            json!({"org": org, "requests": requests, "prompt_tokens": prompt, "completion_tokens": completion,
                "total_tokens": prompt + completion, "estimated_requests": 0, "cost": null, "currency": null})
        };
        let mut all = [0; 3];
        for counts in self.orgs.values() {
            all = [all[0] + counts[0], all[1] + counts[1], all[2] + counts[2]];
        }
        let by: Vec<Value> = self.orgs.iter().map(|(org, counts)| entry(org, *counts)).collect();
        json!({"window_seconds": null, "totals": entry("", all), "by": by, "limits": []})
    }
}
