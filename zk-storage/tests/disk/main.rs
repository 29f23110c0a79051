//! Storage over a disk in memory that crashes, fails and is damaged.

mod common;
mod restart;
