//! Payloads that are read when somebody asks, since most of them are out of date before.

/// The largest payload that is put off, in bytes.
pub(super) const MAX_PUT_OFF: usize = 16 << 10;

/// The last two payloads that were put off. There are two because the last one can turn out not to be JSON, and then
/// the one before it is the last word.
#[derive(Clone, Debug, Default)]
pub(super) struct PutOff {
    older: Vec<u8>,
    newer: Vec<u8>,
}

impl PutOff {
    /// Keeps a payload, in the place of the one before the last.
    pub(super) fn put(&mut self, payload: &[u8]) {
        std::mem::swap(&mut self.older, &mut self.newer);
        self.newer.clear();
        self.newer.extend_from_slice(payload);
    }

    /// What is kept, in the order in which it came.
    pub(super) fn payloads(&self) -> impl Iterator<Item = &[u8]> {
        [&self.older, &self.newer].into_iter().map(Vec::as_slice).filter(|payload| !payload.is_empty())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.newer.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.older.clear();
        self.newer.clear();
    }
}
