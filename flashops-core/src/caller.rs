//! Who is asking.
//!
//! ```
//! use flashops_core::caller::Caller;
//! use flashops_core::key::Scope;
//!
//! let ann = Caller::new("ann", "acme");
//! assert_eq!(ann.scopes().key(Scope::Org).unwrap().text(), "acme");
//! assert_eq!(ann.scopes().key(Scope::User).unwrap().text(), "4/acme/ann");
//!
//! let stranger = Caller::anonymous("2001:db8::7".parse()?);
//! assert!(stranger.is_anonymous());
//! assert_eq!(stranger.scopes().key(Scope::User).unwrap().text(), "2001:db8::/64");
//! # Ok::<(), std::net::AddrParseError>(())
//! ```
//!
//! A caller is cheap to clone, and its keys are hashed once, when it is made; that of an address when it is first asked
//! for. The key of a user has its organisation in it, so that users of one name in two organisations are two.
//!
//! Edge cases: an anonymous caller has its address as user and as organisation, so that limits on these scopes hold
//! for it too. An IPv6 address counts as its /64, or as a wider network by [`Place`]; an IPv4 address mapped into IPv6
//! as itself. A known caller has no address until one is given with [`Caller::at`]; limits on addresses do not count it
//! before.
//!
//! What this module does not do: authenticate, or read a request.

mod names;
mod table;

use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, OnceLock};

use arrayvec::ArrayString;

pub use table::{CallerTable, KeyError};

use self::names::{Identity, Names};
use crate::key::{Fingerprint, Key, Scope, ScopeSet, Scopes};
use crate::network::V6Prefix;

/// A user of an organisation, or a stranger at an address.
#[derive(Clone)]
pub struct Caller {
    /// Beside the names, so that an account is found without a look at them.
    user: Fingerprint,
    org: Fingerprint,
    names: Names,
    standing: Standing,
    address: Option<Address>,
}

/// What a caller is, besides its names.
#[derive(Clone, Copy)]
enum Standing {
    Known,
    Admin,
    Anonymous,
}

/// Where a caller is. Most callers have an address, and few limits count addresses, so its text waits until it is
/// asked for.
#[derive(Clone)]
struct Address {
    place: Place,
    network: OnceLock<Arc<Network>>,
}

impl Address {
    const fn new(place: Place) -> Self {
        Self { place, network: OnceLock::new() }
    }

    fn network(&self) -> &Network {
        self.network.get_or_init(|| Arc::new(Network::of(self.place)))
    }
}

/// An address, and how much of it counts. An address by itself counts as its /64 where it is one of IPv6.
///
/// ```
/// use flashops_core::caller::{Caller, Place};
/// use flashops_core::network::V6Prefix;
///
/// let ip: std::net::IpAddr = "2001:db8:1:2::7".parse()?;
/// let wide = V6Prefix::new(48).expect("48 is allowed");
/// assert_eq!(Caller::anonymous(ip).user(), "2001:db8:1:2::/64");
/// assert_eq!(Caller::anonymous_at(Place { ip, prefix: wide }).user(), "2001:db8:1::/48");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The address.
    pub ip: IpAddr,
    /// How many bits of it count if it is one of IPv6.
    pub prefix: V6Prefix,
}

impl From<IpAddr> for Place {
    fn from(ip: IpAddr) -> Self {
        Self { ip, prefix: V6Prefix::default() }
    }
}

/// The unit in which addresses are handed out, one IPv4 address or a network of IPv6, with its fingerprint.
struct Network {
    text: ArrayString<{ Self::MAX_TEXT }>,
    fingerprint: Fingerprint,
}

impl Network {
    /// The longest text: an IPv6 address and `/64`.
    const MAX_TEXT: usize = 42;

    fn of(Place { ip, prefix }: Place) -> Self {
        let mut text = ArrayString::new();
        let written = match ip.to_canonical() {
            IpAddr::V4(ip) => write!(text, "{ip}"),
            IpAddr::V6(ip) => write!(text, "{}/{}", Ipv6Addr::from_bits(prefix.mask(ip.to_bits())), prefix.get()),
        };
        written.expect("no address is longer");
        let fingerprint = Key::new(Scope::Ip, &text).fingerprint();
        Self { text, fingerprint }
    }

    fn key(&self) -> Key<'_> {
        Key::with_fingerprint(Scope::Ip, &self.text, self.fingerprint)
    }
}

impl Caller {
    /// A known user of an organisation.
    pub fn new(user: &str, org: &str) -> Self {
        Self::with(Identity::new(user, org), Standing::Known)
    }

    /// A known user who may see everything.
    pub fn admin(user: &str, org: &str) -> Self {
        Self::with(Identity::new(user, org), Standing::Admin)
    }

