//! Tests that cross crates: Apache ZooKeeper, kazoo, crashes, hostile clients.
