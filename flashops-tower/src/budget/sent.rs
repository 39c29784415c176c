/// Decides by an error of the inner service whether the request may have reached the provider.
///
/// Closures from an error to `bool` are such. [`AlwaysSent`] is the safe choice: a request that was sent may have cost
/// something.
pub trait RequestSent<E> {
    /// Whether the request may have reached the provider before this error.
    fn request_sent(&self, error: &E) -> bool;
}

/// Takes every request for sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlwaysSent;

impl<E> RequestSent<E> for AlwaysSent {
    fn request_sent(&self, _: &E) -> bool {
        true
    }
}

impl<E, F: Fn(&E) -> bool> RequestSent<E> for F {
    fn request_sent(&self, error: &E) -> bool {
        self(error)
    }
}

/// An extension of responses: the call failed after it was sent, and somebody inside made this response of it.
///
/// Whoever turns errors into responses inside of a token budget, or catches panics there, sets it, so that the call is
/// charged like any other that failed after it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallFailed;
