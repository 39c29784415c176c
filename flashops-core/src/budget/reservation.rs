use std::sync::Arc;
use std::time::Duration;

use crate::store::{Extend, ReservationId, Settle, Store};
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
    checkpoint: Amounts,
    state: State,
}

/// What dropping does.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing was sent: it gives everything back.
    Made,
    /// It charges the checkpoint.
    Dispatched,
    /// Nothing.
    Settled,
}

impl<S: Store> Reservation<S> {
    pub(super) const fn new(store: Arc<S>, id: ReservationId, held: Amounts, checkpoint: Amounts) -> Self {
        Self { store, id, held, checkpoint, state: State::Made }
    }

    /// The identity.
    pub const fn id(&self) -> ReservationId {
        self.id
    }

    /// What was held when it was made.
    pub const fn held(&self) -> Amounts {
        self.held
    }

    /// Notes that the call was sent: from now on it can have cost something.
    pub const fn dispatched(&mut self) {
        self.state = State::Dispatched;
    }

    /// Asks for more, within this time from now, and notes what dropping charges from now on. Requests are not added.
    ///
    /// The answer says whether a limit had room; the checkpoint holds whatever it says.
    pub fn extend(&mut self, more: Amounts, checkpoint: Amounts, lifetime: Duration) -> S::Extend {
        self.checkpoint = checkpoint;
        self.store.extend(&Extend { id: self.id, more, checkpoint, lifetime })
    }

    /// Settles with what was used; zero requests give the request back.
    pub fn settle(mut self, used: Amounts) -> S::Settle {
        self.state = State::Settled;
        self.store.settle(&Settle { id: self.id, used })
    }

    /// Gives everything back, the request too.
    pub fn void(self) -> S::Settle {
        self.settle(Amounts::ZERO)
    }
}

impl<S: Store> Drop for Reservation<S> {
    fn drop(&mut self) {
        let used = match self.state {
            State::Made => Amounts::ZERO,
            // The request itself was made, whatever the checkpoint says of it.
            State::Dispatched => Amounts { requests: self.held.requests, ..self.checkpoint },
            State::Settled => return,
        };
        drop(self.store.settle(&Settle { id: self.id, used }));
    }
}
