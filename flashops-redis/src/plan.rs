//! A policy as the scripts read it: every limit in bytes, prepared once, and the names of keys.

use std::time::Duration;

use flashops_core::clock::{Moment, UnixSeconds};
use flashops_core::key::{Key, Scope, Scopes};
use flashops_core::limit::{
    Algorithm, CarryDebt, Limit, LimitIndex, LimitSet, Mode, OnExpiry, Policy, Resource, Threshold, Window,
};
use flashops_core::units::{Amounts, MAX_AMOUNT};
use flashops_core::window::{Calendar, CalendarUnit};
use siphasher::sip128::{Hasher128, SipHasher24};

/// The largest limit on requests that is counted by its instants, as in memory.
const LARGEST_IN_LOG: u64 = 64;
/// Into how many parts a strict window is cut; one more counts.
const RING_PARTS: u128 = 39;
/// An account is kept at least so long, in microseconds.
const LEAST_KEEP: f64 = 60e6;
/// The bytes of a number in the form that the scripts read.
const SIZE: usize = size_of::<f64>();
const DAY: Duration = Duration::from_secs(86_400);

/// A policy, ready to be sent.
#[derive(Debug)]
pub(crate) struct Plan {
    scopes: [ScopePlan; Scope::COUNT],
    calendars: Vec<(f64, Calendar)>,
    prefix: String,
    secret: [u64; 2],
}

/// The limits of one scope.
#[derive(Debug, Default)]
struct ScopePlan {
    limits: Vec<(LimitIndex, Vec<u8>)>,
    set: LimitSet,
    /// How long an account is kept after its last use, in microseconds; negative for ever.
    keep: f64,
}

impl Plan {
    pub(crate) fn new(policy: &Policy, prefix: &str, secret: [u64; 2]) -> Self {
        let mut plan = Self {
            scopes: std::array::from_fn(|_| ScopePlan { keep: LEAST_KEEP, ..ScopePlan::default() }),
            calendars: Vec::new(),
            prefix: prefix.to_owned(),
            secret,
        };
        for (index, limit) in policy.indexed() {
            let bytes = plan.limit(index, limit, policy.switches().carry_debt);
            let scope = &mut plan.scopes[limit.scope() as usize];
            scope.limits.push((index, bytes));
            scope.set.insert(index);
            scope.keep = longer(scope.keep, keep(limit));
        }
        plan
    }

    /// One limit, in the form that the scripts read.
    fn limit(&mut self, index: LimitIndex, limit: &Limit, carry: CarryDebt) -> Vec<u8> {
        let Counting { kind, first, second } = self.counting(limit, carry);
        let window = match limit.window() {
            Some(Window::Sliding(length)) => micros(*length),
            _ => 0,
        };
        let mut bytes = self.field(limit, kind, window).to_vec();
        let enforced = f64::from(u8::from(limit.mode() == Mode::Enforce));
        let thresholds = limit.thresholds();
        let numbers = [
            index.get() as f64,
            resource(limit.resource()),
            f64::from(kind),
            number(limit.amount()),
            enforced,
            first,
            second,
            number(window),
            thresholds.len() as f64,
        ];
        numbers.iter().for_each(|one| push(&mut bytes, *one));
        for &threshold in thresholds {
            let level = level(limit.amount(), threshold);
            let low = (u128::from(level) * 9).div_ceil(10);
            for one in [u64::from(threshold), level, u64::try_from(low).unwrap_or(MAX_AMOUNT)] {
                push(&mut bytes, number(one));
            }
        }
        bytes
    }

    fn counting(&mut self, limit: &Limit, carry: CarryDebt) -> Counting {
        let of = |kind, first, second| Counting { kind, first, second };
        let length = match limit.window() {
            None => return of(0, 0.0, 0.0),
            Some(Window::Lifetime) => return of(1, 0.0, 0.0),
            Some(Window::Calendar(calendar)) => return of(6, self.calendar(calendar), carried(carry)),
            Some(Window::Sliding(length)) => *length,
        };
        let small = limit.mode() == Mode::Enforce
            && limit.resource() == Resource::Requests
            && (1..=LARGEST_IN_LOG).contains(&limit.amount());
        match limit.algorithm() {
            Algorithm::Ring if small => of(3, number(micros(length)), 0.0),
            Algorithm::Ring => of(2, number(u128_to_u64(u128::from(micros(length)).div_ceil(RING_PARTS))), 0.0),
            Algorithm::Approximate => of(4, number(micros(length)), 0.0),
            Algorithm::Gcra => {
                let interval = length.as_nanos().div_ceil(u128::from(limit.amount().max(1)));
                of(5, number(u128_to_u64(interval / 1_000)), number(u128_to_u64(interval % 1_000)))
            }
        }
    }

