//! An async ZooKeeper client whose sessions, watches and errors tell the truth.
