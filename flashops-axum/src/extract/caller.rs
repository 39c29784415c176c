use std::convert::Infallible;
use std::fmt;
use std::ops::Deref;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use flashops_core::caller::Caller;
use http::StatusCode;
use http::request::Parts;

/// Who is asking. See the [module docs](super).
#[derive(Clone, Debug)]
pub struct CurrentCaller(pub Caller);

impl Deref for CurrentCaller {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for CurrentCaller {
    type Rejection = NoCaller;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NoCaller> {
        parts.extensions.get().cloned().map(Self).ok_or(NoCaller)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for CurrentCaller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().cloned().map(Self))
    }
}

/// Nobody identified the caller of this route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCaller;

impl fmt::Display for NoCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no caller was identified for this route: put it behind a flashops layer")
    }
}

impl std::error::Error for NoCaller {}

impl IntoResponse for NoCaller {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}
