//! What an operator should know about a configuration that is accepted.

use super::origin::Origin;
use std::fmt;

/// A setting that does less, or more, than its author may expect. Each key is reported once for
/// each reason.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// No such key. Apache ZooKeeper makes it the system property `zookeeper.<key>`, which nothing
    /// reads either.
    UnknownKey {
        /// Where it stands.
        origin: Origin,
        /// The key as it was written.
        key: String,
        /// A known key of nearly the same spelling.
        suggestion: Option<&'static str>,
    },
    /// The key is known, and this server has nothing that it could change.
    NoEffect {
        /// Where it stands.
        origin: Origin,
        /// The key as it was written.
        key: String,
        /// Why it changes nothing.
        why: &'static str,
    },
    /// Keys that only the servers of an ensemble use; with one server they are checked and kept.
    EnsembleOnly {
        /// The keys, in the order of the sources.
        keys: Vec<String>,
    },
    /// Words of `SERVER_JVMFLAGS` that are no `-D` settings.
    JvmOptions {
        /// The words.
        options: Vec<String>,
    },
    /// Another setting of the same key has precedence.
    Overruled {
        /// Where the setting without effect stands.
        origin: Origin,
        /// Its key as it was written.
        key: String,
        /// Where the setting stands that is used.
        by: Origin,
    },
    /// Apache ZooKeeper would not read the key from this place in this spelling; this server does.
    ApacheIgnores {
        /// Where it stands.
        origin: Origin,
        /// The key as it was written.
        key: String,
        /// Where Apache ZooKeeper reads it.
        read_from: String,
    },
    /// The value is below the least that is safe, which is used instead, as Apache ZooKeeper does.
    Raised {
        /// Where it stands.
        origin: Origin,
        /// The key as it was written.
        key: String,
        /// The value seen.
        value: String,
        /// The value used.
        used: i64,
    },
    /// A relative path depends on the directory in which the server is started.
    RelativePath {
        /// Where it stands.
        origin: Origin,
        /// The key as it was written.
        key: String,
        /// The path.
        path: String,
    },
    /// Bytes above 127 are read as ISO-8859-1, as Java does, not as UTF-8.
    Latin1 {
        /// Where they stand.
        origin: Origin,
    },
    /// The setting gives up a promise that the server otherwise keeps.
    Unsafe {
        /// Where it stands.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// What can happen.
        consequence: &'static str,
    },
    /// The ensemble bears fewer losses than it could with as many servers.
    FewServers {
        /// The number of participants.
        participants: usize,
    },
    /// Another setting, or what the server can do, counts instead.
    Ignored {
        /// Where it stands.
        origin: Origin,
        /// The setting and what is used instead.
        message: String,
    },
}

/// One line, lower case, without a full stop; values of secret keys never appear.
impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey {
                origin,
                key,
                suggestion,
            } => {
                write!(f, "{origin}: {key} is not a known key and has no effect")?;
                match suggestion {
                    Some(known) => write!(f, ": did you mean {known}?"),
                    None => Ok(()),
                }
            }
            Self::NoEffect { origin, key, why } => {
                write!(f, "{origin}: {key} has no effect: {why}")
            }
            Self::EnsembleOnly { keys } => {
                write!(f, "only servers of an ensemble use {}", keys.join(", "))
            }
            Self::JvmOptions { options } => {
                let options = options.join(" ");
                write!(
                    f,
                    "SERVER_JVMFLAGS: there is no JVM that could use {options}"
                )
            }
            Self::Overruled { origin, key, by } => {
                write!(f, "{origin}: {key} has no effect: {by} overrules it")
            }
            Self::ApacheIgnores {
                origin,
                key,
                read_from,
            } => write!(
                f,
                "{origin}: {key} is honoured here, but Apache ZooKeeper reads it only as \
                 {read_from}"
            ),
            Self::Raised {
                origin,
                key,
                value,
                used,
            } => {
                write!(f, "{origin}: {key}={value} is too small: {used} is used")
            }
            Self::RelativePath { origin, key, path } => write!(
                f,
                "{origin}: {key}={path} is relative: prepend ./ to show that this is meant"
            ),
            Self::Latin1 { origin } => write!(
                f,
                "{origin}: bytes above 127 are read as ISO-8859-1: write \\uXXXX escapes instead"
            ),
            Self::Unsafe {
                origin,
                key,
                consequence,
            } => write!(f, "{origin}: {key}: {consequence}"),
            Self::FewServers { participants } => {
                let tolerated = participants.saturating_sub(1) / 2;
                write!(
                    f,
                    "at most {tolerated} of {participants} participants may be lost: an odd number, \
                     and at least 3, serves better"
                )
            }
            Self::Ignored { origin, message } => write!(f, "{origin}: {message}"),
        }
    }
}
