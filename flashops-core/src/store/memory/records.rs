//! Reservations by identity.
//!
//! A call comes and goes within microseconds of processor time, and its identity is random, so a book that walks
//! through memory would miss a cache at every step. What is held is therefore kept in a slab whose places are used
//! again last in, first out, and what is settled in a small ring that is overwritten in turn.

mod deadlines;
mod settled;

use arrayvec::ArrayVec;
use deadlines::{Deadline, Deadlines};
use hashbrown::HashTable;
use settled::SettledRing;

use super::next_deadline::NextDeadline;
use crate::clock::{Moment, Tick, UnixSeconds};
use crate::key::{Fingerprint, Scope};
use crate::limit::LimitSet;
use crate::store::ReservationId;
use crate::sync::{Mutex, MutexGuard};
use crate::units::Amounts;

/// How many shards there are for each processor: enough that two threads seldom meet in one, and few enough that what
/// all of them touch stays in its cache.
const SHARDS_PER_PROCESSOR: usize = 8;
const MOST_SHARDS: usize = 64;

/// A shard has room for at least so many reservations, so that one that fills up before the others costs little of the
/// whole bound.
const LEAST_ROOM: usize = 1024;

/// How many settled reservations all shards together remember, to recognise a settlement that is repeated.
const SETTLED: usize = 1024;

/// A reservation that is held, or that expired and may still be settled.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) accounts: ArrayVec<Held, { Scope::COUNT }>,
    pub(super) limits: LimitSet,
    pub(super) held: Amounts,
    pub(super) checkpoint: Amounts,
    pub(super) admitted: Moment,
    pub(super) deadline: Tick,
    /// What expiry charged, and when, once it has.
    pub(super) expired: Option<Box<(Amounts, Moment)>>,
}

/// An account in which a reservation holds something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) scope: Scope,
    pub(super) key: Fingerprint,
    pub(super) overflow: bool,
}

impl Record {
    const EMPTY: Self = Self {
        accounts: ArrayVec::new_const(),
        limits: LimitSet::EMPTY,
        held: Amounts::ZERO,
        checkpoint: Amounts::ZERO,
        admitted: Moment { tick: Tick::ZERO, unix: UnixSeconds(0) },
        deadline: Tick::ZERO,
        expired: None,
    };
}

/// What is known of an identity.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    Live(Found),
    Settled(Amounts),
}

/// Where a live reservation is, as long as its shard stays locked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    slot: Slot,
    bucket: usize,
}

/// A place in the slab.
type Slot = u32;

/// Where the identity of an entry of the index is.
#[derive(Clone, Copy, Debug)]
enum Place {
    Live(Slot),
    Settled(u32),
}

/// All reservations.
#[derive(Debug)]
pub(super) struct Records {
    shards: Box<[Mutex<Shard>]>,
    next_deadline: NextDeadline,
}

/// The reservations of one shard.
#[derive(Debug)]
pub(super) struct Shard {
    index: HashTable<Place>,
    slab: Vec<Kept>,
    free: Vec<Slot>,
    settled: SettledRing,
    deadlines: Deadlines,
    room: usize,
}

#[derive(Debug)]
struct Kept {
    id: ReservationId,
    /// Grows when the place is given to another reservation.
    generation: u32,
    record: Record,
}

impl Records {
    pub(super) fn new(max_live: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let most = (max_live / LEAST_ROOM).clamp(1, MOST_SHARDS);
        let wanted = (SHARDS_PER_PROCESSOR * processors).next_power_of_two().min(most);
        let shards = 1 << wanted.ilog2();
        let shard = || Mutex::new(Shard::new(max_live / shards, SETTLED / shards));
        Self { shards: (0..shards).map(|_| shard()).collect(), next_deadline: NextDeadline::default() }
    }