    /// The identity of a calendar, which is remembered.
    fn calendar(&mut self, calendar: &Calendar) -> f64 {
        let text = calendar_text(calendar);
        // As many bits as a whole number of a script has.
        let id = number((self.hash(&[text.as_bytes()]) as u64) >> 11);
        if !self.calendars.iter().any(|(other, _)| *other == id) {
            self.calendars.push((id, calendar.clone()));
        }
        id
    }

    /// The name of a limit's state in an account: another one for another way to count, so that a change of the
    /// amount keeps what is used, and nothing is read as what it is not.
    fn field(&self, limit: &Limit, kind: u8, window: u64) -> [u8; 8] {
        let calendar = match limit.window() {
            Some(Window::Calendar(calendar)) => calendar_text(calendar),
            _ => String::new(),
        };
        let thresholds = limit.thresholds().len() as u64;
        let numbers = [u64::from(kind), window, limit.resource() as u64, thresholds].map(u64::to_be_bytes);
        let parts = [limit.name().as_bytes(), numbers.as_flattened(), calendar.as_bytes()];
        (self.hash(&parts) as u64).to_be_bytes()
    }

    /// The periods that hold an instant, of every calendar.
    pub(crate) fn periods(&self, at: UnixSeconds) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.calendars.len() * 40);
        for (id, calendar) in &self.calendars {
            let period = calendar.period(at);
            let hours = calendar.unit() == CalendarUnit::Hour;
            let count = calendar.period_number(at).unwrap_or(0);
            let numbers =
                [*id, signed(period.start.0), signed(period.end.0), signed(count), f64::from(u8::from(hours))];
            numbers.iter().for_each(|one| push(&mut bytes, *one));
        }
        bytes
    }

    /// The accounts of a request under the limits of a set: a list for the scripts, and the name of each key.
    pub(crate) fn accounts(&self, root: &str, scopes: &Scopes<'_>, set: LimitSet) -> Accounts {
        let mut accounts = Accounts::default();
        for key in scopes.iter() {
            let plan = &self.scopes[key.scope() as usize];
            if plan.set.intersection(set).is_empty() {
                continue;
            }
            let hash = self.key_hash(key);
            let name = format!("{}:{{{root}}}:{}:{hash:032x}", self.prefix, key.scope().name());
            accounts.hashes[key.scope() as usize] = Some(hash);
            let limits = plan.limits.iter().filter(|(index, _)| set.contains(*index));
            let size = u16::try_from(name.len()).expect("a prefix is bounded");
            accounts.list.extend(size.to_le_bytes());
            accounts.list.extend((limits.clone().count() as u16).to_le_bytes());
            push(&mut accounts.list, plan.keep);
            accounts.list.extend(name.as_bytes());
            limits.for_each(|(_, bytes)| accounts.list.extend(bytes));
            accounts.keys.push(name);
        }
        accounts
    }

    /// What stands for a caller in a key. Nobody reads in it who is counted.
    fn key_hash(&self, key: &Key<'_>) -> u128 {
        self.hash(&[key.scope().name().as_bytes(), key.text().as_bytes()])
    }

    /// The key of what all requests of a root share.
    pub(crate) fn shared_key(&self, root: &str, name: &str) -> String {
        format!("{}:{{{root}}}:{name}", self.prefix)
    }

    /// A keyed hash of texts, each with its length.
    fn hash(&self, parts: &[&[u8]]) -> u128 {
        use std::hash::Hasher;
        let mut hasher = SipHasher24::new_with_keys(self.secret[0], self.secret[1]);
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        hasher.finish128().as_u128()
    }
}

/// The accounts that a command touches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    pub(crate) list: Vec<u8>,
    pub(crate) keys: Vec<String>,
    /// What stands for the key of each scope.
    pub(crate) hashes: [Option<u128>; Scope::COUNT],
}

struct Counting {
    kind: u8,
    first: f64,
    second: f64,
}

