//! Where accounts live: the commands that a store applies atomically, and the store in this process.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use flashops_core::clock::ManualClock;
//! use flashops_core::key::{Key, Scope, Scopes};
//! use flashops_core::limit::{Limit, Policy, Resource, Window};
//! use flashops_core::store::{Admit, MemoryStore, Store};
//!
//! let minute = Window::Sliding(Duration::from_secs(60));
//! let policy = Policy::new(vec![Limit::new("rpm", Scope::Ip, Resource::Requests, 1, minute)?])?;
//! let limits = policy.request_limits();
//! let store = MemoryStore::new(Arc::new(policy), ManualClock::new());
//!
//! let scopes = Scopes::new().with(Key::new(Scope::Ip, "192.0.2.7"));
//! let admit = Admit { scopes: &scopes, limits, requests: 1, report: false };
//! assert!(store.admit(&admit).into_inner().unwrap().is_ok());
//! assert!(store.admit(&admit).into_inner().unwrap().is_err());
//! # Ok::<(), flashops_core::limit::LimitError>(())
//! ```
//!
//! A command is data. The store applies it to all keys of the request in one step: all of it or nothing, as if no
//! other command ran meanwhile. Reserving and settling are idempotent by the reservation's id, so that a lost reply
//! can be asked for again.
//!
//! | state of an id | reserve | settle | deadline passes |
//! | --- | --- | --- | --- |
//! | absent | held, or denied and still absent | unknown | |
//! | held | replayed | settled | expired, charged by the policy |
//! | expired | already settled | settled: the difference to what was charged | forgotten |
//! | settled | already settled | replayed, or a conflict if the amount differs | forgotten |
//!
//! Edge cases: keys whose scope has no limit cost nothing. A limit whose scope has no key in the request does not count
//! it. Dropping a returned future never undoes its command.
//!
//! What this module does not do: choose limits, keys or amounts, or settle by itself when a call ends. The
//! [budget](crate::budget) does.

mod memory;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;

pub use memory::{Bounds, MemoryStats, MemoryStore};

use crate::clock::Moment;
use crate::key::Scopes;
use crate::limit::{Denied, LimitIndex, LimitSet, Policy, Threshold};
use crate::units::Amounts;

/// The identity of a reservation: 128 random bits, drawn where the request enters, never taken from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReservationId(u128);

impl ReservationId {
    /// A new identity.
    pub fn random() -> Self {
        Self(fastrand::u128(..))
    }

    /// The identity with these bits.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn bits(self) -> u128 {
        self.0
    }
}

impl fmt::Display for ReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Count requests now, and hold nothing.
#[derive(Clone, Copy, Debug)]
pub struct Admit<'a> {
    /// For whom.
    pub scopes: &'a Scopes<'a>,
    /// Under which limits; those on other resources than requests are passed over.
    pub limits: LimitSet,
    /// How many.
    pub requests: u64,
    /// Whether to say how the limits stand.
    pub report: bool,
}

/// The answer yes to [`Admit`].
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Proof of what was counted, for giving it back.
    pub receipt: Receipt,
    /// How the limits stand, if asked.
    pub standings: Standings,
    /// Thresholds that this request reached.
    pub crossings: Crossings,
}

/// Undo an [`Admit`]. Each receipt is to be given back once; the store does not remember which were.
#[derive(Clone, Copy, Debug)]
pub struct GiveBack<'a> {
    /// As in the command that is undone.
    pub scopes: &'a Scopes<'a>,
    /// As in the command that is undone.
    pub limits: LimitSet,
    /// As in the command that is undone.
    pub requests: u64,
    /// From the answer.
    pub receipt: Receipt,
}

/// When and where an [`Admit`] was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub(crate) at: Moment,
    /// The scopes, by bit, whose key was counted in the account that overflow callers share.
    pub(crate) overflow: u8,
}

impl Receipt {
    /// A receipt for what a store counts now, for stores outside of this crate.
    pub const fn new(at: Moment) -> Self {
        Self { at, overflow: 0 }
    }

    /// When it was counted.
    pub const fn at(&self) -> Moment {
        self.at
    }
}

/// Count a request and hold amounts until it is settled.
#[derive(Clone, Copy, Debug)]
pub struct Reserve<'a> {
    /// The identity.
    pub id: ReservationId,
    /// For whom.
    pub scopes: &'a Scopes<'a>,
    /// Under which limits.
    pub limits: LimitSet,
    /// What is held.
    pub hold: Amounts,
    /// What is charged if the hold expires under [`OnExpiry::Checkpoint`](crate::limit::OnExpiry::Checkpoint).
    pub checkpoint: Amounts,
    /// How long the hold may live.
    pub lifetime: Duration,
    /// Whether to say how the limits stand.
    pub report: bool,
}

/// The answer yes to [`Reserve`].
#[derive(Clone, Debug)]
pub struct Reserved {
    /// Whether the same identity was held before, so that nothing was added now.
    pub replayed: bool,
    /// How the limits stand, if asked.
    pub standings: Standings,
}

/// Why a reservation was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A limit has no room.
    Denied(Denied),
    /// The identity was settled or expired before: the call it stood for must not be made again.
    AlreadySettled,
}

