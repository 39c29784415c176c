//! The conformance suite on the model: what the cases ask for is what the model does.

use flashops_testkit::conformance::block_on;
use flashops_testkit::oracle::ReferenceHarness;

flashops_testkit::conformance_tests!(ReferenceHarness::new(), block_on);
