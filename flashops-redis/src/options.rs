use std::time::Duration;

/// How a [`RedisStore`](crate::RedisStore) talks to its server, and how much it keeps there.
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
    /// The most reservations that are held, or expired and not forgotten, at a time. One beyond it is
    /// [`StoreError::Full`](flashops_core::store::StoreError::Full).
    pub max_reservations: u64,
    /// How long a settled reservation is remembered at least, so that a settlement that is repeated is recognised. At
    /// most twice as long.
    pub remember_settled: Duration,
}

impl Options {
    /// The longest prefix, in bytes.
    pub const MAX_PREFIX: usize = 64;
}

impl Default for Options {
    /// `flashops`, 25 ms, 65,536 reservations, 15 minutes.
    fn default() -> Self {
        Self {
            prefix: "flashops".to_owned(),
            secret: [0x666c_6173_686f_7073, 0x6b65_7973_2d76_0001],
            deadline: Duration::from_millis(25),
            max_reservations: 65_536,
            remember_settled: Duration::from_secs(15 * 60),
        }
    }
}
