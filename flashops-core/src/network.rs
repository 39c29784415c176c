//! Networks: lists of addresses, and what one address of IPv6 stands for.
//!
//! ```
//! use flashops_core::network::Networks;
//!
//! let proxies: Networks = "loopback, 10.0.0.0/8, 2001:db8::/32".parse()?;
//! assert!(proxies.contains("10.1.2.3".parse()?));
//! assert!(proxies.contains("::ffff:10.1.2.3".parse()?), "an IPv4 address mapped into IPv6 is itself");
//! assert!(!proxies.contains("192.0.2.7".parse()?));
//!
//! let error = "10.0.0.0/33".parse::<Networks>().unwrap_err();
//! assert_eq!(error.to_string(), "\"10.0.0.0/33\" is no address and no network such as 10.0.0.0/8");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | word | networks |
//! | --- | --- |
//! | `loopback` | 127.0.0.0/8, ::1 |
//! | `link-local` | 169.254.0.0/16, fe80::/10 |
//! | `private` | 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7 |
//!
//! Edge cases: bits behind the prefix are ignored, so 10.1.2.3/8 is 10.0.0.0/8. Networks of mapped addresses are those
//! of IPv4. An empty list contains nothing.
//!
//! What this module does not do: look up names, or find networks in more than a list. Hundreds of them are fine.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};

/// A list of networks, cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Arc<[IpNet]>);

/// Names for networks that are often meant.
const WORDS: [(&str, &[&str]); 3] = [
    ("loopback", &["127.0.0.0/8", "::1/128"]),
    ("link-local", &["169.254.0.0/16", "fe80::/10"]),
    ("private", &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]),
];

/// How much is left of the mapped addresses of IPv4: `::ffff:0:0/96`.
const MAPPED_PREFIX: u8 = 96;

impl Networks {
    /// The most networks of one list.
    pub const MAX: usize = 1_024;

    /// A list of addresses, networks and the words of the [module](self).
    ///
    /// # Errors
    ///
    /// [`NetworkError`] for the first that is none of them, and beyond [`Networks::MAX`].
    pub fn new<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, NetworkError> {
        let mut networks = Vec::new();
        for text in texts {
            let text = text.as_ref().trim();
            match WORDS.iter().find(|(word, _)| *word == text) {
                Some((_, meant)) => networks.extend(meant.iter().filter_map(|network| read(network))),
                None => networks.push(read(text).ok_or_else(|| NetworkError::malformed(text))?),
            }
            if networks.len() > Self::MAX {
                return Err(NetworkError(Wrong::TooMany));
            }
        }
        Ok(Self(networks.into()))
    }

    /// The addresses of this machine.
    pub fn loopback() -> Self {
        Self::new(["loopback"]).expect("it is one of the words")
    }

    /// Whether an address is in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are; a word is as many as it stands for.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Reads a list with commas between. A text without anything is an empty list.
impl FromStr for Networks {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        if text.trim().is_empty() { Ok(Self::default()) } else { Self::new(text.split(',')) }
    }
}

fn read(text: &str) -> Option<IpNet> {
    let network = text.parse().or_else(|_| text.parse().map(|address: IpAddr| IpNet::from(address))).ok()?;
    Some(canonical(network).trunc())
}

/// A network of mapped addresses, as the network of IPv4 that it means.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let v4 = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(MAPPED_PREFIX));
    v4.and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok()).map_or(network, IpNet::V4)
}

/// Why there is no such list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkError(Wrong);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wrong {
    Malformed(String),
    TooMany,
}

impl NetworkError {
    /// The longest text that a message repeats, in characters.
    const MAX_SHOWN: usize = 64;

    fn malformed(text: &str) -> Self {
        Self(Wrong::Malformed(text.chars().take(Self::MAX_SHOWN).collect()))
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Wrong::Malformed(text) => write!(f, "{text:?} is no address and no network such as 10.0.0.0/8"),
            Wrong::TooMany => write!(f, "a list has at most {} networks", Networks::MAX),
        }
    }
}

impl std::error::Error for NetworkError {}

/// How many bits of an IPv6 address name a caller: what lies behind them is one household or machine.
///
/// ```
/// use flashops_core::network::V6Prefix;
///
/// assert_eq!(V6Prefix::default().get(), 64);
/// assert_eq!(V6Prefix::new(48).map(V6Prefix::get), Some(48));
/// assert_eq!(V6Prefix::new(65), None, "an attacker has 2^64 addresses for the asking");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V6Prefix(u8);

impl V6Prefix {
    /// The widest network that is one caller.
    pub const MIN: u8 = 32;
    /// The narrowest.
    pub const MAX: u8 = 64;

    /// A prefix of [`V6Prefix::MIN`] to [`V6Prefix::MAX`] bits.
    pub const fn new(bits: u8) -> Option<Self> {
        if bits >= Self::MIN && bits <= Self::MAX { Some(Self(bits)) } else { None }
    }

    /// The number of bits.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// An address without the bits behind the prefix.
    pub(crate) const fn mask(self, bits: u128) -> u128 {
        bits & (!0 << (128 - self.0))
    }
}

impl Default for V6Prefix {
    /// 64, the smallest that providers hand out.
    fn default() -> Self {
        Self(64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_has_addresses_networks_and_words() {
        let list: Networks = " 192.0.2.7 , 10.1.2.3/8,::ffff:198.51.100.0/120, private ".parse().unwrap();
        assert_eq!(list.len(), 3 + 4);
        for inside in ["192.0.2.7", "10.255.0.1", "198.51.100.9", "::ffff:192.0.2.7", "172.31.255.255", "fd00::1"] {
            assert!(list.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["192.0.2.8", "11.0.0.1", "198.51.101.1", "172.32.0.0", "2001:db8::1", "::1"] {
            assert!(!list.contains(outside.parse().unwrap()), "{outside}");
        }
        assert!("".parse::<Networks>().unwrap().is_empty());
        assert!(Networks::loopback().contains("127.9.9.9".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_refused_and_shown_in_part() {
        for bad in
            ["10.0.0.0/33", "10.0.0", "::1/129", "example.com", "10.0.0.1,", "01.2.3.4", "1.2.3.4:80", "\u{1b}[31m"]
        {
            assert!(bad.parse::<Networks>().is_err(), "{bad}");
        }
        let error = Networks::new(["x".repeat(10_000)]).unwrap_err();
        assert!(error.to_string().len() < 150, "{error}");
        let error = Networks::new(vec!["192.0.2.1"; Networks::MAX + 1]).unwrap_err();
        assert_eq!(error.to_string(), "a list has at most 1024 networks");
        assert_eq!(Networks::new(vec!["192.0.2.1"; Networks::MAX]).unwrap().len(), Networks::MAX);
    }

    proptest! {
        #[test]
        fn a_network_contains_what_shares_its_leading_bits(base: u32, other: u32, prefix in 0..=32_u32) {
            let network = Networks::new([format!("{}/{prefix}", std::net::Ipv4Addr::from_bits(base))]).unwrap();
            let shared = (0..prefix).all(|bit| (base >> (31 - bit)) & 1 == (other >> (31 - bit)) & 1);
            let address = std::net::Ipv4Addr::from_bits(other);
            prop_assert_eq!(network.contains(address.into()), shared);
            prop_assert_eq!(network.contains(address.to_ipv6_mapped().into()), shared);
        }
    }
}
