use std::time::Duration;

use flashops_core::config::OnStoreError;
use flashops_core::limit::Resource;

/// How a [`RedisStore`](crate::RedisStore) talks to its server, how much it keeps there, and what it does without.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// What all keys begin with: 1 to 64 letters, digits, `-`, `_`, `.` or `:`. Services with different policies that
    /// share a server take different ones.
    pub prefix: String,
    /// The secret under which names of callers are hashed into keys: the same in all instances.
    pub secret: [u64; 2],
    /// How long a command may take, each of the two times that it is sent.
    pub deadline: Duration,
    /// The most reservations that are held on the server, or expired and not forgotten, at a time. One beyond it is
    /// [`StoreError::Full`](flashops_core::store::StoreError::Full).
    pub max_reservations: u64,
    /// The most reservations of this instance that are not settled: each has room for its settlement from the moment
    /// on at which it is made. One beyond it is `Full` too.
    pub max_unsettled: usize,
    /// How long a settled reservation is remembered at least, so that a settlement that is repeated is recognised. At
    /// most twice as long.
    pub remember_settled: Duration,
    /// What happens to a limit when the server does not answer; `None` is the default of its resource.
    pub on_store_error: Option<OnStoreError>,
    /// The part of what was left of a limit that all instances together give out without the server, in thousandths.
    pub local_share: u16,
    /// How long they do so.
    pub local_for: Duration,
}

impl Options {
    /// The longest prefix, in bytes.
    pub const MAX_PREFIX: usize = 64;

    /// What happens to a limit on this resource when the server does not answer.
    pub fn on_store_error_for(&self, resource: Resource) -> OnStoreError {
        self.on_store_error.unwrap_or_else(|| OnStoreError::default_for(resource))
    }
}

impl Default for Options {
    /// `flashops`, 25 ms, 65,536 reservations on the server and as many of this instance, 15 minutes; without the
    /// server, half of what was left, for a minute.
    fn default() -> Self {
        Self {
            prefix: "flashops".to_owned(),
            secret: [0x666c_6173_686f_7073, 0x6b65_7973_2d76_0001],
            deadline: Duration::from_millis(25),
            max_reservations: 65_536,
            max_unsettled: 65_536,
            remember_settled: Duration::from_secs(15 * 60),
            on_store_error: None,
            local_share: 500,
            local_for: Duration::from_secs(60),
        }
    }
}
