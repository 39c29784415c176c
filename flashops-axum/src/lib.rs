//! flashops for axum: extractors and handlers.
//!
//! The layers of [`flashops_tower`] work on an axum router as they are; this crate adds what only axum has.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod extract;
pub mod handler;
pub mod matched;
pub mod peer;
pub mod response;
