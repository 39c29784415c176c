//! Token budgets, rate limits and usage metering for services in front of a language model, as tower layers.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod rate_limit;
pub mod budget;
pub mod inspect;
pub mod usage;
pub mod identify;
pub mod reject;

mod json;
mod path;
