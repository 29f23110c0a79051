//! What tests of ZooKeeper applications need: a server in the process, and faults on demand.
//!
//! - [`TestServer`] is a standalone server in the process, with data in a temporary folder. It ends
//!   sessions on demand and tells what a test leaves behind.
//! - [`FaultProxy`] stands between a client and a server and loses replies, cuts, holds, delays and
//!   refuses, at a chosen operation rather than at a chosen time. It records what passes.
//! - [`RawSession`] speaks the protocol by hand, for what a client does not let its user do.
//!
//! Everything listens on loopback, on free ports. Nothing here sleeps to let something happen: what
//! a test waits for has a future.
#![expect(
    clippy::disallowed_methods,
    reason = "sockets are what this crate is about"
)]

mod leaks;
mod proxy;
mod raw;
mod server;

pub use proxy::{Content, Direction, Fault, FaultProxy, Frame, Hold, Refusal};
pub use raw::RawSession;
pub use server::{Error, TestServer};
pub use zk_proto::OpCode;
