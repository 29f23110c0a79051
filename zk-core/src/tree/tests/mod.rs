//! The tree against its documented behaviour and against a plain map.

use alloc::vec::Vec;

use super::*;

#[test]
fn the_empty_tree_is_apaches() {
    let tree = Tree::new(TreeOptions::default());
    assert_eq!(tree.node_count(), 5);
    assert_eq!(tree.approximate_data_size(), 44);
    let config = tree.get("/zookeeper/config").unwrap();
    assert_eq!(config.acl()[..], [Acl::new(Perms::READ, Id::anyone())]);
    assert_eq!(config.stat().aversion, -1);
    let names: Vec<&str> = tree.get("/zookeeper").unwrap().children().collect();
    assert_eq!(names, ["quota", "config"]);
}
