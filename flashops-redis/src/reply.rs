//! What the scripts answer, as the words of the store.

use std::time::Duration;

use flashops_core::clock::{Moment, UnixSeconds};
use flashops_core::limit::{CarryDebt, Denied, LimitIndex, LimitSet, Policy, Retry, Window};
use flashops_core::store::{Crossing, Crossings, Standing, StoreError};
use flashops_core::units::{Amounts, Cost, Tokens};
use redis::Value;

use crate::plan::moment;

/// What became of a command, as the scripts number it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Denied,
    Done,
    /// The periods that were sent are not those of now.
    OtherPeriod,
    AlreadySettled,
    Full,
    Unknown,
    Replayed,
    Late,
    Conflict,
}

/// An answer that was understood so far.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    pub(crate) status: Status,
    /// The server's time, in microseconds.
    pub(crate) now: i64,
    numbers: Vec<i64>,
    text: Vec<u8>,
}

impl Raw {
    pub(crate) fn read(value: Value) -> Result<Self, StoreError> {
        let Value::Array(parts) = value else { return Err(garbled()) };
        let (mut numbers, mut text) = (Vec::with_capacity(parts.len()), Vec::new());
        for part in parts {
            match part {
                Value::Int(number) => numbers.push(number),
                Value::BulkString(bytes) => text = bytes,
                _ => return Err(garbled()),
            }
        }
        let [status, now] = *numbers.first_chunk().ok_or_else(garbled)?;
        let status = match status {
            0 => Status::Denied,
            1 => Status::Done,
            2 => Status::OtherPeriod,
            3 => Status::AlreadySettled,
            4 => Status::Full,
            5 => Status::Unknown,
            6 => Status::Replayed,
            7 => Status::Late,
            8 => Status::Conflict,
            _ => return Err(garbled()),
        };
        numbers.drain(..2);
        Ok(Self { status, now, numbers, text })
    }

    /// What an instance answers by itself: nothing is known of how limits stand.
    pub(crate) fn local(status: Status) -> Self {
        Self { status, now: 0, numbers: vec![0], text: Vec::new() }
    }

    /// How many instances live.
    pub(crate) fn instances(&self) -> u64 {
        self.numbers.first().map_or(1, |number| whole(*number))
    }

    pub(crate) fn moment(&self) -> Moment {
        moment(self.now)
    }

    /// How limits stand, and the thresholds that were reached.
    pub(crate) fn standings(&self, policy: &Policy) -> Result<(Vec<Standing>, Crossings), StoreError> {
        let (count, rest) = self.numbers.split_first().ok_or_else(garbled)?;
        let count = usize::try_from(*count).map_err(|_| garbled())?;
        let (standings, crossings) = rest.split_at_checked(4 * count).ok_or_else(garbled)?;
        let standing = |of: &[i64; 4]| {
            let index = limit(policy, of[0])?;
            let reset = (of[3] >= 0).then(|| Duration::from_micros(whole(of[3])));
            let amount = policy.limit(index).amount();
            Ok(Standing { limit: index, amount, used: whole(of[1]), held: whole(of[2]), reset })
        };
        let standings: Result<_, StoreError> = standings.as_chunks().0.iter().map(standing).collect();
        Ok((standings?, read_crossings(policy, crossings)?))
    }

    /// The thresholds that were reached, where nothing else is answered.
    pub(crate) fn crossings(&self, policy: &Policy) -> Result<Crossings, StoreError> {
        read_crossings(policy, &self.numbers)
    }

    /// The limit that takes longest, and all that have no room.
    pub(crate) fn denied(&self, policy: &Policy) -> Result<Denied, StoreError> {
        let mut denied: Option<Denied> = None;
        for of in self.numbers.as_chunks::<7>().0 {
            let index = limit(policy, of[0])?;
            let blocked = Blocked::read(index, of);
            let this = blocked.denied(policy, self.moment());
            let worst = denied.get_or_insert(this);
            let violated = worst.violated;
            if this.retry > worst.retry {
                *worst = this;
            }
            worst.violated = violated;
            worst.violated.insert(index);
        }
        denied.ok_or_else(garbled)
    }