/// Appends a number in the form that the scripts read.
pub(crate) fn push(bytes: &mut Vec<u8>, number: f64) {
    bytes.extend(number.to_le_bytes());
}

/// Makes the numbers of a reservation those after an extension: with more held where it was granted, and with its
/// checkpoint and its lifetime in any case.
pub(crate) fn extended(reserve: &mut [u8], extend: &[u8], granted: bool) {
    let (more, rest) = extend.split_at(3 * SIZE);
    if granted {
        // Requests come first, and an extension has none.
        let held = reserve[SIZE..4 * SIZE].as_chunks_mut().0;
        for (held, more) in held.iter_mut().zip(more.as_chunks().0) {
            let sum = f64::from_le_bytes(*held) + f64::from_le_bytes(*more);
            *held = sum.min(MAX_AMOUNT as f64).to_le_bytes();
        }
    }
    reserve[4 * SIZE..][..rest.len()].copy_from_slice(rest);
}

/// A whole number as the scripts keep it: exact, because none of ours is above [`MAX_AMOUNT`].
pub(crate) fn number(whole: u64) -> f64 {
    whole.min(MAX_AMOUNT) as f64
}

fn signed(whole: i64) -> f64 {
    let most = MAX_AMOUNT as i64;
    whole.clamp(-most, most) as f64
}

/// A time span in whole microseconds, rounded up, so that no window is shorter than it says.
pub(crate) fn micros(span: Duration) -> u64 {
    u128_to_u64(span.as_nanos().div_ceil(1_000))
}

fn u128_to_u64(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(MAX_AMOUNT).min(MAX_AMOUNT)
}

/// The moment that a server's microseconds name.
pub(crate) fn moment(micros: i64) -> Moment {
    let nanos = u64::try_from(micros).unwrap_or(0).saturating_mul(1_000);
    Moment { tick: flashops_core::clock::Tick::from_nanos(nanos), unix: UnixSeconds(micros.div_euclid(1_000_000)) }
}

/// The four amounts, in the order of the scripts.
pub(crate) fn amounts(amounts: &Amounts) -> [f64; 4] {
    [number(amounts.requests), number(amounts.input.get()), number(amounts.output.get()), number(amounts.cost.get())]
}

pub(crate) fn on_expiry(what: OnExpiry) -> f64 {
    match what {
        OnExpiry::Checkpoint => 0.0,
        OnExpiry::Full => 1.0,
        OnExpiry::Release => 2.0,
    }
}

fn resource(resource: Resource) -> f64 {
    match resource {
        Resource::Requests => 0.0,
        Resource::Tokens => 1.0,
        Resource::InputTokens => 2.0,
        Resource::OutputTokens => 3.0,
        Resource::Cost => 4.0,
        Resource::Concurrency => 5.0,
    }
}

fn carried(carry: CarryDebt) -> f64 {
    match carry {
        CarryDebt::None => 0.0,
        CarryDebt::Full => number(MAX_AMOUNT),
        CarryDebt::Capped(most) => number(most),
    }
}

/// The usage at which a threshold is reached: never nothing.
fn level(amount: u64, threshold: Threshold) -> u64 {
    let level = (u128::from(amount) * u128::from(threshold)).div_ceil(1000);
    u64::try_from(level).unwrap_or(u64::MAX).clamp(1, MAX_AMOUNT)
}

/// How long what a limit counted matters after its last use, in microseconds; negative for ever.
fn keep(limit: &Limit) -> f64 {
    let span = match limit.window() {
        None => Duration::ZERO,
        Some(Window::Lifetime) => return -1.0,
        Some(Window::Sliding(length)) => *length,
        Some(Window::Calendar(calendar)) => match calendar.unit() {
            CalendarUnit::Hour => 2 * Duration::from_secs(3_600),
            CalendarUnit::Day => 2 * DAY,
            CalendarUnit::Week => 8 * DAY,
            CalendarUnit::Month => 32 * DAY,
        },
    };
    number(micros(3 * span)).max(LEAST_KEEP)
}

/// What tells calendars apart.
fn calendar_text(calendar: &Calendar) -> String {
    format!("{:?} {} {}", calendar.unit(), calendar.zone(), calendar.anchor())
}

fn longer(one: f64, other: f64) -> f64 {
    if one < 0.0 || other < 0.0 { -1.0 } else { one.max(other) }
}
