//! The text that says who an ensemble's members are (`QuorumVerifier.toString`, 3.9.5).
//!
//! ```text
//! text    = { server LF } { group LF } { weight LF } "version=" hexadecimal
//! server  = "server." id "=" the value that server_line.rs draws
//! group   = "group." number "=" id { ":" id }                 hierarchical quorums only
//! weight  = "weight." id "=" number                           hierarchical quorums only
//! ```
//!
//! It stands in `/zookeeper/config`, NEWLEADER, notifications, reconfig transactions and the file
//! of `dynamicConfigFile`. Lines of one kind stand in the order of a Java `HashMap`. What a quorum
//! of these members is, is decided elsewhere.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use super::java_order::hash_map_order;
use super::{EnsembleServer, ServerLineError, ServerRole};
use crate::{ServerId, Zxid};

/// Why a text or a set of members is no [`EnsembleConfig`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnsembleConfigError {
    /// A key that has no place here.
    #[error("{key:?}, expected server.N, group.N, weight.N or version")]
    Key {
        /// The key as read.
        key: String,
    },
    /// A value that has not the form its key asks for.
    #[error("{key}={seen}: expected {expected}")]
    Value {
        /// The key.
        key: String,
        /// The value as read.
        seen: String,
        /// The form.
        expected: &'static str,
    },
    /// A member's line.
    #[error("{key}: {source}")]
    Server {
        /// The key.
        key: String,
        /// What is wrong with the value.
        source: ServerLineError,
    },
    /// A backslash: no value needs an escape or a second line.
    #[error("{line:?}: a backslash, expected key=value in one line")]
    Backslash {
        /// The line as read.
        line: String,
    },
    /// Observers alone can elect nobody.
    #[error("{observers} observers without a participant, expected at least one")]
    NoParticipant {
        /// How many observers there are.
        observers: usize,
    },
    /// A server stands in two groups.
    #[error("server {server} is in group {first} and in group {second}, expected one group")]
    InTwoGroups {
        /// The server.
        server: ServerId,
        /// One group.
        first: GroupId,
        /// Another.
        second: GroupId,
    },
    /// A participant of a hierarchical ensemble stands in no group.
    #[error("participant {server} is in no group, expected one")]
    InNoGroup {
        /// The participant.
        server: ServerId,
    },
    /// A group counts a server that has no vote and no weight.
    #[error("server {server} of group {group} is no participant and has no weight")]
    NoWeight {
        /// The server.
        server: ServerId,
        /// Its group.
        group: GroupId,
    },
}

/// The number of a group of a hierarchical ensemble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub i64);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Groups and weights, where a quorum is a majority of weight in a majority of groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hierarchy {
    /// The group of each server; every participant has one.
    pub groups: BTreeMap<ServerId, GroupId>,
    /// The weight of each server; every server of a group has one. Zero has no vote.
    pub weights: BTreeMap<ServerId, u64>,
}

/// Who the members of an ensemble are, and how they count.
///
/// One that exists has a participant or no member at all; each participant of a [`Hierarchy`] has a
/// group and a weight. It may have a single participant, which some settings refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnsembleConfig {
    servers: BTreeMap<ServerId, EnsembleServer>,
    hierarchy: Option<Hierarchy>,
    version: Zxid,
}

impl EnsembleConfig {
    /// Members and, where a plain majority does not decide, their groups. A participant without a
    /// weight gets 1. A hierarchy without groups and weights is none.
    ///
    /// # Errors
    /// The last variants of [`EnsembleConfigError`]: no participant, in no group, no weight.
    pub fn new(
        servers: BTreeMap<ServerId, EnsembleServer>,
        hierarchy: Option<Hierarchy>,
        version: Zxid,
    ) -> Result<Self, EnsembleConfigError> {
        let mut hierarchy = hierarchy.filter(|hierarchy| *hierarchy != Hierarchy::default());
        let is_participant = |server: &EnsembleServer| server.role() == ServerRole::Participant;
        if !servers.is_empty() && !servers.values().any(is_participant) {
            let observers = servers.len();
            return Err(EnsembleConfigError::NoParticipant { observers });
        }
        if let Some(Hierarchy { groups, weights }) = &mut hierarchy {
            for (&server, _) in servers.iter().filter(|(_, server)| is_participant(server)) {
                if !groups.contains_key(&server) {
                    return Err(EnsembleConfigError::InNoGroup { server });
                }
                weights.entry(server).or_insert(1);
            }
            for (&server, &group) in &*groups {
                if !weights.contains_key(&server) {
                    return Err(EnsembleConfigError::NoWeight { server, group });
                }
            }
        }
        Ok(Self {
            servers,
            hierarchy,
            version,
        })
    }

    /// Reads the entries of a configuration, a key and a value each; of two with the same key the
    /// later counts. The version is zero unless an entry tells it.
    ///
    /// # Errors
    /// [`EnsembleConfigError`], any of them.
    pub fn from_entries<'a>(
        entries: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, EnsembleConfigError> {
        let mut read = Entries::default();
        for (key, value) in entries {
            read.take(key, value)?;
        }
        read.finish()
    }

