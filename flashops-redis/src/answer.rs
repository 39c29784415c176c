use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use flashops_core::limit::{Denied, Policy};
use flashops_core::store::{
    Admitted, Extended, MAX_STANDINGS, Outcome, Receipt, Refused, Reserved, Settled, Standing, Standings, StoreError,
};
use tokio::sync::oneshot;

use crate::reply::{Raw, Status};

/// How the answer of a script is understood.
type Understand<T> = fn(&Raw, &Policy) -> Result<T, StoreError>;

/// The answer to a command that is on its way. Dropping it undoes nothing.
pub struct Answer<T> {
    answer: oneshot::Receiver<Result<Raw, StoreError>>,
    policy: Arc<Policy>,
    understand: Understand<T>,
}

impl<T> Answer<T> {
    pub(crate) const fn new(
        answer: oneshot::Receiver<Result<Raw, StoreError>>,
        policy: Arc<Policy>,
        understand: Understand<T>,
    ) -> Self {
        Self { answer, policy, understand }
    }
}

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

impl<T> Future for Answer<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let raw = match ready!(Pin::new(&mut self.answer).poll(cx)) {
            Ok(raw) => raw,
            Err(_) => Err(StoreError::Unavailable("the store was closed".to_owned())),
        };
        Poll::Ready(raw.and_then(|raw| (self.understand)(&raw, &self.policy)))
    }
}

fn unexpected(raw: &Raw) -> StoreError {
    StoreError::Unavailable(format!("the server answered {:?}, which does not fit the command", raw.status))
}

fn first(standings: Vec<Standing>) -> Standings {
    standings.into_iter().take(MAX_STANDINGS).collect()
}

pub(crate) fn admitted(raw: &Raw, policy: &Policy) -> Result<Result<Admitted, Denied>, StoreError> {
    match raw.status {
        Status::Denied => Ok(Err(raw.denied(policy)?)),
        Status::Done => {
            let (standings, crossings) = raw.standings(policy)?;
            let receipt = Receipt::new(raw.moment());
            Ok(Ok(Admitted { receipt, standings: first(standings), crossings }))
        }
        _ => Err(unexpected(raw)),
    }
}

pub(crate) fn reserved(raw: &Raw, policy: &Policy) -> Result<Result<Reserved, Refused>, StoreError> {
    match raw.status {
        Status::Denied => Ok(Err(Refused::Denied(raw.denied(policy)?))),
        Status::AlreadySettled => Ok(Err(Refused::AlreadySettled)),
        Status::Full => Err(StoreError::Full),
        Status::Done | Status::Replayed => {
            let (standings, _) = raw.standings(policy)?;
            let replayed = raw.status == Status::Replayed;
            Ok(Ok(Reserved { replayed, standings: first(standings) }))
        }
        _ => Err(unexpected(raw)),
    }
}

pub(crate) fn extended(raw: &Raw, policy: &Policy) -> Result<Extended, StoreError> {
    match raw.status {
        Status::Done => Ok(Extended::Held),
        Status::Denied => Ok(Extended::Denied(raw.denied(policy)?)),
        Status::Unknown => Ok(Extended::NotHeld),
        _ => Err(unexpected(raw)),
    }
}

pub(crate) fn settled(raw: &Raw, policy: &Policy) -> Result<Settled, StoreError> {
    let outcome = match raw.status {
        Status::Done => Outcome::Applied,
        Status::Late => Outcome::Late,
        Status::Replayed => Outcome::Replayed,
        Status::Conflict => Outcome::Conflict { first: raw.first()? },
        Status::Unknown => Outcome::Unknown,
        _ => return Err(unexpected(raw)),
    };
    Ok(Settled { outcome, crossings: raw.crossings(policy)? })
}

pub(crate) fn standings(raw: &Raw, policy: &Policy) -> Result<Vec<Standing>, StoreError> {
    match raw.status {
        Status::Done => Ok(raw.standings(policy)?.0),
        _ => Err(unexpected(raw)),
    }
}
