//! What a ZooKeeper server decides: the data tree, watches, sessions and the pipeline of requests.
//!
//! The core is a value. [`Input`]s go in with the time, [`Effect`]s come out, and the next deadline
//! can be asked for. It does no I/O, reads no clock, draws no randomness but from its seed, and
//! shows no unordered iteration: the same seed and inputs give the same effects.
//!
//! Durability is an input: no reply to a write exists before the [`Input::Flushed`] that covers it.
#![no_std]

extern crate alloc;

mod auth;
mod authority;
mod blocks;
mod config;
mod connections;
pub mod election;
mod elsewhere;
mod info;
mod io;
mod prep;
pub mod quorum;
mod random;
mod read;
mod reaper;
mod recent;
mod replica;
mod roles;
mod session_ids;
mod sessions;
mod slab;
mod snapshots;
#[cfg(test)]
mod tests;
mod tracker;
pub mod tree;
mod unapplied;
mod watches;

pub use auth::{ACL_ENTRIES_MAX, AUTH_BYTES_MAX};
pub use config::{AuthConfig, CoreConfig, DigestAlgorithm, LocalSessions, ReaperConfig};
pub use info::{Counters, DigestAt, LearnerStatus, SessionInfo, WatchSummary};
pub use io::{
    CloseReason, ConnId, Effect, EpochPromise, HaltReason, Incoming, Input, LeaveReason, Now,
    QuorumEffect, QuorumInput, QuorumLink, QuotaExceeded, QuotaOf, SnapshotView,
};
pub use roles::{Core, MemberSettings};
