//! The conformance suite of every store, on a real server.

mod support;

use support::{RedisHarness, block_on};

flashops_testkit::conformance_tests!(RedisHarness::new(), block_on);
