use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::alert::WebhookUrl;
use crate::caller::Caller;
use crate::config::{
    Anonymous, Dialect, Format, HeaderFamilies, MAX_ROUTES, NoSources, OnOver, OnStoreError, SpentStatus,
    StoredContent, UnmeteredRoutes,
};
use crate::estimate::{InputEstimate, OutputEstimate};
use crate::key::Scope;
use crate::limit::{Algorithm, CarryDebt, MissingUsage, Mode, OnExpiry, Switches, UnknownModel, Window};
use crate::units::{MAX_AMOUNT, Tokens};
use crate::window::{Calendar, CalendarUnit};

const EXAMPLE: &str = include_str!("../example.toml");

/// A price book of one model and one currency.
const BOOK: &str = "currency = \"EUR\"\nscale = 6\n[[model]]\nname = \"house\"\nprovider = \"us\"\nsource = \"s\"\n\
                    as_of = \"2026-01-01\"\n[[model.price]]\nflat = \"1\"\n";

/// Files and variables by name.
#[derive(Default)]
struct Stub(HashMap<&'static str, &'static str>);

impl Sources for Stub {
    fn file(&self, path: &str) -> io::Result<String> {
        let text = self.0.get(path).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no such file"))?;
        Ok((*text).to_owned())
    }

    fn variable(&self, name: &str) -> io::Result<String> {
        self.file(&format!("${name}"))
    }
}

fn stub() -> Stub {
    Stub(HashMap::from([
        ("prices.toml", BOOK.trim_start_matches("currency = \"EUR\"\nscale = 6\n")),
        ("euro.toml", BOOK),
        ("bad.toml", "scale = 13"),
        (
            "litellm.json",
            r#"{"imported": {"litellm_provider": "them", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "mode": "chat"},
                "house": {"litellm_provider": "them", "input_cost_per_token": 9, "output_cost_per_token": 9},
                "images": {"litellm_provider": "them", "output_cost_per_image": 1}}"#,
        ),
        ("bad.json", "[]"),
        ("key", "\tsk-secret-file \n"),
        ("empty", "\n"),
        ("two-keys", "sk-secret-1\nsk-secret-2\n"),
        ("$KEY", "sk-secret-env"),
    ]))
}

