//! Windows: how much was used lately, or in this hour, day, week or month.
#![allow(
    dead_code,
    unused_imports,
    reason = "the accounts that use these windows come in the next commit"
)]

pub(crate) mod approximate;
pub mod calendar;
pub mod gcra;
