//! Quotas (`Quotas`, `StatsTrack` and the quota half of `DataTree`, 3.9.5).
//!
//! The quota of `/a/b` is the pair of nodes `/zookeeper/quota/a/b/zookeeper_limits`, written by
//! clients, and `…/zookeeper_stats`, kept by every server for itself. Both hold text:
//!
//! ```text
//! count=N,bytes=M
//! count=N,bytes=M=;byteHardLimit=B;countHardLimit=C
//! ```
//!
//! The odd separators let parsers of ZooKeeper 3.4 read the first two figures. The quota that counts
//! is that of the nearest ancestor, the node itself included. The root has none.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use super::Tree;

/// The node below which quotas are.
pub(super) const QUOTA_PATH: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// The quota that a path falls under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// The node that the quota is set on.
    pub path: String,
    /// What clients allow: a soft and a hard limit each for nodes and bytes.
    pub limits: QuotaFigures,
    /// What there is: `count` and `bytes`.
    pub usage: QuotaFigures,
}

/// The figures of a limits or statistics node; −1 where none is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaFigures {
    /// Nodes.
    pub count: i64,
    /// Bytes of data.
    pub bytes: i64,
    /// Nodes, as a hard limit.
    pub count_hard: i64,
    /// Bytes of data, as a hard limit.
    pub bytes_hard: i64,
}

/// One of the two nodes that make a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QuotaNode {
    /// Written by clients.
    Limits,
    /// Kept by the server.
    Stats,
}

impl QuotaNode {
    /// The path that the quota is set on, if the node at `path` belongs to one.
    pub(crate) fn of(path: &str) -> Option<(&str, Self)> {
        let (quota, name) = path.strip_prefix(QUOTA_PATH)?.rsplit_once('/')?;
        let node = [Self::Limits, Self::Stats];
        let node = node.into_iter().find(|node| node.name() == name)?;
        Some((quota, node))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Limits => LIMITS,
            Self::Stats => STATS,
        }
    }
}

impl QuotaFigures {
    /// Those that a limits or statistics node with this data holds.
    pub(crate) fn parse(data: &[u8]) -> Self {
        QuotaText::parse(Some(data)).figures()
    }
}

impl Tree {
    /// The quota that `path` falls under, whether a node is there or not; `None` also when the
    /// quota's limits or statistics node is missing.
    #[must_use]
    pub fn quota_for(&self, path: &str) -> Option<Quota> {
        let (prefix, quota) = self.quota_node(path)?;
        Some(Quota {
            path: prefix.into(),
            limits: self.figures(quota, QuotaNode::Limits)?,
            usage: self.figures(quota, QuotaNode::Stats)?,
        })
    }

