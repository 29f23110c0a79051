//! Storage over a disk in memory that crashes, fails and is damaged.

mod common;
mod crash;
mod damage;
mod restart;