fn config(text: &str) -> Config {
    Config::from_toml(text, &stub()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn error(text: &str) -> String {
    Config::from_toml(text, &stub()).unwrap_err().to_string()
}

/// Each text of a file has the error that follows it after `=> `, without its first word.
fn each_has_its_error(file: &str) {
    for block in file.trim_end().split("\n\n") {
        let (text, expected) = block.split_once("\n=> ").unwrap();
        assert_eq!(error(text), format!("configuration, {expected}"), "\n{text}");
    }
}

#[test]
fn the_address_of_a_store_comes_from_one_place_and_is_shown_nowhere() {
    let stored = config("[store]\nurl = \"redis://:hunter2@10.0.0.7\"\nprefix = \"shop\"");
    let store = stored.store().unwrap();
    assert_eq!((&*store.url, store.prefix.as_deref()), ("redis://:hunter2@10.0.0.7", Some("shop")));
    assert!(!format!("{stored:?}").contains("hunter2"));
    assert_eq!(config("[store]\nurl_env = \"KEY\"").store().unwrap().url, "sk-secret-env");
    assert_eq!(config("[store]\nurl_file = \"key\"").store().unwrap().url, "sk-secret-file");
    assert_eq!(config("").store(), None);
    for wrong in ["", "url = \"\"", "url = \"a\"\nurl_env = \"KEY\"", "url = \"hunter2\"\nprefix = \"a b\""] {
        let error = error(&format!("[store]\n{wrong}"));
        assert!(error.starts_with("configuration, line ") && !error.contains("hunter2"), "{error}");
    }
}

/// A limit on requests with these lines, the first of which is the seventh.
fn limit(lines: &str) -> String {
    format!("\n[[limit]]\nname = \"rpm\"\nscope = \"user\"\nresource = \"requests\"\namount = 5\n{lines}")
}

fn sliding(seconds: u64) -> Option<Window> {
    Some(Window::Sliding(Duration::from_secs(seconds)))
}

#[test]
fn the_documented_example_means_what_it_says() {
    let config = config(EXAMPLE);
    let ann = config.callers().find(b"sk-ann").unwrap();
    assert_eq!((ann.user(), ann.org(), ann.is_admin()), ("ann", "acme", false));
    assert_eq!(config.callers().len(), 1);

    let [limit] = config.policy().limits() else { panic!("one limit") };
    assert_eq!(
        (limit.name(), limit.scope(), limit.resource(), limit.amount()),
        ("ai-rpm", Scope::User, Resource::Requests, 5)
    );
    assert_eq!(limit.window().cloned(), sliding(60));
    assert_eq!((limit.mode(), limit.algorithm()), (Mode::Enforce, Algorithm::Ring));
    assert_eq!(limit.thresholds(), [800, 1000]);
    assert!(limit.routes().unwrap().contains("/v1/messages"));
    assert!(!limit.routes().unwrap().contains("/api/v1/ai/chat"));
    assert_eq!(config.share(LimitIndex(0)), Share::Exact);

    let [route] = config.routes() else { panic!("one route") };
    assert_eq!((route.path(), route.dialect()), ("/api/v1/ai/chat", Some(Dialect::OpenAi)));
    assert_eq!((route.max_output().map(Tokens::get), route.on_over()), (Some(2_000), OnOver::Clamp));
    assert_eq!((route.default_model(), route.fallback()), (Some("gpt-4o-mini"), &["gpt-4.1-nano".to_owned()][..]));

    assert_eq!(config.policy().switches().unknown_model, Some(UnknownModel::Deny));
    assert_eq!(config.options().store_deadline, Duration::from_millis(25));
    assert!(config.prices().model("house").is_some());
    assert!(config.prices().model("gpt-4o").is_some());
}

#[test]
fn prices_of_litellms_file_stand_between_the_embedded_book_and_the_own_file() {
    let with =
        |more: &str| config(&format!("[prices]\nlitellm = \"litellm.json\"\nlitellm_as_of = \"2026-11-20\"\n{more}"));
    let provider = |config: &Config, model: &str| config.prices().model(model).map(|model| model.provider().to_owned());
    let known = |config: &Config| ["gpt-4o", "imported", "house"].map(|model| provider(config, model));
    let some = |name: &str| Some(name.to_owned());
    assert_eq!(known(&with("")), [some("openai"), some("them"), some("them")]);
    assert_eq!(known(&with("file = \"prices.toml\"")), [some("openai"), some("them"), some("us")]);
    assert_eq!(known(&with("replace = true")), [None, some("them"), some("them")]);
    assert_eq!(known(&with("replace = true\nfile = \"prices.toml\"")), [None, some("them"), some("us")]);

    let told = with("");
    let import = told.imported().unwrap();
    assert_eq!(import.ignored.iter().map(|(key, times)| (&**key, *times)).collect::<Vec<_>>(), [("mode", 1)]);
    assert_eq!(import.skipped.iter().map(|(model, _)| &**model).collect::<Vec<_>>(), ["images"]);
    assert!(config("").imported().is_none());
}

#[test]
fn without_sections_there_are_no_limits_no_keys_and_only_defaults() {
    let config = Config::from_toml("", &NoSources).unwrap();
    assert_eq!(config.policy(), &Policy::new(Vec::new()).unwrap());
    assert_eq!(config.options(), &Options::default());
    assert!(config.callers().is_empty());
    assert!(config.routes().is_empty());
    assert_eq!(config.prices().models().len(), PriceBook::embedded().models().len());
}

#[test]
fn the_defaults_written_out_are_the_defaults() {
    let written = r#"
        [[limit]]
        name = "a"
        scope = "user"
        resource = "tokens"
        amount = 5
        window = "month"
        zone = "UTC"
        anchor = 1
        mode = "enforce"
        algorithm = "ring"
        share = "exact"
        thresholds = []

        [[route]]
        path = "/a"
        on_over = "clamp"
        fallback = []

        [policy]
        on_expiry = "checkpoint"
        on_exhausted = "continue"
        carry_debt = "full"
        missing_usage = "charge-estimate"
        max_lifetime = "1h"
        input_estimate = "bytes"
        output_estimate = "cap"
        stored_content = "context-window"
        searches_per_call = 10
        unmetered_routes = "refuse"
        inspect_bytes = 8388608
        anonymous = "by-ip"
        spent_status = 429
        max_wait = "60s"
        headers = ["ietf"]
        max_keys = 1048576
        max_reservations = 1048576
        store_deadline = "25ms"
        threshold_tokens = 100000
        threshold_window = "1h"

        [prices]
        replace = false
    "#;
    let short = "[[limit]]\nname = \"a\"\nscope = \"user\"\nresource = \"tokens\"\namount = 5\nwindow = \"month\"\n\
                 [[route]]\npath = \"/a\"\n";
    let (long, short) = (config(written), config(short));
    assert_eq!(long.policy(), short.policy());
    assert_eq!(long.routes(), short.routes());
    assert_eq!(long.options(), short.options());
    assert_eq!(long.shares, short.shares);
    assert_eq!(long.policy().switches(), &Switches::default());
    assert_eq!(long.options(), &Options::default());
}

#[test]
fn every_switch_can_be_changed() {
    let changed = config(
        r#"
        [policy]
        on_expiry = "release"
        unknown_model = "tokens-only"
        carry_debt = 7
        missing_usage = "charge-reservation"
        max_lifetime = "5m"
        input_estimate = "calibrated"
        output_estimate = "learned"
        stored_content = "refuse"
        searches_per_call = 0
        unmetered_routes = "pass"
        inspect_bytes = 1
        anonymous = "refuse"
        spent_status = 402
        max_wait = "0s"
        headers = ["anthropic", "legacy"]
        max_keys = 2
        max_reservations = 3
        on_store_error = "deny"
        store_deadline = "1s"
        threshold_tokens = 4
        threshold_window = "1d"
    "#,
    );
    let switches = changed.policy().switches();
    assert_eq!((switches.on_expiry, switches.unknown_model), (OnExpiry::Release, Some(UnknownModel::TokensOnly)));
    assert_eq!((switches.carry_debt, switches.missing_usage), (CarryDebt::Capped(7), MissingUsage::ChargeReservation));
    assert_eq!(switches.max_lifetime, Duration::from_secs(300));
    let estimates = (switches.input_estimate, switches.output_estimate);
    assert_eq!(estimates, (InputEstimate::Calibrated, OutputEstimate::Learned));

    let options = changed.options();
    assert_eq!((options.stored_content, options.inspect_bytes), (StoredContent::Refuse, 1));
    assert_eq!((options.unmetered_routes, options.searches_per_call), (UnmeteredRoutes::Pass, 0));
    assert_eq!((options.anonymous, options.spent_status), (Anonymous::Refuse, SpentStatus::PaymentRequired));
    assert_eq!(options.max_wait, Duration::ZERO);
    assert_eq!(options.headers, HeaderFamilies { legacy: true, anthropic: true, ..HeaderFamilies::NONE });
    assert_eq!((options.bounds.max_keys, options.bounds.max_reservations), (2, 3));
    assert_eq!(options.on_store_error_for(Resource::Requests), OnStoreError::Deny);
    assert_eq!(options.store_deadline, Duration::from_secs(1));
    assert_eq!((options.threshold_tokens.get(), options.threshold_window), (4, Duration::from_secs(86_400)));

    let other = config(
        "[policy]\non_expiry = \"full\"\ncarry_debt = \"none\"\noutput_estimate = \"learned-each\"\nheaders = [\"openai\"]",
    );
    assert_eq!(other.policy().switches().on_expiry, OnExpiry::Full);
    assert_eq!(other.policy().switches().carry_debt, CarryDebt::None);
    assert_eq!(other.policy().switches().output_estimate, OutputEstimate::LearnedEach);
    assert_eq!(other.options().headers, HeaderFamilies { openai: true, ..HeaderFamilies::NONE });
}

#[test]
fn a_store_that_fails_costs_no_money_by_default() {
    let options = Options::default();
    for resource in [Resource::Tokens, Resource::InputTokens, Resource::OutputTokens, Resource::Cost] {
        assert_eq!(options.on_store_error_for(resource), OnStoreError::LocalShareThenDeny);
    }
    for resource in [Resource::Requests, Resource::Concurrency] {
        assert_eq!(options.on_store_error_for(resource), OnStoreError::LocalThenAllow);
    }
}

#[test]
fn every_kind_of_window_is_understood() {
    let calendar = |unit, zone, anchor| Some(Window::Calendar(Calendar::new(unit, zone, anchor).unwrap()));
    for (lines, expected) in [
        ("window = \"30s\"", sliding(30)),
        ("window = \"1m\"", sliding(60)),
        ("window = \"1h\"", sliding(3_600)),
        ("window = \"7d\"", sliding(7 * 86_400)),
        ("window = \"2w\"", sliding(14 * 86_400)),
        ("window = \"1d\"", sliding(86_400)),
        ("window = \"day\"", calendar(CalendarUnit::Day, "UTC", None)),
        ("window = \"hour\"\nanchor = 30", calendar(CalendarUnit::Hour, "UTC", Some(30))),
        ("window = \"week\"\nzone = \"Europe/Paris\"", calendar(CalendarUnit::Week, "Europe/Paris", None)),
        (
            "window = \"month\"\nzone = \"Asia/Tokyo\"\nanchor = 31",
            calendar(CalendarUnit::Month, "Asia/Tokyo", Some(31)),
        ),
        ("window = \"lifetime\"", Some(Window::Lifetime)),
    ] {
        let config = config(&limit(lines));
        assert_eq!(config.policy().limits()[0].window().cloned(), expected, "{lines}");
    }
}

#[test]
fn a_limit_counts_what_it_says_in_the_units_of_its_resource() {
    let amount = |resource: &str, amount: &str, prices: &str| {
        let window = if resource == "concurrency" { "" } else { "window = \"1m\"" };
        let text = format!(
            "{prices}\n[[limit]]\nname = \"a\"\nscope = \"global\"\nresource = \"{resource}\"\n\
             amount = {amount}\n{window}"
        );
        let config = config(&text);
        let limit = &config.policy().limits()[0];
        assert_eq!((limit.resource().name(), limit.scope()), (resource, Scope::Global));
        limit.amount()
    };
    for resource in ["requests", "tokens", "input-tokens", "output-tokens", "concurrency"] {
        assert_eq!(amount(resource, "9007199254740991", ""), MAX_AMOUNT);
        assert_eq!(amount(resource, "0", ""), 0);
    }
    assert_eq!(amount("cost", "\"12.50\"", ""), 12_500_000_000);
    assert_eq!(amount("cost", "\"12.50\"", "[prices]\nfile = \"euro.toml\"\nreplace = true"), 12_500_000);
}

#[test]
fn thresholds_are_exact_thousandths() {
    let thresholds = |list: &str| {
        let config = config(&limit(&format!("window = \"1m\"\nthresholds = {list}")));
        config.policy().limits()[0].thresholds().to_vec()
    };
    assert_eq!(thresholds("[1, 0.001, 0.8, 0.29, 0.575, 1.005, 10.0]"), [1, 290, 575, 800, 1000, 1005, 10_000]);
    assert_eq!(thresholds("[\n  0.5, # half\n  1.0000,\n]"), [500, 1000]);
}

#[test]
fn modes_algorithms_and_shares_are_kept() {
    let text = [
        limit("window = \"1m\"\nmode = \"warn\"\nalgorithm = \"gcra\"\nshare = \"leased\""),
        limit("window = \"1m\"\nmode = \"shadow\"\nalgorithm = \"approximate\"").replace("rpm", "b"),
    ]
    .concat();
    let config = config(&text);
    let limits = config.policy().limits();
    assert_eq!((limits[0].mode(), limits[0].algorithm()), (Mode::Warn, Algorithm::Gcra));
    assert_eq!((limits[1].mode(), limits[1].algorithm()), (Mode::Shadow, Algorithm::Approximate));
    let shares: Vec<Share> = config.policy().indexed().map(|(index, _)| config.share(index)).collect();
    assert_eq!(shares, [Share::Leased, Share::Exact]);
}

#[test]
fn a_limit_can_count_only_what_calls_a_model_or_only_what_calls_none() {
    let config =
        config(&[limit("window = \"1m\"\ncalls_model = false"), limit("window = \"1m\"").replace("rpm", "b")].concat());
    let names = |calls_model| -> Vec<&str> {
        let set = config.policy().limits_on("/v1/messages", calls_model);
        set.iter().map(|index| config.policy().limit(index).name()).collect()
    };
    assert_eq!((names(true), names(false)), (vec!["b"], vec!["rpm"]));
}

#[test]
fn keys_come_from_the_text_a_file_or_the_environment() {
    let config = config(
        r#"
        caller = [{ key = " sk-a ", user = "ann", org = "acme", admin = true },
                  { key = "sk-b", user = "ann", org = "acme" },
                  { key_file = "key", user = "bob", org = "acme" }, { key_env = "KEY", user = "eve", org = "corp" }]
    "#,
    );
    let is = |key: &str, wanted: Option<(&str, &str, bool)>| {
        let caller = config.callers().find(key.as_bytes());
        assert_eq!(caller.as_ref().map(|c| (c.user(), c.org(), c.is_admin())), wanted, "{key}");
    };
    is("sk-a", Some(("ann", "acme", true)));
    is("sk-b", Some(("ann", "acme", false)));
    is("sk-secret-file", Some(("bob", "acme", false)));
    is("sk-secret-env", Some(("eve", "corp", false)));
    is(" sk-a ", None);
}

/// A route for each of these.
fn routes(paths: &[String]) -> String {
    paths.iter().map(|path| format!("[[route]]\npath = \"{path}\"\n")).collect()
}

#[test]
fn a_route_has_the_format_that_it_names() {
    for format in Format::all() {
        let config = config(&format!("[[route]]\npath = \"/a\"\nformat = \"{}\"\n", format.name()));
        assert_eq!(config.routes()[0].format(), Some(format));
    }
    assert_eq!(Format::all().count(), 13);
    assert_eq!([Format::MistralChat, Format::XaiChat].map(Format::name), ["mistral-chat", "xai-chat"]);
    assert_eq!(config("[[route]]\npath = \"/a\"\n").routes()[0].format(), None);
}

#[test]
fn the_first_route_that_has_a_path_decides() {
    let config = config(&routes(&["/v1/chat", "/v1/*", "/v1/**", "/other"].map(str::to_owned)));
    let found = |path: &str| config.route(path).map(RouteConfig::path);
    assert_eq!(found("/v1/chat"), Some("/v1/chat"));
    assert_eq!(found("/v1/messages"), Some("/v1/*"));
    assert_eq!(found("/v1/a/b"), Some("/v1/**"));
    assert_eq!(found("/none"), None);
}

#[test]
fn a_mistake_in_a_limit_is_one_line_with_its_key_place_and_name() {
    each_has_its_error(include_str!("../mistakes/limits.txt"));
}

#[test]
fn a_mistake_in_a_caller_is_one_line_with_its_place_and_without_its_key() {
    each_has_its_error(include_str!("../mistakes/callers.txt"));
}

#[test]
fn a_mistake_in_a_route_is_one_line_with_its_key_place_and_path() {
    each_has_its_error(include_str!("../mistakes/routes.txt"));
}

#[test]
fn a_mistake_in_the_policy_is_one_line_with_its_key_and_place() {
    each_has_its_error(include_str!("../mistakes/policy.txt"));
}

#[test]
fn a_mistake_in_http_is_one_line_with_its_key_and_place() {
    each_has_its_error(include_str!("../mistakes/http.txt"));
}

#[test]
fn a_mistake_in_the_prices_is_one_line_with_its_key_and_place() {
    each_has_its_error(include_str!("../mistakes/prices.txt"));
}

#[test]
fn mistakes_in_alerts_say_what_to_do() {
    each_has_its_error(include_str!("../mistakes/alerts.txt"));
}

#[test]
fn a_webhook_comes_from_the_text_a_file_or_the_environment_and_is_shown_nowhere() {
    let sources = Stub(HashMap::from([("url", "https://hooks/secret\n"), ("$URL", "https://hooks/secret")]));
    for text in ["slack = \"https://hooks/secret\"", "slack_file = \"url\"", "slack_env = \"URL\""] {
        let config = Config::from_toml(&format!("[alerts]\n{text}"), &sources).unwrap();
        assert_eq!(config.alerts().slack.as_ref().map(WebhookUrl::expose), Some("https://hooks/secret"));
        assert!(!format!("{config:?}").contains("secret"));
    }
}

#[test]
fn no_threshold_is_rounded_or_negative_or_endless() {
    for bad in ["0.0005", "-0.5", "+0.5", "1e0", "inf", "nan", "1_0.0", "100.0", "0x1", "[0.5]", "true", "1979-05-27"] {
        let error = error(&limit(&format!("window = \"1m\"\nthresholds = [{bad}]")));
        assert!(error.contains("a threshold is a share of the amount"), "{error}");
    }
}

#[test]
fn every_name_that_an_anonymous_caller_has_is_refused_as_a_user() {
    for ip in ["192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7", "::1"] {
        let stranger = Caller::anonymous(ip.parse().unwrap());
        let text = format!("[[caller]]\nkey = \"k\"\nuser = \"{}\"\norg = \"b\"", stranger.user());
        assert!(error(&text).contains("`user` cannot be an address"));
    }
}

#[test]
fn a_route_names_no_model_without_a_price_where_a_limit_is_on_cost() {
    let cost = "[[limit]]\nname = \"spend\"\nscope = \"org\"\nresource = \"cost\"\namount = \"1\"\nwindow = \"day\"\n";
    let route = "[[route]]\npath = \"/a\"\ndefault_model = \"gpt-4o\"\nfallback = [\"house\", \"gpt-4o-mini\"]\n";
    assert_eq!(config(route).routes().len(), 1);
    assert!(error(&[cost, route].concat()).contains("the price book does not know `house`"));
    assert_eq!(config(&[cost, route, "[prices]\nfile = \"prices.toml\""].concat()).routes().len(), 1);
}

#[test]
fn a_text_with_too_much_of_anything_is_refused() {
    let long = " ".repeat(MAX_TEXT_BYTES + 1);
    assert_eq!(Config::from_toml(&long, &NoSources).unwrap_err(), ConfigError::TooLong);
    assert!(Config::from_toml(&long[1..], &NoSources).is_ok());

    let limits: Vec<String> = (0..=64).map(|i| limit("window = \"1m\"\n").replace("rpm", &format!("n{i}"))).collect();
    assert_eq!(config(&limits[..64].concat()).policy().limits().len(), 64);
    assert_eq!(
        error(&limits.concat()),
        "configuration, line 450, column 1, `[[limit]]`, in limit \"n64\": a policy has at most 64 limits"
    );

    let routes: Vec<String> = (0..=MAX_ROUTES).map(|i| format!("[[route]]\npath = \"/{i}\"\n")).collect();
    assert_eq!(config(&routes[1..].concat()).routes().len(), MAX_ROUTES);
    assert_eq!(
        error(&routes.concat()),
        "configuration, line 513, column 1, `[[route]]`, in route \"/256\": there are at most 256 routes"
    );
}

#[test]
fn no_mistake_makes_an_error_show_a_key() {
    let keys = ["sk-secret-QUJDRA==", "sk-secret-QUJ"];
    let texts = [
        "[[caller]]\nkey = \"KEY",
        "[[caller]]\nkey = \"\"\"\nKEY\nKEY",
        "[[caller]]\nkey = \"\"\"\nKEY \\q\n\"\"\"",
        "[[caller]]\nkey = KEY\nuser = \"a\"",
        "[[caller]]\nkey = \"KEY\" user = \"a\"",
        "[[caller]]\nuser = \"a\" key = \"KEY\"",
        "[[caller]]\nkey : \"KEY\"",
        "[[caller]]\nKEY",
        "[[caller]]\n\"KEY\" = \"ann\"",
        "[[caller]]\nkey = [\"KEY\"]\nuser = \"a\"\norg = \"b\"",
        "[[caller]]\nkey = { value = \"KEY\" }\nuser = \"a\"\norg = \"b\"",
        "[[caller]]\nkeys = \"KEY\"\nuser = \"a\"\norg = \"b\"",
        "[[caller]]\nkey = \"KEY\"\nuser = \"a\"\norg = \"b\"\n[[caller]]\nkey = \"KEY\"\nuser = \"c\"\norg = \"d\"",
        "caller = \"KEY\"",
        "caller = [\"KEY\"]",
        "caller = [{ key = \"KEY\", user = 5, org = \"b\" }]",
        "caller = [{ user = 5, key = \"KEY\" }]",
        "caller = [\n{ user = 5, key = \"KEY\" }\n]",
        "caller = [{\nuser = 5, key = \"KEY\"\n}]",
        "[caller]\n\"KEY\" = \"ann\"",
        "[keys]\n\"KEY\" = \"ann\"",
        "[KEY]\nuser = 1",
        "KEY = 1",
        "api_key = \"KEY\"",
        "[[caller]]\nkey_env = \"KEY\"\nuser = \"a\"\norg = \"b\"",
        "[[caller]]\nkey_file = \"KEY\"\nuser = \"a\"\norg = \"b\"",
        "[[caller]]\nkey = \"KEY KEY\"\nuser = \"a\"\norg = \"b\"",
        "[[caller]]\nkey = \"KEY\"\nuser = 5 # not KEY\norg = \"b\"",
    ];
    for text in texts.iter().flat_map(|text| keys.map(|key| text.replace("KEY", key))) {
        let error = Config::from_toml(&text, &stub()).unwrap_err();
        let shown = format!("{error} {error:?}");
        for part in ["secret", "sk-", "QUJ"] {
            assert!(!shown.contains(part), "{shown}\n{text}");
        }
    }
    let config = config(&EXAMPLE.replace("sk-ann", keys[0]));
    assert!(!format!("{config:?}").contains("secret"));
}

#[test]
fn a_file_is_read_with_what_lies_beside_it() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
    let mistakes = Config::from_file(directory.join("mistakes/prices.txt")).unwrap_err();
    assert!(matches!(mistakes, ConfigError::Invalid { line: 3, .. }), "{mistakes}");

    let missing = Config::from_file(directory.join("none.toml")).unwrap_err();
    assert!(matches!(&missing, ConfigError::Unreadable { path, .. } if path.ends_with("none.toml")), "{missing}");

    let beside = SystemSources::in_directory(directory.join("../../data"));
    let text = "[prices]\nfile = \"prices.toml\"\nreplace = true";
    assert!(Config::from_toml(text, &beside).unwrap().prices().model("gpt-4o").is_some());
}

/// The promise of every error.
fn check(result: Result<Config, ConfigError>) -> Result<(), TestCaseError> {
    if let Err(error) = result {
        let line = error.to_string();
        prop_assert!(!line.contains(char::is_control), "{:?}", line);
        prop_assert!(line.chars().count() < 1_500, "{}", line);
    }
    Ok(())
}

/// Every path of up to four segments of two letters or nothing.
fn paths() -> impl Iterator<Item = String> {
    (0..4_u32.pow(4)).map(|n| (0..4).map(|i| ["", "/", "/a", "/b"][(n as usize >> (2 * i)) & 3]).collect())
}

proptest! {
    #[test]
    fn a_route_is_refused_if_and_only_if_one_before_it_has_all_of_its_paths(
        first in "(/(a|b|\\*)){1,3}(/\\*\\*)?", second in "(/(a|b|\\*)){1,3}(/\\*\\*)?",
    ) {
        let has = |pattern: &str| {
            let config = config(&routes(&[pattern.to_owned()]));
            paths().filter(|path| config.route(path).is_some()).collect::<Vec<_>>()
        };
        let (before, after) = (has(&first), has(&second));
        let covered = after.iter().all(|path| before.contains(path));
        let result = Config::from_toml(&routes(&[first, second]), &NoSources);
        prop_assert_eq!(result.is_err(), covered);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "(?s).*") {
        check(Config::from_toml(&text, &stub()))?;
    }

    #[test]
    fn no_damage_to_a_configuration_makes_the_reader_panic_or_shows_its_key(
        at in any::<prop::sample::Index>(), drop in 0..12_usize, with in "(\\PC|\n|\\[|\\]|=|\"){0,8}",
    ) {
        let mut text = EXAMPLE.replace("sk-ann", "Q7X").replace("# or key_file / key_env", "");
        let at = at.index(text.len() - drop);
        if text.is_char_boundary(at) && text.is_char_boundary(at + drop) {
            text.replace_range(at..at + drop, &with);
        }
        let result = Config::from_toml(&text, &stub());
        if let Err(error) = &result {
            prop_assert!(!error.to_string().contains("Q7X"), "{}\n{}", error, text);
        }
        check(result)?;
    }

    #[test]
    fn a_key_with_any_value_is_read_or_refused_in_one_line(
        section in "(\\[\\[(caller|limit|route)\\]\\]|\\[(alerts|http|policy|prices)\\])",
        key in prop::sample::select(crate::config::schema::PUBLIC_KEYS.to_vec()),
        value in "(-?[0-9]{1,20}|[0-9]\\.[0-9]{1,5}|true|\\[\\]|\\{\\}|\"[a-z0-9/*!-]{0,8}\"|inf|1979-05-27)",
    ) {
        check(Config::from_toml(&format!("{section}\n{key} = {value}\n"), &stub()))?;
        let whole = format!("{section}\n{key} = {value}\npath = \"/a\"\nname = \"a\"\nscope = \"org\"\n\
                             resource = \"tokens\"\namount = 1\nwindow = \"1m\"\n\
                             key = \"k\"\nuser = \"u\"\norg = \"o\"");
        check(Config::from_toml(&whole, &stub()))?;
    }
}