    /// What was settled before.
    pub(crate) fn first(&self) -> Result<Amounts, StoreError> {
        let text = std::str::from_utf8(&self.text).map_err(|_| garbled())?;
        let numbers: Result<Vec<u64>, _> = text.split(' ').map(str::parse).collect();
        match numbers.map_err(|_| garbled())?[..] {
            [requests, input, output, cost] => Ok(Amounts {
                requests,
                input: Tokens::saturating(input),
                output: Tokens::saturating(output),
                cost: Cost::saturating(cost),
            }),
            _ => Err(garbled()),
        }
    }
}

/// What was settled, in the form that is kept.
pub(crate) fn amounts_text(used: &Amounts) -> String {
    format!("{} {} {} {}", used.requests, used.input.get(), used.output.get(), used.cost.get())
}

fn read_crossings(policy: &Policy, numbers: &[i64]) -> Result<Crossings, StoreError> {
    let crossing = |of: &[i64; 3]| {
        let threshold = u16::try_from(of[1]).map_err(|_| garbled())?;
        Ok(Crossing { limit: limit(policy, of[0])?, threshold, used: whole(of[2]) })
    };
    numbers.as_chunks().0.iter().map(crossing).collect()
}

/// A limit that has no room.
struct Blocked {
    index: LimitIndex,
    asked: u64,
    used: u64,
    held: u64,
    /// Until what is asked fits beside nothing that is held, in microseconds; negative if never.
    without_holds: i64,
    /// The same beside what is held.
    with_holds: i64,
    period_end: i64,
}

impl Blocked {
    fn read(index: LimitIndex, of: &[i64; 7]) -> Self {
        Self {
            index,
            asked: whole(of[1]),
            used: whole(of[2]),
            held: whole(of[3]),
            without_holds: of[4],
            with_holds: of[5],
            period_end: of[6],
        }
    }

    fn denied(&self, policy: &Policy, now: Moment) -> Denied {
        let taken = self.used.saturating_add(self.held);
        let remaining = policy.limit(self.index).amount().saturating_sub(taken);
        let retry = self.retry(policy, now);
        Denied { limit: self.index, violated: LimitSet::EMPTY, asked: self.asked, remaining, retry }
    }

    fn retry(&self, policy: &Policy, now: Moment) -> Retry {
        let limit = policy.limit(self.index);
        let Some(spare) = limit.amount().checked_sub(self.asked) else { return Retry::Never };
        let without_holds = self.down_to(policy, spare, self.without_holds, now);
        let Some(room) = spare.checked_sub(self.held) else { return without_holds.max(Retry::WHILE_HELD) };
        match self.down_to(policy, room, self.with_holds, now) {
            // What never goes down would never have room beside the holds; but holds end.
            Retry::Never => without_holds.max(Retry::WHILE_HELD),
            retry => retry,
        }
    }

    /// When no more than `room` is used; the script has said so but for calendars.
    fn down_to(&self, policy: &Policy, room: u64, said: i64, now: Moment) -> Retry {
        let limit = policy.limit(self.index);
        let Some(Window::Calendar(calendar)) = limit.window() else {
            return u64::try_from(said).map_or(Retry::Never, |micros| Retry::After(Duration::from_micros(micros)));
        };
        if self.used <= room {
            return Retry::After(Duration::ZERO);
        }
        let over = self.used.saturating_sub(limit.amount());
        let debt = match policy.switches().carry_debt {
            CarryDebt::None => 0,
            CarryDebt::Full => over,
            CarryDebt::Capped(most) => over.min(most),
        };
        let periods = match debt.saturating_sub(room) {
            0 => 1,
            _ if limit.amount() == 0 => return Retry::Never,
            excess => 1 + excess.div_ceil(limit.amount()),
        };
        let end = UnixSeconds(self.period_end);
        calendar.start_after(end, periods).map_or(Retry::Never, |then| Retry::After(then.since(now.unix)))
    }
}

fn limit(policy: &Policy, place: i64) -> Result<LimitIndex, StoreError> {
    let place = usize::try_from(place).map_err(|_| garbled())?;
    policy.indexed().nth(place).map(|(index, _)| index).ok_or_else(garbled)
}

fn whole(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn garbled() -> StoreError {
    StoreError::Unavailable("the server answered what no script of ours answers".to_owned())
}
