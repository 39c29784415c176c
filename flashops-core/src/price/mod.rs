//! What a call costs: prices, and the book that finds them.
//!
//! ```
//! use flashops_core::clock::UnixSeconds;
//! use flashops_core::price::PriceBook;
//! use flashops_core::units::Tokens;
//! use flashops_core::usage::Usage;
//!
//! let now = UnixSeconds(1_795_000_000);
//! let book = PriceBook::embedded();
//! let price = book.price("gpt-4o-mini-2024-07-18", now).expect("the embedded book has it");
//!
//! let mut usage = Usage::exact();
//! usage.input = Tokens::new(1_000)?;
//! usage.output = Tokens::new(200)?;
//! assert_eq!(book.unit().format(price.cost(&usage)), "0.00027");
//!
//! // A model that nobody priced is an answer of its own, never a price of zero.
//! assert!(book.price("somebody-elses-model", now).is_none());
//! # Ok::<(), flashops_core::units::UnitError>(())
//! ```
//!
//! A price is a whole number of nano-units of the currency (10⁻⁹) for 1,000,000 tokens, which holds every published
//! price exactly. A cost is the exact sum over all [`TokenClass`]es and fees, rounded once, up, to the book's
//! [`MoneyUnit`](crate::units::MoneyUnit).
//!
//! A class without a price of its own takes another's:
//!
//! | class | priced as |
//! | --- | --- |
//! | `cache_read`, `cache_write_5m`, `audio_in`, `image_in` | `input` |
//! | `cache_write_1h` | `cache_write_5m`, which may itself be `input` |
//! | `reasoning`, `audio_out` | `output` |
//!
//! `input` and `output` have no such rule. A price names both, or is `flat`: one price for every class. An explicit
//! zero is a price.
//!
//! Books are TOML; [`PriceBook::from_toml`] has the schema, and [`PriceBook::extend`] puts one over another. A book is
//! immutable; share it in an [`Arc`](std::sync::Arc), and replace the whole to reload it.
//!
//! Edge cases: before the earliest `effective_from` of a model it has no price, and is as unknown as any other. A cost
//! above [`MAX_AMOUNT`](crate::units::MAX_AMOUNT) becomes it, which is the refusing side. A usage of quality
//! [`Absent`](crate::usage::Quality::Absent) must be replaced by an estimate before it is priced: its zeros mean
//! nothing.
//!
//! What this module does not do: decide what happens to an unknown model, convert currencies, or read other projects'
//! price files. It has one price per class and date: where a provider charges more for long prompts, the embedded book
//! has the price of the short ones and a comment with the bound; a batch or priority tariff needs a book of its own.

mod book;
mod class;
mod error;
mod model;
mod rates;
mod schema;
mod value;

pub use book::PriceBook;
pub use class::TokenClass;
pub use error::PriceError;
pub use model::Model;
pub use rates::{Price, PriceVersion};
pub use schema::MAX_TEXT_BYTES;
pub use value::MAX_NAME_BYTES;

pub(crate) use value::Name;
