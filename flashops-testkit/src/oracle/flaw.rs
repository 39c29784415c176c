/// A mistake that limiters in the field have made, to be made again where a test wants to see it caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// What was used above the hold is not charged.
    OverrunForgiven,
    /// What was used above the hold is charged to the narrowest scope only.
    OverrunInOneScope,
    /// A repeated settlement gives the unused part of the hold back once more.
    RefundTwice,
    /// What is given back lowers the current window or period, whenever it was counted.
    RefundIntoLaterWindow,
    /// A refused request counts.
    DenialConsumes,
    /// A refused request stays held in the scopes that had room.
    DenialLeaks,
    /// Who does not wait for the answer of a settlement, because the client left, pays nothing.
    DisconnectRefunds,
    /// What is used is read at one instant and what is held at a later one.
    UsedAndHeldApart,
    /// Beyond the bound, the oldest key makes place for a new one, blocked or not.
    EvictionFreesBlocked,
    /// A reservation that is made again because its answer was lost is held twice.
    RetryHoldsTwice,
    /// Every hold ends after 30 seconds, however long the stream.
    HoldLostOnLongStream,
    /// A request is refused unless it fits twice, so that a large first one never is admitted.
    FirstRequestNeverFits,
}

impl Flaw {
    /// Every flaw.
    pub const ALL: [Self; 12] = [
        Self::OverrunForgiven,
        Self::OverrunInOneScope,
        Self::RefundTwice,
        Self::RefundIntoLaterWindow,
        Self::DenialConsumes,
        Self::DenialLeaks,
        Self::DisconnectRefunds,
        Self::UsedAndHeldApart,
        Self::EvictionFreesBlocked,
        Self::RetryHoldsTwice,
        Self::HoldLostOnLongStream,
        Self::FirstRequestNeverFits,
    ];
}
