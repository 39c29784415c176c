use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::clock::Tick;

/// When a reservation expires. It is stale if the place has another generation or the reservation another deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Deadline {
    pub(super) at: Tick,
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// Deadlines, the earliest first. Most are asked for in their order, because most calls may live equally long; those
/// wait in a queue, and only the others in a heap.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    in_order: VecDeque<Deadline>,
    others: BinaryHeap<Reverse<Deadline>>,
}

/// How many stale deadlines one call takes from the front: more than it adds, so that they do not pile up.
const DROPPED_PER_CALL: usize = 2;

impl Deadlines {
    pub(super) fn len(&self) -> usize {
        self.in_order.len() + self.others.len()
    }

    #[inline]
    pub(super) fn push(&mut self, deadline: Deadline) {
        if self.in_order.back().is_none_or(|last| last.at <= deadline.at) {
            self.in_order.push_back(deadline);
        } else {
            self.others.push(Reverse(deadline));
        }
    }

    #[inline]
    pub(super) fn earliest(&self) -> Option<Deadline> {
        let (first, other) = (self.in_order.front().copied(), self.others.peek().map(|Reverse(other)| *other));
        first.into_iter().chain(other).min()
    }

    /// Takes the earliest away.
    pub(super) fn pop(&mut self) {
        let earliest = self.earliest();
        if self.in_order.front().copied() == earliest {
            self.in_order.pop_front();
        } else {
            self.others.pop();
        }
    }

    /// Drops stale deadlines: the first few, and all of them where they are more than half.
    #[inline]
    pub(super) fn drop_stale(&mut self, live: usize, is_stale: impl Fn(&Deadline) -> bool) {
        for _ in 0..DROPPED_PER_CALL {
            match self.in_order.front() {
                Some(first) if is_stale(first) => self.in_order.pop_front(),
                _ => break,
            };
        }
        if self.len() > 2 * live + 32 {
            self.in_order.retain(|deadline| !is_stale(deadline));
            self.others.retain(|Reverse(deadline)| !is_stale(deadline));
        }
    }
}
