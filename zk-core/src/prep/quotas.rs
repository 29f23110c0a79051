//! Quotas as they will be when every pending transaction is applied.
//!
//! Usage is what the tree has counted and what is pending on top of it. A transaction that writes a
//! quota's statistics, or has the tree count them anew, makes them known again when it is applied;
//! until then they are not known, and the quota refuses nothing.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use hashbrown::HashMap;
use smol_str::SmolStr;
use zk_proto::Zxid;

use crate::tree::{QuotaFigures, QuotaNode, Tree};

/// Limits and usage, by the path that a quota is set on.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    limits: HashMap<SmolStr, Limits>,
    usage: HashMap<SmolStr, Usage>,
    steps: VecDeque<(Zxid, Step)>,
    undo: Undo,
}

/// The newest pending state of a limits node.
#[derive(Debug)]
struct Limits {
    zxid: Zxid,
    /// `None` when it will be gone.
    figures: Option<QuotaFigures>,
}

/// What is pending of one quota's usage.
#[derive(Debug, Default)]
struct Usage {
    count: i64,
    bytes: i64,
    /// Steps that write the statistics.
    rewrites: usize,
    /// All steps.
    steps: usize,
}

#[derive(Debug)]
enum Step {
    Limits(SmolStr),
    Booked {
        quota: SmolStr,
        count: i64,
        bytes: i64,
    },
    Rewritten(SmolStr),
}

/// What takes back the changes of the request under way.
#[derive(Debug, Default)]
struct Undo {
    is_kept: bool,
    steps: usize,
    /// What [`Step::Limits`] replaced.
    limits: Vec<Option<Limits>>,
}

impl Quotas {
    /// The quota that `path` will fall under, and its limits.
    pub(super) fn limits_for<'a>(
        &self,
        tree: &Tree,
        path: &'a str,
    ) -> Option<(&'a str, QuotaFigures)> {
        if self.limits.is_empty() {
            return tree.quota_limits_for(path);
        }
        let mut prefix = path;
        while !prefix.is_empty() {
            let figures = match self.limits.get(prefix) {
                Some(limits) => limits.figures,
                None => tree.quota_figures(prefix, QuotaNode::Limits),
            };
            if let Some(figures) = figures {
                return Some((prefix, figures));
            }
            (prefix, _) = prefix.rsplit_once('/')?;
        }
        None
    }

    /// Nodes and bytes that will be counted in the quota on `path`; `None` where that is not known.
    pub(super) fn usage(&self, tree: &Tree, path: &str) -> Option<(i64, i64)> {
        let QuotaFigures { count, bytes, .. } = tree.quota_figures(path, QuotaNode::Stats)?;
        match self.usage.get(path) {
            Some(pending) if pending.rewrites > 0 => None,
            Some(pending) => Some((
                count.saturating_add(pending.count),
                bytes.saturating_add(pending.bytes),
            )),
            None => Some((count, bytes)),
        }
    }

    /// A change of the znode at `path`, which may be part of a quota itself: so many nodes and bytes
    /// more. `data` is what it will have, `None` when it will be gone.
    pub(super) fn book(
        &mut self,
        tree: &Tree,
        zxid: Zxid,
        path: &str,
        (count, bytes): (i64, i64),
        data: Option<&[u8]>,
    ) {
        match QuotaNode::of(path) {
            Some((quota, QuotaNode::Limits)) => {
                let quota = SmolStr::new(quota);
                let figures = data.map(QuotaFigures::parse);
                let replaced = self.limits.insert(quota.clone(), Limits { zxid, figures });
                if self.undo.is_kept {
                    self.undo.limits.push(replaced);
                }
                self.push(zxid, Step::Limits(quota));
            }
            Some((quota, QuotaNode::Stats)) => {
                let quota = SmolStr::new(quota);
                let usage = self.usage.entry(quota.clone()).or_default();
                usage.rewrites += 1;
                usage.steps += 1;
                self.push(zxid, Step::Rewritten(quota));
            }
            None => {}
        }
        if (count, bytes) == (0, 0) {
            return;
        }
        let quota = self.limits_for(tree, path);
        let Some(quota) = quota.map(|(quota, _)| SmolStr::new(quota)) else {
            return;
        };
        let usage = self.usage.entry(quota.clone()).or_default();
        usage.count += count;
        usage.bytes += bytes;
        usage.steps += 1;
        let step = Step::Booked {
            quota,
            count,
            bytes,
        };
        self.push(zxid, step);
    }

    fn push(&mut self, zxid: Zxid, step: Step) {
        self.steps.push_back((zxid, step));
        if self.undo.is_kept {
            self.undo.steps += 1;
        }
    }

    /// Drops what the transaction and those before it will change: the tree has it now.
    pub(super) fn on_applied(&mut self, zxid: Zxid) {
        while let Some((at, step)) = self.steps.pop_front_if(|(at, _)| *at <= zxid) {
            if let Step::Limits(quota) = &step
                && (self.limits.get(quota)).is_some_and(|newest| newest.zxid == at)
            {
                self.limits.remove(quota);
            }
            self.uncount(step);
        }
    }

    /// Begins changes that may be taken back.
    pub(super) fn begin(&mut self) {
        self.undo.is_kept = true;
    }

    /// Ends what [`begin`](Self::begin) began; the changes stay.
    pub(super) fn keep(&mut self) {
        self.undo.is_kept = false;
        self.undo.steps = 0;
        self.undo.limits.clear();
    }

    /// Takes back the changes since [`begin`](Self::begin).
    pub(super) fn take_back(&mut self) {
        for _ in 0..core::mem::take(&mut self.undo.steps) {
            let (_, step) = self.steps.pop_back().expect("each step was pushed");
            if let Step::Limits(quota) = &step {
                match self
                    .undo
                    .limits
                    .pop()
                    .expect("each step replaced something")
                {
                    Some(limits) => self.limits.insert(quota.clone(), limits),
                    None => self.limits.remove(quota),
                };
            }
            self.uncount(step);
        }
    }

    fn uncount(&mut self, step: Step) {
        let (quota, (count, bytes), rewrites) = match step {
            Step::Limits(_) => return,
            Step::Booked {
                quota,
                count,
                bytes,
            } => (quota, (count, bytes), 0),
            Step::Rewritten(quota) => (quota, (0, 0), 1),
        };
        let usage = self.usage.get_mut(&quota).expect("steps are counted");
        usage.count -= count;
        usage.bytes -= bytes;
        usage.rewrites -= rewrites;
        usage.steps -= 1;
        if usage.steps == 0 {
            self.usage.remove(&quota);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.limits.is_empty() && self.usage.is_empty() && self.steps.is_empty()
    }
}
