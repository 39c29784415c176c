//! What the tests on real servers share.
#![allow(dead_code, unused_imports, reason = "no test file uses all of it")]

mod harness;
mod proxy;

pub(crate) use harness::{RedisHarness, block_on};
pub(crate) use proxy::{Mode, Proxy};
