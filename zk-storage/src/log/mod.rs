//! The transaction log: files named `log.HEX` after their first transaction.

pub(crate) mod mark;
mod reader;
pub(crate) mod scan;
pub(crate) mod walk;
mod writer;

pub(crate) use reader::decode_record;
pub use reader::{TxnLogItem, TxnLogReader};
pub use writer::LogWriter;

use zk_proto::Zxid;

/// Most bytes of more than one transaction that are written before they are synced. What a crash
/// leaves half-written lies within as many bytes of the log's end.
pub(crate) const BATCH_BYTES_MAX: u64 = 8 << 20;

/// Whether nothing can lie between two transactions: the second is the next, or opens a newer
/// epoch.
pub(crate) fn follows(last: Zxid, next: Zxid) -> bool {
    next == last.next() || (next.epoch() > last.epoch() && next.counter() == 1)
}
