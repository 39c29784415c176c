use flashops_core::limit::Resource;
use flashops_core::units::Amounts;

/// What calls in flight take of a provider's limits. The sums are exact: no number of calls overflows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) requests: u128,
    pub(super) input: u128,
    pub(super) output: u128,
}

impl Load {
    /// One request of these amounts.
    pub(super) fn of_call(amounts: &Amounts) -> Self {
        Self { requests: 1, input: amounts.input.get().into(), output: amounts.output.get().into() }
    }

    /// One request of which nothing is known: it has at least one token of each.
    pub(super) const fn unknown() -> Self {
        Self { requests: 1, input: 1, output: 1 }
    }

    pub(super) const fn of(&self, resource: Resource) -> u128 {
        match resource {
            Resource::Requests => self.requests,
            Resource::Tokens => self.input + self.output,
            Resource::InputTokens => self.input,
            Resource::OutputTokens => self.output,
            Resource::Cost | Resource::Concurrency => 0,
        }
    }

    pub(super) const fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.input += other.input;
        self.output += other.output;
    }

    /// Takes out what was added before.
    pub(super) const fn remove(&mut self, other: &Self) {
        self.requests = self.requests.saturating_sub(other.requests);
        self.input = self.input.saturating_sub(other.input);
        self.output = self.output.saturating_sub(other.output);
    }
}