    /// The members.
    #[must_use]
    pub fn servers(&self) -> &BTreeMap<ServerId, EnsembleServer> {
        &self.servers
    }

    /// The members that vote, in ascending order.
    pub fn participants(&self) -> impl Iterator<Item = (ServerId, &EnsembleServer)> {
        self.with_role(ServerRole::Participant)
    }

    /// The members that do not vote, in ascending order.
    pub fn observers(&self) -> impl Iterator<Item = (ServerId, &EnsembleServer)> {
        self.with_role(ServerRole::Observer)
    }

    fn with_role(&self, role: ServerRole) -> impl Iterator<Item = (ServerId, &EnsembleServer)> {
        self.servers
            .iter()
            .filter(move |(_, server)| server.role() == role)
            .map(|(&id, server)| (id, server))
    }

    /// Groups and weights; `None` where a majority of participants decides.
    #[must_use]
    pub fn hierarchy(&self) -> Option<&Hierarchy> {
        self.hierarchy.as_ref()
    }

    /// The transaction that made this configuration, or the first zxid of the epoch in which it was
    /// first led; zero before that.
    #[must_use]
    pub fn version(&self) -> Zxid {
        self.version
    }

    /// The same members in another version.
    #[must_use]
    pub fn with_version(self, version: Zxid) -> Self {
        Self { version, ..self }
    }
}

/// Entries read so far.
#[derive(Default)]
struct Entries {
    servers: BTreeMap<ServerId, EnsembleServer>,
    groups: BTreeMap<GroupId, Vec<ServerId>>,
    weights: BTreeMap<ServerId, u64>,
    version: Zxid,
}

impl Entries {
    fn take(&mut self, key: &str, value: &str) -> Result<(), EnsembleConfigError> {
        let value = value.trim();
        let wrong = |expected| EnsembleConfigError::Value {
            key: key.to_owned(),
            seen: value.to_owned(),
            expected,
        };
        if key == "version" {
            let version = u64::from_str_radix(value, 16);
            let version = version.map_err(|_| wrong("a hexadecimal number of 64 bits"))?;
            self.version = Zxid(version.cast_signed());
        } else if let Some(id) = number_of(key, "server.")? {
            let server = value
                .parse()
                .map_err(|source| EnsembleConfigError::Server {
                    key: key.to_owned(),
                    source,
                })?;
            self.servers.insert(ServerId(id), server);
        } else if let Some(id) = number_of(key, "group.")? {
            let members = value.split(':').map(|id| id.parse().map(ServerId));
            let members = members.collect::<Result<_, _>>();
            let members = members.map_err(|_| wrong("server ids separated by colons"))?;
            self.groups.insert(GroupId(id), members);
        } else if let Some(id) = number_of(key, "weight.")? {
            let weight = value.parse().map_err(|_| wrong("a number from 0 on"))?;
            self.weights.insert(ServerId(id), weight);
        } else {
            return Err(EnsembleConfigError::Key {
                key: key.to_owned(),
            });
        }
        Ok(())
    }

    fn finish(self) -> Result<EnsembleConfig, EnsembleConfigError> {
        let is_majority = self.groups.is_empty() && self.weights.is_empty();
        let mut groups = BTreeMap::new();
        for (&second, members) in &self.groups {
            for &server in members {
                if let Some(first) = groups.insert(server, second) {
                    return Err(EnsembleConfigError::InTwoGroups {
                        server,
                        first,
                        second,
                    });
                }
            }
        }
        let weights = self.weights;
        let hierarchy = (!is_majority).then_some(Hierarchy { groups, weights });
        EnsembleConfig::new(self.servers, hierarchy, self.version)
    }
}

/// The number behind the prefix of a key; `None` for a key without the prefix.
fn number_of(key: &str, prefix: &str) -> Result<Option<i64>, EnsembleConfigError> {
    let Some(number) = key.strip_prefix(prefix) else {
        return Ok(None);
    };
    number
        .parse()
        .map(Some)
        .map_err(|_| EnsembleConfigError::Key {
            key: key.to_owned(),
        })
}

/// Reads the text, and the spellings of it that `java.util.Properties` takes as well: comments,
/// blank lines, blanks around keys and values, a colon or a blank in place of the equals sign.
impl FromStr for EnsembleConfig {
    type Err = EnsembleConfigError;

    fn from_str(text: &str) -> Result<Self, EnsembleConfigError> {
        let mut read = Entries::default();
        for line in text.split(['\n', '\r']) {
            let line = line.trim_start_matches(is_blank);
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            if line.contains('\\') {
                return Err(EnsembleConfigError::Backslash {
                    line: line.to_owned(),
                });
            }
            let key_end = line.find(|c| is_blank(c) || c == '=' || c == ':');
            let (key, rest) = line.split_at(key_end.unwrap_or(line.len()));
            let rest = rest.trim_start_matches(is_blank);
            read.take(key, rest.strip_prefix(['=', ':']).unwrap_or(rest))?;
        }
        read.finish()
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\u{c}')
}

impl fmt::Display for EnsembleConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for id in hash_map_order(self.servers.keys().map(|id| id.0)) {
            if let Some(server) = self.servers.get(&ServerId(id)) {
                writeln!(f, "server.{id}={server}")?;
            }
        }
        if let Some(hierarchy) = &self.hierarchy {
            hierarchy.write_lines(f)?;
        }
        write!(f, "version={:x}", self.version.0)
    }
}

