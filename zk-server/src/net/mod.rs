//! Sockets: what accepts connections, and the task that serves one.
//!
//! It knows frames, buffers and back-pressure. It decides nothing about requests: they go to the
//! loop that owns the core, and what comes back is written in the order given.

mod connection;
mod link;
mod listener;
mod opening;
mod registry;

pub(crate) use connection::serve;
pub(crate) use link::{Link, Outgoing};
pub(crate) use listener::{accept_all, bind, is_family_missing, listen};
pub(crate) use registry::Registry;
