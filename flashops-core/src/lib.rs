//! The core of flashops: what a limit, a reservation, a price and a usage are, without a runtime and without HTTP.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod clock;
pub mod key;
pub mod units;
pub mod usage;

pub mod estimate;
