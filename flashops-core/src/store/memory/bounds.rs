/// How large a [`MemoryStore`](super::MemoryStore) may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// The most keys of each scope. A key beyond it shares one account with others of its kind until an idle key has
    /// gone.
    pub max_keys: usize,
    /// The most reservations held at a time. One beyond it is [`StoreError::Full`](crate::store::StoreError::Full).
    pub max_reservations: usize,
}

impl Default for Bounds {
    /// 1,048,576 keys of each scope, and 1,048,576 reservations.
    fn default() -> Self {
        Self { max_keys: 1 << 20, max_reservations: 1 << 20 }
    }
}

/// How large a [`MemoryStore`](super::MemoryStore) is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// Keys of all scopes.
    pub keys: usize,
    /// Reservations that are held, or expired and not yet forgotten.
    pub reservations: usize,
    /// How often a request was counted in the account that overflow callers share.
    pub overflowed: u64,
}
