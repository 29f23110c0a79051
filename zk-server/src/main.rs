//! The `zk-server` binary.
fn main() {}
