//! A tree that may show what transactions after its last did.
//!
//! Apache's server writes a snapshot, and the state that it sends to a learner, while it goes on. The
//! tree that is read back shows, in part or whole, what later transactions did; when those are applied
//! again it is exact. A digest that is the tree's then tells that it is. Until when another one is no
//! reason for doubt:
//!
//! - A snapshot on disk says which is the last transaction that it may show, with the digest after it, in
//!   what is written last (`DataTree.serializeZxidDigest`, 3.9.5). But a transaction is in the tree
//!   before its digest is kept: the one after that may be shown too.
//! - A state that is sent says nothing. Each transaction that it shows was committed before, and so
//!   comes before UPTODATE.

use zk_proto::{TxnDigest, Zxid};

/// Up to where the tree may show transactions that are still to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fuzzy {
    until: Zxid,
    /// The tree's digest after that transaction.
    digest: Option<TxnDigest>,
    /// After which transaction the tree's digest differed.
    differs_at: Option<Zxid>,
}

/// What digests say of a fuzzy tree after a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judged {
    /// Nothing yet.
    Fuzzy(Fuzzy),
    /// It is what it should be.
    Exact,
    /// It is not, since this transaction.
    Differs(Zxid),
}

impl Fuzzy {
    /// As the snapshot says: the last transaction that the tree may show, and the digest after it. Zxid
    /// 0 says nothing, as in Apache's snapshots of an empty tree.
    pub(crate) fn new(said: Option<(Zxid, TxnDigest)>) -> Self {
        let said = said.filter(|&(until, _)| until > Zxid::ZERO);
        let (until, digest) = said.unzip();
        Self {
            until: until.unwrap_or(Zxid::ZERO),
            digest,
            differs_at: None,
        }
    }

    /// What a snapshot of the tree has to say, if there is anything.
    #[must_use]
    pub fn said(&self) -> Option<(Zxid, TxnDigest)> {
        self.digest.map(|digest| (self.until, digest))
    }

    /// The transaction since which the tree seems to be another one, if no other follows.
    #[must_use]
    pub const fn differs_at(&self) -> Option<Zxid> {
        self.differs_at
    }

    /// Compares what the tree's digest was `found` to be after a transaction with what its record and
    /// the snapshot say.
    pub(crate) fn judge(mut self, zxid: Zxid, found: u64, of_record: Option<u64>) -> Judged {
        if zxid < self.until {
            return Judged::Fuzzy(self);
        }
        let of_snapshot = self
            .digest
            .filter(|digest| zxid == self.until && digest.version == TxnDigest::VERSION)
            .map(|digest| digest.tree_digest);
        let mut expected = [of_snapshot, of_record].into_iter().flatten().peekable();
        if expected.peek().is_none() {
            return Judged::Fuzzy(self);
        }
        if expected.all(|expected| expected == found) {
            return Judged::Exact;
        }
        match self.differs_at {
            Some(at) if self.digest.is_some() => return Judged::Differs(at),
            Some(_) => {}
            None => self.differs_at = Some(zxid),
        }
        Judged::Fuzzy(self)
    }
}
