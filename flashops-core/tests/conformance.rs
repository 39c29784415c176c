//! The conformance suite of every store, on the store in memory.

use flashops_testkit::conformance::{MemoryHarness, block_on};

flashops_testkit::conformance_tests!(MemoryHarness::new(), block_on);
