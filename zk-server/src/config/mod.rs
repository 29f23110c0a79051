//! The configuration: `zoo.cfg` as Apache ZooKeeper reads it, `SERVER_JVMFLAGS`, and `--set` on the
//! command line.
//!
//! ```text
//! zoo.cfg ─────────── properties ─┐
//! SERVER_JVMFLAGS ─── jvm_flags ──┼── settings (precedence; table: form, status) ── resolve ─┐
//! --set key=value ────────────────┘                          Config, warnings, effective ────┘
//! ```
//!
//! Every key is honoured, refused with its place, or warned about by name; none is silently
//! ignored. A [`Config`] that exists is valid: values have their forms and agree with each other.
//! Reading files is [`load`](Config::load)'s part alone; everything else is pure.
//!
//! # Precedence
//!
//! `--set` wins over everything. Below it, what Apache ZooKeeper would use wins: it reads its own
//! keys from the file alone; it turns other lines of the file into system properties
//! `zookeeper.<key>`, over a `-D` of that name; and it reads a few properties without that prefix,
//! such as `jute.maxbuffer`, from `-D` alone. A setting in a place or spelling where Apache
//! ZooKeeper would not see it counts where no other is, with a warning. Of two equal settings the
//! later wins.
//!
//! Sources: `QuorumPeerConfig.java`, `ServerConfig.java`, `ZooKeeperServer.java` and the readers of
//! each property, 3.9.5.

mod address;
mod auth;
mod client_port;
mod document;
mod effective;
mod error;
mod form;
mod four_letter;
mod jvm_flags;
mod key;
mod limits;
mod load;
mod membership_files;
mod origin;
mod properties;
mod quorum;
mod resolve;
mod settings;
mod storage;
mod table;
mod tree;
mod warning;

#[cfg(test)]
mod tests;

pub use address::ListenAddress;
pub use auth::{AuthConfig, DigestAlgorithm, SuperDigest};
pub use client_port::ClientPortConfig;
pub use document::document;
pub use effective::{Effective, EffectiveSetting};
pub use error::ConfigError;
pub use four_letter::FourLetterWords;
pub use jvm_flags::OpenQuote;
pub use limits::Limits;
pub use load::{Loaded, Sources};
pub use membership_files::MembershipFileError;
pub(crate) use membership_files::MembershipFiles;
pub use origin::Origin;
pub use properties::BadEscape;
pub use quorum::{Membership, QuorumConfig};
pub use storage::{PurgeConfig, StorageConfig};
pub use tree::{ReaperConfig, TreeConfig};
pub use warning::Warning;
pub use zk_proto::ServerId;

use std::path::PathBuf;
use std::time::Duration;

/// Everything a server is told before it starts.
///
/// Made by [`Config::load`], [`Config::parse`] and [`Config::dev`]; an embedder starts from one of
/// them and changes fields. `docs/configuration.md` has the key of every field, its default and its
/// meaning.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The directory of snapshots, `myid` and epoch files.
    pub data_dir: PathBuf,
    /// The directory of the txn log; the same as `data_dir` unless it is configured.
    pub data_log_dir: PathBuf,
    /// The content of `myid`, if the file exists.
    pub my_id: Option<ServerId>,
    /// The configuration file, absolute; `None` for a server that has none. A membership that changes
    /// is kept in it and beside it.
    pub file: Option<PathBuf>,
    /// One tick, the unit in which sessions expire; never zero.
    pub tick_time: Duration,
    /// The ensemble that the server is a member of; `None` for a server that runs alone.
    pub membership: Option<Membership>,
    /// How members of an ensemble deal with each other.
    pub quorum: QuorumConfig,
    /// The bounds of session timeouts.
    pub sessions: SessionConfig,
    /// The port that clients connect to.
    pub client_port: ClientPortConfig,
    /// Whether a server that lost its quorum serves reads.
    pub read_only_mode_enabled: bool,
    /// Whether the membership of the ensemble can change while it runs.
    pub reconfig_enabled: bool,
    /// The bounds on what clients can make the server hold.
    pub limits: Limits,
    /// The txn log, snapshots and their removal.
    pub storage: StorageConfig,
    /// What the data tree may hold.
    pub tree: TreeConfig,
    /// Who may do what.
    pub auth: AuthConfig,
}

/// The bounds of session timeouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionConfig {
    /// A client that asks for less gets this; at most `max_timeout`.
    pub min_timeout: Duration,
    /// A client that asks for more gets this; never zero, and fits 32 bits of milliseconds, as the
    /// protocol's does.
    pub max_timeout: Duration,
}

impl Config {
    /// What the defaults of the key table are written into.
    fn blank() -> Self {
        Self {
            data_dir: PathBuf::new(),
            data_log_dir: PathBuf::new(),
            my_id: None,
            file: None,
            tick_time: Duration::ZERO,
            membership: None,
            quorum: QuorumConfig::BLANK,
            sessions: SessionConfig {
                min_timeout: Duration::ZERO,
                max_timeout: Duration::ZERO,
            },
            client_port: ClientPortConfig {
                address: ListenAddress::Any,
                port: 0,
                backlog: None,
                has_keep_alive: false,
                four_letter_words: FourLetterWords::default(),
            },
            read_only_mode_enabled: false,
            reconfig_enabled: false,
            limits: Limits::BLANK,
            storage: StorageConfig::BLANK,
            tree: TreeConfig::BLANK,
            auth: AuthConfig::BLANK,
        }
    }
}
