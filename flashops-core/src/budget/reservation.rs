use std::sync::Arc;

use crate::store::{ReservationId, Settle, Store};
use crate::units::Amounts;

/// A hold, settled when it ends: by [`Reservation::settle`], or by dropping it.
///
/// Dropped before [`Reservation::dispatched`] it voids: everything is given back, the request too. Dropped after, it
/// charges the checkpoint, and keeps the request.
#[must_use = "a reservation that is dropped gives back what it holds"]
#[derive(Debug)]
pub struct Reservation<S: Store> {
    store: Arc<S>,
    id: ReservationId,
    held: Amounts,
    /// What dropping charges; `None` once settled.
    charge: Option<Amounts>,
    checkpoint: Amounts,
}

impl<S: Store> Reservation<S> {
    pub(super) const fn new(store: Arc<S>, id: ReservationId, held: Amounts, checkpoint: Amounts) -> Self {
        Self { store, id, held, charge: Some(Amounts::ZERO), checkpoint }
    }

    /// The identity.
    pub const fn id(&self) -> ReservationId {
        self.id
    }

    /// What is held.
    pub const fn held(&self) -> Amounts {
        self.held
    }

    /// Notes that the call was sent: from now on it can have cost something.
    pub const fn dispatched(&mut self) {
        if self.charge.is_some() {
            // The request itself was made, whatever the checkpoint says of it.
            self.charge = Some(Amounts { requests: self.held.requests, ..self.checkpoint });
        }
    }

    /// Settles with what was used; zero requests give the request back.
    pub fn settle(mut self, used: Amounts) -> S::Settle {
        self.charge = None;
        self.store.settle(&Settle { id: self.id, used })
    }

    /// Gives everything back, the request too.
    pub fn void(self) -> S::Settle {
        self.settle(Amounts::ZERO)
    }
}

impl<S: Store> Drop for Reservation<S> {
    fn drop(&mut self) {
        if let Some(used) = self.charge.take() {
            drop(self.store.settle(&Settle { id: self.id, used }));
        }
    }
}
