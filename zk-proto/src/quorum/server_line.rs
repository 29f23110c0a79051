//! The value of a `server.N` line (`QuorumPeer.QuorumServer`, 3.9.5).
//!
//! ```text
//! line    = address { "|" address } [ ";" [ client host ":" ] client port ]
//! address = host ":" quorum port ":" election port [ ":" ( "participant" | "observer" ) ]
//! ```
//!
//! An IPv6 address stands in brackets. A secure client port behind a second `;` is ZooKeeper 3.10's;
//! it is refused, as 3.9 does. Written, the role stands once, behind the last address.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use super::address::split_host;
use super::{Address, Host};

const FORM: &str = "host:port:port[:participant|observer][|…][;[host:]port]";
const PORT: &str = "a port from 0 to 65535";
const ONCE: &str = "every host and port only once";
const NO_SECURE_PORT: &str = "one client port, and no secure one";
const HOST: &str = "a host name or an IP address";
const WILDCARD_CLIENT_HOST: &str = "0.0.0.0";

/// What is wrong with the value of a `server.N` line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{seen:?}, expected {expected}")]
pub struct ServerLineError {
    /// The part that is wrong.
    pub seen: String,
    /// What may stand in its place.
    pub expected: &'static str,
}

impl ServerLineError {
    fn new(seen: &str, expected: &'static str) -> Self {
        Self {
            seen: seen.to_owned(),
            expected,
        }
    }
}

/// Whether a member of an ensemble votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerRole {
    /// It votes, and may lead.
    Participant,
    /// It learns what was committed.
    Observer,
}

impl ServerRole {
    /// The word of configuration texts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Participant => "participant",
            Self::Observer => "observer",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Participant, Self::Observer]
            .into_iter()
            .find(|role| role.as_str().eq_ignore_ascii_case(text))
    }
}

/// Where other servers reach a member.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerAddress {
    /// The host of both ports.
    pub host: Host,
    /// Where the member listens for learners while it leads.
    pub quorum_port: u16,
    /// Where it listens for votes.
    pub election_port: u16,
}

impl ServerAddress {
    /// The address for learners.
    #[must_use]
    pub fn quorum(&self) -> Address {
        self.at(self.quorum_port)
    }

    /// The address for votes.
    #[must_use]
    pub fn election(&self) -> Address {
        self.at(self.election_port)
    }

    fn at(&self, port: u16) -> Address {
        Address {
            host: self.host.clone(),
            port,
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            quorum_port,
            election_port,
        } = self;
        write!(f, "{host}:{quorum_port}:{election_port}")
    }
}

/// A member of an ensemble, without its number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EnsembleServer {
    addresses: Vec<ServerAddress>,
    role: ServerRole,
    client: Option<Address>,
}

impl EnsembleServer {
    /// A member. Its addresses are kept in the order of their text, as Apache's server prints them.
    ///
    /// # Errors
    /// [`ServerLineError`] when there is no address, or when a host and a port are given twice.
    pub fn new(
        mut addresses: Vec<ServerAddress>,
        role: ServerRole,
        client: Option<Address>,
    ) -> Result<Self, ServerLineError> {
        if addresses.is_empty() {
            return Err(ServerLineError::new("", FORM));
        }
        let mut sockets = BTreeSet::new();
        for address in &addresses {
            for port in [address.quorum_port, address.election_port] {
                if !sockets.insert((&address.host, port)) {
                    let seen = alloc::format!("{address}");
                    return Err(ServerLineError::new(&seen, ONCE));
                }
            }
        }
        addresses.sort();
        Ok(Self {
            addresses,
            role,
            client,
        })
    }

    /// Where other servers reach it; at least one, and more only where `multiAddress.enabled` is on.
    #[must_use]
    pub fn addresses(&self) -> &[ServerAddress] {
        &self.addresses
    }

    /// Whether it votes.
    #[must_use]
    pub fn role(&self) -> ServerRole {
        self.role
    }

    /// Where clients reach it, if the text says so; the host may be a
    /// [wildcard](Host::is_wildcard).
    #[must_use]
    pub fn client(&self) -> Option<&Address> {
        self.client.as_ref()
    }
}

/// Reads the value of a `server.N` line.
impl FromStr for EnsembleServer {
    type Err = ServerLineError;

