//! Addresses as people spell them in URLs, read as the system's resolver reads them. For telling a tenant early what
//! will never be called; what is called is judged where it is connected.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that the text of a host means without anybody being asked: spelt ones, and this machine's own name.
/// `host` as a URL has it, IPv6 in brackets. Empty for every other name.
pub(super) fn spelt(host: &str) -> Vec<IpAddr> {
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').unwrap_or(inner);
        let address = inner.split('%').next().unwrap_or(inner);
        return address.parse::<Ipv6Addr>().into_iter().map(IpAddr::V6).collect();
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") {
        return vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    }
    v4(&name).into_iter().map(IpAddr::V4).collect()
}

/// One to four numbers, each decimal, octal or hexadecimal; the last one fills what the others leave (inet_aton).
fn v4(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u64> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, others) = parts.split_last()?;
    let left = u32::try_from(4_usize.checked_sub(others.len())?).ok().filter(|left| *left > 0)?;
    if others.iter().any(|part| *part > 255) || *last >= 1 << (8 * left) {
        return None;
    }
    let high = others.iter().fold(0_u64, |sum, part| sum << 8 | part);
    let whole = if left == 4 { *last } else { high << (8 * left) | last };
    u32::try_from(whole).ok().map(Ipv4Addr::from)
}

fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    // A sign is none of the digits.
    let sound = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u64::from_str_radix(digits, radix).ok().filter(|_| sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_is_read_as_the_resolver_reads_it() {
        for (host, means) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
            ("0177.0.0.1", "127.0.0.1"),
            ("00000177.1", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("017700000001", "127.0.0.1"),
            ("0x7F000001", "127.0.0.1"),
            ("0X7f.0x0.0x0.0x1", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("127.65530", "127.0.255.250"),
            ("10.1.257", "10.1.1.1"),
            ("0", "0.0.0.0"),
            ("00", "0.0.0.0"),
            ("255.255.255.255", "255.255.255.255"),
            ("4294967295", "255.255.255.255"),
            ("[::1]", "::1"),
            ("[::ffff:10.0.0.1]", "::ffff:10.0.0.1"),
            ("[fe80::1%25lo]", "fe80::1"),
            ("[fe80::1%lo]", "fe80::1"),
        ] {
            assert_eq!(spelt(host), [means.parse::<IpAddr>().unwrap()], "{host}");
        }
        assert_eq!(spelt("a.LOCALHOST."), spelt("localhost"));
        assert_eq!(spelt("localhost").len(), 2);
    }

    #[test]
    fn a_name_means_nothing_before_it_is_asked_about() {
        for host in [
            "",
            ".",
            "example.com",
            "1.example.com",
            "127.0.0.1.nip.example",
            "256.1.1.1",
            "1.2.3.4.5",
            "4294967296",
            "127..1",
            "0x",
            "0xg",
            "089",
            "-1",
            "+1",
            "0x+1",
            "localhosts",
            "[localhost]",
        ] {
            assert!(spelt(host).is_empty(), "{host}");
        }
    }
}
