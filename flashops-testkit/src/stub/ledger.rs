//! What the stub really produced, request by request.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::ask::Format;

/// The ledger keeps the newest so many requests; [`Sums`] go on counting.
pub const MAX_PRODUCED: usize = 100_000;
/// Bytes that are kept of a caller's tag.
pub const MAX_TAG: usize = 128;

/// What the stub produced for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Produced {
    /// The path that was asked.
    pub path: String,
    /// The model that was asked for; empty where the request could not be read.
    pub model: String,
    /// Who asked: the header `x-stub-tag`, else the body's `user`, else its `metadata.user_id`.
    pub tag: Option<String>,
    /// The status of the answer.
    pub status: u16,
    /// Words of the prompt; 0 where the answer was an error.
    pub prompt_tokens: u64,
    /// Words of the answer that were handed to the connection. Of those, the last few may not have reached a client
    /// that left; a stream with `[pace MS]` sends each before it makes the next.
    pub completion_tokens: u64,
    /// Words that a whole answer has.
    pub full_completion_tokens: u64,
    /// The answer is still being sent.
    pub running: bool,
    /// The answer ended before its end, by a directive or because the client left.
    pub cut: bool,
}

/// Sums over all answers with a status below 400 since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Answers, those still running included.
    pub answers: u64,
    /// Words of their prompts.
    pub prompt_tokens: u64,
    /// Words of the answers that were handed to connections so far.
    pub completion_tokens: u64,
    /// Answers that ended before their end.
    pub cut: u64,
}

/// How many requests came, by what they asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// `/v1/chat/completions`.
    pub chat_completions: u64,
    /// `/v1/responses`.
    pub responses: u64,
    /// `/v1/embeddings`.
    pub embeddings: u64,
    /// `/v1/messages`.
    pub messages: u64,
    /// Any other path.
    pub other: u64,
    /// Of all these, the ones that were answered with an error.
    pub errors: u64,
    /// The most that were being answered at the same time.
    pub most_at_once: u64,
}

impl Requests {
    /// All requests.
    pub const fn total(&self) -> u64 {
        self.chat_completions + self.responses + self.embeddings + self.messages + self.other
    }
}

/// The ledger of one provider.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    books: Mutex<Books>,
    /// Words of all answers; apart from the books, because every word adds to it.
    words: AtomicU64,
    idle: Notify,
}

#[derive(Debug, Default)]
struct Books {
    requests: Requests,
    sums: Sums,
    produced: VecDeque<(Produced, Arc<Progress>)>,
    running: u64,
}

#[derive(Debug, Default)]
struct Progress {
    words: AtomicU64,
    state: AtomicU8,
}

const RUNNING: u8 = 0;
const WHOLE: u8 = 1;
const CUT: u8 = 2;

impl Ledger {
    /// Opens the entry of a request; it closes when the entry is dropped.
    pub(super) fn open(self: &Arc<Self>, produced: Produced) -> Entry {
        let progress = Arc::new(Progress::default());
        self.books.lock().open(produced, Arc::clone(&progress));
        Entry { ledger: Arc::clone(self), progress }
    }

    pub(super) fn requests(&self) -> Requests {
        self.books.lock().requests
    }

    pub(super) fn sums(&self) -> Sums {
        let sums = self.books.lock().sums;
        Sums { completion_tokens: self.words.load(Ordering::Acquire), ..sums }
    }

    pub(super) fn produced(&self) -> Vec<Produced> {
        self.books.lock().produced.iter().map(|(produced, progress)| progress.fill_in(produced)).collect()
    }

    /// Waits until no answer is being sent.
    pub(super) async fn idle(&self) {
        loop {
            let changed = self.idle.notified();
            if self.books.lock().running == 0 {
                return;
            }
            changed.await;
        }
    }
}

