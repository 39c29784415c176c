use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;

use crate::inspect::DEFAULT_LIMIT;

/// A request body as it passed, for another attempt. Its frames are shared with whoever read them, not copied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recording {
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    frames: Vec<Bytes>,
    size: usize,
    trailers: Option<HeaderMap>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Whole,
    /// It broke off, or is longer than [`DEFAULT_LIMIT`].
    Lost,
}

impl Recording {
    /// Notes what a body gave, and whether that was its end.
    pub(crate) fn note<E>(&self, frame: Option<&Result<Frame<Bytes>, E>>, ended: bool) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match frame {
            None => taken.end(),
            Some(Err(_)) => taken.lose(),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    taken.add(data);
                }
                taken.trailers = frame.trailers_ref().cloned().or_else(|| taken.trailers.take());
                if ended {
                    taken.end();
                }
            }
        }
    }

    /// The whole body, if all of it has passed.
    pub(super) fn whole(&self) -> Option<(Bytes, Option<HeaderMap>)> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        (taken.state == State::Whole).then(|| (taken.joined(), taken.trailers.take()))
    }
}

impl Taken {
    fn add(&mut self, data: &Bytes) {
        self.size = self.size.saturating_add(data.len());
        if self.size > DEFAULT_LIMIT {
            self.lose();
        } else if self.state == State::Open {
            self.frames.push(data.clone());
        }
    }

    fn end(&mut self) {
        if self.state == State::Open {
            self.state = State::Whole;
        }
    }

    fn lose(&mut self) {
        (self.state, self.frames) = (State::Lost, Vec::new());
    }

    fn joined(&mut self) -> Bytes {
        let frames = std::mem::take(&mut self.frames);
        match <[Bytes; 1]>::try_from(frames) {
            Ok([only]) => only,
            Err(frames) => {
                let mut joined = BytesMut::with_capacity(self.size);
                frames.iter().for_each(|frame| joined.extend_from_slice(frame));
                joined.freeze()
            }
        }
    }
}
