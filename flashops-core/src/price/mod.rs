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
//! A price can have tiers by the size of the prompt, all input classes together. The tier that a prompt reaches rates
//! the whole request: all of its input and output, not only what is above the bound. Beside the standard tariff it can
//! have others for [batch, flex and priority](crate::usage::ServiceTier); a usage says which one it is
//! of. [`Price::most`] is a bound over all tiers that a prompt can reach. A request is reserved and settled by the same
//! prices.
//!
//! Books are TOML; [`PriceBook::from_toml`] has the schema, and [`PriceBook::extend`] puts one over another. A book is
//! immutable. [`Prices`] is a handle to the book of a running service, through which another book takes its place.
//!
//! Edge cases: before the earliest `effective_from` of a model it has no price, and is as unknown as any other. A cost
//! above [`MAX_AMOUNT`](crate::units::MAX_AMOUNT) becomes it, which is the refusing side. A usage of quality
//! [`Absent`](crate::usage::Quality::Absent) must be replaced by an estimate before it is priced: its zeros mean
//! nothing.
//!
//! What this module does not do: decide what happens to an unknown model, convert currencies, or fetch prices. Prices
//! by the hour, of other regions and free allowances are not in its schema.

mod book;
mod class;
mod error;
mod litellm;
mod model;
mod prices;
mod rates;
mod raw;
mod schema;
mod tariff;
mod value;

pub use book::PriceBook;
pub use class::TokenClass;
pub use error::PriceError;
pub use litellm::{Import, RoundedPrice};
pub use model::Model;
pub use prices::Prices;
pub use rates::{Price, PriceVersion};
pub use raw::MAX_TIERS;
pub use schema::MAX_TEXT_BYTES;
pub use value::MAX_NAME_BYTES;

pub(crate) use value::Name;
