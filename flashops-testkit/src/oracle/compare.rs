use std::sync::Arc;
use std::time::Duration;

use flashops_core::clock::Moment;
use flashops_core::limit::{Denied, Limit, LimitSet, Mode, Retry};
use flashops_core::store::{Crossings, Standing};
use flashops_core::units::Amounts;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::account::Counting;
use super::check::Run;
use super::model::{Account, Keys};
use super::script::Who;
use crate::conformance::Harness;

impl<H: Harness> Run<'_, H> {
    pub(super) fn compare_crossings(&mut self, ours: &Crossings, model: &Crossings) -> TestCaseResult {
        prop_assert_eq!(ours, model, "thresholds");
        self.coverage.crossings += model.len() as u64;
        Ok(())
    }

    pub(super) fn compare_report(&mut self, report: &[Standing], who: Who, limits: LimitSet) -> TestCaseResult {
        self.coverage.admitted += 1;
        self.compare(report, who.named(), limits, report.len())
    }

    pub(super) fn compare(&self, standings: &[Standing], keys: Keys, limits: LimitSet, most: usize) -> TestCaseResult {
        let accounts = self.model.accounts(keys, limits);
        prop_assert_eq!(standings.len(), accounts.len().min(most));
        for (standing, (account, limit)) in standings.iter().zip(accounts) {
            prop_assert_eq!(standing.limit, account.0);
            prop_assert_eq!(standing.amount, limit.amount());
            let (used, held) = (self.model.used(account), self.model.held(account));
            prop_assert_eq!(
                (u128::from(standing.used), u128::from(standing.held)),
                (used, held),
                "{:?} {}",
                keys,
                limit.name()
            );
            self.compare_reset(standing.reset, account, used)?;
        }
        Ok(())
    }

    /// Less is used at the instant that was named, and not before it.
    fn compare_reset(&self, reset: Option<Duration>, account: Account, used: u128) -> TestCaseResult {
        let counting = self.model.counting(account.0);
        match (counting, reset) {
            (Counting::Held | Counting::Lifetime, None) => {}
            (Counting::Held | Counting::Lifetime, Some(_)) | (_, None) => prop_assert!(false, "reset {reset:?}"),
            (_, Some(wait)) if used == 0 => prop_assert_eq!(wait, Duration::ZERO),
            (Counting::Days { .. }, Some(wait)) => {
                let left = 86_400 - self.model.now.unix.0.rem_euclid(86_400);
                prop_assert_eq!(wait, Duration::from_secs(left.unsigned_abs()));
            }
            (_, Some(wait)) => {
                prop_assert!(self.model.used_at(account, self.model.after(wait)) < used, "not less after {wait:?}");
                let before = self.model.just_before(wait, counting);
                prop_assert!(self.model.used_at(account, before) >= used, "less before {wait:?}");
            }
        }
        Ok(())
    }

    pub(super) fn compare_denied(
        &mut self,
        keys: Keys,
        limits: LimitSet,
        asked: &Amounts,
        denied: &Denied,
    ) -> TestCaseResult {
        self.coverage.denied += 1;
        let violated = self.model.violated(keys, limits, asked);
        let mut set = LimitSet::EMPTY;
        violated.iter().for_each(|(account, _)| set.insert(account.0));
        prop_assert_eq!(denied.violated, set, "denied {:?}", denied);
        let named = violated.iter().find(|(account, _)| account.0 == denied.limit);
        let (account, limit) = named.ok_or_else(|| TestCaseError::fail("the limit that is named is not violated"))?;
        let taken = self.model.used(*account) + self.model.held(*account);
        prop_assert_eq!(denied.asked, limit.resource().of(asked));
        prop_assert_eq!(u128::from(denied.remaining), u128::from(limit.amount()).saturating_sub(taken));
        self.compare_retry(denied.retry, &violated, asked, *account)
    }

    fn compare_retry(
        &mut self,
        retry: Retry,
        violated: &[(Account, Arc<Limit>)],
        asked: &Amounts,
        named: Account,
    ) -> TestCaseResult {
        let waits: Vec<Wait> = violated.iter().map(|(account, limit)| self.wait(*account, limit, asked)).collect();
        let Retry::After(wait) = retry else {
            self.coverage.never += 1;
            prop_assert!(waits.iter().any(Wait::never), "waiting helps");
            return Ok(());
        };
        for ((account, limit), blocked) in violated.iter().zip(&waits) {
            let name = limit.name();
            prop_assert!(!blocked.never(), "waiting does not help {name}");
            prop_assert!(wait >= blocked.least(), "a wait of {wait:?} for holds under {name}");
            prop_assert!(self.fits(*account, blocked, self.model.after(wait)), "{name} has no room after {wait:?}");
            if *account == named && wait > blocked.least() {
                let before = self.model.just_before(wait, self.model.counting(account.0));
                prop_assert!(!self.fits(*account, blocked, before), "{name} has room before {wait:?}");
            }
        }
        Ok(())
    }

    fn wait(&self, account: Account, limit: &Limit, asked: &Amounts) -> Wait {
        let (amount, ask) = (u128::from(limit.amount()), u128::from(limit.resource().of(asked)));
        let (held, fades) = (self.model.held(account), self.model.counting(account.0).fades());
        let without_holds = amount.checked_sub(ask);
        let room = match without_holds {
            None => None,
            Some(room) if !fades && self.model.used(account) > room => None,
            Some(room) => Some(room),
        };
        // Holds are taken as charged, where there is room beside them at all.
        let beside = room.and_then(|room| room.checked_sub(held)).filter(|_| fades);
        Wait { room: beside.or(room), holds: beside.is_none() }
    }

    fn fits(&self, account: Account, wait: &Wait, then: Moment) -> bool {
        wait.room.is_some_and(|room| self.model.used_at(account, then) <= room)
    }

    /// The promise of strict limits, by an exact log: whatever was just admitted, the window that ends now holds no
    /// more than the amount.
    pub(super) fn judge(&mut self, keys: Keys, limits: LimitSet, asked: &Amounts) -> TestCaseResult {
        for (account, limit) in self.model.accounts(keys, limits) {
            let Some(exact) = Counting::exact(&limit) else { continue };
            if limit.mode() == Mode::Enforce && limit.resource().of(asked) > 0 {
                let used = exact.used(self.model.events(account), self.model.now);
                let sum = used + self.model.held(account);
                prop_assert!(sum <= u128::from(limit.amount()), "{} holds {sum} in one window", limit.name());
                self.coverage.judged += 1;
            }
        }
        Ok(())
    }
}

/// What has to happen before there is room under one limit.
#[derive(Clone, Copy, Debug)]
struct Wait {
    /// Usage has to come down to this; `None` if that never helps.
    room: Option<u128>,
    /// Holds have to end, which takes a second at least.
    holds: bool,
}

impl Wait {
    const fn never(&self) -> bool {
        self.room.is_none()
    }

    const fn least(&self) -> Duration {
        if self.holds { Duration::from_secs(1) } else { Duration::ZERO }
    }
}
