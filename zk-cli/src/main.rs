//! The `zk` command line.
fn main() {}
