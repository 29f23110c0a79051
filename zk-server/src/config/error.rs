//! Why a configuration is refused.

use super::jvm_flags::OpenQuote;
use super::origin::Origin;
use super::properties::BadEscape;
use std::io;
use std::path::PathBuf;
use thiserror::Error;
use zk_proto::ServerId;
use zk_proto::quorum::EnsembleConfigError;

/// A configuration with which the server does not start.
///
/// Every message names the place, the value seen and what was expected; values of secret keys are
/// left out. All variants but the last are for the operator to correct, and the process ends with
/// exit code 2.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file has a `\u` escape that names no character.
    #[error("{}:{}: {source}", path.display(), source.line)]
    Escape {
        /// The configuration file.
        path: PathBuf,
        /// The line.
        source: BadEscape,
    },
    /// `SERVER_JVMFLAGS` cannot be split into words.
    #[error("SERVER_JVMFLAGS: {0}")]
    Environment(#[from] OpenQuote),
    /// A `--set` without a key or a value.
    #[error("--set: {text:?} is not key=value")]
    Override {
        /// The argument.
        text: String,
    },
    /// The value has not the form that its key asks for.
    #[error("{origin}: {key}={value}: expected {expected}")]
    Value {
        /// Where the value stands.
        origin: Origin,
        /// The key as it was written.
        key: String,
        /// The value seen.
        value: String,
        /// The form expected.
        expected: String,
    },
    /// The setting asks for something that this server does not do.
    #[error("{origin}: {key}={value} is refused: {why}")]
    Refused {
        /// Where the setting stands.
        origin: Origin,
        /// The key as it was written.
        key: String,
        /// The value seen.
        value: String,
        /// What is missing.
        why: &'static str,
    },
    /// A key that has no default is not set.
    #[error("{}: {key} is not set: {expected}", path.display())]
    Missing {
        /// The configuration file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What would satisfy the server.
        expected: &'static str,
    },
    /// Two settings contradict each other.
    #[error("{origin}: {message}")]
    Conflict {
        /// Where the later of the two stands.
        origin: Origin,
        /// Both settings with their values, and the rule.
        message: String,
    },
    /// The servers do not make an ensemble.
    #[error("{place}: {source}")]
    Ensemble {
        /// Where they stand.
        place: String,
        /// What is wrong.
        source: EnsembleConfigError,
    },
    /// A member of an ensemble has no number.
    #[error("{} is missing: expected the number N of this server's line server.N", path.display())]
    NoMyId {
        /// The file.
        path: PathBuf,
    },
    /// The server's number is no member's.
    #[error("{}: {id} is no member, expected the number N of a line server.N", path.display())]
    NotAMember {
        /// The file.
        path: PathBuf,
        /// The number.
        id: ServerId,
    },
    /// `myid` does not hold a number.
    #[error("{}: {text:?} is not a server id: expected an integer of 64 bits", path.display())]
    MyId {
        /// The file.
        path: PathBuf,
        /// Its first line.
        text: String,
    },
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}
