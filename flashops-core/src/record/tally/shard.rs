use std::sync::Arc;

use hashbrown::HashTable;

use super::Totals;
use super::minutes::{Minutes, minute};
use super::room::Room;
use super::row::{REST, RowId, RowKey, shown};
use super::threshold::{OrgAlarm, ThresholdReached, TokenThreshold};
use crate::clock::Moment;
use crate::key::Fingerprint;
use crate::record::CallInfo;

/// How many slots of the table of rows are looked at for silent rows, each time that a row begins a minute.
const SLOTS_PER_SWEEP: usize = 4;

/// How many limits are told apart in one shard; refusals by others are counted together. Policies bound the names.
const MAX_LIMIT_NAMES: usize = 256;

/// The rows of some organisations, all of each.
#[derive(Debug, Default)]
pub(super) struct Shard {
    orgs: HashTable<Org>,
    rows: HashTable<Row>,
    /// Refusals by the name of the limit.
    refusals: Vec<(Arc<str>, u64)>,
    sweep_at: usize,
}

#[derive(Debug)]
struct Org {
    /// `None` for the organisations that have no row of their own.
    id: Option<Fingerprint>,
    name: Arc<str>,
    rows: usize,
    alarm: OrgAlarm,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) key: RowKey,
    /// Since the start.
    pub(super) totals: Totals,
    pub(super) minutes: Minutes,
}

/// What is to be counted.
#[derive(Debug)]
pub(super) struct Note<'a> {
    pub(super) call: &'a CallInfo,
    pub(super) counted: Totals,
    /// The limit that refused.
    pub(super) limit: Option<&'a str>,
    pub(super) at: Moment,
}

/// The organisation has no row, and there is no room for one.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoRoom;

impl Shard {
    /// Counts in the row of this identity, in a new one if there is room, else in that for the rest of the
    /// organisation.
    pub(super) fn count(
        &mut self,
        id: RowId,
        note: &Note<'_>,
        room: &Room,
        threshold: &TokenThreshold,
    ) -> Result<Option<ThresholdReached>, NoRoom> {
        let place = self.place(id, note.call, room)?;
        let (minute, mut begun) = (minute(note.at.tick), false);
        if let Some(row) = self.rows.get_bucket_mut(place) {
            begun = row.count(minute, &note.counted, room);
        }
        if begun {
            self.sweep(minute, room);
        }
        if let Some(limit) = note.limit {
            self.count_refusal(limit);
        }
        if note.counted.requests == 0 {
            return Ok(None);
        }
        Ok(self.watch(id, note, threshold))
    }

    /// Makes the row of this identity if there is none and there is room.
    pub(super) fn know(&mut self, id: RowId, call: &CallInfo, room: &Room) {
        let _no_room = self.place(id, call, room);
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter()
    }

    pub(super) fn refusals(&self) -> &[(Arc<str>, u64)] {
        &self.refusals
    }

    /// The slot of the row in which this identity counts.
    fn place(&mut self, id: RowId, call: &CallInfo, room: &Room) -> Result<usize, NoRoom> {
        if let Some(place) = self.find(id) {
            return Ok(place);
        }
        let has = self.org(id.org()).map(|org| org.rows);
        let id = match (id, has) {
            (RowId::Own { .. }, has) if room.claim(has.unwrap_or(0), call.caller.is_anonymous()) => id,
            (RowId::Own { org, .. }, Some(_)) => RowId::RestOfOrg { org },
            (RowId::Own { .. }, None) => return Err(NoRoom),
            (RowId::RestOfOrg { .. } | RowId::Rest, _) => id,
        };
        Ok(self.find(id).unwrap_or_else(|| self.make(id, call)))
    }

    fn find(&self, id: RowId) -> Option<usize> {
        self.rows.find_bucket_index(id.hash(), |row| row.key.id == id)
    }

    fn org(&mut self, id: Option<Fingerprint>) -> Option<&mut Org> {
        self.orgs.find_mut(org_hash(id), |org| org.id == id)
    }

    #[cold]
    fn make(&mut self, id: RowId, call: &CallInfo) -> usize {
        if self.org(id.org()).is_none() {
            let name = if id == RowId::Rest { REST.into() } else { shown(call.caller.org()) };
            let org = Org { id: id.org(), name, rows: 0, alarm: OrgAlarm::default() };
            self.orgs.insert_unique(org_hash(org.id), org, |org| org_hash(org.id));
        }
        let org = self.org(id.org()).expect("the organisation was just made");
        org.rows += 1;
        let key = RowKey::new(id, Arc::clone(&org.name), call);
        let row = Row { key, totals: Totals::default(), minutes: Minutes::default() };
        self.rows.insert_unique(id.hash(), row, |row| row.key.id.hash()).bucket_index()
    }

    fn watch(&mut self, id: RowId, note: &Note<'_>, threshold: &TokenThreshold) -> Option<ThresholdReached> {
        let org = self.org(id.org())?;
        let tokens = org.alarm.count(note.counted.total_tokens(), threshold, note.at.tick)?;
        let (amount, window) = (threshold.tokens(), threshold.window());
        Some(ThresholdReached { org: Arc::clone(&org.name), tokens, amount, window, at: note.at })
    }

    fn count_refusal(&mut self, limit: &str) {
        let full = self.refusals.len() >= MAX_LIMIT_NAMES;
        let place = self.refusal(limit).or_else(|| self.refusal(REST).filter(|_| full));
        match place {
            Some(place) => self.refusals[place].1 = self.refusals[place].1.saturating_add(1),
            None => self.refusals.push((if full { REST } else { limit }.into(), 1)),
        }
    }

    fn refusal(&self, limit: &str) -> Option<usize> {
        self.refusals.iter().position(|(name, _)| **name == *limit)
    }

    /// Drops the old minutes of the next few rows, which may have been silent since.
    fn sweep(&mut self, latest: u64, room: &Room) {
        for _ in 0..SLOTS_PER_SWEEP.min(self.rows.num_buckets()) {
            self.sweep_at = (self.sweep_at + 1) % self.rows.num_buckets();
            if let Some(row) = self.rows.get_bucket_mut(self.sweep_at) {
                let had = row.minutes.len();
                row.minutes.trim(latest);
                room.buckets_changed(had, row.minutes.len());
            }
        }
    }
}

impl Row {
    /// Counts; says whether that was in another minute than the time before.
    fn count(&mut self, minute: u64, counted: &Totals, room: &Room) -> bool {
        self.totals.add(counted);
        let had = self.minutes.len();
        if !self.minutes.add(minute, counted) {
            return false;
        }
        if room.is_crowded() {
            self.minutes.coarsen();
        }
        room.buckets_changed(had, self.minutes.len());
        true
    }
}

fn org_hash(id: Option<Fingerprint>) -> u64 {
    id.map_or(0, |id| id.0)
}
