//! The `server.N` lines of an ensemble's configuration (`QuorumPeer.QuorumServer`, 3.9).
//!
//! ```text
//! line    = address { "|" address } [ ";" [ client host ":" ] client port ]
//! address = host ":" quorum port ":" election port [ ":" ( "participant" | "observer" ) ]
//! ```
//!
//! An IPv6 address stands in brackets. A `;` followed by a secure port is 3.10's and is refused, as
//! 3.9 does.

use super::address::ListenAddress;

/// A member of the ensemble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerLine {
    /// Whether the member votes.
    pub(super) is_participant: bool,
    /// How many addresses the member has, at least 1.
    pub(super) address_count: usize,
    /// Where clients reach it, when the line says so.
    pub(super) client: Option<(ListenAddress, u16)>,
}

impl ServerLine {
    /// Reads the value of a `server.N` key; `None` where it has another form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (addresses, client) = match text.split_once(';') {
            Some((addresses, client)) => (addresses, Some(client_address(client)?)),
            None => (text, None),
        };
        let roles = addresses
            .split('|')
            .map(is_participant)
            .collect::<Option<Vec<_>>>()?;
        let mut named = roles.iter().flatten();
        let role = named.next();
        if named.any(|other| Some(other) != role) {
            return None;
        }
        let is_participant = role.copied().unwrap_or(true);
        Some(Self {
            is_participant,
            address_count: roles.len(),
            client,
        })
    }
}

/// Checks one address; `Some(None)` where it names no role.
#[expect(
    clippy::option_option,
    reason = "outside: not an address; inside: no role named"
)]
fn is_participant(address: &str) -> Option<Option<bool>> {
    let (host, ports) = split_host(address)?;
    ListenAddress::parse(host)?;
    let mut parts = ports.split(':');
    let quorum_port: u16 = parts.next()?.parse().ok()?;
    let election_port: u16 = parts.next()?.parse().ok()?;
    let role = match parts.next() {
        None => None,
        Some(role) if role.eq_ignore_ascii_case("participant") => Some(true),
        Some(role) if role.eq_ignore_ascii_case("observer") => Some(false),
        Some(_) => return None,
    };
    (parts.next().is_none() && quorum_port != election_port).then_some(role)
}

fn client_address(text: &str) -> Option<(ListenAddress, u16)> {
    let (host, port) = match split_host(text) {
        Some((host, port)) => (ListenAddress::parse(host)?, port),
        None => (ListenAddress::Any, text),
    };
    Some((host, port.parse().ok()?))
}

/// Splits after the host, whose IPv6 form has brackets; `None` without a colon.
fn split_host(text: &str) -> Option<(&str, &str)> {
    if text.starts_with('[') {
        let end = text.find(']')? + 1;
        let (host, rest) = text.split_at_checked(end)?;
        return Some((host, rest.strip_prefix(':')?));
    }
    text.split_once(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_part_is_a_port_with_or_without_a_host() {
        let client = |text| ServerLine::parse(text).unwrap().client;
        assert_eq!(client("zk1:2888:3888"), None);
        assert_eq!(
            client("zk1:2888:3888;2181"),
            Some((ListenAddress::Any, 2181))
        );
        assert_eq!(
            client("zk1:2888:3888;0.0.0.0:2181"),
            Some((ListenAddress::Any, 2181))
        );
        let host = ListenAddress::Host("::1".into());
        assert_eq!(client("[::2]:2888:3888;[::1]:2181"), Some((host, 2181)));
    }

    #[test]
    fn roles_and_several_addresses_are_read() {
        assert!(
            ServerLine::parse("a:1:2:participant")
                .unwrap()
                .is_participant
        );
        assert!(!ServerLine::parse("a:1:2:Observer").unwrap().is_participant);
        assert_eq!(
            ServerLine::parse("a:1:2|b:1:2|c:1:2")
                .unwrap()
                .address_count,
            3
        );
        assert!(
            !ServerLine::parse("a:1:2|b:1:2:observer")
                .unwrap()
                .is_participant
        );
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "a",
            "a:1",
            "a:1:1",
            "a:1:2:leader",
            "a:1:2:observer:3",
            "a:1:2:observer|b:1:2:participant",
            "a:1:70000",
            "a:1:2;",
            "a:1:2;x:",
            "a:1:2;2181;2281",
            "[::1:1:2",
            "|a:1:2",
        ] {
            assert_eq!(ServerLine::parse(text), None, "{text}");
        }
    }
}
