//! The conformance suite on a store that another one goes on for, whose policy has the same limits in another order.

use std::sync::Arc;
use std::time::Duration;

use flashops_core::clock::ManualClock;
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Policy, Resource, Window};
use flashops_core::store::{Bounds, MemoryStore};
use flashops_testkit::conformance::{Harness, MemoryHarness, block_on};

struct Predecessors(MemoryHarness);

impl Harness for Predecessors {
    type Store = MemoryStore<ManualClock>;

    async fn store(&self, policy: Policy, bounds: Bounds) -> Arc<Self::Store> {
        let mut limits: Vec<Limit> = policy.limits().iter().rev().cloned().collect();
        if limits.len() < Policy::MAX_LIMITS {
            // Larger than all that the suite asks for, so it only takes part.
            let room = Limit::new("room", Scope::Global, Resource::Tokens, 1 << 50, Window::Lifetime);
            limits.insert(0, room.expect("it is valid"));
        }
        let next = Policy::new(limits).expect("the names differ").with_switches(policy.switches().clone());
        let store = self.0.store(policy, bounds).await;
        let _next = store.succeed(Arc::new(next));
        store
    }

    async fn advance(&self, by: Duration) {
        self.0.advance(by).await;
    }

    fn step_back(&self, by: Duration) -> bool {
        self.0.step_back(by)
    }
}

flashops_testkit::conformance_tests!(Predecessors(MemoryHarness::new()), block_on);
