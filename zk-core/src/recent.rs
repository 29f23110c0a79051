//! The newest transactions that were applied, kept for learners that are not far behind.

use alloc::collections::VecDeque;

use bytes::Bytes;
use zk_proto::Zxid;

/// Memory that the transactions may take, whatever their number.
const BYTES_MAX: usize = 16 << 20;

/// A stretch of history without a gap, up to the last transaction applied.
#[derive(Debug)]
pub(crate) struct Recent {
    txns: VecDeque<(Zxid, Bytes)>,
    txns_max: usize,
    bytes: usize,
}

impl Recent {
    /// Keeps so many transactions at most (`commitLogCount`).
    pub(crate) fn new(txns_max: usize) -> Self {
        Self {
            txns: VecDeque::new(),
            txns_max,
            bytes: 0,
        }
    }

    /// A transaction was applied.
    pub(crate) fn push(&mut self, zxid: Zxid, record: &Bytes) {
        if self.txns_max == 0 {
            return;
        }
        self.bytes += record.len();
        self.txns.push_back((zxid, record.clone()));
        while self.txns.len() > self.txns_max || self.bytes > BYTES_MAX && self.txns.len() > 1 {
            if let Some((_, record)) = self.txns.pop_front() {
                self.bytes -= record.len();
            }
        }
    }

    /// What was applied is not the history any more.
    pub(crate) fn clear(&mut self) {
        self.txns.clear();
        self.bytes = 0;
    }

    pub(crate) fn first(&self) -> Option<Zxid> {
        self.txns.front().map(|&(zxid, _)| zxid)
    }

    pub(crate) fn contains(&self, zxid: Zxid) -> bool {
        self.txns
            .binary_search_by_key(&zxid, |&(zxid, _)| zxid)
            .is_ok()
    }

    /// The newest one before `zxid`.
    pub(crate) fn last_before(&self, zxid: Zxid) -> Option<Zxid> {
        let at = self.txns.partition_point(|&(before, _)| before < zxid);
        let (before, _) = self.txns.get(at.checked_sub(1)?)?;
        Some(*before)
    }

    /// Whether everything after `zxid` is here, where `last` is the newest transaction of all.
    pub(crate) fn has_all_after(&self, zxid: Zxid, last: Zxid) -> bool {
        zxid >= last || self.first().is_some_and(|first| first <= zxid.next())
    }

    /// Those after `zxid`, oldest first.
    pub(crate) fn after(&self, zxid: Zxid) -> impl Iterator<Item = &(Zxid, Bytes)> {
        let at = self.txns.partition_point(|&(before, _)| before <= zxid);
        self.txns.range(at..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn zxids(recent: &Recent, after: i64) -> Vec<i64> {
        recent.after(Zxid(after)).map(|(zxid, _)| zxid.0).collect()
    }

    #[test]
    fn the_oldest_go_first() {
        let mut recent = Recent::new(3);
        for zxid in [1, 2, 5, 6] {
            recent.push(Zxid(zxid), &Bytes::new());
        }
        assert_eq!(zxids(&recent, 0), [2, 5, 6]);
        assert_eq!(zxids(&recent, 4), [5, 6]);
        assert_eq!(zxids(&recent, 6), []);
        assert_eq!(recent.first(), Some(Zxid(2)));
        assert_eq!(recent.last_before(Zxid(5)), Some(Zxid(2)));
        assert_eq!(recent.last_before(Zxid(2)), None);
        assert!(recent.contains(Zxid(5)) && !recent.contains(Zxid(4)));
    }

    #[test]
    fn what_is_missing_is_told() {
        let mut recent = Recent::new(2);
        assert!(recent.has_all_after(Zxid(3), Zxid(3)), "nothing is missing");
        assert!(!recent.has_all_after(Zxid(2), Zxid(3)), "3 is");
        for zxid in [1, 2, 3] {
            recent.push(Zxid(zxid), &Bytes::new());
        }
        assert!(recent.has_all_after(Zxid(1), Zxid(3)));
        assert!(!recent.has_all_after(Zxid(0), Zxid(3)), "1 is");
    }

    #[test]
    fn memory_is_bounded() {
        let mut recent = Recent::new(1_000);
        let record = Bytes::from(alloc::vec![0; BYTES_MAX / 4]);
        for zxid in 1..=10 {
            recent.push(Zxid(zxid), &record);
        }
        assert_eq!(zxids(&recent, 0), [7, 8, 9, 10]);
    }

    #[test]
    fn none_is_kept_where_none_is_wanted() {
        let mut recent = Recent::new(0);
        recent.push(Zxid(1), &Bytes::new());
        assert_eq!(recent.first(), None);
    }
}
