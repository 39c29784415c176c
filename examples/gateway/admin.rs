//! Who sees everybody's usage and why a check fails: admins by their key, and anonymous callers from the networks of
//! `admin_allow`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use flashops::Controls;
use flashops::axum::handler::SeesAll;
use flashops::core::caller::Caller;
use flashops::tower::identify::{Identify, IdentifyError};

/// How admins are known.
#[derive(Clone)]
pub(crate) struct Admins {
    pub(crate) controls: Arc<Controls>,
}

impl Admins {
    /// Whether a request may see all. A caller with a key is known by that, wherever it comes from. On the routes of
    /// health checks, which are not identified, the key is looked at here.
    fn see_all(&self, request: Request) -> (bool, Request) {
        let (parts, body) = request.into_parts();
        let known =
            parts.extensions.get::<Caller>().cloned().map_or_else(|| self.controls.callers().identify(&parts), Ok);
        let sees_all = match known {
            Ok(caller) if !caller.is_anonymous() => caller.is_admin(),
            Ok(_) | Err(IdentifyError::Missing) => self.controls.addresses().permits(&parts.extensions),
            Err(_) => false,
        };
        (sees_all, Request::from_parts(parts, body))
    }
}

/// Marks the requests of admins.
pub(crate) async fn mark(State(admins): State<Admins>, request: Request, next: Next) -> Response {
    let (sees_all, mut request) = admins.see_all(request);
    if sees_all {
        request.extensions_mut().insert(SeesAll);
    }
    next.run(request).await
}
