/// How the input of a call is estimated before it is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InputEstimate {
    /// One token for each byte of text: a bound.
    #[default]
    Bytes,
    /// The 99th percentile of the tokens for a byte that calls of the route and the model were billed, and one token
    /// for each byte until 99 calls were. Of calls like those before, at most one in a hundred has more input than is
    /// held for it; it is charged in full when it settles. Media and content that is only referred to stay bounded.
    Calibrated,
}

/// How much output is held for a call before it is sent. The provider is sent the cap in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputEstimate {
    /// The output cap: a bound.
    #[default]
    Cap,
    /// The 95th percentile for a call alone. For one of several in flight, the mean and its part of what they together
    /// are taken to need above it. Never above the cap, and the cap until 19 calls were seen. No bound: a call can use
    /// up to the cap, and what is above its hold is debt.
    Learned,
    /// The 95th percentile of each call by itself. Never above the cap, and the cap until 19 calls were seen.
    LearnedEach,
}
