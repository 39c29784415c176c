//! Token budgets, rate limits and usage metering for services in front of a language model, as tower layers.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod identify;
pub mod inspect;
pub mod reject;
pub mod usage;

mod json;