impl Books {
    fn open(&mut self, produced: Produced, progress: Arc<Progress>) {
        let requests = &mut self.requests;
        let count = match Format::of_path(&produced.path) {
            Some(Format::Chat) => &mut requests.chat_completions,
            Some(Format::Embeddings) => &mut requests.embeddings,
            Some(Format::Messages) => &mut requests.messages,
            Some(Format::Responses) => &mut requests.responses,
            None => &mut requests.other,
        };
        *count += 1;
        self.running += 1;
        requests.most_at_once = requests.most_at_once.max(self.running);
        if produced.status < 400 {
            self.sums.answers += 1;
            self.sums.prompt_tokens += produced.prompt_tokens;
        } else {
            requests.errors += 1;
        }
        if self.produced.len() == MAX_PRODUCED {
            self.produced.pop_front();
        }
        self.produced.push_back((produced, progress));
    }
}

impl Progress {
    fn fill_in(&self, produced: &Produced) -> Produced {
        let state = self.state.load(Ordering::Acquire);
        Produced {
            completion_tokens: self.words.load(Ordering::Acquire),
            running: state == RUNNING,
            cut: state == CUT,
            ..produced.clone()
        }
    }
}

/// The open entry of one request. Dropped before [`Entry::whole`], it closes as cut.
#[derive(Debug)]
pub(super) struct Entry {
    ledger: Arc<Ledger>,
    progress: Arc<Progress>,
}

impl Entry {
    /// So many more words go to the connection.
    pub(super) fn wrote(&self, words: u64) {
        self.progress.words.fetch_add(words, Ordering::AcqRel);
        self.ledger.words.fetch_add(words, Ordering::AcqRel);
    }

    /// The end of the answer goes to the connection.
    pub(super) fn whole(self) {
        self.progress.state.store(WHOLE, Ordering::Release);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let cut = self.progress.state.compare_exchange(RUNNING, CUT, Ordering::AcqRel, Ordering::Acquire).is_ok();
        let mut books = self.ledger.books.lock();
        books.sums.cut += u64::from(cut);
        books.running -= 1;
        if books.running == 0 {
            self.ledger.idle.notify_waiters();
        }
    }
}

/// A tag within [`MAX_TAG`] bytes.
pub(super) fn shortened(tag: &str) -> String {
    let mut end = tag.len().min(MAX_TAG);
    while !tag.is_char_boundary(end) {
        end -= 1;
    }
    tag[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn produced(tag: &str) -> Produced {
        Produced {
            path: "/v1/messages".to_owned(),
            model: "m".to_owned(),
            tag: Some(tag.to_owned()),
            status: 200,
            prompt_tokens: 3,
            completion_tokens: 0,
            full_completion_tokens: 5,
            running: true,
            cut: false,
        }
    }

    #[test]
    fn the_newest_entries_are_kept_and_the_sums_are_over_all() {
        let ledger = Arc::new(Ledger::default());
        for n in 0..=MAX_PRODUCED {
            let entry = ledger.open(produced(&n.to_string()));
            entry.wrote(2);
            entry.whole();
        }
        let kept = ledger.produced();
        assert_eq!(kept.len(), MAX_PRODUCED);
        assert_eq!(kept[0].tag.as_deref(), Some("1"));
        let answers = MAX_PRODUCED as u64 + 1;
        let sums = Sums { answers, prompt_tokens: 3 * answers, completion_tokens: 2 * answers, cut: 0 };
        assert_eq!(ledger.sums(), sums);
        assert_eq!(ledger.requests().messages, answers);
        assert_eq!(ledger.requests().most_at_once, 1);
    }

    #[test]
    fn an_entry_that_is_dropped_before_its_end_is_cut() {
        let ledger = Arc::new(Ledger::default());
        let entry = ledger.open(produced("a"));
        entry.wrote(2);
        assert!(ledger.produced()[0].running);
        drop(entry);
        let seen = &ledger.produced()[0];
        assert_eq!((seen.running, seen.cut, seen.completion_tokens), (false, true, 2));
        assert_eq!(ledger.sums().cut, 1);
    }

    #[test]
    fn a_long_tag_is_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        assert_eq!(shortened(&"\u{e9}".repeat(100)), "\u{e9}".repeat(64));
        assert_eq!(shortened(&format!("a{}", "\u{e9}".repeat(100))).len(), 127);
    }
}
