use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::next_deadline::NextDeadline;
use arrayvec::ArrayVec;
use hashbrown::HashTable;

use crate::clock::{Moment, Tick};
use crate::key::{Fingerprint, Scope};
use crate::limit::LimitSet;
use crate::store::ReservationId;
use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering};
use crate::units::Amounts;

/// How many shards there are for each processor: enough that two threads seldom meet in one, and few enough that what
/// all of them hold stays in its cache.
const SHARDS_PER_PROCESSOR: usize = 32;
const MOST_SHARDS: usize = 256;

/// How many settled reservations all shards together remember, to recognise a settlement that is repeated.
const SETTLED: usize = 1024;

/// How many boxes each shard keeps for the next reservations.
const SPARE_PER_SHARD: usize = 16;

/// A reservation that is held, or that expired and may still be settled.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) accounts: ArrayVec<(Scope, Fingerprint, bool), { Scope::COUNT }>,
    pub(super) limits: LimitSet,
    pub(super) held: Amounts,
    pub(super) checkpoint: Amounts,
    pub(super) admitted: Moment,
    pub(super) deadline: Tick,
    /// What expiry charged, and when, once it has.
    pub(super) expired: Option<(Amounts, Moment)>,
}

#[derive(Debug)]
pub(super) enum State {
    Live(Box<Record>),
    Settled(Amounts),
}

#[derive(Debug)]
struct Entry {
    id: ReservationId,
    state: State,
}

/// All reservations, by identity.
#[derive(Debug)]
pub(super) struct Records {
    shards: Box<[Mutex<Shard>]>,
    settled_per_shard: usize,
    live: AtomicUsize,
    max_live: usize,
    next_deadline: NextDeadline,
}

/// The reservations of one shard.
#[derive(Debug, Default)]
pub(super) struct Shard {
    entries: HashTable<Entry>,
    /// The next deadline first; an entry is stale if its deadline is not the record's.
    deadlines: BinaryHeap<Reverse<(Tick, u128)>>,
    settled: VecDeque<ReservationId>,
    /// Boxes of reservations that have ended.
    #[allow(clippy::vec_box, reason = "the boxes are what is kept")]
    spare: Vec<Box<Record>>,
}

impl Records {
    pub(super) fn new(max_live: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = (SHARDS_PER_PROCESSOR * processors).next_power_of_two().min(MOST_SHARDS);
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            settled_per_shard: SETTLED / shards,
            live: AtomicUsize::new(0),
            max_live,
            next_deadline: NextDeadline::default(),
        }
    }

    /// Held reservations and expired ones that may still be settled.
    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    pub(super) fn is_full(&self) -> bool {
        self.live() >= self.max_live
    }

    pub(super) fn lock(&self, id: ReservationId) -> MutexGuard<'_, Shard> {
        self.shards[id.bits() as usize & (self.shards.len() - 1)].lock()
    }

    /// Enters a reservation. The caller holds its shard.
    pub(super) fn enter(&self, shard: &mut Shard, id: ReservationId, record: Record) {
        let deadline = record.deadline;
        shard.insert(id, record);
        self.live.fetch_add(1, Ordering::Relaxed);
        self.next_deadline.lower_to(deadline);
    }

    /// Enters another deadline of a live reservation, later or earlier. The caller holds its shard.
    pub(super) fn postpone(&self, shard: &mut Shard, id: ReservationId, deadline: Tick) {
        shard.postpone(id, deadline);
        self.next_deadline.lower_to(deadline);
    }

    /// Notes that a reservation is settled, and with how much. The caller holds its shard.
    pub(super) fn close(&self, shard: &mut Shard, id: ReservationId, used: Amounts) {
        shard.close(id, used, self.settled_per_shard);
        self.live.fetch_sub(1, Ordering::Relaxed);
    }

    /// Hands reservations whose deadline has passed to `expire`, with the lock of their shard held; it sets the
    /// deadline at which they are forgotten. Those that reached this too are forgotten. Returns how many there were,
    /// at most `most`.
    pub(super) fn expire(&self, now: Tick, most: usize, mut expire: impl FnMut(&mut Record)) -> usize {
        if !self.next_deadline.begin_search(now) {
            return 0;
        }
        let (mut done, mut next) = (0, Tick::from_nanos(u64::MAX));
        for shard in &self.shards {
            let mut shard = shard.lock();
            while let Some(&Reverse((deadline, id))) = shard.deadlines.peek() {
                if deadline > now || done == most {
                    next = next.min(deadline);
                    break;
                }
                shard.deadlines.pop();
                done += usize::from(self.expire_one(&mut shard, ReservationId::from_bits(id), deadline, &mut expire));
            }
        }
        self.next_deadline.lower_to(next);
        done
    }

    fn expire_one(
        &self,
        shard: &mut Shard,
        id: ReservationId,
        deadline: Tick,
        expire: &mut impl FnMut(&mut Record),
    ) -> bool {
        let Some(State::Live(record)) = shard.state(id) else { return false };
        if record.deadline != deadline {
            return false;
        }
        if record.expired.is_some() {
            shard.remove(id);
            self.live.fetch_sub(1, Ordering::Relaxed);
        } else {
            expire(record);
            let forgotten_at = record.deadline;
            shard.postpone(id, forgotten_at);
        }
        true
    }
}

