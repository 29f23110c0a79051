//! Lists of servers as people write them: `zk1:2181,zk2,[::1]:2181/chroot`.

use std::fmt;
use std::str::FromStr;

use zk_proto::{Path, PathError};

/// The client port when none is given.
pub const DEFAULT_PORT: u16 = 2181;

/// A server by name, so that it can be resolved at every attempt to connect.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A host name or an address, without brackets.
    pub host: String,
    /// The client port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Servers, at least one, and the path below which the client works.
///
/// ```
/// use zk_client::ConnectString;
/// let list: ConnectString = "zk1:2182, zk2,[::1]:2181/app".parse()?;
/// assert_eq!(list.hosts().len(), 3);
/// assert_eq!(list.chroot(), "/app");
/// assert_eq!(list.to_string(), "zk1:2182,zk2:2181,[::1]:2181/app");
/// # Ok::<(), zk_client::ConnectStringError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectString {
    hosts: Vec<HostPort>,
    chroot: String,
}

/// Why text is not a list of servers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectStringError {
    /// There is no server in it.
    #[error("{0:?} names no server")]
    NoServer(String),
    /// A server has no host name, or an address of IPv6 stands without brackets.
    #[error("{0:?} is not a server, expected host, host:port or [address]:port")]
    BadServer(String),
    /// A port is not a number from 1 to 65535.
    #[error("{0:?} has no port from 1 to 65535")]
    BadPort(String),
    /// What follows the servers is not a path.
    #[error("chroot: {0}")]
    BadChroot(#[from] PathError),
}

impl ConnectString {
    /// The servers, in the order written.
    #[must_use]
    pub fn hosts(&self) -> &[HostPort] {
        &self.hosts
    }

    /// The path below which the client works; `/` when none is given.
    #[must_use]
    pub fn chroot(&self) -> &str {
        &self.chroot
    }
}

impl FromStr for ConnectString {
    type Err = ConnectStringError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (servers, chroot) = match text.find('/') {
            Some(at) => text.split_at(at),
            None => (text, "/"),
        };
        let chroot = Path::parse(chroot)?.as_str().to_owned();
        let hosts = servers
            .split(',')
            .map(str::trim)
            .filter(|server| !server.is_empty())
            .map(parse_server)
            .collect::<Result<Vec<_>, _>>()?;
        if hosts.is_empty() {
            return Err(ConnectStringError::NoServer(text.to_owned()));
        }
        Ok(Self { hosts, chroot })
    }
}

fn parse_server(text: &str) -> Result<HostPort, ConnectStringError> {
    let bad = || ConnectStringError::BadServer(text.to_owned());
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(bad)?;
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err(bad()),
        }
    } else {
        match text.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err(bad()),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() {
        return Err(bad());
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => match port.parse() {
            Ok(port) if port != 0 => port,
            _ => return Err(ConnectStringError::BadPort(text.to_owned())),
        },
    };
    Ok(HostPort {
        host: host.to_owned(),
        port,
    })
}

impl fmt::Display for ConnectString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, host) in self.hosts.iter().enumerate() {
            write!(f, "{}{host}", if i == 0 { "" } else { "," })?;
        }
        if self.chroot != "/" {
            f.write_str(&self.chroot)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_chroot_are_taken_apart() {
        let list: ConnectString = "a, b:1,[::1],[fe80::2]:3,/x/y".parse().unwrap();
        assert_eq!(list.to_string(), "a:2181,b:1,[::1]:2181,[fe80::2]:3/x/y");
        assert_eq!("a/".parse::<ConnectString>().unwrap().chroot(), "/");
    }

    #[test]
    fn what_is_no_list_of_servers_is_refused() {
        for text in [
            "", ",", "/a", "a:", "a:0", "a:65536", "a:b", "::1", ":1", "[::1", "[::1]x", "a/b/",
            "a//b",
        ] {
            assert!(text.parse::<ConnectString>().is_err(), "{text:?}");
        }
    }
}
