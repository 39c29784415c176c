use std::time::Duration;

use super::{LimitIndex, LimitSet};

/// The answer no. It is plain data and not an error: nothing was counted, held or called.
///
/// It speaks of the limit that takes longest to have room; [`Denied::violated`] has all that had none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The limit that takes longest, in the policy of the store that answered.
    pub limit: LimitIndex,
    /// Every enforced limit that has no room.
    pub violated: LimitSet,
    /// How much of the limit's resource was asked for.
    pub asked: u64,
    /// How much of it was left.
    pub remaining: u64,
    /// When the same request fits all its limits.
    pub retry: Retry,
}

/// When a refused request can be admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retry {
    /// After this time at the earliest, if nobody else is admitted until then and all that is held is charged in
    /// full. Never zero.
    After(Duration),
    /// Waiting does not help: the request is larger than a limit, or a lifetime budget is spent.
    Never,
}

impl Retry {
    /// The wait where only holds are in the way: nobody knows when they end.
    pub const WHILE_HELD: Self = Self::After(Duration::from_secs(1));
}