    /// Somebody without credentials, known by its address only.
    pub fn anonymous(ip: IpAddr) -> Self {
        Self::anonymous_at(ip.into())
    }

    /// The same, where more than a /64 may be one caller.
    pub fn anonymous_at(place: Place) -> Self {
        let address = Address::new(place);
        let identity = Identity::stranger(&address.network().text);
        Self { address: Some(address), ..Self::with(identity, Standing::Anonymous) }
    }

    fn with(identity: Identity, standing: Standing) -> Self {
        let of = |scope| Key::new(scope, identity.key_text(scope)).fingerprint();
        let (user, org) = (of(Scope::User), of(Scope::Org));
        Self { user, org, names: Names::of(identity), standing, address: None }
    }

    /// The same caller, at an address.
    #[must_use]
    pub fn at(self, ip: IpAddr) -> Self {
        self.at_place(ip.into())
    }

    /// The same, where more than a /64 may be one address.
    #[must_use]
    pub fn at_place(mut self, place: Place) -> Self {
        self.address = Some(Address::new(place));
        self
    }

    /// The user; for an anonymous caller its network.
    pub fn user(&self) -> &str {
        self.names.get().user()
    }

    /// The organisation; for an anonymous caller its network.
    pub fn org(&self) -> &str {
        self.names.get().org()
    }

    /// The network, if an address is known: an IPv4 address, or the network of an IPv6 address.
    pub fn ip(&self) -> Option<&str> {
        self.address.as_ref().map(|address| address.network().text.as_str())
    }

    /// Whether an address is known.
    pub const fn has_ip(&self) -> bool {
        self.address.is_some()
    }

    /// Whether it may see everything.
    pub const fn is_admin(&self) -> bool {
        matches!(self.standing, Standing::Admin)
    }

    /// Whether it came without credentials.
    pub const fn is_anonymous(&self) -> bool {
        matches!(self.standing, Standing::Anonymous)
    }

    pub(crate) fn user_key(&self) -> Key<'_> {
        Key::with_text_of(Scope::User, self.user, &self.names)
    }

    pub(crate) fn org_key(&self) -> Key<'_> {
        Key::with_text_of(Scope::Org, self.org, &self.names)
    }

    /// Its keys: user, organisation, and address if known.
    pub fn scopes(&self) -> Scopes<'_> {
        let mut scopes = Scopes::new();
        self.add_scopes(ScopeSet::ALL, &mut scopes);
        scopes
    }

    /// Adds its keys of the scopes that are wanted: what nobody counts is not even looked at.
    #[inline]
    pub fn add_scopes<'a>(&'a self, wanted: ScopeSet, scopes: &mut Scopes<'a>) {
        if wanted.contains(Scope::User) {
            scopes.push(self.user_key());
        }
        if wanted.contains(Scope::Org) {
            scopes.push(self.org_key());
        }
        if let (true, Some(address)) = (wanted.contains(Scope::Ip), &self.address) {
            scopes.push(address.network().key());
        }
    }
}

