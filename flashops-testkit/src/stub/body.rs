//! The body of an answer, which stops, waits and breaks as the prompt asked.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::ask::{self, Ask};
use super::connection::Flushes;
use super::ledger::Entry;
use super::prompt::{How, Stop};
use super::wire::{self, Stream};

/// The connection breaks here, because the prompt said `[cut N]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the prompt asked the stub to cut the connection here")
    }
}

impl std::error::Error for Broken {}

/// The body of an answer of the stub.
///
/// Polled outside a tokio runtime it panics if the prompt has `[pace MS]`; everything else needs no runtime. With
/// `[hang N]` it stays pending for ever, with `[cut N]` it ends with [`Broken`].
#[derive(Debug)]
pub struct StubBody {
    stage: Stage,
    /// What to do at the end of the words, if not to close.
    stop: Option<How>,
    /// Bytes of an answer that is not streamed which its length announces and nobody gets.
    withheld: u64,
    /// Before the answer, for one that is not streamed; before each word of a stream.
    wait: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    flushes: Option<Flushes>,
    flushed_before: Option<u64>,
    entry: Option<Entry>,
}

#[derive(Debug)]
enum Stage {
    /// All bytes at once, with the number of words in them.
    Whole(Bytes, u64),
    /// The events before the words.
    Opening(Words),
    /// The words that are left.
    Words(Words),
    /// Stopped before the end.
    Stopped(How),
    Ended,
}

#[derive(Debug)]
struct Words {
    stream: Box<dyn Stream>,
    next: u64,
    end: u64,
}

impl StubBody {
    /// Bytes that are an error, and no words.
    pub(super) fn error(bytes: Bytes) -> Self {
        Self::new(Stage::Whole(bytes, 0), None, Duration::ZERO)
    }

    /// An answer that is not streamed. `text` is what each choice says.
    pub(super) fn whole(json: String, text: &str, ask: &Ask) -> Self {
        let pace = Duration::from_millis(ask.prompt.pace_ms);
        let all = ask.all_words();
        let Some(stop) = ask.prompt.stop.filter(|stop| stop.after <= all) else {
            return Self::new(Stage::Whole(json.into(), all), None, times(pace, all));
        };
        let end = end_of_word(&json, text, ask, stop);
        let withheld = (json.len() - end) as u64;
        let part = Bytes::from(json).slice(..end);
        let stage = Stage::Whole(part, stop.after);
        Self { withheld, ..Self::new(stage, Some(stop.how), times(pace, stop.after)) }
    }

    /// An answer as events.
    pub(super) fn stream(ask: Ask) -> Self {
        let pace = Duration::from_millis(ask.prompt.pace_ms);
        let stop = ask.prompt.stop.filter(|stop| stop.after <= ask.all_words());
        let end = stop.map_or(ask.all_words(), |stop| stop.after);
        let words = Words { stream: wire::stream(ask), next: 0, end };
        Self::new(Stage::Opening(words), stop.map(|stop| stop.how), pace)
    }

    fn new(stage: Stage, stop: Option<How>, wait: Duration) -> Self {
        Self { stage, stop, withheld: 0, wait, sleep: None, flushes: None, flushed_before: None, entry: None }
    }

    /// Counts in a ledger what is produced, and breaks only after what was sent has left.
    pub(super) fn on_connection(mut self, entry: Entry, flushes: Flushes) -> Self {
        self.entry = Some(entry);
        self.flushes = Some(flushes);
        self
    }

    /// How long the head of an answer that is not streamed is to wait; the body then does not.
    pub(super) fn take_head_wait(&mut self) -> Duration {
        match self.stage {
            Stage::Whole(..) => std::mem::take(&mut self.wait),
            _ => Duration::ZERO,
        }
    }

    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.wait.is_zero() {
            return Poll::Ready(());
        }
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.wait)));
        ready!(sleep.as_mut().poll(context));
        self.sleep = None;
        Poll::Ready(())
    }

    fn poll_stopped(&mut self, how: How, context: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if how == How::Hang {
            return Poll::Pending;
        }
        if let Some(flushes) = &self.flushes {
            ready!(flushes.poll_next(&mut self.flushed_before, context));
        }
        self.stage = Stage::Ended;
        Poll::Ready(Some(Err(Broken)))
    }

    /// After the last word of an answer that is not streamed: the end, or what the prompt asked for.
    fn after_words(&mut self, words: u64) {
        if let Some(entry) = &self.entry {
            entry.wrote(words);
        }
        match self.stop {
            Some(how) => self.stage = Stage::Stopped(how),
            None => self.close(),
        }
    }

    fn close(&mut self) {
        self.stage = Stage::Ended;
        if let Some(entry) = self.entry.take() {
            entry.whole();
        }
    }

    fn poll_words(&mut self, mut words: Words, context: &mut Context<'_>) -> Poll<Frame<Bytes>> {
        if words.next == words.end {
            let closing = words.stream.closing();
            self.close();
            return Poll::Ready(frame(closing));
        }
        if self.poll_wait(context).is_pending() {
            self.stage = Stage::Words(words);
            return Poll::Pending;
        }
        let event = words.stream.word(words.next);
        words.next += 1;
        if let Some(entry) = &self.entry {
            entry.wrote(1);
        }
        self.stage = self.next_stage(words);
        Poll::Ready(frame(event))
    }

    fn next_stage(&self, words: Words) -> Stage {
        match self.stop {
            Some(how) if words.next == words.end => Stage::Stopped(how),
            _ => Stage::Words(words),
        }
    }
}

impl Body for StubBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        match std::mem::replace(&mut this.stage, Stage::Ended) {
            Stage::Whole(bytes, words) => {
                if this.poll_wait(context).is_pending() {
                    this.stage = Stage::Whole(bytes, words);
                    return Poll::Pending;
                }
                this.after_words(words);
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Stage::Opening(words) => {
                let opening = words.stream.opening();
                this.stage = this.next_stage(words);
                Poll::Ready(Some(Ok(frame(opening))))
            }
            Stage::Words(words) => this.poll_words(words, context).map(|frame| Some(Ok(frame))),
            Stage::Stopped(how) => {
                this.stage = Stage::Stopped(how);
                this.poll_stopped(how, context)
            }
            Stage::Ended => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.stage {
            Stage::Whole(bytes, _) => SizeHint::with_exact(bytes.len() as u64 + self.withheld),
            Stage::Ended => SizeHint::with_exact(0),
            Stage::Opening(_) | Stage::Words(_) | Stage::Stopped(_) => SizeHint::default(),
        }
    }
}

fn frame(text: String) -> Frame<Bytes> {
    Frame::data(text.into())
}

fn times(pace: Duration, words: u64) -> Duration {
    pace.saturating_mul(u32::try_from(words).unwrap_or(u32::MAX))
}

/// Where in an answer the words before the stop end; the choices follow each other, all with the same text.
fn end_of_word(json: &str, text: &str, ask: &Ask, stop: Stop) -> usize {
    let choice = stop.after.checked_div(ask.words).unwrap_or(0).min(ask.choices - 1);
    let words = ask::text(stop.after - choice * ask.words);
    let quoted = format!("\"{text}\"");
    let start = json.match_indices(&quoted).nth(usize::try_from(choice).unwrap_or(usize::MAX));
    // An embedding has no text; half of it is as good a place.
    start.map_or(json.len() / 2, |(start, _)| start + 1 + words.len())
}