    /// Stops everybody who wants a reservation.
    pub(super) fn lock_whole(&self) -> Vec<MutexGuard<'_, Shard>> {
        self.shards.iter().map(|shard| shard.lock()).collect()
    }

    /// Takes over all reservations of another book that had the same bound, each changed by `change`, and leaves it
    /// empty.
    pub(super) fn enter_all(&mut self, left: &mut [MutexGuard<'_, Shard>], mut change: impl FnMut(&mut Record)) {
        for (shard, left) in self.shards.iter_mut().zip(left) {
            let (room, remembered) = (left.room, left.settled.most());
            let mut taken = std::mem::replace(&mut **left, Shard::new(room, remembered));
            taken.slab.iter_mut().for_each(|kept| change(&mut kept.record));
            if let Some(deadline) = taken.deadlines.earliest() {
                self.next_deadline.lower_to(deadline.at);
            }
            *shard.get_mut() = taken;
        }
    }

    /// Held reservations and expired ones that may still be settled.
    pub(super) fn live(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().live()).sum()
    }

    #[inline]
    pub(super) fn lock(&self, id: ReservationId) -> MutexGuard<'_, Shard> {
        self.shards[id.bits() as usize & (self.shards.len() - 1)].lock()
    }

    /// Enters the reservation that was written into the vacant record. The caller holds its shard.
    #[inline]
    pub(super) fn enter(&self, shard: &mut Shard, id: ReservationId) {
        self.next_deadline.lower_to(shard.enter(id));
    }

    /// Enters the deadline of a live reservation, later or earlier than before. The caller holds its shard.
    pub(super) fn postpone(&self, shard: &mut Shard, found: Found) {
        self.next_deadline.lower_to(shard.postpone(found.slot));
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
            while let Some(deadline) = shard.deadlines.earliest() {
                if deadline.at > now || done == most {
                    next = next.min(deadline.at);
                    break;
                }
                shard.deadlines.pop();
                done += usize::from(shard.expire_one(deadline, &mut expire));
            }
        }
        self.next_deadline.lower_to(next);
        done
    }
}

impl Shard {
    fn new(room: usize, remembered: usize) -> Self {
        Self {
            index: HashTable::new(),
            slab: Vec::new(),
            free: Vec::new(),
            settled: SettledRing::new(remembered.max(1)),
            deadlines: Deadlines::default(),
            room,
        }
    }

    fn live(&self) -> usize {
        self.slab.len() - self.free.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.live() >= self.room
    }

    #[inline]
    pub(super) fn state(&self, id: ReservationId) -> Option<State> {
        let bucket = self.index.find_bucket_index(hash(id), |place| id_at(&self.slab, &self.settled, *place) == id)?;
        Some(match *self.index.get_bucket(bucket)? {
            Place::Live(slot) => State::Live(Found { slot, bucket }),
            Place::Settled(at) => State::Settled(self.settled.used(at)),
        })
    }

    #[inline]
    pub(super) fn record(&mut self, found: Found) -> &mut Record {
        &mut self.slab[found.slot as usize].record
    }

    /// The record that the next reservation gets.
    #[inline]
    pub(super) fn vacant(&mut self) -> &mut Record {
        let slot = match self.free.last() {
            Some(slot) => *slot as usize,
            None => {
                self.free.push(u32::try_from(self.slab.len()).expect("a shard has room for fewer"));
                self.slab.push(Kept { id: ReservationId::from_bits(0), generation: 0, record: Record::EMPTY });
                self.slab.len() - 1
            }
        };
        &mut self.slab[slot].record
    }

    /// Gives the vacant record to this reservation; tells its deadline.
    #[inline]
    fn enter(&mut self, id: ReservationId) -> Tick {
        let slot = self.free.pop().expect("a vacant record was written");
        self.slab[slot as usize].id = id;
        let Self { index, slab, settled, .. } = self;
        index.insert_unique(hash(id), Place::Live(slot), |place| hash(id_at(slab, settled, *place)));
        self.postpone(slot)
    }

    fn postpone(&mut self, slot: Slot) -> Tick {
        let Kept { generation, record, .. } = &self.slab[slot as usize];
        let (at, generation) = (record.deadline, *generation);
        self.deadlines.push(Deadline { at, slot, generation });
        self.drop_stale_deadlines();
        at
    }

    /// Notes that a reservation is settled, and with how much.
    #[inline]
    pub(super) fn close(&mut self, found: Found, used: Amounts) {
        let id = self.slab[found.slot as usize].id;
        let at = self.settled.next();
        if let Some(oldest) = self.settled.id(at) {
            self.forget(oldest, |place| matches!(place, Place::Settled(other) if *other == at));
        }
        self.settled.put(at, id, used);
        if let Some(place) = self.index.get_bucket_mut(found.bucket) {
            *place = Place::Settled(at);
        }
        self.vacate(found.slot);
        self.drop_stale_deadlines();
    }

    fn vacate(&mut self, slot: Slot) {
        let kept = &mut self.slab[slot as usize];
        kept.generation = kept.generation.wrapping_add(1);
        kept.record.expired = None;
        self.free.push(slot);
    }

    fn forget(&mut self, id: ReservationId, is_it: impl Fn(&Place) -> bool) {
        if let Ok(entry) = self.index.find_entry(hash(id), is_it) {
            entry.remove();
        }
    }

