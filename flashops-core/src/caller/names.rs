//! Where the names of callers are.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrayvec::ArrayString;

use crate::key::{KeyTexts, Scope};

/// A text that needs no memory of its own unless it is long: a caller can be made for each request.
#[derive(Clone, Debug)]
enum Text {
    Short(ArrayString<{ Self::MOST_SHORT }>),
    Long(Box<str>),
}

impl Text {
    /// Room for a UUID and an organisation beside it.
    const MOST_SHORT: usize = 60;

    fn concat(parts: [&str; 4]) -> Self {
        let mut short = ArrayString::new();
        if parts.iter().all(|part| short.try_push_str(part).is_ok()) {
            Self::Short(short)
        } else {
            Self::Long(parts.concat().into())
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Short(text) => text,
            Self::Long(text) => text,
        }
    }
}

/// What a caller is called, in one text: the key of the user.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    key: Text,
    /// Where the user's name begins, which ends the text.
    user: usize,
    org: Range<usize>,
}

impl Identity {
    /// A user of an organisation, whose length tells where it ends, whatever is in it. No address looks like this.
    pub(super) fn new(user: &str, org: &str) -> Self {
        let (mut digits, slash) = (ArrayString::new(), "/");
        write_decimal(&mut digits, org.len());
        digits.push_str(slash);
        let start = digits.len();
        let key = Text::concat([&digits, org, slash, user]);
        Self { key, user: start + org.len() + slash.len(), org: start..start + org.len() }
    }

    /// Somebody who is called the same as user and as organisation.
    pub(super) fn stranger(name: &str) -> Self {
        Self { key: Text::concat([name, "", "", ""]), user: 0, org: 0..name.len() }
    }

    pub(super) fn user(&self) -> &str {
        &self.key.as_str()[self.user..]
    }

    pub(super) fn org(&self) -> &str {
        &self.key.as_str()[self.org.clone()]
    }

    pub(super) fn key_text(&self, scope: Scope) -> &str {
        match scope {
            Scope::Org => self.org(),
            _ => self.key.as_str(),
        }
    }
}

/// Without the machinery of formatting, which costs more than the rest of making a caller.
fn write_decimal(digits: &mut ArrayString<24>, number: usize) {
    if number >= 10 {
        write_decimal(digits, number / 10);
    }
    digits.push(char::from(b'0' + (number % 10) as u8));
}

/// The names of one caller, shared by its clones.
///
/// Those of a table stand together in pages, and it is the page that is counted. So a caller that was not here for a
/// long time is handed out without a look at memory of its own: the count is one of few, and most likely in the cache.
#[derive(Clone, Debug)]
pub(super) struct Names {
    page: Arc<Page>,
    place: u16,
}

#[derive(Debug)]
enum Page {
    One(Identity),
    /// Each place is filled before it is given to a caller.
    Many(Box<[OnceLock<Identity>]>),
}

impl Names {
    /// Names by themselves.
    pub(super) fn of(identity: Identity) -> Self {
        Self { page: Arc::new(Page::One(identity)), place: 0 }
    }

    pub(super) fn get(&self) -> &Identity {
        match &*self.page {
            Page::One(identity) => identity,
            Page::Many(places) => places[usize::from(self.place)].get().expect("the place was filled"),
        }
    }
}

impl KeyTexts for Names {
    fn key_text(&self, scope: Scope) -> &str {
        self.get().key_text(scope)
    }
}

/// The pages of one table.
#[derive(Default)]
pub(super) struct Pages {
    pages: Vec<Arc<Page>>,
    /// The next free place of the last page, and how many it has.
    next: usize,
    size: usize,
}

/// The most callers of one page: few pages, so that their counts stay in the cache, and some, so that threads seldom
/// meet at one.
const MAX_PLACES: usize = 4_096;

impl Pages {
    /// Copies the names; the answer finds them again by [`Pages::get`].
    pub(super) fn keep(&mut self, names: &Names) -> (u32, u16) {
        if self.next == self.size {
            self.size = (2 * self.size).clamp(8, MAX_PLACES);
            self.pages.push(Arc::new(Page::Many((0..self.size).map(|_| OnceLock::new()).collect())));
            self.next = 0;
        }
        let (page, place) = (self.pages.len() - 1, self.next);
        self.next += 1;
        if let Page::Many(places) = &*self.pages[page] {
            places[place].set(names.get().clone()).expect("no place is given twice");
        }
        (u32::try_from(page).expect("memory has room for fewer"), u16::try_from(place).expect("a page is not so large"))
    }

    #[inline]
    pub(super) fn get(&self, page: u32, place: u16) -> Names {
        Names { page: Arc::clone(&self.pages[page as usize]), place }
    }
}

/// Shares the pages that are there, and fills pages of its own.
impl Clone for Pages {
    fn clone(&self) -> Self {
        Self { pages: self.pages.clone(), next: 0, size: 0 }
    }
}
