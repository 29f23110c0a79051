//! A ZooKeeper server: sockets, configuration, timers and the storage thread around zk-core.
//!
//! [`Server`] runs one within a process; the program `zk-server` is little more than that and a
//! command line. This crate waits: for sockets, disks and clocks. What a request means is decided
//! in zk-core, what survives a crash in zk-storage.

mod clock;
mod complaints;
pub mod config;
mod driver;
mod error;
mod local;
mod net;
mod peers;
mod quota_log;
mod recovery;
mod server;
mod shared;
mod stats;
mod status;
mod storage;
mod version;
mod words;

pub use config::{Config, ConfigError};
pub use error::ServerError;
pub use local::{LocalMember, local_ensemble};
pub use peers::PeerListeners;
pub use server::{Running, Server, ServerBuilder};
pub use status::Status;
pub use version::{APACHE_VERSION, FULL_VERSION};
