//! What can go wrong with a server.

use std::io;
use std::path::PathBuf;

use zk_storage::{LogError, OpenError, RecoverError, SnapshotError};

use crate::config::ConfigError;

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
    /// directories, 10 for a snapshot, 1 for all else.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::DataDir(_) | Self::UnexpectedlyEmpty { .. } => 3,
            Self::Snapshot(_) => 10,
            Self::Recover(_)
            | Self::Listen { .. }
            | Self::Log(_)
            | Self::System { .. }
            | Self::Ended(_) => 1,
        }
    }
}
