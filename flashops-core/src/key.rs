//! Who or what is counted: scopes, and the keys that name their instances.
//!
//! ```
//! use flashops_core::key::{Key, Scope};
//!
//! let ann = Key::new(Scope::User, "ann");
//! assert_eq!(ann.text(), "ann");
//! assert_ne!(ann.fingerprint(), Key::new(Scope::Org, "ann").fingerprint());
//! ```
//!
//! A key borrows its text and carries a 128-bit fingerprint of scope and text, computed once. Stores in this process
//! find accounts by the fingerprint alone, so an account needs no copy of the text, and an API key that a caller sent
//! is not kept anywhere.
//!
//! Edge cases: the fingerprint is seeded at random when the process starts, so that nobody can prepare colliding
//! keys, and two texts share one with probability 2⁻¹²⁸. It must never leave the process: a store that
//! several processes share hashes [`Key::text`] itself. Any text is a key, the empty one too; whoever builds keys from
//! foreign input bounds its length.
//!
//! What this module does not do: decide which key a request has. That is the work of the layers.

use std::fmt;
use std::hash::Hasher;
use std::sync::OnceLock;

use arrayvec::ArrayVec;
use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

/// One kind of thing that a limit counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// An authenticated user of one organisation; for an anonymous caller, its IP address.
    User,
    /// An organisation, also called tenant; for an anonymous caller, its IP address.
    Org,
    /// A client address.
    Ip,
    /// A route of the service.
    Route,
    /// A model.
    Model,
    /// A provider of models.
    Provider,
    /// Everything together.
    Global,
}

impl Scope {
    /// How many scopes there are, and the most keys that one request has.
    pub const COUNT: usize = 7;

    /// Every scope, from the narrowest to the widest.
    pub const ALL: [Self; Self::COUNT] =
        [Self::User, Self::Org, Self::Ip, Self::Route, Self::Model, Self::Provider, Self::Global];

    /// The word for it in configuration, metrics and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Org => "org",
            Self::Ip => "ip",
            Self::Route => "route",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Global => "global",
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The hash of a scope and a text, seeded for this process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub(crate) u64, pub(crate) u64);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(..)")
    }
}

/// Somebody who keeps texts of keys where it takes a while to get them.
pub(crate) trait KeyTexts: Sync {
    /// The text of the key in this scope.
    fn key_text(&self, scope: Scope) -> &str;
}

/// Where the text of a key is.
#[derive(Clone, Copy)]
enum Text<'a> {
    Here(&'a str),
    With(&'a dyn KeyTexts),
}

/// One instance of a scope: this user, that model.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    scope: Scope,
    fingerprint: Fingerprint,
    text: Text<'a>,
}

impl<'a> Key<'a> {
    /// The one key of [`Scope::Global`].
    pub fn global() -> Key<'static> {
        static GLOBAL: OnceLock<Key<'static>> = OnceLock::new();
        *GLOBAL.get_or_init(|| Key::new(Scope::Global, ""))
    }

    /// The key of this text in this scope.
    pub fn new(scope: Scope, text: &'a str) -> Self {
        Self::with_fingerprint(scope, text, fingerprint(scope, text.as_bytes()))
    }

    /// A key whose fingerprint was computed before.
    pub const fn with_fingerprint(scope: Scope, text: &'a str, fingerprint: Fingerprint) -> Self {
        Self { scope, fingerprint, text: Text::Here(text) }
    }

    /// The same, with a text that is fetched when somebody asks for it.
    pub(crate) const fn with_text_of(scope: Scope, fingerprint: Fingerprint, texts: &'a dyn KeyTexts) -> Self {
        Self { scope, fingerprint, text: Text::With(texts) }
    }

    /// The scope.
    pub const fn scope(&self) -> Scope {
        self.scope
    }

    /// The fingerprint.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The text.
    pub fn text(&self) -> &'a str {
        match self.text {
            Text::Here(text) => text,
            Text::With(texts) => texts.key_text(self.scope),
        }
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.scope, self.fingerprint) == (other.scope, other.fingerprint) && self.text() == other.text()
    }
}

impl Eq for Key<'_> {}

/// Shows the scope only: the text can be an API key.
impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}:..)", self.scope)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScopeSet(u8);

impl ScopeSet {
    /// Every scope.
    pub const ALL: Self = Self((1 << Scope::COUNT) - 1);

    /// Whether the scope is in the set.
    #[inline]
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 >> scope.index() & 1 == 1
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | 1 << scope.index()))
    }
}