    fn from_str(text: &str) -> Result<Self, ServerLineError> {
        let (servers, client) = match text.split_once(';') {
            Some((servers, client)) => (servers, Some(client_address(client)?)),
            None => (text, None),
        };
        let mut addresses = Vec::new();
        let mut role = None;
        for part in servers.split('|') {
            let (address, named) = server_address(part)?;
            if role.is_some() && named.is_some() && role != named {
                return Err(ServerLineError::new(
                    part,
                    "the role of the other addresses",
                ));
            }
            role = role.or(named);
            addresses.push(address);
        }
        Self::new(addresses, role.unwrap_or(ServerRole::Participant), client)
    }
}

fn server_address(text: &str) -> Result<(ServerAddress, Option<ServerRole>), ServerLineError> {
    let malformed = || ServerLineError::new(text, FORM);
    let (host, rest) = split_host(text).ok_or_else(malformed)?;
    let mut parts = rest.split(':');
    let (quorum, election) = parts.next().zip(parts.next()).ok_or_else(malformed)?;
    let role = match parts.next() {
        None => None,
        Some(seen) => match ServerRole::parse(seen.trim()) {
            None => return Err(ServerLineError::new(seen, "participant or observer")),
            role => role,
        },
    };
    if parts.next().is_some() {
        return Err(malformed());
    }
    let address = ServerAddress {
        host: host_of(host)?,
        quorum_port: port_of(quorum)?,
        election_port: port_of(election)?,
    };
    Ok((address, role))
}

fn client_address(text: &str) -> Result<Address, ServerLineError> {
    let text = match text.split_once(';') {
        None => text,
        Some((_, secure)) => return Err(ServerLineError::new(secure, NO_SECURE_PORT)),
    };
    let (host, port) = split_host(text).unwrap_or((WILDCARD_CLIENT_HOST, text));
    Ok(Address {
        host: host_of(host)?,
        port: port_of(port)?,
    })
}

fn host_of(text: &str) -> Result<Host, ServerLineError> {
    Host::parse(text).ok_or_else(|| ServerLineError::new(text, HOST))
}

fn port_of(text: &str) -> Result<u16, ServerLineError> {
    text.parse().map_err(|_| ServerLineError::new(text, PORT))
}

/// As `QuorumServer.toString` does.
impl fmt::Display for EnsembleServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.addresses.iter().enumerate() {
            let separator = if index == 0 { "" } else { "|" };
            write!(f, "{separator}{address}")?;
        }
        write!(f, ":{}", self.role.as_str())?;
        match &self.client {
            Some(client) => write!(f, ";{client}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<EnsembleServer>().unwrap().to_string()
    }

    #[test]
    fn a_line_is_written_with_its_role_and_its_client_host() {
        for (text, expected) in [
            ("zk1:2888:3888", "zk1:2888:3888:participant"),
            ("a:1:2:Observer;2181", "a:1:2:observer;0.0.0.0:2181"),
            ("a:1:2;zk1:2181", "a:1:2:participant;zk1:2181"),
            (
                "[::2]:1:2;[::1]:2181",
                "[0:0:0:0:0:0:0:2]:1:2:participant;[0:0:0:0:0:0:0:1]:2181",
            ),
            ("b:1:2|a:1:2:observer|c:3:4", "a:1:2|b:1:2|c:3:4:observer"),
        ] {
            assert_eq!(shown(text), expected);
            assert_eq!(shown(expected), expected);
        }
    }

    #[test]
    fn other_forms_are_refused_with_the_part_that_is_wrong() {
        for (text, seen, expected) in [
            ("", "", FORM),
            ("a", "a", FORM),
            ("a:1", "a:1", FORM),
            ("[::1:1:2", "[::1:1:2", FORM),
            ("|a:1:2", "", FORM),
            ("a:1:2:observer:3", "a:1:2:observer:3", FORM),
            ("a:1:1", "a:1:1", ONCE),
            ("a:1:2|b:1:2|a:3:1", "a:3:1", ONCE),
            ("a:1:2:leader", "leader", "participant or observer"),
            (
                "a:1:2:observer|b:1:2:participant",
                "b:1:2:participant",
                "the role of the other addresses",
            ),
            ("a:1:70000", "70000", PORT),
            ("a:1:2;", "", PORT),
            ("a:1:2;x:", "", PORT),
            ("a b:1:2", "a b", HOST),
            ("a:1:2;2181;2281", "2281", NO_SECURE_PORT),
        ] {
            let error = text.parse::<EnsembleServer>().unwrap_err();
            assert_eq!(error, ServerLineError::new(seen, expected), "{text}");
        }
    }

    #[test]
    fn a_member_has_an_address() {
        let seen = EnsembleServer::new(Vec::new(), ServerRole::Participant, None);
        assert!(seen.is_err());
    }
}
