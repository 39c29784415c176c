//! The HTTP side: sending one request, and asking for the usage.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::answer::{Answer, StreamReader, is_refusal};
use super::plan::{Dialect, Planned};
use super::usage::Snapshot;

/// The administrator's key in `replay.toml`.
const ADMIN_KEY: &str = "sk-replay-admin";
/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(300);
/// The most bytes of a body that is read whole.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// Tokens, as both sides count them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With a whole answer, as planned.
    Admitted(Tokens),
    /// The client left: the least and the most that may be charged.
    Cut {
        /// What was sent and received.
        least: Tokens,
        /// What was reserved: a token for each byte of the body, and the output cap.
        most: Tokens,
    },
    /// With a clean refusal.
    Refused,
    /// In any other way.
    Failed(String),
}

/// The gateway, as its clients see it.
#[derive(Debug)]
pub(crate) struct Gateway {
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Gateway {
    pub(crate) fn new(url: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { url: url.to_owned(), client }
    }

    /// Sends one request and sees it to its end.
    pub(crate) async fn send(&self, planned: &Planned) -> Outcome {
        match tokio::time::timeout(DEADLINE, self.try_send(planned)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(problem)) => Outcome::Failed(problem),
            Err(_) => Outcome::Failed(format!("no end within {} s", DEADLINE.as_secs())),
        }
    }

    /// What the gateway has counted since its start.
    pub(crate) async fn usage(&self) -> Result<Snapshot, String> {
        let url = format!("{}/api/v1/ai/usage?window=all", self.url);
        let request = Request::get(&url).header(header::AUTHORIZATION, format!("Bearer {ADMIN_KEY}"));
        let request = request.body(Full::default()).map_err(|error| format!("{url}: {error}"))?;
        let answer = tokio::time::timeout(DEADLINE, self.client.request(request)).await;
        let response =
            answer.map_err(|_| format!("{url}: no answer"))?.map_err(|error| format!("{url}: {}", chain(&error)))?;
        let status = response.status();
        let body = collect(response).await?;
        if status != StatusCode::OK {
            return Err(format!("{url}: {status}: {}", shown(&body)));
        }
        Snapshot::parse(&body).map_err(|problem| format!("{url}: {problem}"))
    }

    async fn try_send(&self, planned: &Planned) -> Result<Outcome, String> {
        let body = planned.body();
        let reserved = Tokens { prompt: body.len() as u64, completion: planned.max_tokens };
        let response = self.client.request(self.request(planned, body)?).await.map_err(|error| chain(&error))?;
        let status = response.status();
        if status != StatusCode::OK {
            let body = collect(response).await?;
            return refused(planned.dialect, status, &body);
        }
        if planned.stream {
            return streamed(planned, reserved, response).await;
        }
        let answer = Answer::whole(planned.dialect, &collect(response).await?)?;
        answer.check(planned)?;
        Ok(Outcome::Admitted(Tokens { prompt: planned.prompt, completion: answer.words }))
    }

    fn request(&self, planned: &Planned, body: String) -> Result<Request<Full<Bytes>>, String> {
        let key = format!("sk-replay-{}", planned.tenant);
        let request = Request::post(format!("{}{}", self.url, planned.dialect.path()))
            .header(header::CONTENT_TYPE, "application/json");
        let request = match planned.dialect {
            Dialect::Anthropic => request.header("x-api-key", key).header("anthropic-version", "2023-06-01"),
            Dialect::OpenAi => request.header(header::AUTHORIZATION, format!("Bearer {key}")),
        };
        request.body(Full::from(body)).map_err(|error| error.to_string())
    }
}

