//! From which address a request comes: the connected peer, or whom a proxy names that is configured as believable. Not
//! whether the address may be there.

use axum::http::HeaderMap;
use kabar_actors::Networks;
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED: &str = "forwarded";

/// The caller's address. `None`: a proxy that is believed says something that is none, or says two things; who then
/// claims to be inside a network is not believed.
pub(super) fn address(headers: &HeaderMap, peer: IpAddr, trusted: &Networks) -> Option<IpAddr> {
    if !trusted.hold(peer) {
        return Some(peer);
    }
    let listed = headers.contains_key(X_FORWARDED_FOR).then(|| {
        let hops = headers.get_all(X_FORWARDED_FOR).iter().map(|value| value.to_str().unwrap_or_default());
        last_stranger(hops.flat_map(|line| line.split(',')).map(hop).collect(), trusted)
    });
    let forwarded = headers.contains_key(FORWARDED).then(|| {
        let lines = headers.get_all(FORWARDED).iter().map(|value| value.to_str().unwrap_or_default());
        last_stranger(lines.flat_map(|line| line.split(',')).map(node).collect(), trusted)
    });
    match (listed, forwarded) {
        (None, None) => Some(peer),
        (Some(one), None) | (None, Some(one)) => one,
        // A proxy that writes one of them may pass on the other as a stranger wrote it.
        (Some(one), Some(other)) => one.filter(|_| one == other),
    }
}

/// The last hop that is no proxy of ours; when all are, the first.
fn last_stranger(hops: Vec<Option<IpAddr>>, trusted: &Networks) -> Option<IpAddr> {
    let first = hops.first().copied().flatten();
    let last = hops.into_iter().rev().find(|hop| hop.is_none_or(|address| !trusted.hold(address)));
    last.unwrap_or(first)
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`.
fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// `for="[2001:db8::1]:4711";proto=https` (RFC 7239).
fn node(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    hop(value.trim().trim_matches('"'))
}

/// The network around an address, for people: enough to tell an office from a stranger, too little to tell a person.
pub(super) fn coarse(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            format!("{}/48", std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn seen(peer: &str, trusted: &str, lines: &[(&'static str, &'static str)]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let found = address(&headers, peer.parse().unwrap(), &trusted.parse().unwrap());
        found.map(|address| address.to_string())
    }

    #[test]
    fn nobody_is_believed_who_is_no_proxy_of_ours() {
        let said = [("x-forwarded-for", "10.0.0.1"), ("forwarded", "for=10.0.0.1")];
        assert_eq!(seen("203.0.113.9", "", &said).unwrap(), "203.0.113.9");
        assert_eq!(seen("203.0.113.9", "10.0.0.0/8", &said).unwrap(), "203.0.113.9");
    }

    #[test]
    fn the_last_hop_that_is_no_proxy_is_the_caller() {
        let proxies = "10.0.0.0/8,fd00::/8";
        for (name, value, expected) in [
            ("x-forwarded-for", "198.51.100.7", Some("198.51.100.7")),
            // What stands before it was said by the caller.
            ("x-forwarded-for", "192.168.0.1, 198.51.100.7, 10.0.0.3", Some("198.51.100.7")),
            ("x-forwarded-for", "198.51.100.7:4711", Some("198.51.100.7")),
            ("x-forwarded-for", "[2001:db8::7]:4711, fd00::1", Some("2001:db8::7")),
            ("x-forwarded-for", "10.0.0.4, 10.0.0.3", Some("10.0.0.4")),
            ("x-forwarded-for", "198.51.100.7, unknown", None),
            ("x-forwarded-for", "", None),
            ("forwarded", "for=192.168.0.1, For=\"[2001:db8::7]:4711\";proto=https", Some("2001:db8::7")),
            ("forwarded", "for=198.51.100.7;by=10.0.0.1, for=10.0.0.3", Some("198.51.100.7")),
            ("forwarded", "for=_hidden", None),
            ("forwarded", "proto=https", None),
        ] {
            assert_eq!(seen("10.0.0.2", proxies, &[(name, value)]).as_deref(), expected, "{name}: {value}");
        }
        let lines = [("x-forwarded-for", "192.168.0.1"), ("x-forwarded-for", "198.51.100.7, 10.0.0.3")];
        assert_eq!(seen("10.0.0.2", proxies, &lines).as_deref(), Some("198.51.100.7"));
        assert_eq!(seen("10.0.0.2", proxies, &[]).as_deref(), Some("10.0.0.2"));
        assert_eq!(seen("::ffff:10.0.0.2", proxies, &[("x-forwarded-for", "::1")]).as_deref(), Some("::1"));
    }

    #[test]
    fn two_headers_that_say_different_things_say_nothing() {
        let both =
            |one, other| seen("10.0.0.2", "10.0.0.0/8", &[("x-forwarded-for", one), ("forwarded", other)]);
        assert_eq!(both("198.51.100.7", "for=198.51.100.7").as_deref(), Some("198.51.100.7"));
        assert_eq!(both("198.51.100.7", "for=192.168.0.1"), None);
        assert_eq!(both("192.168.0.1", "for=198.51.100.7"), None);
    }

    #[test]
    fn what_is_kept_of_an_address_is_its_network() {
        let of = |text: &str| coarse(text.parse().unwrap());
        assert_eq!(of("203.0.113.77"), "203.0.113.0/24");
        assert_eq!(of("::ffff:203.0.113.77"), "203.0.113.0/24");
        assert_eq!(of("2001:db8:1:2:3::4"), "2001:db8:1::/48");
    }
}
