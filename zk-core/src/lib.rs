//! What a ZooKeeper ensemble decides: tree, watches, sessions, request pipeline.
