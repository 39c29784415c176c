//! What the tests on real servers share.
#![allow(dead_code, unused_imports, reason = "no test file uses all of it")]

mod account;
mod harness;
mod proxy;

pub(crate) use account::*;
pub(crate) use harness::{RedisHarness, UnixClock, block_on};
pub(crate) use proxy::{Mode, Proxy};
