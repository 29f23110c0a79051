//! The scheme `ip`: an address, or a block of them as `address/bits` (`IPAuthenticationProvider`).

use alloc::format;
use alloc::string::{String, ToString};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address as Java writes it: IPv6 with all eight groups.
pub(super) fn java_text(peer: IpAddr) -> String {
    match peer {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{f:x}:{g:x}:{h:x}")
        }
    }
}

/// Whether the text is an address or a block.
pub(super) fn is_valid(text: &str) -> bool {
    parse_block(text).is_some()
}

/// Whether the address lies in the block that the text names.
pub(super) fn matches(peer: IpAddr, text: &str) -> bool {
    match (parse_block(text), peer) {
        (Some((IpAddr::V4(block), bits)), IpAddr::V4(peer)) => {
            (block.to_bits() ^ peer.to_bits())
                .checked_shr(32 - bits)
                .unwrap_or(0)
                == 0
        }
        (Some((IpAddr::V6(block), bits)), IpAddr::V6(peer)) => {
            (block.to_bits() ^ peer.to_bits())
                .checked_shr(128 - bits)
                .unwrap_or(0)
                == 0
        }
        _ => false,
    }
}

fn parse_block(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address = parse_address(address)?;
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(bits_max), |bits| bits.parse().ok())?;
    (bits <= bits_max).then_some((address, bits))
}

/// Java takes leading zeros in IPv4, and no embedded IPv4 or zone in IPv6.
fn parse_address(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        if text.contains(['.', '%']) {
            return None;
        }
        return text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        *octet = parts.next()?.parse().ok()?;
    }
    parts
        .next()
        .is_none()
        .then(|| IpAddr::V4(Ipv4Addr::from(octets)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_block_holds_the_addresses_that_share_its_bits() {
        for (address, block, inside) in [
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "010.1.02.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("10.1.2.3", "10.1.0.0/16", true),
            ("10.1.2.3", "10.1.2.2/31", true),
            ("10.1.2.3", "10.1.2.0/31", false),
            ("10.1.2.3", "99.99.99.99/0", true),
            ("10.1.2.3", "::/0", false),
            ("2001:db8::1", "2001:db8::/32", true),
            ("2001:db9::1", "2001:db8::/32", false),
            ("2001:db8::1", "::/0", true),
            ("::1", "0:0:0:0:0:0:0:1", true),
            ("::1", "0.0.0.0/0", false),
        ] {
            assert_eq!(matches(peer(address), block), inside, "{address} {block}");
        }
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for text in [
            "",
            "x",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            "1.2.3.4/33",
            "1.2.3.4/-1",
            "1.2.3.4/",
            "::1/129",
            "::ffff:1.2.3.4",
            "fe80::1%eth0",
            "1::2::3",
            ":::",
        ] {
            assert!(!is_valid(text), "{text}");
        }
    }

    #[test]
    fn an_address_is_written_as_java_writes_it() {
        assert_eq!(java_text(peer("::1")), "0:0:0:0:0:0:0:1");
        assert_eq!(java_text(peer("10.0.0.1")), "10.0.0.1");
    }
}