/// The keys of one request: at most one for each scope, in the order of [`Scope::ALL`].
#[derive(Clone, Debug, Default)]
pub struct Scopes<'a> {
    keys: ArrayVec<Key<'a>, { Scope::COUNT }>,
}

impl<'a> Scopes<'a> {
    /// No key.
    pub const fn new() -> Self {
        Self { keys: ArrayVec::new_const() }
    }

    /// Adds a key; it replaces one of the same scope.
    #[must_use]
    #[inline]
    pub fn with(mut self, key: Key<'a>) -> Self {
        self.push(key);
        self
    }

    /// Adds a key in place; it replaces one of the same scope.
    #[inline]
    pub fn push(&mut self, key: Key<'a>) {
        match self.keys.last() {
            Some(last) if last.scope >= key.scope => self.insert(key),
            _ => self.keys.push(key),
        }
    }

    fn insert(&mut self, key: Key<'a>) {
        let place = self.keys.iter().position(|other| other.scope >= key.scope).unwrap_or(self.keys.len());
        match self.keys.get_mut(place) {
            Some(other) if other.scope == key.scope => *other = key,
            _ => self.keys.insert(place, key),
        }
    }

    /// The key of a scope.
    pub fn key(&self, scope: Scope) -> Option<&Key<'a>> {
        self.keys.iter().find(|key| key.scope == scope)
    }

    /// The keys, from the narrowest scope to the widest.
    pub fn iter(&self) -> std::slice::Iter<'_, Key<'a>> {
        self.keys.iter()
    }
}

/// The seeds of the two halves of a fingerprint.
struct Seeds([(u64, SharedSeed); 2]);

impl Seeds {
    fn random() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        let word = |i: usize| u64::from_le_bytes(std::array::from_fn(|k| bytes[i * 8 + k]));
        Self([(word(0), SharedSeed::from_u64(word(1))), (word(2), SharedSeed::from_u64(word(3)))])
    }
}

#[inline]
fn fingerprint(scope: Scope, text: &[u8]) -> Fingerprint {
    static SEEDS: OnceLock<Seeds> = OnceLock::new();
    let Seeds(halves) = SEEDS.get_or_init(Seeds::random);
    let kind = (scope as u64 ^ (text.len() as u64) << 8).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let [mut first, mut second] = halves.each_ref().map(|(own, shared)| FoldHasher::with_seed(*own ^ kind, shared));
    // Sixteen bytes at a time into both hashers, the last sixteen overlapping: faster than two passes, and the length
    // in the seed tells what overlaps.
    let mut both = |bytes: &[u8; 16]| {
        let word = u128::from_le_bytes(*bytes);
        first.write_u128(word);
        second.write_u128(word);
    };
    let (words, rest) = text.as_chunks();
    match text.last_chunk() {
        Some(last) => {
            words.iter().for_each(&mut both);
            if !rest.is_empty() {
                both(last);
            }
        }
        None => {
            first.write(text);
            second.write(text);
        }
    }
    Fingerprint(first.finish(), second.finish())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_of_different_text_or_scope_differ() {
        let texts: Vec<String> = (0..1_000).map(|i| i.to_string()).collect();
        let keys: HashSet<Fingerprint> = Scope::ALL
            .into_iter()
            .flat_map(|scope| texts.iter().map(move |text| Key::new(scope, text).fingerprint()))
            .collect();
        assert_eq!(keys.len(), 7_000);
    }

    #[test]
    fn keys_that_differ_in_one_byte_or_in_length_differ() {
        let zeros = [b'0'; 80];
        let mut seen = HashSet::new();
        for length in 0..=zeros.len() {
            let text = &zeros[..length];
            assert!(seen.insert(fingerprint(Scope::User, text)), "{length} zeros");
            for place in 0..length {
                let mut other = text.to_vec();
                other[place] = b'1';
                assert!(seen.insert(fingerprint(Scope::User, &other)), "byte {place} of {length}");
            }
        }
        let halves: [HashSet<u64>; 2] =
            [seen.iter().map(|key| key.0).collect(), seen.iter().map(|key| key.1).collect()];
        assert_eq!(halves.map(|half| half.len()), [seen.len(); 2], "each half tells them apart");
    }

    #[test]
    fn debug_output_does_not_show_the_text() {
        let key = Key::new(Scope::User, "sk-secret");
        assert!(!format!("{key:?} {:?}", key.fingerprint()).contains("secret"));
    }
}
