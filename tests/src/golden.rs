//! Data directories that Apache's server wrote; `tests/golden/README.md` describes them.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A node of a golden directory, as Apache's server showed it to a client.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of a znode")]
pub struct GoldenNode {
    pub path: String,
    /// In base64; `None` is null.
    pub data: Option<String>,
    pub stat: GoldenStat,
    pub acl: Vec<GoldenAcl>,
}

/// A node's Stat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of a Stat")]
pub struct GoldenStat {
    pub czxid: i64,
    pub mzxid: i64,
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    pub cversion: i32,
    pub aversion: i32,
    pub ephemeral_owner: i64,
    pub data_length: i32,
    pub num_children: i32,
    pub pzxid: i64,
}

/// One entry of a node's ACL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of an ACL")]
pub struct GoldenAcl {
    pub perms: i32,
    pub scheme: String,
    pub id: String,
}

/// The folder `tests/golden`.
#[must_use]
pub fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// The nodes of `tests/golden/data/NAME`, in order of their paths.
///
/// # Panics
/// When there is no such directory.
#[must_use]
pub fn golden_nodes(name: &str) -> Vec<GoldenNode> {
    let file = golden_folder().join("data").join(name).join("tree.json");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file:?}: {error}"))
}
