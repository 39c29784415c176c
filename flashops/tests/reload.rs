//! Another configuration while a service runs.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flashops::Controls;
use flashops::controls::ReloadError;
use flashops::core::clock::ManualClock;
use flashops::core::config::{Config, NoSources};
use flashops::core::store::MemoryStore;
use flashops::reload::{Reload, Reloader};
use flashops::tower::client_ip::PeerAddr;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::json;
use support::{AI_CHAT, CALLERS, CHAT, Desk, ROUTES, ask, ask_with, get, stream, with_header, without_key};

type Memory = MemoryStore<ManualClock>;

fn config(text: &str) -> Config {
    Config::from_toml(text, &NoSources).unwrap()
}

/// The callers of a desk, and this.
fn more(text: &str) -> Config {
    config(&format!("{CALLERS}{text}"))
}

fn limit(name: &str, resource: &str, amount: u64, window: &str) -> String {
    format!(
        "[[limit]]\nname = \"{name}\"\nscope = \"user\"\nresource = \"{resource}\"\namount = {amount}\nwindow = \"{window}\"\n"
    )
}

#[test]
fn another_amount_holds_at_once_for_services_that_are_there_and_what_was_used_stays() {
    let desk = Desk::new(&limit("rpm", "requests", 2, "1m"));
    let statuses = |desk: &Desk, count| (0..count).map(|_| desk.send(ask(CHAT)).status).collect::<Vec<_>>();
    assert_eq!(statuses(&desk, 3), [200, 200, 429]);
    desk.controls.reload(&more(&limit("rpm", "requests", 4, "1m"))).unwrap();
    assert_eq!(statuses(&desk, 3), [200, 200, 429]);
    desk.controls.reload(&more(&limit("rpm", "requests", 3, "1m"))).unwrap();
    assert_eq!(statuses(&desk, 1), [429]);
    desk.controls.reload(&more("")).unwrap();
    assert_eq!(statuses(&desk, 3), [200, 200, 200]);
}

#[test]
fn a_call_under_way_is_settled_in_the_accounts_that_are_in_force_when_it_ends() {
    let desk = Desk::new(&limit("tpm", "tokens", 1_000, "1m"));
    let open = desk.open(stream(CHAT, 50, "[reply 9]"));
    let held = desk.held()[0];
    assert!(held > 0);
    desk.controls.reload(&more(&(limit("rpm", "requests", 9, "1m") + &limit("tpm", "tokens", 2_000, "1m")))).unwrap();
    let standing = |name: &str| {
        let policy = desk.controls.budget().policy().clone();
        *desk.limits().iter().find(|one| policy.limit(one.limit).name() == name).unwrap()
    };
    assert_eq!((standing("tpm").held, standing("tpm").amount), (held, 2_000));
    let body = futures_util::FutureExt::now_or_never(open.into_body().collect()).unwrap().unwrap();
    assert!(!body.to_bytes().is_empty());
    assert_eq!((standing("tpm").held, standing("tpm").used > 0), (0, true));
    assert_eq!(standing("rpm").used, 0, "it began before there was that limit");
}

#[test]
fn keys_can_be_rotated_while_the_service_runs() {
    let desk = Desk::new("");
    let with_key = |key| with_header(without_key(ask(CHAT)), "x-api-key", key);
    assert_eq!([desk.send(with_key("sk-ann")).status, desk.send(with_key("sk-new")).status], [200, 401]);
    let rotated = config("[[caller]]\nkey = \"sk-new\"\nuser = \"ann\"\norg = \"acme\"\n");
    desk.controls.reload(&rotated).unwrap();
    assert_eq!([desk.send(with_key("sk-ann")).status, desk.send(with_key("sk-new")).status], [401, 200]);
}

