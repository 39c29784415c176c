//! Who sees everybody's usage without a key: anonymous callers from the networks of `admin_allow`.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use flashops::axum::handler::SeesAll;
use flashops::core::caller::Caller;
use flashops::tower::ip_allow::AddressList;

/// Marks requests from these networks; a caller with a key is known by that, and sees itself.
pub(crate) async fn mark(State(list): State<AddressList>, mut request: Request, next: Next) -> Response {
    let anonymous = request.extensions().get::<Caller>().is_none_or(Caller::is_anonymous);
    if anonymous && list.permits(request.extensions()) {
        request.extensions_mut().insert(SeesAll);
    }
    next.run(request).await
}