/// Shows neither user nor address.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("anonymous", &self.is_anonymous()).field("admin", &self.is_admin()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn user_key(caller: &Caller) -> (String, Fingerprint) {
        let scopes = caller.scopes();
        let key = scopes.key(Scope::User).unwrap();
        (key.text().to_owned(), key.fingerprint())
    }

    #[test]
    fn users_of_one_name_in_two_organisations_are_two() {
        let [here, there] = ["acme", "initech"].map(|org| Caller::new("ann", org));
        assert_eq!((here.user(), there.user()), ("ann", "ann"));
        let (here, there) = (user_key(&here), user_key(&there));
        assert_ne!(here.0, there.0, "a store that several processes share hashes the text");
        assert_ne!(here.1, there.1, "the store in memory finds accounts by the fingerprint");
        assert_eq!(here, user_key(&Caller::admin("ann", "acme")), "rights are no other account");
    }

    #[test]
    fn names_of_any_length_are_kept_whole() {
        for (org, user) in [(0, 0), (1, 57), (1, 58), (20, 38), (20, 39), (57, 1), (58, 1), (60, 60), (100, 2_000)] {
            let (org, user) = ("ö".repeat(org / 2) + &"o".repeat(org % 2), "u".repeat(user));
            let caller = Caller::new(&user, &org);
            let text = format!("{}/{org}/{user}", org.len());
            assert_eq!((caller.user(), caller.org()), (&*user, &*org), "{} bytes", text.len());
            let scopes = caller.scopes();
            let keys = [Scope::User, Scope::Org].map(|scope| scopes.key(scope).unwrap());
            assert_eq!(keys.map(|key| key.text().to_owned()), [text.clone(), org.clone()]);
            let hashed = [Key::new(Scope::User, &text), Key::new(Scope::Org, &org)].map(|key| Key::fingerprint(&key));
            assert_eq!(keys.map(Key::fingerprint), hashed, "{} bytes", text.len());

            let mut table = CallerTable::new();
            table.insert("sk", caller.clone()).unwrap();
            let found = table.find(b"sk").unwrap();
            assert_eq!((found.user(), found.org(), user_key(&found).0), (&*user, &*org, text));
        }
    }

    proptest! {
        #[test]
        fn no_two_users_share_a_key_whatever_their_names(names in proptest::collection::vec("[/:0-2a.é]{0,4}", 12)) {
            let mut seen = HashMap::new();
            for (user, org) in names.iter().flat_map(|user| names.iter().map(move |org| (user, org))) {
                let caller = Caller::new(user, org);
                prop_assert_eq!((caller.user(), caller.org()), (&**user, &**org));
                let (text, fingerprint) = user_key(&caller);
                prop_assert_eq!(fingerprint, Key::new(Scope::User, &text).fingerprint());
                prop_assert!(text.strip_suffix("/64").unwrap_or(&text).parse::<IpAddr>().is_err(), "{}", text);
                prop_assert_eq!(*seen.entry(text).or_insert((user, org)), (user, org));
            }
        }
    }

    #[test]
    fn all_addresses_of_one_network_are_one_anonymous_caller() {
        let key = |ip: &str| {
            let caller = Caller::anonymous(ip.parse().unwrap());
            caller.scopes().key(Scope::User).map(Key::fingerprint)
        };
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.7"), key("192.0.2.7"));
    }

    #[test]
    fn a_wider_network_is_one_caller_by_choice_and_another_than_its_parts() {
        let user = |ip: &str, bits: u8| {
            let place = Place { ip: ip.parse().unwrap(), prefix: V6Prefix::new(bits).unwrap() };
            Caller::anonymous_at(place).user().to_owned()
        };
        for (bits, network) in [(64, "2001:db8:aaaa:bbcc::/64"), (56, "2001:db8:aaaa:bb00::/56"), (32, "2001:db8::/32")]
        {
            assert_eq!(user("2001:db8:aaaa:bbcc:1:2:3:4", bits), network);
            assert_eq!(user("192.0.2.7", bits), "192.0.2.7");
            assert_eq!(user("::ffff:192.0.2.7", bits), "192.0.2.7");
        }
    }

    #[test]
    fn every_address_has_a_text() {
        let longest = Caller::anonymous("1234:5678:9abc:def0:ffff:ffff:ffff:ffff".parse().unwrap());
        assert_eq!(longest.ip(), Some("1234:5678:9abc:def0::/64"));
        let v4 = Caller::new("ann", "acme").at("255.255.255.255".parse().unwrap());
        assert_eq!(v4.ip(), Some("255.255.255.255"));
    }

    #[test]
    fn only_the_scopes_that_are_wanted_have_a_key() {
        let ann = Caller::new("ann", "acme").at("192.0.2.7".parse().unwrap());
        let texts = |wanted: &[Scope]| {
            let mut scopes = Scopes::new();
            ann.add_scopes(wanted.iter().copied().collect(), &mut scopes);
            scopes.iter().map(|key| (key.scope(), key.text().to_owned())).collect::<Vec<_>>()
        };
        let of = |scope, text: &str| (scope, text.to_owned());
        assert_eq!(texts(&[Scope::Org, Scope::Global]), [of(Scope::Org, "acme")]);
        assert_eq!(texts(&[Scope::Ip, Scope::User]), [of(Scope::User, "4/acme/ann"), of(Scope::Ip, "192.0.2.7")]);
        assert_eq!(texts(&Scope::ALL).len(), 3);
        assert_eq!(texts(&[]), []);
    }

    #[test]
    fn the_keys_of_a_caller_are_those_of_its_names() {
        let ip = "192.0.2.7".parse().unwrap();
        for caller in [Caller::new("ann", "acme").at(ip), Caller::admin("ann", "acme"), Caller::anonymous(ip)] {
            for key in caller.scopes().iter() {
                assert_eq!(*key, Key::new(key.scope(), key.text()));
            }
        }
    }

    #[test]
    fn a_user_cannot_take_the_name_of_an_address_to_share_its_account() {
        let stranger = Caller::anonymous("192.0.2.7".parse().unwrap());
        let user = Caller::new("ann", "acme").at("192.0.2.7".parse().unwrap());
        assert_eq!(stranger.ip(), user.ip());
        assert_ne!(
            stranger.scopes().key(Scope::User).map(Key::fingerprint),
            user.scopes().key(Scope::User).map(Key::fingerprint)
        );
    }
}