#[test]
fn routes_headers_addresses_and_prices_change_too() {
    let desk = Desk::new("");
    let frames = |desk: &Desk| desk.send(get("/")).headers.get("x-frame-options").is_some();
    assert!(frames(&desk));
    let prices = "[[model]]\nname = \"house\"\nprovider = \"us\"\nsource = \"contract\"\nas_of = \"2026-11-20\"\n[[model.price]]\nflat = \"0.5\"\n";
    let directory = std::env::temp_dir().join(format!("flashops-reload-prices-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("prices.toml"), prices).unwrap();
    let text = format!(
        "{CALLERS}{ROUTES}[http]\nsecurity_headers = \"none\"\ndeny = [\"192.0.2.0/24\"]\n[prices]\nfile = \"prices.toml\"\n"
    );
    fs::write(directory.join("c.toml"), text).unwrap();
    desk.controls.reload(&Config::from_file(directory.join("c.toml")).unwrap()).unwrap();
    fs::remove_dir_all(&directory).unwrap();
    assert!(!frames(&desk));
    let from = |mut request: Request<Full<Bytes>>, peer: &str| {
        request.extensions_mut().insert(PeerAddr(peer.parse().unwrap()));
        desk.send(request)
    };
    let message = json!({"role": "user", "content": "hi [reply 40]"});
    let asked = ask_with(AI_CHAT, json!({"model": "gpt-4o-mini", "max_tokens": 40, "messages": [message]}));
    let capped = from(asked, "198.51.100.1:1").json();
    assert_eq!(capped["usage"]["completion_tokens"], 15, "the new route caps at 15: {capped}");
    assert_eq!(from(get("/"), "192.0.2.9:1").status, 403);
    assert!(desk.controls.budget().price_handle().book().model("house").is_some());
}

#[test]
fn no_limit_becomes_leased_on_a_server_that_decides_every_call() {
    let store = "[store]\nurl = \"redis://127.0.0.1:1\"\n";
    let controls = Controls::with(&config(store), ManualClock::new(), ());
    let leased = format!("{}share = \"leased\"\n{store}", limit("tpm", "tokens", 9, "1m").replace("user", "global"));
    assert!(controls.reload(&config(&leased)).unwrap_err().to_string().contains("leased"));
    controls.reload(&config(&leased.replace("leased", "exact"))).unwrap();
}

#[test]
fn what_is_decided_at_the_start_is_refused_by_name_and_nothing_else_changes_with_it() {
    let desk = Desk::new(&limit("rpm", "requests", 1, "1m"));
    for (key, table) in [
        ("max_keys", "[policy]\nmax_keys = 5000"),
        ("threshold_tokens", "[policy]\nthreshold_tokens = 7"),
        ("store_deadline", "[policy]\nstore_deadline = \"50ms\""),
        ("on_store_error", "[policy]\non_store_error = \"deny\""),
        ("log, metrics", "[observe]\nlog = false"),
    ] {
        let error = desk.controls.reload(&config(table)).unwrap_err();
        assert!(matches!(error, ReloadError::NeedsRestart { .. }), "{error:?}");
        assert!(error.to_string().contains(key), "{error}");
    }
    assert_eq!([desk.send(ask(CHAT)).status, desk.send(ask(CHAT)).status], [200, 429], "ann is known, and has one");
    desk.controls.reload(&more("[observe]\nslow = \"3s\"")).unwrap();
}

/// A file of a configuration, and controls that follow it.
fn following(text: &str) -> (std::path::PathBuf, Reloader<Memory>, Arc<Controls<Memory>>) {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let name = format!("flashops-reload-{}-{}", std::process::id(), FILES.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    fs::write(&path, text).unwrap();
    let controls = Arc::new(Controls::with(&Config::from_file(&path).unwrap(), ManualClock::new(), ()));
    (path.clone(), Reloader::of_file(Arc::clone(&controls), &path), controls)
}

fn limits(controls: &Controls<Memory>) -> Vec<u64> {
    controls.budget().policy().limits().iter().map(flashops::core::limit::Limit::amount).collect()
}

#[test]
fn a_bad_file_is_refused_as_a_whole_with_its_message_and_the_old_one_stays() {
    let good = limit("rpm", "requests", 1, "1m");
    let (path, mut reloader, controls) = following(&good);
    assert_eq!(reloader.check(), Reload::Unchanged);
    // The first limit is well, and the second has a mistake.
    fs::write(&path, good.replace("amount = 1", "amount = 7") + &limit("tpm", "tokns", 1, "1m")).unwrap();
    let Reload::Refused(reason) = reloader.check() else { panic!("it is bad") };
    assert!(reason.contains("line 10") && reason.contains("tokns"), "{reason}");
    assert_eq!(limits(&controls), [1]);
    fs::remove_file(&path).unwrap();
    assert!(matches!(reloader.check(), Reload::Refused(_)), "a file that is gone is no empty one");
    fs::write(&path, good.replace("amount = 1", "amount = 7")).unwrap();
    assert_eq!([reloader.check(), reloader.check()], [Reload::Applied, Reload::Unchanged]);
    assert_eq!(limits(&controls), [7]);
    fs::remove_file(&path).unwrap();
}

#[test]
fn a_look_takes_what_the_look_before_has_found_too_and_nothing_that_is_being_written() {
    let whole = limit("rpm", "requests", 1, "1m");
    let (path, mut reloader, controls) = following(&whole);
    let looked = |reloader: &mut Reloader<Memory>, text: &str| {
        fs::write(&path, text).unwrap();
        reloader.look()
    };
    // What a shell does that writes a file in place: nothing is left of it at first.
    assert_eq!([looked(&mut reloader, ""), looked(&mut reloader, "[http]\n")], [Reload::Unchanged, Reload::Unchanged]);
    assert_eq!(looked(&mut reloader, &whole), Reload::Unchanged);
    assert_eq!(limits(&controls), [1]);
    let other = whole.replace("amount = 1", "amount = 2");
    assert_eq!([looked(&mut reloader, &other), reloader.look()], [Reload::Unchanged, Reload::Applied]);
    assert_eq!(limits(&controls), [2]);
    let fixed = format!("{other}[policy]\nmax_keys = 5000\n");
    assert_eq!(looked(&mut reloader, &fixed), Reload::Unchanged);
    assert!([reloader.look(), reloader.look()].iter().all(|outcome| matches!(outcome, Reload::Refused(_))));
    fs::remove_file(&path).unwrap();
}

#[test]
fn a_key_that_changes_in_its_file_is_another_configuration() {
    let key = std::env::temp_dir().join(format!("flashops-reload-key-{}", std::process::id()));
    fs::write(&key, "sk-one\n").unwrap();
    let text = format!("[[caller]]\nkey_file = {:?}\nuser = \"ann\"\norg = \"acme\"\n", key.to_str().unwrap());
    let (path, mut reloader, _) = following(&text);
    assert_eq!(reloader.check(), Reload::Unchanged);
    fs::write(&key, "sk-two\n").unwrap();
    assert_eq!(reloader.check(), Reload::Applied);
    fs::remove_file(&key).unwrap();
    fs::remove_file(&path).unwrap();
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_file_that_changes_comes_into_force_by_itself() {
    let (path, reloader, controls) = following(&limit("rpm", "requests", 1, "1m"));
    let running = tokio::spawn(reloader.run(Duration::from_millis(1)));
    fs::write(&path, limit("rpm", "requests", 8, "1m")).unwrap();
    // The bound is for a machine that does not get there at all.
    let applied = async {
        while limits(&controls) != [8] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), applied).await.unwrap();
    running.abort();
    fs::remove_file(&path).unwrap();
}