/// Reads a stream to its end, or leaves where the plan says.
async fn streamed(planned: &Planned, reserved: Tokens, response: Response<Incoming>) -> Result<Outcome, String> {
    let mut reader = StreamReader::new(planned.dialect);
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("the stream broke: {}", chain(&error)))?;
        if let Some(data) = frame.data_ref() {
            reader.read(data)?;
        }
        let received = Tokens { prompt: planned.prompt, completion: reader.answer().words };
        if planned.cut_after.is_some_and(|after| received.completion >= after) {
            return Ok(Outcome::Cut { least: received, most: reserved });
        }
    }
    reader.answer().check(planned)?;
    Ok(Outcome::Admitted(Tokens { prompt: planned.prompt, completion: reader.answer().words }))
}

fn refused(dialect: Dialect, status: StatusCode, body: &[u8]) -> Result<Outcome, String> {
    let known = matches!(status.as_u16(), 413 | 429 | 503);
    if known && is_refusal(dialect, body) {
        return Ok(Outcome::Refused);
    }
    Err(format!("{status}: {}", shown(body)))
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, String> {
    match Limited::new(response.into_body(), MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(format!("the answer broke: {error}")),
    }
}

/// The beginning of a body, for a message.
fn shown(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(200).collect()
}

/// An error with its causes; the client's own says only that something failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use flashops_testkit::stub::StubProvider;
    use flashops_testkit::trace;

    use super::super::{args, plan};
    use super::*;

    fn planned(rest: &str) -> Vec<Planned> {
        let line = format!("--trace t --url http://h --pace 1 {rest}");
        let args = args::parse(line.split(' ').map(str::to_owned)).unwrap().unwrap();
        plan::plan(&trace::generate(5, 40, Duration::from_secs(1)), &args)
    }

    #[tokio::test]
    async fn every_request_ends_as_planned_and_the_sums_are_those_of_the_provider() {
        let provider = StubProvider::start().await.unwrap();
        let gateway = Gateway::new(&provider.base_url());
        let mut sums = Tokens::default();
        for planned in planned("--cut 0") {
            let Outcome::Admitted(tokens) = gateway.send(&planned).await else {
                panic!("{planned:?}");
            };
            sums.prompt += tokens.prompt;
            sums.completion += tokens.completion;
        }
        provider.idle().await;
        let really = provider.sums();
        assert_eq!((sums.prompt, sums.completion), (really.prompt_tokens, really.completion_tokens));
        assert_eq!((really.answers, really.cut), (40, 0));
    }

    #[tokio::test]
    async fn what_a_cut_received_and_reserved_encloses_what_the_provider_made() {
        let provider = StubProvider::start().await.unwrap();
        let gateway = Gateway::new(&provider.base_url());
        for planned in planned("--stream 1 --cut 1").iter().take(8) {
            let Outcome::Cut { least, most } = gateway.send(planned).await else {
                panic!("{planned:?}");
            };
            provider.idle().await;
            let made = provider.produced().pop().unwrap();
            assert!(made.cut, "{made:?}");
            assert!((least.prompt..=most.prompt).contains(&made.prompt_tokens), "{made:?}");
            assert!((least.completion..=most.completion).contains(&made.completion_tokens), "{made:?}");
            assert!(Some(least.completion) >= planned.cut_after);
        }
    }

    #[tokio::test]
    async fn what_is_no_clean_refusal_is_a_failure() {
        let error = br#"{"type":"error","error":{"type":"rate_limit_error","message":"m"}}"#;
        let refused = |status, body| refused(Dialect::Anthropic, StatusCode::from_u16(status).unwrap(), body);
        for status in [413, 429, 503] {
            assert_eq!(refused(status, error), Ok(Outcome::Refused));
        }
        assert!(refused(429, b"slow down").is_err());
        assert!(refused(401, error).is_err());
        assert!(refused(500, error).is_err());

        let provider = StubProvider::start().await.unwrap();
        let nobody = Gateway::new(&provider.base_url());
        assert!(nobody.usage().await.unwrap_err().contains("404"));
        provider.shutdown().await;
        assert!(matches!(nobody.send(&planned("--cut 0")[0]).await, Outcome::Failed(_)));
    }
}
