//! A session on its way from one client to another.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use zk_proto::{SessionId, Zxid};

/// What is needed to take a session over: whoever has it is the session. `Debug` does not show the
/// password, serialization does.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionToken {
    id: i64,
    password: String,
    #[serde(with = "humantime_serde")]
    timeout: Duration,
    last_zxid: i64,
}

impl SessionToken {
    pub(crate) fn new(id: SessionId, password: &[u8], timeout: Duration, last_zxid: Zxid) -> Self {
        Self {
            id: id.0,
            password: STANDARD.encode(password),
            timeout,
            last_zxid: last_zxid.0,
        }
    }

    /// The session.
    #[must_use]
    pub fn id(&self) -> SessionId {
        SessionId(self.id)
    }

    /// The session's timeout as granted. The session ends when nobody has resumed it for so long.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The newest transaction that the session's client has seen.
    #[must_use]
    pub fn last_zxid(&self) -> Zxid {
        Zxid(self.last_zxid)
    }

    /// The password; `None` when the token was not made by a client.
    pub(crate) fn password(&self) -> Option<Bytes> {
        STANDARD.decode(&self.password).ok().map(Bytes::from)
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionToken")
            .field("id", &self.id())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
