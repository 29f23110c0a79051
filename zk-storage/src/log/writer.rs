//! Appending.

use zk_proto::Zxid;

use crate::LogError;

/// Appends transactions, in batches. After an error nothing more can be appended.
#[derive(Debug)]
pub struct LogWriter {}

impl LogWriter {
    /// Adds a transaction to the batch; nothing is written yet. `record` is the encoding of a
    /// [`TxnRecord`](zk_proto::TxnRecord) with this zxid.
    ///
    /// # Panics
    /// When `zxid` is neither the one after the last nor the first of a newer epoch, or is not the
    /// record's.
    pub fn append(&mut self, _zxid: Zxid, _record: &[u8]) {
        todo!()
    }

    /// Bytes in the batch. A batch is flushed before it passes a few MB.
    #[must_use]
    pub fn batch_bytes(&self) -> usize {
        todo!()
    }

    /// Writes the batch with one write and makes it durable with one sync. Returns the newest
    /// transaction on disk. An empty batch costs nothing.
    ///
    /// # Errors
    /// [`LogError`], which is final: the server has to stop.
    ///
    /// # Panics
    /// When no snapshot is on disk yet.
    pub fn flush(&mut self) -> Result<Zxid, LogError> {
        todo!()
    }

    /// Ends the current file, so that the next batch begins another. Flushes first.
    ///
    /// # Errors
    /// [`LogError`], which is final.
    pub fn roll(&mut self) -> Result<(), LogError> {
        todo!()
    }

    /// Makes the record of what was flushed durable too, with one more sync; to be called when
    /// nothing waits. It narrows the cases in which a torn tail and later damage look alike after a
    /// power cut.
    ///
    /// # Errors
    /// [`LogError`], which is final.
    pub fn settle(&mut self) -> Result<(), LogError> {
        todo!()
    }

    /// The newest transaction on disk.
    #[must_use]
    pub fn flushed_zxid(&self) -> Zxid {
        todo!()
    }

    /// Length of the current log file without its zeros; zero before the first flush after a roll.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        todo!()
    }

    /// Flushes and ends the current file, for an orderly stop.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn close(self) -> Result<(), LogError> {
        todo!()
    }
}
