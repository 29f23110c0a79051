//! Hosts and ports as the texts of an ensemble name them, never resolved.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

/// Longest host: a DNS name has at most 253 characters.
const HOST_BYTES_MAX: usize = 255;

/// A host name or an IP address, without brackets; 1 to 255 bytes.
///
/// An IP address stands in Java's spelling (`InetAddress.getHostAddress`), in which an IPv6 address
/// has eight groups, none left out: texts compare equal where their addresses do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(String);

impl Host {
    /// Reads a host name, made of ASCII letters, digits, `.`, `-` and `_`, or an IP address. An IPv6
    /// address may stand in brackets and may have a zone; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let host = match text.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').filter(|host| host.contains(':'))?,
            None => text,
        };
        let host = match host.split_once('%') {
            None => match host.parse::<IpAddr>() {
                Ok(address) => Self::from(address),
                Err(_) if is_name(host) => Self(host.to_owned()),
                Err(_) => return None,
            },
            Some((address, zone)) if is_name(zone) => {
                let address = spelled(address.parse().ok()?);
                Self(alloc::format!("{address}%{zone}"))
            }
            Some(_) => return None,
        };
        (host.0.len() <= HOST_BYTES_MAX).then_some(host)
    }

    /// The text, without brackets: what a resolver takes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, where the host is one and has no zone.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }

    /// Whether this is `0.0.0.0` or `::`, which name no server but every interface.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.ip().is_some_and(|address| address.is_unspecified())
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_string()),
            IpAddr::V6(address) => Self(spelled(address)),
        }
    }
}

/// With brackets around an IPv6 address.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') {
            write!(f, "[{}]", self.0)
        } else {
            f.write_str(&self.0)
        }
    }
}

fn spelled(address: Ipv6Addr) -> String {
    let [a, b, c, d, e, f, g, h] = address.segments();
    alloc::format!("{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{f:x}:{g:x}:{h:x}")
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_name_byte)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl Address {
    /// Reads `host:port`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = split_host(text)?;
        Some(Self {
            host: Host::parse(host)?,
            port: port.parse().ok()?,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Splits after the host, whose IPv6 form has brackets; `None` without a colon behind it.
pub(super) fn split_host(text: &str) -> Option<(&str, &str)> {
    if text.starts_with('[') {
        let (host, rest) = text.split_at_checked(text.find(']')? + 1)?;
        return Some((host, rest.strip_prefix(':')?));
    }
    text.split_once(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_spelled_as_java_does() {
        for (text, host, shown) in [
            (
                "zk-0.zk_headless.svc",
                "zk-0.zk_headless.svc",
                "zk-0.zk_headless.svc",
            ),
            ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
            ("[::1]", "0:0:0:0:0:0:0:1", "[0:0:0:0:0:0:0:1]"),
            (
                "2001:DB8::a0",
                "2001:db8:0:0:0:0:0:a0",
                "[2001:db8:0:0:0:0:0:a0]",
            ),
            ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.1"),
            (
                "fe80::1%eth0",
                "fe80:0:0:0:0:0:0:1%eth0",
                "[fe80:0:0:0:0:0:0:1%eth0]",
            ),
        ] {
            let seen = Host::parse(text).unwrap();
            assert_eq!((seen.as_str(), seen.to_string().as_str()), (host, shown));
            assert_eq!(Host::parse(shown), Some(seen), "{text}");
        }
    }

    #[test]
    fn what_is_neither_a_name_nor_an_address_is_refused() {
        for text in [
            "", "a b", "[::1", "[a]", "a:1", "a/b", "::1%", "a%eth0", "::1%a]", "é",
        ] {
            assert_eq!(Host::parse(text), None, "{text}");
        }
    }

    #[test]
    fn wildcards_name_no_server() {
        for (text, is_wildcard) in [
            ("0.0.0.0", true),
            ("[::]", true),
            ("::1", false),
            ("a", false),
        ] {
            assert_eq!(Host::parse(text).unwrap().is_wildcard(), is_wildcard);
        }
    }
}
