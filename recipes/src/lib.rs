//! Coordination recipes on [`zk_client`]: locks and elections that say when they are lost.
//!
//! - [`Mutex`]: one holder among all clients.
//! - [`LeaderLatch`]: one leader among many candidates; [`LeaderView`] for everybody else.
//!
//! A recipe gives a guard. While it is held, its [`Term`] tells
//!
//! - [`token`](Term::token): a number that grows from holder to holder, to fence effects with,
//! - [`lost`](Term::lost): a signal that what was held is held no longer,
//! - [`valid_until`](Term::valid_until): until when nobody else can hold,
//! - [`run`](Term::run) and [`fence`](Term::fence): work, and transactions, that stop with it.
//!
//! ```text
//!            ┌─► won ─► guard ──► released (release, drop)
//!  contend ──┤                └─► lost: session over, lease expired, znode deleted
//!            └─► future dropped: no znode is left behind
//! ```
//!
//! This crate knows names, orders and what to watch. It uses nothing of the client but its public
//! API, and leaves sessions, lost replies and cleaning up to it. Nothing here polls or sleeps; every
//! wait ends when the client or the session does.

mod builder;
mod contest;
mod error;
mod latch;
pub mod layout;
mod mutex;
mod term;
mod view;

pub use builder::Builder;
pub use error::{Error, Lost, Result};
pub use latch::{LeaderGuard, LeaderLatch, LeaderLatchBuilder, Role};
pub use mutex::{LockGuard, Mutex, MutexBuilder};
pub use term::{FencingToken, LossPolicy, LossReason, Term};
pub use view::{LeaderView, Participant};

/// That the program in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
