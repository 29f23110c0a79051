//! What a server does at present.

use zk_proto::ServerId;
use zk_proto::quorum::ServerState;

/// What a server does at present.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Whether clients are served.
    pub is_serving: bool,
    /// What it does in its ensemble; `None` when it runs alone.
    pub role: Option<ServerState>,
    /// Whom it follows, or itself while it leads; `None` when it runs alone or looks for a leader.
    pub leader: Option<ServerId>,
}
