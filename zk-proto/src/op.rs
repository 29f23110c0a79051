//! Operation codes (`ZooDefs.OpCode`, 3.9.5).

use core::fmt;

/// An operation code of the wire: any `i32`, known or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpCode(pub i32);

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl OpCode {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The operation's name in Apache ZooKeeper, or `unknown`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self.0 { $($value => $text,)* _ => "unknown" }
            }

            /// Every operation with a name.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

ops! {
    /// A watch event; never a request.
    NOTIFICATION = 0, "notification";
    /// Create a znode; replies its path.
    CREATE = 1, "create";
    /// Delete a znode.
    DELETE = 2, "delete";
    /// Stat of a znode.
    EXISTS = 3, "exists";
    /// Data and Stat of a znode.
    GET_DATA = 4, "getData";
    /// Replace a znode's data.
    SET_DATA = 5, "setData";
    /// ACL and Stat of a znode.
    GET_ACL = 6, "getACL";
    /// Replace a znode's ACL.
    SET_ACL = 7, "setACL";
    /// Names of a znode's children.
    GET_CHILDREN = 8, "getChildren";
    /// Bring the server up to the leader.
    SYNC = 9, "sync";
    /// Keep the session alive.
    PING = 11, "ping";
    /// Names of a znode's children, with its Stat.
    GET_CHILDREN2 = 12, "getChildren2";
    /// Check a version; only inside multi.
    CHECK = 13, "check";
    /// Several writes, all or none.
    MULTI = 14, "multi";
    /// Create a znode; replies path and Stat.
    CREATE2 = 15, "create2";
    /// Change the ensemble's membership.
    RECONFIG = 16, "reconfig";
    /// Is there such a watch?
    CHECK_WATCHES = 17, "checkWatches";
    /// Remove watches.
    REMOVE_WATCHES = 18, "removeWatches";
    /// Create a container znode.
    CREATE_CONTAINER = 19, "createContainer";
    /// Delete a container or TTL znode; made by the server itself.
    DELETE_CONTAINER = 20, "deleteContainer";
    /// Create a znode with a time to live.
    CREATE_TTL = 21, "createTTL";
    /// Several reads.
    MULTI_READ = 22, "multiRead";
    /// Authenticate.
    AUTH = 100, "auth";
    /// Restore watches after a reconnect.
    SET_WATCHES = 101, "setWatches";
    /// A SASL token.
    SASL = 102, "sasl";
    /// The session's ephemerals below a prefix.
    GET_EPHEMERALS = 103, "getEphemerals";
    /// Number of descendants.
    GET_ALL_CHILDREN_NUMBER = 104, "getAllChildrenNumber";
    /// Restore watches after a reconnect, persistent ones included.
    SET_WATCHES2 = 105, "setWatches2";
    /// Add a persistent watch.
    ADD_WATCH = 106, "addWatch";
    /// The identities of the connection.
    WHO_AM_I = 107, "whoAmI";
    /// A session begins; made by the server itself.
    CREATE_SESSION = -10, "createSession";
    /// A session ends.
    CLOSE_SESSION = -11, "closeSession";
    /// A refused write; made by the server itself.
    ERROR = -1, "error";
}

impl fmt::Display for OpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}
