//! A transaction between the log and the tree.

use bytes::Bytes;
use zk_proto::{DecodeError, Reader, Record as _, Txn, TxnDigest, TxnHeader, TxnRecord};

#[derive(Debug)]
pub(crate) struct Unapplied {
    pub(crate) header: TxnHeader,
    pub(crate) txn: Txn,
    /// The tree's digest after it, as whoever made it expects.
    pub(crate) digest: Option<u64>,
    /// Its encoding, for the learners.
    pub(crate) record: Bytes,
}

impl Unapplied {
    /// A transaction that another server made.
    pub(crate) fn decode(record: Bytes) -> Result<Self, DecodeError> {
        let TxnRecord {
            header,
            txn,
            digest,
        } = TxnRecord::decode(&mut Reader::new(&record))?;
        let digest = digest.filter(|digest| digest.version == TxnDigest::VERSION);
        Ok(Self {
            header,
            txn,
            digest: digest.map(|digest| digest.tree_digest),
            record,
        })
    }
}
