//! A chain of models in a configuration, as clients see it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;
use flashops::Controls;
use flashops::core::config::{Config, NoSources};
use flashops::core::record::FallbackReason;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};

const CONFIG: &str = r#"
[[route]]
path = "/v1/chat/completions"
default_model = "gpt-4o"
fallback = ["gpt-4o-mini", "gpt-4.1-nano"]

[[limit]]
name = "rpm"
scope = "user"
resource = "requests"
amount = 1
window = "1m"
"#;

#[tokio::test]
async fn a_configured_chain_is_followed_and_its_attempts_are_one_request() {
    let controls = Controls::new(&Config::from_toml(CONFIG, &NoSources).unwrap());
    let model = service_fn(|request: Request<_>| async {
        let body: Bytes = BodyExt::collect(request.into_body()).await?.to_bytes();
        let is_last = body.windows(14).any(|part| part == b"\"gpt-4.1-nano\"");
        let status = if is_last { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Ok::<_, BoxError>(Response::builder().status(status).body(Full::new(body))?)
    });
    let service = ServiceBuilder::new().layer(controls.layer()).service(model);
    // The request names no model, so the chain begins with the default of its route.
    let ask = || Request::post("/v1/chat/completions").body(Full::new(Bytes::from(r#"{"messages":[]}"#))).unwrap();
    let response = service.clone().oneshot(ask()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["flashops-fallback"], "gpt-4.1-nano; reason=provider");
    assert_eq!(controls.tally().fallbacks(FallbackReason::Provider), 2);
    let refused = service.oneshot(ask()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS, "three attempts were one request");
}
