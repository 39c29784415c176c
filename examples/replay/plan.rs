//! What will be sent: each request of the trace with its tenant, format, and end.

use std::time::Duration;

use flashops_testkit::trace::{SplitMix64, TraceRequest};
use serde_json::{Value, json};

use super::args::{Args, Fraction};

/// The formats that are mixed, half and half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Anthropic,
    OpenAi,
}

impl Dialect {
    /// The path that speaks it.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Anthropic => "/v1/messages",
            Self::OpenAi => "/v1/chat/completions",
        }
    }

    const fn model(self) -> &'static str {
        match self {
            Self::Anthropic => "claude-haiku-4-5",
            Self::OpenAi => "gpt-4o-mini",
        }
    }
}

/// One request to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// When, after the start.
    pub(crate) at: Duration,
    /// By whom: tenant N has the key `sk-replay-N` and is the organisation `tN`.
    pub(crate) tenant: usize,
    pub(crate) dialect: Dialect,
    pub(crate) stream: bool,
    /// Asks for OpenAI's usage chunk.
    pub(crate) include_usage: bool,
    /// The client leaves once it has so many words: at least one, and fewer than the answer has.
    pub(crate) cut_after: Option<u64>,
    /// Tokens that the provider will count in the prompt.
    pub(crate) prompt: u64,
    /// Tokens that the whole answer has.
    pub(crate) completion: u64,
    pub(crate) max_tokens: u64,
    directives: String,
}

impl Planned {
    /// The body to send.
    pub(crate) fn body(&self) -> String {
        let mut body = json!({
            "model": self.dialect.model(),
            "max_tokens": self.max_tokens,
            "messages": [{"role": "user", "content": self.content()}],
        });
        if self.stream {
            body["stream"] = Value::Bool(true);
        }
        if self.include_usage {
            body["stream_options"] = json!({"include_usage": true});
        }
        body.to_string()
    }

    /// The prompt: its directives, and words up to its number of tokens.
    fn content(&self) -> String {
        const WORDS: [&str; 8] = ["the", "quick", "brown", "fox", "jumps", "over", "a", "dog"];
        let mut content = self.directives.clone();
        let words = self.prompt.saturating_sub(self.directives.split_whitespace().count() as u64);
        for word in WORDS.iter().cycle().zip(0..words).map(|(word, _)| word) {
            content += word;
            content.push(' ');
        }
        content
    }
}

/// Words of `[reply N]` and `[pace MS]` each.
const DIRECTIVE_WORDS: u64 = 2;

/// Plans the whole trace: the same for the same trace and arguments.
pub(crate) fn plan(trace: &[TraceRequest], args: &Args) -> Vec<Planned> {
    let mut random = SplitMix64::new(args.seed);
    trace.iter().map(|request| one(request, args, &mut random)).collect()
}

fn one(request: &TraceRequest, args: &Args, random: &mut SplitMix64) -> Planned {
    let tenant = random.below(args.tenants as u64) as usize;
    let dialect = if random.below(2) == 0 { Dialect::OpenAi } else { Dialect::Anthropic };
    let stream = args.stream.has(random.below(Fraction::WHOLE));
    let asks_for_usage = random.below(2) == 0;
    let cut = args.cut.has(random.below(Fraction::WHOLE));
    let (slack, place) = (random.next_u64(), random.next_u64());

    // An empty prompt or answer is no request; a prompt without room for a directive goes without it.
    let prompt = request.context.max(1);
    let completion = request.generated.max(1);
    let cut_after =
        (stream && cut && completion > 1 && prompt >= 2 * DIRECTIVE_WORDS).then(|| 1 + place % (completion - 1));
    let mut directives = String::new();
    let mut max_tokens = completion;
    if prompt >= DIRECTIVE_WORDS {
        directives += &format!("[reply {completion}] ");
        max_tokens += slack % (completion / 4 + 1);
    }
    if cut_after.is_some() {
        directives += &format!("[pace {}] ", args.pace_ms);
    }
    Planned {
        at: request.at.div_f64(args.speed),
        tenant,
        dialect,
        stream,
        include_usage: stream && asks_for_usage && dialect == Dialect::OpenAi,
        cut_after,
        prompt,
        completion,
        max_tokens,
        directives,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use flashops_testkit::{stub, trace};
    use http_body_util::BodyExt;

    use super::super::args;
    use super::*;

    fn args(rest: &str) -> Args {
        let line = format!("--trace t --url http://h {rest}");
        args::parse(line.trim().split(' ').map(str::to_owned)).unwrap().unwrap()
    }

    fn some() -> Vec<TraceRequest> {
        let mut requests = trace::generate(3, 400, Duration::from_secs(60));
        for (index, request) in requests.iter_mut().enumerate().take(40) {
            (request.context, request.generated) = (index as u64 % 6, index as u64 / 6);
        }
        requests
    }

    #[test]
    fn the_same_trace_and_seed_make_the_same_plan_and_another_seed_another() {
        assert_eq!(plan(&some(), &args("")), plan(&some(), &args("--seed 1")));
        assert_ne!(plan(&some(), &args("")), plan(&some(), &args("--seed 2")));
    }

    #[tokio::test]
    async fn the_stub_counts_in_every_planned_request_what_the_plan_says() {
        for planned in plan(&some(), &args("--stream 0")) {
            let request = http::Request::post(planned.dialect.path()).body(Bytes::from(planned.body())).unwrap();
            let answer = stub::respond(request).into_body().collect().await.unwrap().to_bytes();
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            let names = match planned.dialect {
                Dialect::Anthropic => ["input_tokens", "output_tokens"],
                Dialect::OpenAi => ["prompt_tokens", "completion_tokens"],
            };
            let counted = names.map(|name| answer["usage"][name].as_u64().unwrap());
            assert_eq!(counted, [planned.prompt, planned.completion], "{planned:?}");
            assert!(planned.max_tokens >= planned.completion);
        }
    }

    #[test]
    fn arrival_times_are_those_of_the_trace_divided_by_the_speed() {
        let trace = some();
        for (planned, request) in plan(&trace, &args("--speed 4")).iter().zip(&trace) {
            assert_eq!(planned.at.as_micros(), request.at.as_micros() / 4, "{planned:?}");
        }
    }

    #[test]
    fn only_paced_streams_are_cut_and_each_within_its_answer() {
        let planned = plan(&some(), &args("--stream 0.5 --cut 0.5 --pace 3"));
        for request in &planned {
            if let Some(after) = request.cut_after {
                assert!(request.stream && (1..request.completion).contains(&after), "{request:?}");
            }
            assert_eq!(request.body().contains("[pace 3]"), request.cut_after.is_some());
        }
        assert!(planned.iter().filter(|request| request.cut_after.is_some()).count() > 50);
        assert!(plan(&some(), &args("--cut 0")).iter().all(|request| request.cut_after.is_none()));
        assert!(plan(&some(), &args("--stream 0 --cut 1")).iter().all(|request| request.cut_after.is_none()));
    }

    #[test]
    fn every_tenant_and_both_formats_have_their_share() {
        let planned = plan(&some(), &args("--tenants 5"));
        for tenant in 0..5 {
            assert!(planned.iter().filter(|request| request.tenant == tenant).count() > 40);
        }
        assert!(planned.iter().all(|request| request.tenant < 5));
        let open_ai = planned.iter().filter(|request| request.dialect == Dialect::OpenAi).count();
        assert!((150..250).contains(&open_ai), "{open_ai}");
        assert!(planned.iter().filter(|request| request.include_usage).all(|request| request.stream));
    }
}
