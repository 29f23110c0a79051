//! Bytes of the ZooKeeper protocol, transaction log and snapshots.
