//! The price book of a running service.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::book::PriceBook;
use super::error::PriceError;
use crate::units::MoneyUnit;

/// The price book of a running service, which another one can replace at any moment. Clones are the same handle.
///
/// A book is replaced as a whole and at once: whoever looks sees the old one or the new one, and never some prices of
/// each. A call keeps the price that it was reserved at until it is settled.
///
/// ```
/// use std::sync::Arc;
///
/// use flashops_core::price::{PriceBook, Prices};
///
/// let prices = Prices::from(Arc::new(PriceBook::embedded().clone()));
/// let ours = PriceBook::from_toml(r#"
///     [[model]]
///     name = "house"
///     provider = "us"
///     source = "contract 12"
///     as_of = "2026-11-20"
///     [[model.price]]
///     flat = "0.5"
/// "#)?;
/// let old = prices.replace(Arc::new(PriceBook::embedded().clone().extend(ours)?))?;
///
/// assert!(prices.book().model("house").is_some());
/// assert!(old.model("house").is_none());
/// # Ok::<(), flashops_core::price::PriceError>(())
/// ```
#[derive(Clone)]
pub struct Prices {
    current: Arc<ArcSwap<PriceBook>>,
    unit: MoneyUnit,
}

impl Prices {
    /// The book at this moment.
    pub fn book(&self) -> Arc<PriceBook> {
        self.current.load_full()
    }

    /// Puts another book in the place of the present one, which is returned.
    ///
    /// # Errors
    ///
    /// [`PriceError::OtherUnit`] if it is in another unit, in which limits on cost mean something else. Nothing changes
    /// then.
    pub fn replace(&self, book: Arc<PriceBook>) -> Result<Arc<PriceBook>, PriceError> {
        if book.unit() != self.unit {
            return Err(PriceError::OtherUnit { ours: self.unit, theirs: book.unit() });
        }
        Ok(self.current.swap(book))
    }

    /// The unit of every cost, which stays.
    pub const fn unit(&self) -> MoneyUnit {
        self.unit
    }

    /// The book, without counting one more owner of it: what every call reads.
    pub(crate) fn load(&self) -> Guard<Arc<PriceBook>> {
        self.current.load()
    }
}

impl From<Arc<PriceBook>> for Prices {
    fn from(book: Arc<PriceBook>) -> Self {
        Self { unit: book.unit(), current: Arc::new(ArcSwap::new(book)) }
    }
}

/// Leaves out the prices, which are many.
impl fmt::Debug for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prices").field("unit", &self.unit).finish_non_exhaustive()
    }
}