/// Hold more for a request, and note how far it has come.
#[derive(Clone, Copy, Debug)]
pub struct Extend {
    /// Which reservation.
    pub id: ReservationId,
    /// What is held in addition; its requests are ignored.
    pub more: Amounts,
    /// The new checkpoint.
    pub checkpoint: Amounts,
    /// How long the hold may live from now on.
    pub lifetime: Duration,
}

/// The answer to [`Extend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended {
    /// Held.
    Held,
    /// The checkpoint and the lifetime are noted, but a limit has no room for more.
    Denied(Denied),
    /// No such reservation is held.
    NotHeld,
}

/// End a reservation with what was really used.
#[derive(Clone, Copy, Debug)]
pub struct Settle {
    /// Which reservation.
    pub id: ReservationId,
    /// What was used. Zero requests give the request itself back; [`Amounts::ZERO`] voids.
    pub used: Amounts,
}

/// The answer to [`Settle`].
#[derive(Clone, Debug)]
pub struct Settled {
    /// What became of it.
    pub outcome: Outcome,
    /// Thresholds that the usage reached.
    pub crossings: Crossings,
}

/// What became of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Applied in full.
    Applied,
    /// Applied after the hold had expired: the difference to what expiry charged.
    Late,
    /// The same settlement was applied before.
    Replayed,
    /// Another amount was settled before, and stands.
    Conflict {
        /// The amount that stands.
        first: Amounts,
    },
    /// No such reservation is remembered; nothing was changed.
    Unknown,
}

/// How one limit stands for one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which limit.
    pub limit: LimitIndex,
    /// Its amount.
    pub amount: u64,
    /// What is used in the current window or period.
    pub used: u64,
    /// What is held.
    pub held: u64,
    /// When the oldest use leaves the window, or the period ends; `None` where nothing ever leaves.
    pub reset: Option<Duration>,
}

impl Standing {
    /// What is left: the amount less what is used and held.
    pub const fn remaining(&self) -> u64 {
        self.amount.saturating_sub(self.used.saturating_add(self.held))
    }
}

/// The most standings that one answer carries: the first in the order of scopes and limits.
pub const MAX_STANDINGS: usize = 8;

/// How limits stand.
pub type Standings = ArrayVec<Standing, MAX_STANDINGS>;

/// A threshold that usage reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// Of which limit.
    pub limit: LimitIndex,
    /// Which share, in thousandths.
    pub threshold: Threshold,
    /// The usage.
    pub used: u64,
}

/// Thresholds that were reached in one step. Without any, nothing is allocated.
pub type Crossings = Vec<Crossing>;

/// A fault of a store: it cannot say yes or no.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The store holds as many reservations as it may.
    Full,
    /// The store cannot be reached or does not answer in time.
    Unavailable(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the store holds as many reservations as it may"),
            Self::Unavailable(reason) => write!(f, "the store is unavailable: {reason}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// A place where accounts live.
///
/// A command is submitted before its method returns: dropping the future forgets the answer and undoes nothing. So a
/// settlement can be sent from a destructor.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The answer to [`Store::admit`].
    type Admit: Future<Output = Result<Result<Admitted, Denied>, StoreError>> + Send + Unpin;
    /// The answer to [`Store::reserve`].
    type Reserve: Future<Output = Result<Result<Reserved, Refused>, StoreError>> + Send + Unpin;
    /// The answer to [`Store::extend`].
    type Extend: Future<Output = Result<Extended, StoreError>> + Send + Unpin;
    /// The answer to [`Store::settle`].
    type Settle: Future<Output = Result<Settled, StoreError>> + Send + Unpin + 'static;
    /// The answer to [`Store::standings`].
    type Standings: Future<Output = Result<Vec<Standing>, StoreError>> + Send;

    /// The limits that accounts here are kept for.
    fn policy(&self) -> &Policy;

    /// The time by which this store decides.
    fn now(&self) -> Moment;

    /// Counts requests, or refuses.
    fn admit(&self, command: &Admit<'_>) -> Self::Admit;

    /// Gives counted requests back.
    fn give_back(&self, command: &GiveBack<'_>);

    /// Holds, or refuses.
    fn reserve(&self, command: &Reserve<'_>) -> Self::Reserve;

    /// Holds more.
    fn extend(&self, command: &Extend) -> Self::Extend;

    /// Settles.
    fn settle(&self, command: &Settle) -> Self::Settle;

    /// Says how limits stand, without changing anything.
    fn standings(&self, scopes: &Scopes<'_>, limits: LimitSet) -> Self::Standings;

    /// Has somebody told how a settlement ends that is not answered at once. A store that always answers at once, or
    /// has nobody who could wait, forgets it: the settlement itself was submitted.
    fn tell_settled(&self, settle: Self::Settle, told: impl FnOnce(Settled) + Send + 'static)
    where
        Self: Sized,
    {
        drop((settle, told));
    }
}

/// A store whose accounts go on under another policy, while calls run.
pub trait Succeed: Store + Sized {
    /// The store that goes on where this one is. What was begun here can be settled here.
    #[must_use]
    fn succeed(&self, policy: Arc<Policy>) -> Arc<Self>;
}
