//! What an error is of which only the status is known.

use http::StatusCode;

use super::verdict::Verdict;

/// The names of a status in each dialect.
pub(super) const fn verdict(status: StatusCode) -> Verdict {
    const INVALID: &str = "invalid_request_error";
    const SERVER: &str = "server_error";
    let (kind, code, anthropic) = match status.as_u16() {
        401 => (INVALID, "invalid_api_key", "authentication_error"),
        402 => ("insufficient_quota", "insufficient_quota", "billing_error"),
        403 => (INVALID, "forbidden", "permission_error"),
        404 => (INVALID, "not_found", "not_found_error"),
        405 => (INVALID, "method_not_allowed", INVALID),
        408 => (INVALID, "request_timeout", INVALID),
        413 => (INVALID, "request_too_large", "request_too_large"),
        415 => (INVALID, "unsupported_media_type", INVALID),
        429 => ("requests", "rate_limit_exceeded", "rate_limit_error"),
        502 => (SERVER, "bad_gateway", "api_error"),
        503 | 529 => (SERVER, "overloaded", "overloaded_error"),
        504 => (SERVER, "deadline_exceeded", "timeout_error"),
        500..=599 => (SERVER, "internal_error", "api_error"),
        _ => (INVALID, "invalid_request", INVALID),
    };
    Verdict::blank(status, kind, code, anthropic)
}

/// What to say where nobody else said anything.
pub(super) const fn message(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "The request has no credentials that are valid here.",
        403 => "This is not allowed.",
        404 => "There is nothing at this path.",
        405 => "This path does not take that method.",
        408 => "The request took too long to arrive.",
        413 => "The request body is too long.",
        415 => "The request body has a media type that is not read here.",
        429 => "Too many requests.",
        502 => "A service behind this one cannot be reached.",
        503 | 529 => "The service is overloaded.",
        504 => "The answer took too long.",
        500..=599 => "The service failed to handle the request.",
        _ => "The request cannot be handled.",
    }
}
