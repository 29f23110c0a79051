//! Watches and the events that they give.

use alloc::string::String;

use crate::{DecodeError, Reader, Record, Writer};

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant = $value,)* }

        impl $name {
            /// The number on the wire.
            #[must_use]
            pub const fn to_raw(self) -> i32 {
                self as i32
            }

            /// Reads a number of the wire.
            ///
            /// # Errors
            /// [`DecodeError::BadValue`] for a number without a meaning.
            pub fn from_raw(raw: i32) -> Result<Self, DecodeError> {
                match raw {
                    $($value => Ok(Self::$variant),)*
                    _ => Err(DecodeError::BadValue { what: $what, seen: i64::from(raw) }),
                }
            }
        }
    };
}

numbered! {
    /// What happened to a znode.
    EventType, "event type" {
        /// Nothing; the event tells of a change of state.
        None = -1,
        /// The znode was created.
        NodeCreated = 1,
        /// The znode was deleted.
        NodeDeleted = 2,
        /// The znode's data was replaced.
        NodeDataChanged = 3,
        /// A child was created or deleted.
        NodeChildrenChanged = 4,
    }
}

numbered! {
    /// A client's state as an event tells it. Servers send [`SyncConnected`](Self::SyncConnected).
    KeeperState, "keeper state" {
        /// No connection.
        Disconnected = 0,
        /// Connected to a server that is in the ensemble.
        SyncConnected = 3,
        /// Authentication failed.
        AuthFailed = 4,
        /// Connected to a read-only server.
        ConnectedReadOnly = 5,
        /// SASL authentication succeeded.
        SaslAuthenticated = 6,
        /// The session expired.
        Expired = -112,
        /// The client was closed.
        Closed = 7,
    }
}

numbered! {
    /// Which watches checkWatches and removeWatches speak of.
    WatcherType, "watcher type" {
        /// One-shot watches on the children.
        Children = 1,
        /// One-shot watches on the data.
        Data = 2,
        /// All of them.
        Any = 3,
        /// Persistent watches.
        Persistent = 4,
        /// Persistent recursive watches.
        PersistentRecursive = 5,
    }
}

numbered! {
    /// How addWatch watches.
    AddWatchMode, "add-watch mode" {
        /// The znode and its list of children, until removed.
        Persistent = 0,
        /// The znode and all below it, until removed; without events about lists of children.
        PersistentRecursive = 1,
    }
}

/// An event sent to a client. Layout: int type, int state, string path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatcherEvent {
    /// What happened.
    pub event: EventType,
    /// The client's state.
    pub state: KeeperState,
    /// To which znode.
    pub path: String,
}

impl Record for WatcherEvent {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            event: EventType::from_raw(reader.i32()?)?,
            state: KeeperState::from_raw(reader.i32()?)?,
            path: reader.string()?,
        })
    }

    fn encode(&self, out: &mut impl Writer) {
        out.put_int(self.event.to_raw());
        out.put_int(self.state.to_raw());
        out.put_string(&self.path);
    }
}
