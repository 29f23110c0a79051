//! What the tests that cross crates share: real server processes, ours and Apache's, and the
//! programs that speak to them.
//!
//! Tests need what a fresh machine may not have: Java with Apache's jars, or Python with kazoo.
//! [`Needs`] finds it; where it is missing a test prints one line and ends, or fails when the
//! environment's `ZK_TESTS_REQUIRE_ALL` is `1`.
#![expect(
    clippy::disallowed_methods,
    reason = "starts processes and writes their files"
)]
#![expect(clippy::print_stdout, reason = "names what is skipped or kept")]

mod check;
mod ensemble;
mod golden;
mod load;
mod needs;
mod process;
mod raw;
mod tree;
mod wire;

pub use check::{check_files, check_members};
pub use ensemble::{Ensemble, EnsembleSettings, Figures, Links, Mode, Role, Status};
pub use golden::{GoldenAcl, GoldenNode, GoldenStat, golden_folder, golden_nodes};
pub use load::{Ledger, Load, LoadSettings, prepare_load};
pub use needs::Needs;
pub use process::{Flavour, ServerProcess, ServerSettings, program};
pub use raw::{RawClient, RawReply};
pub use tree::{SUPER_DIGEST, Tree, Znode, assert_same_tree, become_super_user, read_tree};
pub use wire::{Dialogue, Received, Sessions, Wire};
