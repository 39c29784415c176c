//! Tells an operator when a threshold is reached.

use flashops::core::record::{Event, Recorder};

#[derive(Debug)]
pub(crate) struct Announce;

impl Recorder for Announce {
    fn record(&self, event: &Event<'_>) {
        match event {
            Event::Threshold { call, crossing, policy } => {
                let limit = policy.limit(crossing.limit);
                let (name, share) = (limit.name(), crossing.threshold / 10);
                let (org, user) = (call.caller.org(), call.caller.user());
                eprintln!(
                    "threshold: {name} is at {share} % or more ({} of {}), last by {user} of {org}",
                    crossing.used,
                    limit.amount()
                );
            }
            Event::OrgThreshold(reached) => {
                let (org, seconds) = (&reached.org, reached.window.as_secs());
                eprintln!("threshold: {org} used {} tokens in {seconds} s, of {}", reached.tokens, reached.amount);
            }
            _ => {}
        }
    }
}
