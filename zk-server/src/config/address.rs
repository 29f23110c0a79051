//! Where the client port listens.

use std::fmt;
use zk_proto::quorum::Host;

/// The address part of a listening socket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ListenAddress {
    /// Every interface, IPv4 and IPv6.
    ///
    /// The default, and what `0.0.0.0` and `::` stand for: a Java server's socket on either serves
    /// both families.
    #[default]
    Any,
    /// Every interface, IPv4 only: [`ListenAddress::Any`] under `-Djava.net.preferIPv4Stack=true`.
    AnyIpv4,
    /// 127.0.0.1 and, where the machine has it, ::1.
    Loopback,
    /// An IP address or a host name, which is resolved when the server starts to listen. Never
    /// empty, without brackets.
    Host(String),
}

impl ListenAddress {
    /// Reads a host name or an IP address, IPv6 with or without brackets; `None` for what can be
    /// neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Host::parse(text).as_ref().map(Self::from)
    }
}

impl From<&Host> for ListenAddress {
    fn from(host: &Host) -> Self {
        match host.ip() {
            Some(address) if address.is_unspecified() => Self::Any,
            Some(address) => Self::Host(address.to_string()),
            None => Self::Host(host.as_str().to_owned()),
        }
    }
}

/// The notation of `clientPortAddress`.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::AnyIpv4 => "any (IPv4)",
            Self::Loopback => "loopback",
            Self::Host(host) => host,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_wildcards_mean_both_families() {
        for text in ["0.0.0.0", "::", "[::]", "0:0:0:0:0:0:0:0"] {
            assert_eq!(
                ListenAddress::parse(text),
                Some(ListenAddress::Any),
                "{text}"
            );
        }
    }

    #[test]
    fn names_and_addresses_are_hosts() {
        for (text, host) in [
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("fe80::1%eth0", "fe80:0:0:0:0:0:0:1%eth0"),
            ("zk-0.zk_headless.svc", "zk-0.zk_headless.svc"),
        ] {
            assert_eq!(
                ListenAddress::parse(text),
                Some(ListenAddress::Host(host.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in [
            "",
            "a b",
            "[::1",
            "host:2181",
            "[host]",
            "a/b",
            "::1%",
            "host%eth0",
        ] {
            assert_eq!(ListenAddress::parse(text), None, "{text}");
        }
    }
}
