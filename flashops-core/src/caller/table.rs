//! Which key belongs to whom.

use std::fmt;

use hashbrown::HashTable;
use siphasher::sip128::SipHasher13;

use super::names::Pages;
use super::{Address, Caller, Place, Standing};
use crate::key::Fingerprint;

/// The callers that a service knows, by the API key that they present.
///
/// ```
/// use flashops_core::caller::{Caller, CallerTable};
///
/// let mut callers = CallerTable::new();
/// callers.insert("sk-ann", Caller::new("ann", "acme"))?;
/// assert_eq!(callers.find(b"sk-ann").as_ref().map(Caller::user), Some("ann"));
/// assert!(callers.find(b"sk-bob").is_none());
/// # Ok::<(), flashops_core::caller::KeyError>(())
/// ```
///
/// No key is kept. Of each there are 128 bits of SipHash, seeded at random for each table, and a presented key is
/// found by these bits alone: how long that takes says nothing about the keys, and nobody can prepare a text that
/// passes for one. Two texts are taken for the same key with probability 2⁻¹²⁸.
#[derive(Clone)]
pub struct CallerTable {
    hasher: SipHasher13,
    known: HashTable<Known>,
    pages: Pages,
}

/// A key that is known, and whose it is: one cache line, with all that is needed to find the caller's accounts.
#[derive(Clone)]
#[repr(align(64))]
struct Known {
    print: u128,
    user: Fingerprint,
    org: Fingerprint,
    /// The caller's own address, which few in a table have.
    address: Option<Box<Place>>,
    page: u32,
    place: u16,
    standing: Standing,
}

const _: () = assert!(size_of::<Known>() == 64);

impl CallerTable {
    /// The longest key, in bytes.
    pub const MAX_KEY: usize = 512;

    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key. One caller can have several.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] unless it has 1 to [`CallerTable::MAX_KEY`] bytes without white space and control
    /// characters, and [`KeyError::Taken`] if it is here already, with this caller or another.
    pub fn insert(&mut self, key: &str, caller: Caller) -> Result<(), KeyError> {
        let unfit = |c: char| c.is_whitespace() || c.is_control();
        if key.is_empty() || key.len() > Self::MAX_KEY || key.contains(unfit) {
            return Err(KeyError::Malformed);
        }
        let print = self.print(key.as_bytes());
        if self.known(print).is_some() {
            return Err(KeyError::Taken);
        }
        let (page, place) = self.pages.keep(&caller.names);
        let Caller { user, org, standing, address, .. } = caller;
        let address = address.map(|address| Box::new(address.place));
        let known = Known { print, user, org, address, page, place, standing };
        self.known.insert_unique(hash(print), known, |known| hash(known.print));
        Ok(())
    }

    /// The caller with this key. One longer than [`CallerTable::MAX_KEY`] is unknown without a look.
    pub fn find(&self, key: &[u8]) -> Option<Caller> {
        if key.len() > Self::MAX_KEY || self.known.is_empty() {
            return None;
        }
        self.known(self.print(key)).map(|known| self.caller(known))
    }

    /// The caller of each key, in no particular order: one with several keys stands there several times.
    pub fn callers(&self) -> impl Iterator<Item = Caller> {
        self.known.iter().map(|known| self.caller(known))
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is no key, so that every caller is anonymous.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    #[inline]
    fn caller(&self, known: &Known) -> Caller {
        let Known { user, org, page, place, standing, .. } = *known;
        let address = known.address.as_deref().map(|place| Address::new(*place));
        Caller { user, org, names: self.pages.get(page, place), standing, address }
    }

    #[inline]
    fn known(&self, print: u128) -> Option<&Known> {
        self.known.find(hash(print), |known| known.print == print)
    }

    #[inline]
    fn print(&self, key: &[u8]) -> u128 {
        self.hasher.hash(key).into()
    }
}

/// The bits are those of a keyed hash already.
#[inline]
const fn hash(print: u128) -> u64 {
    print as u64
}

impl Default for CallerTable {
    fn default() -> Self {
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).expect("the operating system gives random bytes");
        Self { hasher: SipHasher13::new_with_key(&seed), known: HashTable::new(), pages: Pages::default() }
    }
}

/// Shows how many keys there are, and none of them.
impl fmt::Debug for CallerTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerTable").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Why a key was not added. It does not contain the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// It is empty, too long, or has white space or control characters.
    Malformed,
    /// The same key was added before.
    Taken,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => {
                let most = CallerTable::MAX_KEY;
                write!(f, "a key has 1 to {most} bytes, and no white space or control characters")
            }
            Self::Taken => f.write_str("another caller has the same key"),
        }
    }
}