    /// The quotas of which both nodes are found among the first `nodes_max` below the quota node.
    pub fn quotas(&self, nodes_max: usize) -> impl Iterator<Item = Quota> + '_ {
        let top = self.quotas.into_iter();
        let nodes = top.flat_map(|top| self.subtree(top)).take(nodes_max);
        nodes.filter_map(|id| {
            let (limits, usage) = (
                self.figures(id, QuotaNode::Limits)?,
                self.figures(id, QuotaNode::Stats)?,
            );
            let path = self.path(id);
            Some(Quota {
                path: quota_prefix(&path)?.into(),
                limits,
                usage,
            })
        })
    }

    /// The path of the quota that `path` falls under, and its limits.
    pub(crate) fn quota_limits_for<'a>(&self, path: &'a str) -> Option<(&'a str, QuotaFigures)> {
        let (prefix, quota) = self.quota_node(path)?;
        Some((prefix, self.figures(quota, QuotaNode::Limits)?))
    }

    /// What a node of the quota that is set on `path` holds.
    pub(crate) fn quota_figures(&self, path: &str, node: QuotaNode) -> Option<QuotaFigures> {
        let mut names = path.strip_prefix('/')?.split('/');
        let quota = names.try_fold(self.quotas?, |at, name| self.child(at, name))?;
        self.figures(quota, node)
    }

    fn figures(&self, quota: u32, node: QuotaNode) -> Option<QuotaFigures> {
        let id = self.child(quota, node.name())?;
        Some(QuotaText::parse(self.nodes.get(id).data()).figures())
    }

    /// Books a change at `path` on the quota that it falls under.
    pub(super) fn book_usage(&mut self, path: &str, count: i64, bytes: i64) {
        let Some((prefix, quota)) = self.quota_node(path) else {
            return;
        };
        let Some(stats) = self.child(quota, STATS) else {
            return;
        };
        let mut text = QuotaText::parse(self.nodes.get(stats).data());
        text.add(COUNT, count);
        text.add(BYTES, bytes);
        let text = text.to_string();
        self.write_stats(prefix, stats, &text);
    }

    /// A statistics node starts with what there is (`DataTree.updateQuotaForPath`).
    pub(super) fn on_created_in_quota(&mut self, parent_path: &str, name: &str, id: u32) {
        if name == STATS
            && let Some(prefix) = quota_prefix(parent_path)
        {
            self.recount(prefix, id);
        }
    }

    /// Counts the usage of every quota anew, as after the load of a snapshot, whose statistics may be
    /// older than its nodes.
    pub(super) fn recount_quotas(&mut self) {
        let Some(top) = self.quotas else {
            return;
        };
        let with_limits = self
            .subtree(top)
            .filter_map(|id| Some((id, self.child(id, LIMITS).and(self.child(id, STATS))?)));
        for (quota, stats) in with_limits.collect::<Vec<_>>() {
            let path = self.path(quota);
            let prefix = quota_prefix(&path).expect("the node is at or below the quota node");
            self.recount(prefix, stats);
        }
    }

    fn recount(&mut self, prefix: &str, stats: u32) {
        let top = self.find(prefix).map(|top| self.nodes.get(top));
        let (count, bytes) = top.map_or((0, 0), |top| {
            let nodes = u64::from(top.nodes_below) + 1;
            (nodes, top.bytes_below + top.data_len() as u64)
        });
        self.write_stats(prefix, stats, &format!("{COUNT}={count},{BYTES}={bytes}"));
    }

    fn write_stats(&mut self, prefix: &str, stats: u32, text: &str) {
        let path = format!("{QUOTA_PATH}{prefix}/{STATS}");
        self.change(stats, |node| node.set_data(&path, Some(text.as_bytes())));
    }

    /// The longest part of `path` that has a limits node, and the parent of that limits node.
    fn quota_node<'a>(&self, path: &'a str) -> Option<(&'a str, u32)> {
        let quotas = self.quotas?;
        if self.nodes.get(quotas).child_count == 0 {
            return None;
        }
        let mut found = None;
        let (mut at, mut end) = (quotas, 0);
        for name in path.strip_prefix('/')?.split('/') {
            let Some(child) = self.child(at, name) else {
                break;
            };
            at = child;
            end += 1 + name.len();
            if self.child(at, LIMITS).is_some() {
                found = Some((path.get(..end)?, at));
            }
        }
        found
    }
}

/// The path that a node below the quota node stands for.
fn quota_prefix(path: &str) -> Option<&str> {
    path.strip_prefix(QUOTA_PATH)
        .filter(|prefix| prefix.is_empty() || prefix.starts_with('/'))
}

const COUNT: &str = "count";
const BYTES: &str = "bytes";
const COUNT_HARD: &str = "countHardLimit";
const BYTES_HARD: &str = "byteHardLimit";

/// Figures by name. What is not a name and a number is passed over: clients write these nodes.
struct QuotaText<'a>(BTreeMap<&'a str, i64>);

impl<'a> QuotaText<'a> {
    fn parse(data: Option<&'a [u8]>) -> Self {
        let text = core::str::from_utf8(data.unwrap_or_default()).unwrap_or_default();
        let figure = |pair: &'a str| {
            let (name, value) = pair.split_once('=')?;
            // After the value of `bytes` another `=` may follow.
            let value = value.split('=').next().unwrap_or(value);
            Some((name, value.parse().ok()?))
        };
        Self(text.split([',', ';']).filter_map(figure).collect())
    }

    fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(-1)
    }

    fn add(&mut self, name: &'a str, difference: i64) {
        let value = self.get(name).wrapping_add(difference);
        self.0.insert(name, value);
    }

    fn figures(&self) -> QuotaFigures {
        QuotaFigures {
            count: self.get(COUNT),
            bytes: self.get(BYTES),
            count_hard: self.get(COUNT_HARD),
            bytes_hard: self.get(BYTES_HARD),
        }
    }
}

impl fmt::Display for QuotaText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{COUNT}={},{BYTES}={}", self.get(COUNT), self.get(BYTES))?;
        let mut separator = "=;";
        for (name, value) in &self.0 {
            if ![COUNT, BYTES].contains(name) {
                write!(f, "{separator}{name}={value}")?;
                separator = ";";
            }
        }
        Ok(())
    }
}
