use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;
use pin_project_lite::pin_project;

use crate::reject::Refusal;

pin_project! {
    /// Collects a request body, up to a bound.
    pub(super) struct Collect<B> {
        #[pin]
        body: B,
        most: usize,
        first: Option<Bytes>,
        rest: BytesMut,
        trailers: Option<HeaderMap>,
    }
}

/// A whole request body.
pub(super) struct Collected {
    pub(super) data: Bytes,
    pub(super) trailers: Option<HeaderMap>,
}

/// Why a request body was not collected.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Uncollected {
    /// It is longer than the bound.
    TooLong,
    /// It broke off.
    Broken,
}

impl<B: Body<Data = Bytes>> Collect<B> {
    pub(super) fn new(body: B, most: usize) -> Self {
        Self { body, most, first: None, rest: BytesMut::new(), trailers: None }
    }

    pub(super) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Collected, Uncollected>> {
        let mut this = self.project();
        if this.body.size_hint().lower() > *this.most as u64 {
            return Poll::Ready(Err(Uncollected::TooLong));
        }
        loop {
            let frame = match ready!(this.body.as_mut().poll_frame(cx)) {
                Some(frame) => frame.map_err(|_| Uncollected::Broken)?,
                None => break,
            };
            match frame.into_data() {
                Ok(data) => {
                    let so_far = this.first.as_ref().map_or(0, Bytes::len) + this.rest.len();
                    if data.len() > *this.most - so_far {
                        return Poll::Ready(Err(Uncollected::TooLong));
                    }
                    // Most bodies come in one piece, which is then passed on as it is.
                    match this.first.take() {
                        None if this.rest.is_empty() => *this.first = Some(data),
                        first => {
                            this.rest.extend_from_slice(&first.unwrap_or_default());
                            this.rest.extend_from_slice(&data);
                        }
                    }
                }
                Err(frame) => *this.trailers = frame.into_trailers().ok(),
            }
        }
        let data = this.first.take().unwrap_or_else(|| std::mem::take(this.rest).freeze());
        Poll::Ready(Ok(Collected { data, trailers: this.trailers.take() }))
    }
}

impl Uncollected {
    pub(super) const fn refusal(self, most: usize) -> Refusal<'static> {
        match self {
            Self::TooLong => Refusal::BodyTooLarge { most: most as u64 },
            Self::Broken => Refusal::BadRequest { message: "the body broke off", param: None },
        }
    }
}
