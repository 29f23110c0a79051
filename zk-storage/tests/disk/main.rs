//! Storage over a disk in memory that crashes, fails and is damaged.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod chaos;
mod common;
mod crash;
mod damage;
mod directories;
mod epochs;
mod failure;
mod history;
mod install;
mod purge;
mod repeated;
mod restart;
mod round_trip;
mod space;
mod truncate;
