use std::fmt;
use std::sync::Arc;

use flashops_core::clock::UnixSeconds;
use http::request::Parts;
use http::{HeaderMap, Response};

use super::{DefaultReject, Dialect, NotDispatched, Refusal, RefusalContext, Reject, RejectBody, RequestId};
use crate::budget::ModelRoute;

/// How a layer refuses: in the dialect of the route, by the hook of the service.
#[derive(Clone)]
pub(crate) struct Refuser {
    pub(crate) reject: Arc<dyn Reject + Send + Sync>,
    pub(crate) routes: Arc<[ModelRoute]>,
}

impl Default for Refuser {
    fn default() -> Self {
        Self { reject: Arc::new(DefaultReject::new()), routes: Arc::default() }
    }
}

impl Refuser {
    /// The refusal of a request with this head, of which nothing was dispatched.
    #[cold]
    pub(crate) fn refuse(&self, parts: &Parts, refusal: &Refusal<'_>) -> Response<RejectBody> {
        let dialect = self.dialect(parts.uri.path(), &parts.headers);
        let mut response = self.reject(dialect, RequestId::of(&parts.headers), refusal);
        response.extensions_mut().insert(NotDispatched);
        response
    }

    /// The time is not told: it is for refusals that name an instant.
    pub(crate) fn reject(
        &self,
        dialect: Dialect,
        id: Option<RequestId<'_>>,
        refusal: &Refusal<'_>,
    ) -> Response<RejectBody> {
        let context = RefusalContext::new(dialect, UnixSeconds::default()).with_request_id(id);
        self.reject.reject(refusal, &context)
    }

    pub(crate) fn dialect(&self, path: &str, headers: &HeaderMap) -> Dialect {
        ModelRoute::dialect_of(&self.routes, path, headers)
    }
}

impl fmt::Debug for Refuser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refuser").field("routes", &self.routes).finish_non_exhaustive()
    }
}
