//! Servers and fault handles for the tests of ZooKeeper applications.
