use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Totals;
use super::report::{Draft, Report};
use super::room::Room;
use super::row::{RowId, RowKey};
use super::shard::{Note, Shard};
use super::threshold::{ThresholdReached, TokenThreshold};
use crate::clock::Moment;
use crate::record::{CallInfo, Event, FallbackReason, Recorder};
use crate::sync::{AtomicU64, Mutex, Ordering};

/// How many parts the tally has that can be locked apart; the rows of one organisation are all in one.
const SHARDS: usize = 64;

type Hook = Box<dyn Fn(&ThresholdReached) + Send + Sync>;

/// Tokens and money by organisation, user, model and route, in memory.
///
/// See the [module docs](super) for an example.
pub struct Tally {
    shards: Box<[Mutex<Shard>]>,
    /// The organisations that have no row of their own.
    rest: Mutex<Shard>,
    room: Room,
    threshold: TokenThreshold,
    hook: Option<Hook>,
    fallbacks: [AtomicU64; FallbackReason::ALL.len()],
}

impl Tally {
    /// How many rows a tally has unless told otherwise.
    pub const DEFAULT_MAX_ROWS: usize = 10_000;

    /// The longest window that it can look back over: 24 hours.
    pub const MAX_WINDOW: Duration = Duration::from_secs(24 * 3_600);

    /// An empty tally of [`Tally::DEFAULT_MAX_ROWS`] rows at most, which watches for 100,000 tokens in an hour.
    pub fn new() -> Self {
        Self::with_bounds(TokenThreshold::default(), Self::DEFAULT_MAX_ROWS)
    }

    /// An empty tally that watches for a threshold and has at most `max_rows` rows, besides one for the rest of each
    /// organisation and one for the rest of all organisations.
    ///
    /// A row takes about 600 bytes, and up to 200 for each minute of the last 24 hours in which it counted something.
    /// When there are more than 1,048,576 of these minutes, rows that count go on with whole hours for what is older
    /// than an hour.
    pub fn with_bounds(threshold: TokenThreshold, max_rows: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            rest: Mutex::default(),
            room: Room::new(max_rows),
            threshold,
            hook: None,
            fallbacks: Default::default(),
        }
    }

    /// Calls this each time that an organisation comes up to the threshold, instead of what was called before.
    ///
    /// It is called on the thread of the request, from destructors too, and with nothing of the tally locked. It must
    /// be quick, must not block and must not panic.
    #[must_use]
    pub fn on_threshold(mut self, hook: impl Fn(&ThresholdReached) + Send + Sync + 'static) -> Self {
        self.hook = Some(Box::new(hook));
        self
    }

    /// The threshold that it watches for.
    pub const fn threshold(&self) -> &TokenThreshold {
        &self.threshold
    }

    /// What was counted in the window that ends now, or since the start, in the rows that are `visible`.
    ///
    /// A window longer than [`Tally::MAX_WINDOW`] is cut to it, and [`Report::window`] says so. The window is counted
    /// in whole minutes, the oldest one whole: never less than what was counted in it, and never more than in a window
    /// one minute longer. A `now` before the latest event, by more than a minute, may miss what was then in the window.
    ///
    /// What one caller may see is [`RowKey::belongs_to`] that caller. `visible` is called with a part of the tally
    /// locked: it must not use the tally.
    pub fn report(&self, window: Option<Duration>, now: Moment, visible: impl Fn(&RowKey) -> bool) -> Report {
        let window = window.map(|window| window.min(Self::MAX_WINDOW));
        let mut draft = Draft::new(window, now, self.threshold);
        for shard in self.all_shards() {
            draft.read(&shard.lock(), &visible);
        }
        draft.finish()
    }

    /// The rows that there are, in no particular order: also those of calls that are under way, and of which nothing
    /// was counted yet.
    pub fn row_keys(&self) -> Vec<RowKey> {
        let mut keys = Vec::new();
        for shard in self.all_shards() {
            keys.extend(shard.lock().rows().map(|row| row.key.clone()));
        }
        keys
    }

    /// How often another model was tried since the start, for this reason.
    pub fn fallbacks(&self, reason: FallbackReason) -> u64 {
        self.fallbacks[reason as usize].load(Ordering::Relaxed)
    }

    /// How often each limit refused since the start, by its name, in the order of names.
    ///
    /// A refusal that speaks of several limits counts for the one that takes longest to have room. Where policies with
    /// more than 256 names feed one tally, some names are counted together as `other`.
    pub fn refusals_by_limit(&self) -> Vec<(Arc<str>, u64)> {
        let mut all: Vec<(Arc<str>, u64)> = Vec::new();
        for shard in self.all_shards() {
            for (name, refused) in shard.lock().refusals() {
                match all.binary_search_by(|(other, _)| other.cmp(name)) {
                    Ok(place) => all[place].1 = all[place].1.saturating_add(*refused),
                    Err(place) => all.insert(place, (Arc::clone(name), *refused)),
                }
            }
        }
        all
    }

    fn all_shards(&self) -> impl Iterator<Item = &Mutex<Shard>> {
        self.shards.iter().chain([&self.rest])
    }

    fn count(&self, note: &Note<'_>) {
        let id = RowId::of(note.call);
        // Each lock is released at the end of its statement, so that the hook runs without any.
        let counted = self.shard(id).lock().count(id, note, &self.room, &self.threshold);
        let reached = match counted {
            Ok(reached) => reached,
            Err(_) => {
                let counted = self.rest.lock().count(RowId::Rest, note, &self.room, &self.threshold);
                counted.unwrap_or(None)
            }
        };
        if let (Some(reached), Some(hook)) = (reached, &self.hook) {
            hook(&reached);
        }
    }

    /// Makes the row in which the call will count, if there is room for one.
    fn know(&self, call: &CallInfo) {
        let id = RowId::of(call);
        self.shard(id).lock().know(id, call, &self.room);
    }

    fn shard(&self, id: RowId) -> &Mutex<Shard> {
        let place = id.org().map_or(0, |org| org.1 as usize % SHARDS);
        &self.shards[place]
    }

    #[cfg(test)]
    pub(super) const fn room(&mut self) -> &mut Room {
        &mut self.room
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tally").field("threshold", &self.threshold).finish_non_exhaustive()
    }
}

impl Recorder for Tally {
    fn record(&self, event: &Event<'_>) {
        match event {
            Event::Settled(settled) => {
                self.count(&note(settled.call, Totals::of(settled), settled.ended));
            }
            Event::Denied { call, denied, policy } => {
                let limit = policy.limits().get(denied.limit.get()).map(crate::limit::Limit::name);
                self.count(&Note { limit, ..note(call, Totals::REFUSED, call.started) });
            }
            Event::Reserved { call } => self.know(call),
            Event::FellBack(fell) => {
                self.fallbacks[fell.reason as usize].fetch_add(1, Ordering::Relaxed);
            }
            Event::Voided { call } => self.count(&note(call, Totals::VOIDED, call.started)),
            Event::Exceeded { .. } | Event::OrgThreshold(_) | Event::Threshold { .. } => {}
        }
    }
}

const fn note(call: &CallInfo, counted: Totals, at: Moment) -> Note<'_> {
    Note { call, counted, limit: None, at }
}
