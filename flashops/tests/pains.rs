//! What goes wrong in gateways and limiters of the field, by the numbers of docs/compare.md, and does not here: each
//! test fails on the behaviour that was reported.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use flashops::core::alert::Alert;
use flashops::core::clock::UnixSeconds;
use flashops::core::price::PriceBook;
use flashops::core::record::{Event, Recorder, Totals};
use flashops::core::store::Store;
use serde_json::{Value, json};
use support::{
    Answer, CHAT, Desk, Notes, Script, ask, ask_with, get, length, read, stream, with_header, with_script, words_of,
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const MESSAGES: &str = "/v1/messages";
const RESPONSES: &str = "/v1/responses";

/// A limit of ann, of her organisation, or of everybody; `amount` and `window` as TOML has them.
fn limit(name: &str, scope: &str, resource: &str, amount: impl std::fmt::Display, window: &str) -> String {
    let window = if resource == "concurrency" { String::new() } else { format!("window = \"{window}\"\n") };
    format!("[[limit]]\nname = \"{name}\"\nscope = \"{scope}\"\nresource = \"{resource}\"\namount = {amount}\n{window}")
}

fn tokens(amount: u64, window: &str) -> String {
    limit("tokens", "user", "tokens", amount, window)
}

fn totals(desk: &Desk) -> Totals {
    desk.controls.tally().report(None, desk.controls.budget().store().now(), |_| true).totals
}

fn code(answer: &Answer) -> Value {
    answer.json()["error"]["code"].clone()
}

/// How long an answer asks to wait.
fn wait(answer: &Answer) -> Duration {
    Duration::from_millis(answer.header("retry-after-ms").unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap())
}

// 1: overspend under concurrency.
#[test]
fn calls_at_the_same_time_cannot_spend_the_same_budget_twice() {
    let desk = Desk::new(&[tokens(1_000, "1h"), limit("purse", "org", "cost", r#""0.01""#, "lifetime")].concat());
    let call = || stream(CHAT, 50, "[reply 50]");
    let hold = length(&call()) + 50;
    // Twenty calls of 53 tokens each, none of which has ended when the next one comes.
    let opened: Vec<_> = (0..20).map(|_| desk.open(call())).collect();
    let admitted: Vec<_> = opened.into_iter().filter(|response| response.status() == 200).collect();
    assert_eq!(admitted.len() as u64, 1_000 / hold, "as many as there is room for");
    assert_eq!(desk.calls(), admitted.len(), "nobody who was refused was called for");
    let count = admitted.len() as u64;
    for response in admitted {
        read(&mut response.into_body(), usize::MAX);
    }
    assert_eq!(desk.used()[0], count * 53);
    assert!(desk.limits().iter().all(|one| one.held == 0 && one.used <= one.amount));
}

// 2: reservations that leak.
#[test]
fn nothing_stays_reserved_whatever_way_a_call_ends() {
    let limits = [tokens(100_000, "1h"), limit("at-once", "user", "concurrency", 1, "")].concat();
    let desk = Desk::new(&limits);
    let free = [0, 0];
    for directives in ["[reply 3]", "[fail 500]", "[fail 429]", "[cut 2]", "[hang 2]", "[hang 0]", "[no-usage]"] {
        for words in [0, 1, usize::MAX] {
            let response = desk.open(stream(CHAT, 20, directives));
            assert_ne!(desk.held(), free, "{directives}");
            let mut body = response.into_body();
            read(&mut body, words);
            drop(body);
            assert_eq!(desk.held(), free, "{directives}, left after {words} words");
        }
    }
    assert_ne!(desk.give_up(ask(CHAT)), free);
    assert_eq!(desk.held(), free, "left before the answer began");
    assert_eq!(desk.send(with_header(ask(CHAT), "x-panic", "1")).status, 500);
    assert_eq!(desk.send(stream(CHAT, 200_000, "")).status, 413);
    assert_eq!(desk.held(), free);
    // What nobody will ever drop is charged and let go when the lifetime of a hold is over.
    let leaked = stream(CHAT, 20, "[hang 2]");
    let input = length(&leaked);
    std::mem::forget(desk.open(leaked));
    assert_ne!(desk.held(), free);
    desk.clock.advance(HOUR + 120 * SECOND);
    assert_eq!((desk.held(), desk.used()[0]), (free.to_vec(), input), "what came before it has left the window");
}

// 3: a stream whose client leaves.
#[test]
fn an_aborted_stream_is_neither_free_nor_charged_whole() {
    for (path, directives) in [(CHAT, "[reply 400]"), (CHAT, "[hang 4]"), (CHAT, "[cut 4]"), (MESSAGES, "[reply 400]")]
    {
        let desk = Desk::new(&[tokens(100_000, "1h"), limit("rpm", "user", "requests", 10, "1m")].concat());
        let call = stream(path, 500, directives);
        let input = length(&call);
        let mut body = desk.open(call).into_body();
        assert_eq!(words_of(&read(&mut body, 4)), 4);
        drop(body);
        // What the input was bounded by and the four words that came; 500 were held for output, and 400 to come.
        assert_eq!(desk.used(), [input + 4, 1], "{path} {directives}");
        assert_eq!(totals(&desk).estimated_requests, 1);
    }
}

// 4: usage that is missing, or turned off by the client.
#[test]
fn a_client_cannot_keep_its_usage_from_being_counted() {
    for include in [None, Some(false), Some(true)] {
        let desk = Desk::new(&tokens(100_000, "1h"));
        let message = json!([{"role": "user", "content": "say [reply 10]"}]);
        let mut body = json!({"model": "gpt-4o-mini", "stream": true, "max_tokens": 20, "messages": message});
        if let Some(include) = include {
            body["stream_options"] = json!({"include_usage": include});
        }
        let answer = desk.send(ask_with(CHAT, body));
        let text = std::str::from_utf8(&answer.body).unwrap();
        assert_eq!(text.contains(r#""usage":{"#), include == Some(true), "it is shown to whom asked for it");
        assert!(text.ends_with("data: [DONE]\n\n"));
        assert_eq!((desk.used(), totals(&desk).estimated_requests), (vec![13], 0), "{include:?}");
    }
    let desk = Desk::new(&tokens(100_000, "1h"));
    let call = stream(CHAT, 20, "[reply 10] [no-usage]");
    let input = length(&call);
    desk.send(call);
    assert_eq!((desk.used(), totals(&desk).estimated_requests), (vec![input + 10], 1), "never zero, and it says so");
}

// 5: no end in mid-stream.
#[test]
fn a_stream_that_uses_up_what_is_left_ends_there_in_its_own_format() {
    for (path, reason, end) in [
        (CHAT, r#""finish_reason":"length""#, "data: [DONE]\n\n"),
        (MESSAGES, r#""stop_reason":"max_tokens""#, "\"message_stop\"}\n\n"),
        (RESPONSES, r#""reason":"max_output_tokens""#, "}\n\n"),
    ] {
        let call = with_script(stream(path, 20, "[reply 300]"), Script::IgnoresTheCap(300));
        let left = length(&call) + 20;
        let desk = Desk::new(&format!("{}[policy]\non_exhausted = \"cut\"", tokens(left, "lifetime")));
        let text = read(&mut desk.open(call).into_body(), usize::MAX);
        assert_eq!(words_of(&text), 21, "{path}: the word that is not held any more is the last");
        assert!(text.contains(reason) && text.ends_with(end), "{path}: {text}");
        assert_eq!((desk.used(), desk.held()), (vec![left + 1], vec![0]));
    }
}

// 6: a model that nobody has a price for, and a budget of zero.
#[test]
fn a_model_without_a_price_is_no_way_around_a_budget() {
    let limits = [tokens(100_000, "1h"), limit("purse", "org", "cost", r#""5""#, "1h")].concat();
    let desk = Desk::new(&limits);
    let call = || {
        let message = json!([{"role": "user", "content": "say [reply 10]"}]);
        ask_with(CHAT, json!({"model": "gpt-4o-mini-free", "max_tokens": 20, "messages": message}))
    };
    let refused = desk.send(call());
    assert_eq!((refused.status, code(&refused), desk.calls()), (400, json!("model_not_priced"), 0));
    // By choice it costs tokens, which it cannot evade either.
    let desk = Desk::new(&format!("{limits}[policy]\nunknown_model = \"tokens-only\""));
    assert_eq!((desk.send(call()).status, desk.used()[0]), (200, 13));
    assert_eq!(totals(&desk).unpriced_requests, 1, "and an operator sees that it happens");
}

#[test]
fn a_limit_of_zero_lets_nothing_through() {
    for (resource, amount) in [
        ("requests", "0"),
        ("tokens", "0"),
        ("input-tokens", "0"),
        ("output-tokens", "0"),
        ("cost", r#""0""#),
        ("concurrency", "0"),
    ] {
        for window in ["1m", "day", "lifetime"] {
            let desk = Desk::new(&limit("none", "org", resource, amount, window));
            for call in [ask(CHAT), stream(CHAT, 20, ""), stream(MESSAGES, 20, "")] {
                let status = desk.send(call).status;
                assert!(matches!(status, 429 | 503), "{resource} a {window}: {status}");
            }
            assert_eq!(desk.calls(), 0, "{resource} a {window}");
        }
    }
}

// 7: cached input and reasoning, counted twice.
#[test]
fn no_token_is_counted_in_two_classes() {
    let openai = json!({
        "prompt_tokens": 1000, "prompt_tokens_details": {"cached_tokens": 400}, "completion_tokens": 100,
        "completion_tokens_details": {"reasoning_tokens": 60}, "total_tokens": 1100,
    });
    let anthropic = json!({
        "input_tokens": 600, "cache_read_input_tokens": 400, "cache_creation_input_tokens": 200, "output_tokens": 100,
    });
    // Later reports of a stream are the sums so far, not more.
    let start = |output| json!({"input_tokens": 600, "cache_read_input_tokens": 400, "output_tokens": output});
    let events = [
        json!({"type": "message_start", "message": {"usage": start(1)}}),
        json!({"type": "message_delta", "delta": {}, "usage": start(70)}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": start(100)}),
        json!({"type": "message_stop"}),
    ];
    let events: String =
        events.iter().map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())).collect();
    // In nano-dollars a token: 150, cached 75, output 600; and 3000, cached 300, written 3750, output 15000.
    for (path, model, script, used, cost) in [
        (CHAT, "gpt-4o-mini", Script::reports(openai), 1_100, 600 * 150 + 400 * 75 + 100 * 600),
        (
            MESSAGES,
            "claude-sonnet-4-5",
            Script::reports(anthropic),
            1_300,
            600 * 3_000 + 400 * 300 + 200 * 3_750 + 100 * 15_000,
        ),
        (MESSAGES, "claude-sonnet-4-5", Script::Says(events), 1_100, 600 * 3_000 + 400 * 300 + 100 * 15_000),
    ] {
        let desk = Desk::new(&[tokens(100_000, "1h"), limit("purse", "user", "cost", r#""5""#, "1h")].concat());
        let call = ask_with(path, json!({"model": model, "max_tokens": 500, "messages": []}));
        assert_eq!(desk.send(with_script(call, script)).status, 200);
        assert_eq!(desk.used(), [used, cost], "{path}");
        assert_eq!(totals(&desk).estimated_requests, 0, "{path}");
    }
}

/// What calls were charged, and by which version of a price.
#[derive(Clone, Debug, Default)]
struct Charges(Arc<Mutex<Vec<(u64, String)>>>);

impl Recorder for Charges {
    fn record(&self, event: &Event<'_>) {
        if let Event::Settled(settled) = event {
            let source = settled.price.unwrap().version().source().to_owned();
            self.0.lock().unwrap().push((settled.cost.unwrap().get(), source));
        }
    }
}

/// A book with the model `m` at so many nano-dollars a token, ten times that above 1,000 tokens of prompt.
fn book(source: &str, nanos: u64) -> Arc<PriceBook> {
    let flat = |nanos: u64| format!("flat = \"{}.{:03}\"", nanos / 1_000, nanos % 1_000);
    let text = format!(
        "[[model]]\nname = \"m\"\nprovider = \"p\"\nsource = \"{source}\"\nas_of = \"2026-01-01\"\n[[model.price]]\n{}\n\
         [[model.price.tier]]\nabove = 1000\n{}",
        flat(nanos),
        flat(nanos * 10)
    );
    Arc::new(PriceBook::from_toml(&text).unwrap())
}

// 8: prices that change.
#[test]
fn a_new_price_reprices_nothing_that_was_reserved_before() {
    let charges = Charges::default();
    let desk = Desk::with(&limit("purse", "user", "cost", r#""1""#, "1h"), charges.clone());
    let budget = desk.controls.budget();
    let prices = budget.price_handle();
    prices.replace(book("old", 1_000)).unwrap();
    let call = || {
        let message = json!([{"role": "user", "content": "say [reply 10]"}]);
        ask_with(CHAT, json!({"model": "m", "stream": true, "max_tokens": 20, "messages": message}))
    };
    let input = length(&call());
    let first = desk.open(call());
    prices.replace(book("new", 3_000)).unwrap();
    assert_eq!(desk.held(), [(input + 20) * 1_000]);
    let second = desk.open(call());
    for response in [second, first] {
        read(&mut response.into_body(), usize::MAX);
    }
    let expected = [(13 * 3_000, "new".to_owned()), (13 * 1_000, "old".to_owned())];
    assert_eq!((desk.used(), &charges.0.lock().unwrap()[..]), (vec![13 * 4_000], &expected[..]));
}

#[test]
fn the_price_of_a_long_prompt_is_in_its_reservation_too() {
    // Whoever reserves at the price of short prompts admits five of these.
    let desk = Desk::new(&limit("purse", "user", "cost", r#""0.05""#, "1h"));
    desk.controls.budget().price_handle().replace(book("tiers", 1_000)).unwrap();
    let prompt = "a ".repeat(1_500);
    let call = || {
        let message = json!([{"role": "user", "content": prompt}]);
        ask_with(CHAT, json!({"model": "m", "stream": true, "max_tokens": 20, "messages": message}))
    };
    let hold = (length(&call()) + 20) * 10_000;
    let opened: Vec<_> = (0..5).map(|_| desk.open(call())).collect();
    let admitted: Vec<_> = opened.into_iter().filter(|response| response.status() == 200).collect();
    assert_eq!((admitted.len() as u64, desk.held()), (50_000_000 / hold, vec![hold]));
    for response in admitted {
        read(&mut response.into_body(), usize::MAX);
    }
    assert_eq!(desk.used(), [1_520 * 10_000]);
}

// 9: money in floating point.
#[test]
fn three_calls_of_ten_cents_are_thirty_cents_and_no_call_is_rounded_away() {
    let book = r#"
        [[model]]
        name = "m"
        provider = "p"
        source = "s"
        as_of = "2026-01-01"
        [[model.price]]
        flat = "0"
        per_request = "0.1"

        [[model]]
        name = "tiny"
        provider = "p"
        source = "s"
        as_of = "2026-01-01"
        [[model.price]]
        flat = "0.000001"
    "#;
    let desk = Desk::new(&limit("purse", "user", "cost", r#""0.3""#, "lifetime"));
    desk.controls.budget().price_handle().replace(Arc::new(PriceBook::from_toml(book).unwrap())).unwrap();
    let call = |model| ask_with(CHAT, json!({"model": model, "max_tokens": 20, "messages": []}));
    // In binary fractions 0.1 + 0.1 + 0.1 is more than 0.3.
    assert_eq!([(); 4].map(|()| desk.send(call("m")).status), [200, 200, 200, 429]);
    assert_eq!(desk.used(), [300_000_000]);
    let refused = desk.send(call("m")).json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(refused.contains("Limit 0.3 USD, Used 0.3 USD, Requested 0.1 USD"), "{refused}");

    let desk = Desk::new(&limit("purse", "user", "cost", r#""0.3""#, "lifetime"));
    desk.controls.budget().price_handle().replace(Arc::new(PriceBook::from_toml(book).unwrap())).unwrap();
    for call_number in 1..=10 {
        desk.send(with_script(call("tiny"), Script::used(5, 8)));
        assert_eq!(desk.used(), [call_number], "thirteen millionths of a nano-dollar cost one");
    }
}

/// The second that so many days and hours after 2026-01-01T00:00:00Z begins.
fn utc(days: i64, hours: i64) -> UnixSeconds {
    UnixSeconds(1_767_225_600 + days * 86_400 + hours * 3_600)
}

/// Uses up a budget at an instant, which then must come back at another one and not a second earlier.
fn renews(window: &str, spent_at: UnixSeconds, renewed_at: UnixSeconds) {
    let desk = Desk::new(&limit("calls", "user", "requests", "1", window));
    desk.clock.set_unix(spent_at);
    assert_eq!(desk.send(ask(CHAT)).status, 200);
    assert_eq!(wait(&desk.send(ask(CHAT))).as_secs(), (renewed_at.0 - spent_at.0) as u64, "{window}");
    desk.clock.set_unix(UnixSeconds(renewed_at.0 - 1));
    assert_eq!(desk.send(ask(CHAT)).status, 429, "{window}: a second too early");
    desk.clock.set_unix(renewed_at);
    assert_eq!(desk.send(ask(CHAT)).status, 200, "{window}: nothing runs to renew it");
    assert_eq!(desk.send(ask(CHAT)).status, 429, "{window}");
}

// 10: periods that begin at another time than the calendar says.
#[test]
fn a_budget_renews_when_its_day_or_month_ends_where_it_is_counted() {
    let day = "day\"\nzone = \"Europe/Paris";
    // 29 March has 23 hours in Paris, from 23:00 UTC of the 28th; 25 October has 25, from 22:00 UTC of the 24th.
    renews(day, utc(86, 23), utc(87, 22));
    renews(day, utc(296, 22), utc(297, 23));
    // From the 31st of January to the 28th of February, and from there to the 31st of March.
    let month = "month\"\nanchor = \"31".replace("\"31", "31\nzone = \"UTC");
    renews(&month, utc(40, 5), utc(58, 0));
    renews(&month, utc(58, 0), utc(89, 0));
    // A week that begins on Sunday in Tehran, which is three and a half hours ahead of UTC.
    let week = "week\"\nanchor = 7\nzone = \"Asia/Tehran";
    renews(week, utc(0, 0), UnixSeconds(utc(2, 20).0 + 1_800));
}

/// A call that holds so many tokens.
fn sized(total: u64) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let with_cap = |cap: u64| ask_with(CHAT, json!({"model": "gpt-4o-mini", "max_tokens": cap, "messages": []}));
    let body = length(&with_cap(100));
    assert!((100..1_000).contains(&(total - body)), "the cap has three digits");
    with_cap(total - body)
}

// 11: a wait that is wrong, and a remainder that is not told.
#[test]
fn the_wait_is_the_first_instant_at_which_this_call_fits_all_of_its_limits() {
    let desk = Desk::new(&[tokens(1_000, "1m"), limit("hourly", "org", "tokens", 1_650, "1h")].concat());
    let left = |answer: &Answer| {
        let told = answer.header("ratelimit").unwrap();
        let after = told.split("\"tokens\";r=").nth(1).unwrap();
        after.split(';').next().unwrap().parse::<u64>().unwrap()
    };
    // 600 tokens now, and 300 after 20 seconds: each success tells what is left beside its own hold.
    let first = desk.send(with_script(sized(400), Script::used(500, 100)));
    assert_eq!((first.status, left(&first)), (200, 600));
    desk.clock.advance(20 * SECOND);
    let second = desk.send(with_script(sized(200), Script::used(200, 100)));
    assert_eq!((second.status, left(&second)), (200, 200));
    desk.clock.advance(10 * SECOND);
    // 400 fit when the 600 have left the minute. 700 do too. For 800 the 600 must leave the hour.
    for (size, earliest) in [(400, 30), (700, 30), (800, 3_570)] {
        let told = wait(&desk.send(sized(size)));
        // A window is at most a fortieth longer.
        let latest = Duration::from_secs(earliest) + if earliest > 60 { HOUR } else { 60 * SECOND } / 39;
        assert!(told >= Duration::from_secs(earliest) && told <= latest, "{size}: {told:?}");
    }
    let mut passed = Duration::ZERO;
    for size in [400, 800] {
        let told = wait(&desk.send(sized(size)));
        desk.clock.advance(told - Duration::from_millis(1));
        assert_eq!(desk.send(sized(size)).status, 429, "{size}: a millisecond too early");
        desk.clock.advance(Duration::from_millis(1));
        passed += told;
        let answer = desk.send(with_script(sized(size), Script::used(0, 0)));
        assert_eq!(answer.status, 200, "{size} fit after {passed:?}");
    }
}

// 12: one answer for everything that is refused.
#[test]
fn each_reason_to_refuse_has_an_answer_of_its_own() {
    let problem = |desk: &Desk| {
        let answer = desk.send(with_header(ask(CHAT), "accept", "application/problem+json"));
        answer.json().get("violated-policies").cloned().unwrap_or_default()
    };
    let seen = |answer: &Answer| {
        (answer.status, code(answer), answer.header("retry-after").is_some(), answer.header("x-should-retry").is_none())
    };
    let rate = Desk::new(&limit("rpm", "user", "requests", 1, "1m"));
    rate.send(ask(CHAT));
    assert_eq!(seen(&rate.send(ask(CHAT))), (429, json!("rate_limit_exceeded"), true, true));
    assert_eq!(problem(&rate), json!(["rpm"]));

    let grant = limit("grant", "org", "tokens", 150, "lifetime");
    for (switch, status) in [("", 429), ("[policy]\nspent_status = 402", 402)] {
        let desk = Desk::new(&format!("{grant}{switch}"));
        desk.send(with_script(ask(CHAT), Script::used(100, 40)));
        assert_eq!(seen(&desk.send(ask(CHAT))), (status, json!("insufficient_quota"), false, false));
        assert_eq!(problem(&desk), json!(["grant"]));
    }
    let large = Desk::new(&grant).send(stream(CHAT, 151, ""));
    assert_eq!(seen(&large), (413, json!("request_too_large"), false, false));

    let crowded = Desk::new(&limit("at-once", "user", "concurrency", 1, ""));
    let full = Desk::new(&format!("{}[policy]\nmax_reservations = 1", tokens(100_000, "1h")));
    for desk in [crowded, full] {
        let _first = desk.open(stream(CHAT, 20, "[hang 1]"));
        let second = desk.send(ask(CHAT));
        assert_eq!(seen(&second), (503, json!("overloaded"), true, true));
    }
}

// 13: what was refused or failed uses up other limits, and places are not given back.
#[test]
fn what_is_refused_uses_up_nothing_and_a_place_is_free_when_its_body_is_dropped() {
    let limits = [
        limit("rpm", "user", "requests", 100, "1m"),
        tokens(10_000, "1m"),
        limit("at-once", "user", "concurrency", 1, ""),
        limit("org-rpm", "org", "requests", 100, "1m"),
        limit("purse", "global", "cost", r#""1""#, "1h"),
    ];
    let desk = Desk::new(&limits.concat());
    let mut body = desk.open(stream(CHAT, 20, "[hang 3]")).into_body();
    read(&mut body, 3);
    let before = desk.limits();
    for _ in 0..50 {
        assert_eq!(desk.send(ask(CHAT)).status, 503);
        assert_eq!(desk.send(stream(CHAT, 20_000, "")).status, 413);
    }
    assert_eq!((desk.limits(), desk.calls()), (before, 1), "a hundred refusals");
    drop(body);
    assert_eq!(desk.send(ask(CHAT)).status, 200, "the place is free at once");
    let used = desk.used();
    assert_eq!(desk.send(stream(CHAT, 20, "[fail 500]")).status, 500);
    let after = desk.used();
    assert_eq!((after[0], after[1], after[4]), (used[0] + 1, used[1], used[4]), "a call that failed used no tokens");
    assert!(desk.held().iter().all(|held| *held == 0));
}

// 14: estimates that are far off, on purpose too.
#[test]
fn a_cap_of_one_token_buys_nothing() {
    let trick = |prompt: &str| {
        let message = json!([{"role": "user", "content": prompt}]);
        ask_with(CHAT, json!({"model": "gpt-4o-mini", "max_tokens": 1, "messages": message}))
    };
    // 738 tokens of input do not pass as one of output.
    let desk = Desk::new(&tokens(500, "1m"));
    assert_eq!((desk.send(trick(&"go ".repeat(738))).status, desk.calls()), (413, 0));
    // What was used all the same is charged whole: debt, which the next calls wait for.
    let answer = desk.send(with_script(trick("go"), Script::used(738, 400)));
    assert_eq!((answer.status, desk.used()), (200, vec![1_138]));
    let refused = desk.send(trick("go"));
    assert!(refused.status == 429 && wait(&refused) >= 60 * SECOND, "{refused:?}");
    desk.clock.advance(59 * SECOND);
    assert_eq!(desk.send(trick("go")).status, 429);
    desk.clock.advance(3 * SECOND);
    assert_eq!(desk.send(trick("go")).status, 200);
}

#[test]
fn how_far_estimates_are_off_is_counted_and_a_cap_that_is_written_in_is_told() {
    let desk = Desk::new(&tokens(1_000_000, "1m"));
    let call = stream(CHAT, 100, "[reply 40]");
    let input = length(&call);
    assert_eq!(desk.send(call).header("flashops-output-cap"), None, "the client's own cap is not changed");
    desk.send(with_script(stream(CHAT, 100, ""), Script::used(3, 130)));
    let (of_input, of_output) = (desk.controls.estimate_errors().input(), desk.controls.estimate_errors().output());
    assert_eq!((of_output.calls(), of_output.unused, of_output.exceeded), (2, 60, 30));
    // 40 % and 130 % of what was held.
    assert_eq!((of_output.buckets[2], of_output.buckets[10]), (1, 1));
    assert_eq!(of_input.calls(), 2);
    assert!(of_input.unused > input - 3 && of_input.exceeded == 0);
    let uncapped = ask_with(CHAT, json!({"model": "gpt-4o-mini", "messages": []}));
    assert_eq!(desk.send(with_script(uncapped, Script::used(1, 1))).header("flashops-output-cap"), Some("16384"));
}

// 15: twice the amount around the boundary of a window.
#[test]
fn no_minute_has_more_than_its_amount_wherever_it_begins() {
    // 10 are kept as instants, and 1,000 in buckets.
    for amount in [10, 1_000] {
        let limit = limit("rpm", "user", "requests", amount, "1m");
        let desk = Desk::new(&format!("{limit}routes = [\"/**\"]"));
        let admitted = |most: usize| (0..most).filter(|_| desk.send(get("/pets")).status == 404).count();
        assert_eq!(admitted(1), 1, "a window that begins with the first request begins here");
        desk.clock.advance(59 * SECOND);
        assert_eq!(admitted(amount), amount - 1);
        desk.clock.advance(SECOND + SECOND / 2);
        let at_once = admitted(amount);
        desk.clock.advance(55 * SECOND);
        assert_eq!(at_once + admitted(amount), 1, "only the first one has left: the others are not a minute old");
        desk.clock.advance(5 * SECOND);
        assert!(admitted(amount) >= amount - 1);
    }
    let desk = Desk::new(&tokens(1_000, "1m"));
    assert_eq!(desk.send(with_script(sized(200), Script::used(50, 50))).status, 200);
    desk.clock.advance(59 * SECOND);
    assert_eq!(desk.send(with_script(sized(200), Script::used(750, 100))).status, 200);
    desk.clock.advance(2 * SECOND);
    assert_eq!(desk.send(sized(200)).status, 429, "850 tokens are two seconds old");
}

// 19: alerts that are missing, come again and again, or come for one share only.
#[test]
fn each_threshold_of_each_limit_is_told_once_a_period_by_the_call_that_reaches_it() {
    let notes = Notes::default();
    let limits = [
        limit("tokens", "user", "tokens", 1_000, "day") + "thresholds = [0.1, 0.5, 0.8, 1.0]\n",
        limit("purse", "org", "cost", r#""0.0005""#, "lifetime") + "thresholds = [0.5]\n",
        limit("pages", "user", "requests", 10, "1h") + "routes = [\"/pets\"]\nthresholds = [0.2]\n",
        "[policy]\ncarry_debt = \"none\"".to_owned(),
    ];
    let desk = Desk::with(&limits.concat(), notes.clone());
    let told = || std::mem::take(&mut *notes.0.lock().unwrap());
    // A call whose client leaves settles too: its input, which is above a tenth, and two words.
    let mut body = desk.open(stream(CHAT, 20, "[reply 9]")).into_body();
    read(&mut body, 2);
    assert_eq!(told(), [""; 0], "what is only held reaches nothing");
    drop(body);
    let left = desk.used()[0];
    assert!((100..200).contains(&left), "{left}");
    assert_eq!(told(), ["tokens at 100"]);
    // To 850 at once, and to 1050, beyond what there is.
    let first = 850 - left;
    desk.send(with_script(ask(CHAT), Script::used(first, 0)));
    assert_eq!(told(), ["tokens at 500", "tokens at 800"]);
    desk.send(with_script(sized(150 + 50), Script::used(200, 0)));
    assert_eq!(told(), [""; 0], "it had no room, and nothing was settled");
    desk.send(with_script(ask(CHAT), Script::used(200, 0)));
    assert_eq!(told(), ["tokens at 1000"]);
    for expected in [&[""; 0][..], &["pages at 200"], &[], &[], &[]] {
        desk.send(get("/pets"));
        assert_eq!(told(), expected);
    }
    desk.clock.advance(24 * HOUR);
    desk.send(with_script(ask(CHAT), Script::used(650, 0)));
    assert_eq!(told(), ["tokens at 100", "tokens at 500", "purse at 500"], "a new day, and the same lifetime");
    desk.send(with_script(ask(CHAT), Script::used(10, 0)));
    assert_eq!(told(), [""; 0]);
}

#[test]
fn a_budget_that_will_not_last_is_told_while_most_of_it_is_left_and_once() {
    let desk = Desk::new(&(limit("purse", "org", "cost", r#""10""#, "month") + "[alerts]"));
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&told);
    desk.controls.alerts().add_sink(move |alert: &Arc<Alert>| {
        if &*alert.subject.name == "purse" {
            notes.lock().unwrap().push((alert.kind.name(), alert.subject.key.to_string()));
        }
    });
    let spend = |output| desk.send(with_script(ask(CHAT), Script::used(0, output)));
    // Ten dollars in January are 32 cents a day. For four days 30 are used, then 60: a cent is 16,667 tokens.
    let mut days = Vec::new();
    for day in 0..31 {
        spend(if day < 4 { 500_000 } else { 1_000_000 });
        days.extend(told.lock().unwrap().drain(..).map(|(kind, key)| (day, kind, key)));
        desk.clock.advance(24 * HOUR);
    }
    let of = |day, kind| (day, kind, "acme".to_owned());
    let burns = days.iter().filter(|(_, kind, _)| *kind == "burn-rate").count();
    days.retain(|(_, kind, _)| *kind != "burn-rate");
    // After four days 1.80 make 13.95 in 31. Eight dollars are there with the sixteenth day, ten with the nineteenth.
    assert_eq!(days, [of(4, "projection"), of(15, "threshold"), of(18, "threshold")]);
    // All of a day's money comes at once: more than 2 % of the month in an hour on nineteen days; more than 5 % in six
    // hours on fifteen of them; and two such days, the one before in the oldest bucket, more than 10 % on fourteen.
    assert_eq!(burns, 19 + 15 + 14);
}

// 20: probes that cost money, tokenizers that block, pages that are charged, spellings that are not.
#[test]
fn probes_and_pages_cost_nothing_and_no_spelling_of_a_route_of_a_model_does() {
    let none = [
        limit("requests", "user", "requests", 0, "1m"),
        tokens(0, "1m"),
        limit("purse", "global", "cost", r#""0""#, "1h"),
    ];
    let desk = Desk::new(&none.concat());
    for path in ["/livez", "/readyz", "/api/v1/health/detailed", "/api/v1/ai/health"] {
        let probe = desk.send(with_header(get(path), "x-api-key", "sk-nobody"));
        assert!(probe.status == 404 && !probe.headers.contains_key("ratelimit"), "{path}");
    }
    for path in ["/pets", "/v1/models", CHAT] {
        assert_ne!(desk.send(get(path)).status, 429, "{path} calls no model");
    }
    let called = desk.calls();
    for path in
        [CHAT, "//v1/chat/completions", "/v1/chat/completions/", "/v1/./chat/completions", "/v1/%63hat/completions"]
    {
        assert_eq!(desk.send(ask(path)).status, 429, "{path}");
    }
    assert_eq!((desk.calls(), totals(&desk).requests), (called, 0));
}

#[test]
fn a_prompt_of_megabytes_is_bounded_by_its_length_and_read_up_to_a_bound() {
    let call = |bytes: usize| {
        let message = json!([{"role": "user", "content": "a ".repeat(bytes / 2)}]);
        ask_with(CHAT, json!({"model": "gpt-4o-mini", "max_tokens": 5, "messages": message}))
    };
    let desk = Desk::new(&tokens(1 << 30, "1h"));
    let large = call(2_300_000);
    let length = length(&large);
    let body = desk.open(large).into_body();
    assert_eq!(desk.held(), [length + 5], "a token for each byte, whatever a tokenizer would make of it");
    drop(body);
    let (too_large, calls) = (desk.send(call(8 << 20)), desk.calls());
    assert_eq!((too_large.status, calls), (413, 1));
}
