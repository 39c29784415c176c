//! The smallest service: three requests a minute and a thousand tokens for each caller, in front of a pretended model.
//!
//!     cargo run --release --example quickstart
//!     curl -i http://127.0.0.1:8080/v1/chat/completions -H 'x-api-key: sk-ann' \
//!       -d '{"model":"gpt-4o-mini","max_tokens":200,"messages":[{"role":"user","content":"Hello!"}]}'
//!
//! Ask a fourth time within a minute, or for `"max_tokens":2000`: you are refused, and told what to do.

use axum::{Json, Router, routing::post};
use flashops::Controls;
use flashops::core::config::{Config, NoSources};
use serde_json::{Value, json};

const CONFIG: &str = r#"
[[caller]]
key = "sk-ann"
user = "ann"
org = "acme"

[[limit]]
name = "requests"
scope = "user"
resource = "requests"
amount = 3
window = "1m"

[[limit]]
name = "tokens"
scope = "user"
resource = "tokens"
amount = 1000
window = "1m"
"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let controls = Controls::new(&Config::from_toml(CONFIG, &NoSources)?);
    let app = Router::new().route("/v1/chat/completions", post(model)).layer(controls.layer());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    println!("listening on http://{}; stop with Ctrl-C", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

/// What a model would answer. The layer reads the usage from it, and settles the caller's account.
async fn model() -> Json<Value> {
    Json(json!({
        "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "Hi!" } }],
        "usage": { "prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11 },
    }))
}
