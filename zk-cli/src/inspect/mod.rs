//! Files of servers: printed and verified.

mod snapshot;
mod txnlog;

use std::path::Path;

pub(crate) use snapshot::print as snapshot;
pub(crate) use txnlog::print as txnlog;

use crate::error::CliError;

/// The file is damaged, or is none.
fn damaged(file: &Path, what: impl std::fmt::Display) -> CliError {
    CliError::Data(format!("{}: {what}", file.display()))
}
