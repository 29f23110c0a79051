//! Coordination recipes on zk-client: locks and elections that are right.
