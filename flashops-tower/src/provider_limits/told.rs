//! What one response of a provider says about its limits.

use std::time::Duration;

use arrayvec::ArrayVec;
use flashops_core::limit::Resource;

/// The longest time for which anything that a provider says is believed: an hour. Then a call goes out, and is told
/// anew.
pub const MAX_WAIT: Duration = Duration::from_secs(3_600);

/// The most limits of one provider that are looked at: the seven that have headers of their own, and five of a list.
pub(super) const MAX_LIMITS: usize = 12;

/// Which limit of a provider this is: the place of its headers, or the hash of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LimitId(pub(super) u64);

/// How one limit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) id: LimitId,
    pub(super) resource: Resource,
    /// All that there is of it, if that was said.
    pub(super) limit: Option<u64>,
    pub(super) remaining: u64,
    /// How long that is so, from when the response was made; not clamped.
    pub(super) reset: Duration,
    /// Output counts when it is produced, and not when the request comes.
    pub(super) late_output: bool,
}

/// Everything that a response says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) limits: ArrayVec<Said, MAX_LIMITS>,
    /// How long to stay away; not clamped.
    pub(super) retry: Option<Duration>,
    /// How many headers could not be understood.
    pub(super) malformed: u64,
}
