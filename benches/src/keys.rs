//! The keys that every contestant meets: texts of 36 bytes, each on the heap, as a server has them.
//!
//! ```
//! use flashops_benches::keys::Keys;
//!
//! let keys = Keys::new(3);
//! assert_eq!(keys.text(2).len(), 36);
//! ```
//!
//! Sixteen keys are touched before sixteen operations, as in a server that has just parsed its headers: what is timed
//! is the limiter, not the first sight of the text.
//!
//! Edge cases: the texts are the same in every process, so that a child measures what its parent means.
//!
//! What this module does not do: skew. Keys are drawn uniformly; one hot key is `Keys::new(1)`.

use std::hint::black_box;

use crate::measure::Worker;

const BLOCK: usize = 16;

/// Texts of keys.
#[derive(Clone, Debug)]
pub struct Keys {
    texts: Vec<String>,
}

impl Keys {
    /// So many different texts.
    pub fn new(count: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(0x5EED);
        let texts = (0..count).map(|_| uuid(random.u128(..))).collect();
        Self { texts }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The text at a place.
    pub fn text(&self, index: usize) -> &String {
        &self.texts[index]
    }

    /// All texts.
    pub fn iter(&self) -> std::slice::Iter<'_, String> {
        self.texts.iter()
    }

    /// Draws keys, touches them, and hands out each with its place; the operations are rounded up to whole blocks.
    #[inline]
    pub fn draw<'k>(&'k self, worker: &mut Worker, operations: usize, mut operation: impl FnMut(usize, &'k String)) {
        let mut picked = [0; BLOCK];
        for _ in 0..operations.div_ceil(BLOCK) {
            for place in &mut picked {
                *place = worker.pick(self.texts.len());
                let text = self.texts[*place].as_bytes();
                black_box(text[0] ^ text[text.len() - 1]);
            }
            for place in picked {
                operation(place, &self.texts[place]);
            }
        }
    }
}

/// A number in the form of a UUID.
fn uuid(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
