//! A ZooKeeper server: sockets, configuration, timers and the storage thread around zk-core.

pub mod config;