impl std::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(keys: &[&str]) -> CallerTable {
        let mut table = CallerTable::new();
        for key in keys {
            table.insert(key, Caller::new(&format!("user of {key}"), "acme")).unwrap();
        }
        table
    }

    #[test]
    fn a_key_finds_its_own_caller_and_no_other_text_finds_one() {
        let keys: Vec<String> = (0..1_000).map(|i| format!("sk-{i}")).collect();
        let table = table(&keys.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(table.len(), 1_000);
        for key in &keys {
            let caller = table.find(key.as_bytes());
            assert_eq!(caller.as_ref().map(Caller::user), Some(format!("user of {key}").as_str()));
        }
        for other in ["", "sk-", "sk-1000", "SK-1", " sk-1", "sk-1 ", "sk-1\0", "sk-01"] {
            assert!(table.find(other.as_bytes()).is_none(), "{other}");
        }
        assert!(table.find(b"sk-1\xff").is_none());
    }

    #[test]
    fn a_key_that_no_request_can_present_is_refused() {
        let mut table = CallerTable::new();
        let long = "k".repeat(CallerTable::MAX_KEY + 1);
        for key in ["", " ", "a b", "a\n", "\u{7f}", "a\u{a0}b", &long] {
            assert_eq!(table.insert(key, Caller::new("ann", "acme")), Err(KeyError::Malformed), "{key:?}");
        }
        assert!(table.is_empty());
        table.insert(&long[1..], Caller::new("ann", "acme")).unwrap();
        assert!(table.find(&long.as_bytes()[1..]).is_some());
        assert!(table.find(long.as_bytes()).is_none());
    }

    #[test]
    fn a_taken_key_stays_with_its_first_caller() {
        let mut table = table(&["sk-1"]);
        assert_eq!(table.insert("sk-1", Caller::new("mallory", "acme")), Err(KeyError::Taken));
        assert_eq!(table.find(b"sk-1").as_ref().map(Caller::user), Some("user of sk-1"));
    }

    #[test]
    fn every_bit_of_a_fingerprint_depends_on_the_key() {
        let table = CallerTable::new();
        let prints: Vec<u128> = (0..200_u8).map(|key| table.print(&[key])).collect();
        assert_eq!(prints.iter().fold(0, |bits, print| bits | print), u128::MAX);
        assert_eq!(prints.iter().fold(u128::MAX, |bits, print| bits & print), 0);
        assert!(prints.iter().any(|print| print >> 64 != print & u128::from(u64::MAX)));
    }

    #[test]
    fn a_caller_is_found_as_it_was_added() {
        let ip = "192.0.2.7".parse().unwrap();
        let callers = [
            Caller::new("ann", "acme"),
            Caller::admin("root", "acme"),
            Caller::anonymous(ip),
            Caller::new("bob", "acme").at(ip),
        ];
        let mut table = CallerTable::new();
        for (key, caller) in ["a", "b", "c", "d"].into_iter().zip(&callers) {
            table.insert(key, caller.clone()).unwrap();
        }
        let all = |caller: &Caller| {
            let names = [caller.user(), caller.org(), caller.ip().unwrap_or_default()].map(str::to_owned);
            (names, caller.is_admin(), caller.is_anonymous())
        };
        for (key, caller) in ["a", "b", "c", "d"].into_iter().zip(&callers) {
            let found = table.find(key.as_bytes()).unwrap();
            assert_eq!(all(&found), all(caller));
            assert!(found.scopes().iter().eq(caller.scopes().iter()));
        }
    }

    #[test]
    fn what_is_added_to_a_copy_is_not_in_the_table() {
        let mut first = table(&["sk-1"]);
        let mut second = first.clone();
        first.insert("sk-2", Caller::new("ann", "acme")).unwrap();
        second.insert("sk-2", Caller::new("bob", "acme")).unwrap();
        let user = |table: &CallerTable, key: &str| table.find(key.as_bytes()).map(|caller| caller.user().to_owned());
        for (table, name) in [(&first, "ann"), (&second, "bob")] {
            assert_eq!(user(table, "sk-1").as_deref(), Some("user of sk-1"));
            assert_eq!(user(table, "sk-2").as_deref(), Some(name));
        }
    }

    #[test]
    fn no_output_shows_a_key() {
        let table = table(&["sk-secret"]);
        assert!(!format!("{table:?} {:?} {}", KeyError::Taken, KeyError::Taken).contains("secret"));
    }
}
