//! The core of flashops: what a limit, a reservation, a price and a usage are, without a runtime and without HTTP.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod units;
pub mod key;
pub mod caller;
pub mod clock;
pub mod usage;
mod sync;
mod place;
pub mod window;
pub mod price;
pub mod estimate;
pub mod limit;
mod account;
pub mod store;
pub mod budget;
pub mod record;
pub mod health;
pub mod config;
