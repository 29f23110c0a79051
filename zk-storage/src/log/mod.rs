//! The transaction log.

mod reader;
mod writer;

pub use reader::{TxnLogItem, TxnLogReader};
pub use writer::LogWriter;
