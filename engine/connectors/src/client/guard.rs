//! Which addresses may be connected to. The question is asked of the address that is *connected*, after DNS:
//! a name that resolves to a private address is as private as the address itself.
//!
//! Not a filter of URLs: their text proves nothing. It may only tell early what the connection would be told anyway.

use super::networks::Networks;
use super::spelt::spelt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The rule a client was built with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// Any address: for providers' base URLs, which come from configuration.
    Open,
    /// Only addresses of the public internet: for URLs that tenants give.
    PublicOnly,
    /// The public internet, and what the operator allows besides.
    PublicAnd(Networks),
}

impl Guard {
    /// Whether this address may be connected to.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        match self {
            Self::Open => true,
            Self::PublicOnly => is_public(address),
            Self::PublicAnd(networks) => is_public(address) || networks.hold(address),
        }
    }

    /// Whether the text of a URL's host already shows that no connection to it will be allowed: an address, however it
    /// is spelt, or this machine's own name. `false` says nothing: a name means what it means when it is called.
    #[must_use]
    pub fn refuses_text(&self, host: &str) -> bool {
        let means = spelt(host);
        !means.is_empty() && !means.into_iter().any(|address| self.allows(address))
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// Source: IANA's registry of special-purpose IPv4 addresses.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, d] = address.octets();
    let special = a == 0
        || (a, b, c, d) == (168, 63, 129, 16) // Azure's host, reached from inside only
        || (a == 100 && (64..128).contains(&b)) // shared by carriers
        || (a == 192 && b == 0 && c == 0) // protocol assignments
        || (a == 192 && b == 88 && c == 99) // 6to4 relays
        || (a == 198 && (18..20).contains(&b)) // benchmarks
        || a >= 240; // reserved and broadcast
    !(special
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast())
}

/// Source: IANA's registry of special-purpose IPv6 addresses. Forms that carry an IPv4 address are judged by it.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    match s {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        // 2000::/3 is what is assigned; of it Teredo, benchmarks, ORCHID and documentation are no hosts.
        [0x2001, second, ..] => second >= 0x0200 && second != 0x0db8,
        [0x3fff, second, ..] => second >= 0x1000,
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_refused_in_every_dress() {
        for text in [
            "127.0.0.1",
            "127.8.9.1",
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "64:ff9b:1::1",
            "100::1",
            "3fff::1",
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert!(!Guard::PublicOnly.allows(address), "{text}");
            assert!(Guard::Open.allows(address), "{text}");
        }
    }

    #[test]
    fn public_addresses_are_allowed() {
        for text in [
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "157.240.1.1",
            "192.0.1.1",
            "2606:4700::1111",
            "2a03:2880:f12f:83::1",
            "2001:4860:4860::8888",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
        ] {
            assert!(Guard::PublicOnly.allows(text.parse().unwrap()), "{text}");
        }
    }
}
