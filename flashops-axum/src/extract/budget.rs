use std::fmt;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use flashops_core::budget::{BeginError, Budget, Call, CallRequest};
use flashops_core::caller::Caller;
use flashops_core::estimate::Estimate;
use flashops_core::store::{Standing, Store, StoreError};
use flashops_tower::reject::headers::{Family, Headers};
use flashops_tower::reject::{DefaultReject, Dialect, Refusal, RefusalContext, RequestId, refuse};
use http::request::Parts;

use super::{CurrentCaller, NoCaller};
use crate::response::Refused;

/// The budget of whoever is asking. See the [module docs](super).
pub struct CallerBudget<T: Store> {
    caller: Caller,
    budget: Budget<T>,
    dialect: Dialect,
    request_id: Option<String>,
}

impl<T: Store> CallerBudget<T> {
    /// The caller.
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// How the caller's limits stand: those for its user, organisation and address, and those for everybody.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store does not answer.
    pub async fn standings(&self) -> Result<Vec<Standing>, StoreError> {
        self.budget.standings(&self.caller).await
    }

    /// Reserves a call that no layer can see, such as one that a background job makes for this request, under the
    /// limits of every route of a model.
    ///
    /// Call [`Call::dispatched`] when it is sent, and [`Call::settle`] when it has ended.
    ///
    /// # Errors
    ///
    /// [`BeginError`]; [`CallerBudget::refused`] makes a response of it.
    pub async fn reserve(&self, route: &str, model: &str, estimate: Estimate) -> Result<Call<T>, BeginError> {
        let limits = self.budget.policy().limits_on(route, true);
        let (caller, route, model) = (self.caller.clone(), Arc::from(route), Arc::from(model));
        self.budget.begin(CallRequest { caller, route, model, estimate, limits }).await
    }
}

impl<T: Store> CallerBudget<T> {
    /// The response for a call that may not begin, in the dialect of this request.
    pub fn refused(&self, error: &BeginError) -> Refused {
        let policy = self.budget.policy();
        let refusal = Refusal::begin(error, policy, None, "");
        let id = self.request_id.as_deref().and_then(RequestId::new);
        let context = RefusalContext::new(self.dialect, self.budget.store().now().unix).with_request_id(id);
        let headers = Headers::new(policy, [Family::Ietf]);
        Refused::new(refuse(&DefaultReject::new(), &headers, &refusal, &context))
    }
}

impl<T: Store> fmt::Debug for CallerBudget<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerBudget").field("caller", &self.caller).finish_non_exhaustive()
    }
}

impl<S, T> FromRequestParts<S> for CallerBudget<T>
where
    S: Send + Sync,
    T: Store,
    Budget<T>: FromRef<S>,
{
    type Rejection = NoCaller;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, NoCaller> {
        let CurrentCaller(caller) = <CurrentCaller as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        let dialect = Dialect::of(parts.uri.path(), &parts.headers, None);
        let request_id = RequestId::of(&parts.headers).map(|id| id.as_str().to_owned());
        Ok(Self { caller, budget: Budget::from_ref(state), dialect, request_id })
    }
}
