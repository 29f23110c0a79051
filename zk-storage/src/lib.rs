//! Transaction log, snapshots and recovery in the format of Apache ZooKeeper.