impl Hierarchy {
    fn write_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut members: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for server in hash_map_order(self.groups.keys().map(|id| id.0)) {
            if let Some(group) = self.groups.get(&ServerId(server)) {
                members.entry(group.0).or_default().push(server);
            }
        }
        for group in hash_map_order(members.keys().copied()) {
            write!(f, "group.{group}")?;
            for (index, server) in members.get(&group).into_iter().flatten().enumerate() {
                let separator = if index == 0 { '=' } else { ':' };
                write!(f, "{separator}{server}")?;
            }
            writeln!(f)?;
        }
        for server in hash_map_order(self.weights.keys().map(|id| id.0)) {
            if let Some(weight) = self.weights.get(&ServerId(server)) {
                writeln!(f, "weight.{server}={weight}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn parse(text: &str) -> Result<EnsembleConfig, EnsembleConfigError> {
        text.parse()
    }

    #[test]
    fn a_majority_text_is_written_as_it_was_read() {
        let text = "server.1=zk1:2888:3888:participant;0.0.0.0:2181\n\
                    server.2=zk2:2888:3888:participant\n\
                    server.3=zk3:2888:3888:observer;zk3:2181\n\
                    version=100000002";
        let config = parse(text).unwrap();
        assert_eq!(config.version(), Zxid(0x1_0000_0002));
        let ids = |members: Vec<(ServerId, _)>| members.iter().map(|m| m.0.0).collect::<Vec<_>>();
        assert_eq!(ids(config.participants().collect()), [1, 2]);
        assert_eq!(ids(config.observers().collect()), [3]);
        assert_eq!(config.hierarchy(), None);
        assert_eq!(config.to_string(), text);
    }

    #[test]
    fn a_hierarchical_text_is_written_with_every_weight() {
        let servers = "server.1=a:1:2:participant\nserver.2=b:1:2:participant\n\
                       server.3=c:1:2:participant\nserver.4=d:1:2:observer\n";
        let read = parse(&alloc::format!(
            "{servers}group.1=1\ngroup.2=2:3\nweight.3=0"
        ));
        let written = read.unwrap().to_string();
        let weights = "weight.1=1\nweight.2=1\nweight.3=0\n";
        let expected = alloc::format!("{servers}group.1=1\ngroup.2=2:3\n{weights}version=0");
        assert_eq!(written, expected);
        assert_eq!(parse(&expected).unwrap().to_string(), expected);
    }

    #[test]
    fn the_spellings_of_properties_are_read() {
        let text = "# members\n\r\n  server.1 = a:1:2 \r\n! more\nserver.2:b:1:2\n\
                    server.1\tc:1:2\nversion=10";
        let shown = parse(text).unwrap().to_string();
        let expected = "server.1=c:1:2:participant\nserver.2=b:1:2:participant\nversion=10";
        assert_eq!(shown, expected);
        let entries = [
            ("server.1", "c:1:2"),
            ("server.2", "b:1:2"),
            ("version", "10"),
        ];
        assert_eq!(EnsembleConfig::from_entries(entries), parse(text));
    }

    #[test]
    fn no_members_are_a_config() {
        assert_eq!(parse("").unwrap().to_string(), "version=0");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            (
                "a=b",
                "\"a\", expected server.N, group.N, weight.N or version",
            ),
            (
                "server.x=a:1:2",
                "\"server.x\", expected server.N, group.N, weight.N or version",
            ),
            (
                "version=0x1",
                "version=0x1: expected a hexadecimal number of 64 bits",
            ),
            (
                "server.1=a:1:x",
                "server.1: \"x\", expected a port from 0 to 65535",
            ),
            (
                "server.1=a:1:2\\",
                "\"server.1=a:1:2\\\\\": a backslash, expected key=value in one line",
            ),
            (
                "group.1=1:",
                "group.1=1:: expected server ids separated by colons",
            ),
            ("weight.1=-1", "weight.1=-1: expected a number from 0 on"),
            (
                "server.1=a:1:2:observer",
                "1 observers without a participant, expected at least one",
            ),
            (
                "server.1=a:1:2\ngroup.1=1\ngroup.2=1",
                "server 1 is in group 1 and in group 2, expected one group",
            ),
            (
                "server.1=a:1:2\nweight.1=1",
                "participant 1 is in no group, expected one",
            ),
            (
                "server.1=a:1:2\ngroup.1=1:2",
                "server 2 of group 1 is no participant and has no weight",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn a_config_has_another_version_and_the_same_members() {
        let config = parse("server.1=a:1:2").unwrap().with_version(Zxid(0x2a));
        assert_eq!(config.to_string(), "server.1=a:1:2:participant\nversion=2a");
    }
}
