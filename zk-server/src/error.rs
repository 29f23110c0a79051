//! What can go wrong with a server.

use std::io;
use std::path::PathBuf;

use zk_core::HaltReason;
use zk_storage::{
    EpochError, InstallError, IoError, LogError, OpenError, RecoverError, SnapshotError,
    TruncateError,
};

use zk_proto::Zxid;

use crate::config::{ConfigError, MembershipFileError};

/// Why a server does not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directories cannot be used.
    #[error(transparent)]
    DataDir(#[from] OpenError),
    /// What was acknowledged cannot be read back whole.
    #[error("cannot recover: {0}")]
    Recover(#[from] RecoverError),
    /// There is no data, and the configuration says that there should be.
    #[error(
        "the data directories are empty, and db.autocreate is false: make the file {} if they are \
         to be",
        path.display()
    )]
    UnexpectedlyEmpty {
        /// The file that lets an empty database begin.
        path: PathBuf,
    },
    /// What was promised to the ensemble cannot be read back.
    #[error("cannot recover what was promised to the ensemble: {0}")]
    Epochs(#[from] EpochError),
    /// A promise to the ensemble could not be written. It was not given.
    #[error("a promise to the ensemble cannot be written: {0}")]
    Promise(#[source] IoError),
    /// The membership can change, and there is no file to keep it in.
    #[error(
        "reconfigEnabled=true needs a configuration file, in which the membership is kept when it \
         changes"
    )]
    NoConfigFile,
    /// The membership could not be kept. It was not acknowledged.
    #[error("the membership cannot be kept: {0}")]
    Membership(#[source] MembershipFileError),
    /// The leader said to forget transactions, which is not possible.
    #[error("the transactions after {target} cannot be forgotten, as the leader asks: {source}")]
    Truncate {
        /// The last transaction to keep.
        target: Zxid,
        /// Why not.
        source: TruncateError,
    },
    /// The state that the leader sent could not be stored.
    #[error("the leader's state cannot be stored: {0}")]
    Install(#[source] InstallError),
    /// What the leader sent can only be obeyed by telling what is not true.
    #[error("the leader cannot be followed: {0}")]
    Halted(HaltReason),
    /// The quorum port or the election port cannot be opened.
    #[error("cannot listen on {address} for the other servers: {source}")]
    QuorumPort {
        /// What was to be listened on.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The client port cannot be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// What was to be listened on.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The transaction log could not be written. Nothing was acknowledged since.
    #[error("the transaction log cannot be written: {0}")]
    Log(#[from] LogError),
    /// A snapshot could not be written.
    #[error("a snapshot cannot be written: {0}")]
    Snapshot(#[from] SnapshotError),
    /// The system refused something that the server cannot do without.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A part of the server ended that never should.
    #[error("bug: {0} ended unexpectedly")]
    Ended(&'static str),
}

impl ServerError {
    /// The exit code for it (`ExitCode`, 3.9.5): 2 for the configuration, 3 for the data
    /// directories, 10 for a snapshot, 12 for a commit that matches no proposal, 13 for a leader that
    /// cannot be obeyed otherwise, 14 for the ports between servers, 1 for all else.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::NoConfigFile => 2,
            Self::DataDir(_) | Self::UnexpectedlyEmpty { .. } => 3,
            Self::Snapshot(_) => 10,
            Self::Halted(HaltReason::UnmatchedCommit { .. }) => 12,
            Self::Halted(_) | Self::Truncate { .. } => 13,
            Self::QuorumPort { .. } => 14,
            Self::Recover(_)
            | Self::Epochs(_)
            | Self::Promise(_)
            | Self::Membership(_)
            | Self::Install(_)
            | Self::Listen { .. }
            | Self::Log(_)
            | Self::System { .. }
            | Self::Ended(_) => 1,
        }
    }
}