    #[inline]
    fn drop_stale_deadlines(&mut self) {
        let Self { deadlines, slab, free, .. } = self;
        deadlines.drop_stale(slab.len() - free.len(), |deadline| {
            let kept = &slab[deadline.slot as usize];
            kept.generation != deadline.generation || kept.record.deadline != deadline.at
        });
    }

    fn expire_one(
        &mut self,
        Deadline { at, slot, generation }: Deadline,
        expire: &mut impl FnMut(&mut Record),
    ) -> bool {
        let kept = &mut self.slab[slot as usize];
        if kept.generation != generation || kept.record.deadline != at {
            return false;
        }
        if kept.record.expired.is_some() {
            let id = kept.id;
            self.forget(id, |place| matches!(place, Place::Live(other) if *other == slot));
            self.vacate(slot);
        } else {
            expire(&mut kept.record);
            self.postpone(slot);
        }
        true
    }
}

#[inline]
fn id_at(slab: &[Kept], settled: &SettledRing, place: Place) -> ReservationId {
    match place {
        Place::Live(slot) => slab[slot as usize].id,
        Place::Settled(at) => settled.id(at).expect("what the index names is in the ring"),
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

    fn id(n: u128) -> ReservationId {
        ReservationId::from_bits(n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835))
    }

    fn enter(shard: &mut Shard, n: u128, deadline: u64) -> Found {
        *shard.vacant() = Record { deadline: Tick::from_nanos(deadline), ..Record::EMPTY };
        shard.enter(id(n));
        live(shard, n)
    }

    fn live(shard: &Shard, n: u128) -> Found {
        match shard.state(id(n)) {
            Some(State::Live(found)) => found,
            other => panic!("{n} is {other:?}"),
        }
    }

    fn used(n: u128) -> Amounts {
        Amounts { requests: n as u64, ..Amounts::ZERO }
    }

    #[test]
    fn every_live_reservation_is_queued_with_its_deadline_and_not_many_others_are() {
        let mut shard = Shard::new(usize::MAX, REMEMBERED);
        for n in 0..5_000 {
            let found = enter(&mut shard, n, 1_000_000);
            assert_eq!(shard.deadlines.earliest().map(|deadline| deadline.slot), Some(found.slot));
            shard.close(found, Amounts::ZERO);
        }
        assert!(shard.deadlines.len() <= 1);
        let found = enter(&mut shard, 7_000, 1);
        for later in 2..5_000 {
            shard.record(found).deadline = Tick::from_nanos(later);
            shard.postpone(found.slot);
        }
        assert!(shard.deadlines.len() <= 64);
        let mut expired = Vec::new();
        while let Some(deadline) = shard.deadlines.earliest() {
            shard.deadlines.pop();
            shard.expire_one(deadline, &mut |record| expired.push(std::mem::take(&mut record.deadline)));
            if !expired.is_empty() {
                break;
            }
        }
        assert_eq!(expired, [Tick::from_nanos(4_999)]);
    }

    #[test]
    fn the_last_settled_identities_are_known_with_their_amounts_and_older_ones_are_forgotten() {
        let mut shard = Shard::new(usize::MAX, REMEMBERED);
        for n in 0..1_000 {
            let found = enter(&mut shard, n, 1);
            shard.close(found, used(n));
        }
        for n in 0..1_000 {
            let known = shard.state(id(n)).map(|state| match state {
                State::Settled(amounts) => amounts.requests,
                State::Live(_) => panic!("{n} is live"),
            });
            assert_eq!(known, (n >= 1_000 - REMEMBERED as u128).then_some(n as u64), "{n}");
        }
        assert_eq!(shard.index.len(), REMEMBERED);
    }

    #[test]
    fn a_place_that_is_used_again_does_not_expire_with_the_deadline_of_the_one_before() {
        let mut shard = Shard::new(usize::MAX, REMEMBERED);
        let first = enter(&mut shard, 1, 10);
        let stale = shard.deadlines.earliest().unwrap();
        shard.close(first, Amounts::ZERO);
        let second = enter(&mut shard, 2, 10);
        assert_eq!(first.slot, second.slot);
        assert!(!shard.expire_one(stale, &mut |_| panic!("it is of another reservation")));
        assert_eq!(shard.live(), 1);
    }

    #[test]
    fn many_live_reservations_are_all_found_and_settled_in_any_order() {
        let mut shard = Shard::new(usize::MAX, REMEMBERED);
        for n in 0..2_000 {
            enter(&mut shard, n, n as u64);
        }
        assert_eq!(shard.live(), 2_000);
        for n in (0..2_000).step_by(2).chain((1..2_000).step_by(2)) {
            let found = live(&shard, n);
            shard.close(found, used(n));
        }
        assert_eq!(shard.live(), 0);
    }
}
