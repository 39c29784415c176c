//! From a request to an answer.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};

use super::ask::{self, Ask, Format};
use super::body::StubBody;
use super::ledger::{Produced, shortened};
use super::limits;
use super::wire;

/// The most bytes of a request's body.
pub const MAX_BODY: usize = 8 * 1024 * 1024;

/// Answers one request without sockets.
///
/// The answer is the one that [`StubProvider`](super::StubProvider) gives, with two differences: it is in no ledger,
/// and with `[pace MS]` the head of an answer that is not streamed does not wait for its body.
pub fn respond(request: Request<Bytes>) -> Response<StubBody> {
    let (parts, body) = request.into_parts();
    answer(&parts.method, parts.uri.path(), &parts.headers, &body).0
}

/// An answer, and what a ledger is to know of it.
pub(super) fn answer(method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> (Response<StubBody>, Produced) {
    let tag = headers.get("x-stub-tag").and_then(|tag| tag.to_str().ok());
    let format = Format::of_path(path);
    let mut produced = nothing(path, tag);
    let response = match read(method, path, format, body) {
        Ok(ask) => {
            produced.model.clone_from(&ask.model);
            produced.tag = produced.tag.or(ask.user.as_deref().map(shortened));
            let mut response = match rendered(ask.clone()) {
                Ok(response) => {
                    produced.prompt_tokens = ask.prompt.words;
                    produced.full_completion_tokens = ask.all_words();
                    response
                }
                Err(failure) => failed(format, failure),
            };
            limits::tell(response.headers_mut(), &ask);
            response
        }
        Err(failure) => failed(format, failure),
    };
    produced.status = response.status().as_u16();
    (response, produced)
}

/// The answer to a body over [`MAX_BODY`], which was not read.
pub(super) fn too_large(path: &str, headers: &HeaderMap) -> (Response<StubBody>, Produced) {
    let message = format!("The body of the request is larger than {MAX_BODY} bytes.");
    let response = failed(Format::of_path(path), (StatusCode::PAYLOAD_TOO_LARGE, message));
    let tag = headers.get("x-stub-tag").and_then(|tag| tag.to_str().ok());
    let produced = Produced { status: response.status().as_u16(), ..nothing(path, tag) };
    (response, produced)
}

type Failure = (StatusCode, String);

fn read(method: &Method, path: &str, format: Option<Format>, body: &[u8]) -> Result<Ask, Failure> {
    let Some(format) = format else {
        return Err((StatusCode::NOT_FOUND, format!("Unknown path: {path}.")));
    };
    if method != Method::POST {
        return Err((StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not allowed here; use POST.")));
    }
    if body.len() > MAX_BODY {
        let message = format!("The body of the request is larger than {MAX_BODY} bytes.");
        return Err((StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    Ask::read(format, body).map_err(|message| (StatusCode::BAD_REQUEST, message))
}

fn rendered(ask: Ask) -> Result<Response<StubBody>, Failure> {
    if let Some(status) = ask.prompt.fail {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return Err((status, format!("The prompt asked the stub to fail with {}.", status.as_u16())));
    }
    let (format, id) = (ask.format, ask.id.clone());
    if ask.stream {
        let body = StubBody::stream(ask);
        return Ok(with_head(Some(format), StatusCode::OK, "text/event-stream; charset=utf-8", &id, body));
    }
    let json = wire::whole(&ask).map_err(|message| (StatusCode::BAD_REQUEST, message))?;
    let body = StubBody::whole(json.to_string(), &ask::text(ask.words), &ask);
    Ok(with_head(Some(format), StatusCode::OK, "application/json", &id, body))
}

fn failed(format: Option<Format>, (status, message): Failure) -> Response<StubBody> {
    let body = wire::error::body(format, status, &message).to_string();
    with_head(format, status, "application/json", "stub", StubBody::error(body.into()))
}

fn with_head(
    format: Option<Format>,
    status: StatusCode,
    content_type: &'static str,
    id: &str,
    body: StubBody,
) -> Response<StubBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let name = if format == Some(Format::Messages) { "request-id" } else { "x-request-id" };
    if let Ok(id) = HeaderValue::try_from(format!("req_{id}")) {
        headers.insert(name, id);
    }
    response
}

fn nothing(path: &str, tag: Option<&str>) -> Produced {
    Produced {
        path: shortened(path),
        model: String::new(),
        tag: tag.map(shortened),
        status: 0,
        prompt_tokens: 0,
        completion_tokens: 0,
        full_completion_tokens: 0,
        running: true,
        cut: false,
    }
}