impl Shard {
    pub(super) fn state(&mut self, id: ReservationId) -> Option<&mut State> {
        self.entries.find_mut(hash(id), |entry| entry.id == id).map(|entry| &mut entry.state)
    }

    fn insert(&mut self, id: ReservationId, record: Record) {
        let deadline = record.deadline;
        let boxed = match self.spare.pop() {
            Some(mut spare) => {
                *spare = record;
                spare
            }
            None => Box::new(record),
        };
        let entry = Entry { id, state: State::Live(boxed) };
        self.entries.insert_unique(hash(id), entry, |entry| hash(entry.id));
        self.postpone(id, deadline);
    }

    /// Enters the deadline of a live reservation, the first or a new one.
    fn postpone(&mut self, id: ReservationId, deadline: Tick) {
        self.deadlines.push(Reverse((deadline, id.bits())));
        self.drop_stale_deadlines();
    }

    fn close(&mut self, id: ReservationId, used: Amounts, remembered: usize) {
        if let Some(state) = self.state(id)
            && let State::Live(boxed) = std::mem::replace(state, State::Settled(used))
            && self.spare.len() < SPARE_PER_SHARD
        {
            self.spare.push(boxed);
        }
        self.settled.push_back(id);
        if self.settled.len() > remembered
            && let Some(oldest) = self.settled.pop_front()
        {
            self.remove(oldest);
        }
        self.drop_stale_deadlines();
    }

    /// Most reservations end long before their deadline; what they leave in the queue goes when it is more than half
    /// of it.
    fn drop_stale_deadlines(&mut self) {
        if self.deadlines.len() > 2 * self.entries.len() + 32 {
            let mut deadlines = std::mem::take(&mut self.deadlines);
            deadlines.retain(|Reverse((deadline, id))| {
                let id = ReservationId::from_bits(*id);
                matches!(self.state(id), Some(State::Live(record)) if record.deadline == *deadline)
            });
            self.deadlines = deadlines;
        }
    }

    fn remove(&mut self, id: ReservationId) {
        if let Ok(entry) = self.entries.find_entry(hash(id), |entry| entry.id == id) {
            entry.remove();
        }
    }
}

/// Identities are random already.
fn hash(id: ReservationId) -> u64 {
    (id.bits() >> 64) as u64
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const REMEMBERED: usize = 256;

    fn record(deadline: u64) -> Record {
        Record {
            accounts: ArrayVec::new(),
            limits: LimitSet::EMPTY,
            held: Amounts::ZERO,
            checkpoint: Amounts::ZERO,
            admitted: Moment::default(),
            deadline: Tick::from_nanos(deadline),
            expired: None,
        }
    }

    #[test]
    fn the_queue_of_deadlines_has_every_live_reservation_and_not_many_others() {
        let mut shard = Shard::default();
        for n in 0..5_000 {
            let id = ReservationId::from_bits(n << 64);
            shard.insert(id, record(1_000_000));
            assert!(shard.deadlines.iter().any(|Reverse((_, queued))| *queued == id.bits()));
            shard.close(id, Amounts::ZERO, REMEMBERED);
        }
        assert!(shard.deadlines.len() <= 2 * REMEMBERED + 65);
        let id = ReservationId::from_bits(7_000 << 64);
        shard.insert(id, record(1));
        for later in 2..5_000 {
            if let Some(State::Live(record)) = shard.state(id) {
                record.deadline = Tick::from_nanos(later);
            }
            shard.postpone(id, Tick::from_nanos(later));
            assert!(shard.deadlines.iter().any(|Reverse(entry)| *entry == (Tick::from_nanos(later), id.bits())));
        }
        assert!(shard.deadlines.len() <= 2 * REMEMBERED + 67);
    }
}
