//! Networks an operator names, as `10.20.0.0/16, fd00::/8`: read whole or refused by name. Not the rule of what is
//! public.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

/// One network: an address without host bits, and how many of its bits count (of 128; IPv4 is kept mapped).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    base: u128,
    bits: u32,
}

/// Networks, none by default. Cloning is cheap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Arc<[Network]>);

impl Networks {
    /// Whether one of them has this address. An IPv4 address in IPv6's clothes is the IPv4 address.
    #[must_use]
    pub fn hold(&self, address: IpAddr) -> bool {
        let address = number(address);
        self.0.iter().any(|network| address & mask(network.bits) == network.base)
    }

    /// Whether every address of these is also one of the `others`.
    #[must_use]
    pub fn within(&self, others: &Self) -> bool {
        let inside = |one: &Network| {
            others.0.iter().any(|other| other.bits <= one.bits && one.base & mask(other.bits) == other.base)
        };
        self.0.iter().all(inside)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Networks {
    /// The part that is no network.
    type Err = String;

    /// Networks with commas between; nothing is none. A bare address is a network of one.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim);
        let parts = parts.filter(|part| !part.is_empty() || !text.trim().is_empty());
        parts.map(|part| network(part).ok_or_else(|| part.to_owned())).collect::<Result<_, _>>().map(Self)
    }
}

/// `None` too when bits stand behind the mask: whoever writes 10.0.0.1/8 may mean something else.
fn network(text: &str) -> Option<Network> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().ok()?;
    let (before, width) = if address.is_ipv4() { (96, 32) } else { (0, 128) };
    let bits = match bits {
        None => width,
        Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse().ok().filter(|b| *b <= width)?
        }
        Some(_) => return None,
    };
    let network = Network { base: number(address), bits: before + bits };
    (network.base & mask(network.bits) == network.base).then_some(network)
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(Ipv6Addr::from(v6.octets())),
    }
}

fn mask(bits: u32) -> u128 {
    u128::MAX.checked_shl(128 - bits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_its_own_addresses_and_no_others() {
        let networks: Networks = "10.20.0.0/16, 127.0.0.1/32,fd00::/8, 192.168.7.7".parse().unwrap();
        for (address, held) in [
            ("10.20.0.0", true),
            ("10.20.255.255", true),
            ("10.21.0.0", false),
            ("10.19.255.255", false),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("::ffff:127.0.0.1", true),
            ("::1", false),
            ("fdff::1", true),
            ("fe00::1", false),
            ("192.168.7.7", true),
            ("192.168.7.6", false),
        ] {
            assert_eq!(networks.hold(address.parse().unwrap()), held, "{address}");
        }
        let all: Networks = "0.0.0.0/0".parse().unwrap();
        assert!(all.hold("8.8.8.8".parse().unwrap()) && !all.hold("fd00::1".parse().unwrap()));
        assert!("::/0".parse::<Networks>().unwrap().hold("8.8.8.8".parse().unwrap()));
    }

    #[test]
    fn networks_are_within_others_when_each_of_their_addresses_is() {
        let read = |text: &str| text.parse::<Networks>().unwrap();
        for (one, others, within) in [
            ("10.1.0.0/16", "10.0.0.0/8", true),
            ("10.0.0.0/8", "10.1.0.0/16", false),
            ("10.1.2.3,192.168.0.0/24", "10.0.0.0/8,192.168.0.0/16", true),
            ("10.1.2.3,192.168.0.0/24", "10.0.0.0/8", false),
            ("10.0.0.0/8", "::/0", true),
            ("::/0", "0.0.0.0/0", false),
            ("", "10.0.0.0/8", true),
        ] {
            assert_eq!(read(one).within(&read(others)), within, "{one} in {others}");
        }
    }

    #[test]
    fn what_is_no_network_is_named() {
        assert!("".parse::<Networks>().unwrap().is_empty() && " ".parse::<Networks>().unwrap().is_empty());
        for (text, named) in [
            ("10.0.0.0/33", "10.0.0.0/33"),
            ("10.0.0.0/8,intranet", "intranet"),
            ("10.0.0.1/8", "10.0.0.1/8"),
            ("10.0.0.0/-1", "10.0.0.0/-1"),
            ("10.0.0.0/+8", "10.0.0.0/+8"),
            ("::/129", "::/129"),
            ("010.0.0.0/8", "010.0.0.0/8"),
            ("10.0.0.0/8,,", ""),
        ] {
            assert_eq!(text.parse::<Networks>().unwrap_err(), named, "{text}");
        }
    }
}
