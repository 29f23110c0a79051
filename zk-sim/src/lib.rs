//! Ensembles in a deterministic world.
//!
//! One seed draws everything: how many servers there are and how they are set, what clients ask for,
//! how long everything takes, and what goes wrong. The servers are the core and the storage code of
//! production; only the file system, the network and the clocks are fakes. Time is virtual, there is
//! one thread, and the same seed gives the same run, event for event.
//!
//! What is checked is listed in `check`, what is drawn in `plan`, what goes wrong in `faults`.

mod check;
mod client;
mod context;
mod faults;
mod model;
mod net;
mod plan;
mod planted;
mod random;
mod schedule;
mod server;
mod trace;
mod world;

pub use check::{Coverage, Violation};
pub use planted::Planted;
pub use trace::Telling;
pub use world::{Options, Report, run};
