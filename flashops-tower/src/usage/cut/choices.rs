use crate::json::{Cursor, Fault};

/// The most choices that a request may ask for.
const MAX_CHOICES: usize = 128;

/// Which choices of a stream there are, and which of them have ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choices {
    seen: u128,
    finished: u128,
}

impl Choices {
    pub(super) const fn new() -> Self {
        Self { seen: 0, finished: 0 }
    }

    /// Reads one choice of an event; `reason` is the member that says why it has ended. One without an index is the
    /// first.
    pub(super) fn see(&mut self, cursor: &mut Cursor<'_>, payload: &[u8], reason: &[u8]) -> Result<(), Fault> {
        let (mut index, mut finished) = (0, false);
        if cursor.peek()? != b'{' {
            return cursor.skip();
        }
        cursor.object(|cursor, key| {
            let first = cursor.peek()?;
            let start = cursor.position();
            cursor.skip()?;
            if key.raw() == b"index" {
                let said = std::str::from_utf8(&payload[start..cursor.position()]).ok();
                index = said.and_then(|said| said.parse().ok()).unwrap_or(MAX_CHOICES);
            } else if key.raw() == reason {
                finished = first == b'"';
            }
            Ok::<_, Fault>(())
        })?;
        if index < MAX_CHOICES {
            self.seen |= 1 << index;
            self.finished |= u128::from(finished) << index;
        }
        Ok(())
    }

    /// The indices of those that have not ended; the first one where none was seen.
    pub(super) fn open(self) -> impl Iterator<Item = usize> {
        let open = if self.seen == 0 { 1 } else { self.seen & !self.finished };
        (0..MAX_CHOICES).filter(move |index| open >> index & 1 == 1)
    }
}
