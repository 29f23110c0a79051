//! What goes wrong in a recipe.

use zk_client::{Kind, PathError};

use crate::FencingToken;
use crate::term::LossReason;

/// A recipe that could not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory is not a path.
    #[error(transparent)]
    InvalidPath(#[from] PathError),
    /// A request failed for good. [`Kind::Closed`] and [`Kind::SessionEnded`] mean that the handle
    /// which the recipe was built on is over.
    #[error(transparent)]
    Client(#[from] zk_client::Error),
}

/// The result of a recipe.
pub type Result<T> = std::result::Result<T, Error>;

/// What was held is held no longer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("lost what token {token} stands for: {reason}")]
pub struct Lost {
    /// Why.
    pub reason: LossReason,
    /// The token under which it was held.
    pub token: FencingToken,
}

/// Whether a read that failed so may succeed when it is repeated: the client was between two
/// connections. The repetition waits for the next one, so repeating does not spin.
pub(crate) fn passes(error: &zk_client::Error) -> bool {
    matches!(error.kind(), Kind::ConnectionLoss | Kind::Timeout)
}
