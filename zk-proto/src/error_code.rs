//! Error codes as they stand in reply headers (`KeeperException.Code`, 3.9.5).

use core::fmt;

/// An error code of the wire. Zero is success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ErrorCode(pub i32);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The code's name in Apache ZooKeeper, or `UNKNOWN`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self.0 { $($value => $text,)* _ => "UNKNOWN" }
            }

            /// Every code with a name.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

codes! {
    /// Success.
    OK = 0, "OK";
    /// A fault inside the server.
    SYSTEM_ERROR = -1, "SYSTEMERROR";
    /// A later operation of a multi was not tried because an earlier one failed.
    RUNTIME_INCONSISTENCY = -2, "RUNTIMEINCONSISTENCY";
    /// Data contradicts itself.
    DATA_INCONSISTENCY = -3, "DATAINCONSISTENCY";
    /// The connection was lost; made by clients.
    CONNECTION_LOSS = -4, "CONNECTIONLOSS";
    /// A record could not be decoded.
    MARSHALLING_ERROR = -5, "MARSHALLINGERROR";
    /// The operation does not exist or is switched off.
    UNIMPLEMENTED = -6, "UNIMPLEMENTED";
    /// The operation took too long.
    OPERATION_TIMEOUT = -7, "OPERATIONTIMEOUT";
    /// An argument is not valid.
    BAD_ARGUMENTS = -8, "BADARGUMENTS";
    /// The session is not known.
    UNKNOWN_SESSION = -12, "UNKNOWNSESSION";
    /// No quorum of the proposed configuration is connected and in sync.
    NEW_CONFIG_NO_QUORUM = -13, "NEWCONFIGNOQUORUM";
    /// Another reconfiguration is under way.
    RECONFIG_IN_PROGRESS = -14, "RECONFIGINPROGRESS";
    /// Upper bound of API errors.
    API_ERROR = -100, "APIERROR";
    /// The znode does not exist.
    NO_NODE = -101, "NONODE";
    /// The ACL does not permit it.
    NO_AUTH = -102, "NOAUTH";
    /// The version differs from the expected one.
    BAD_VERSION = -103, "BADVERSION";
    /// Ephemeral znodes have no children.
    NO_CHILDREN_FOR_EPHEMERALS = -108, "NOCHILDRENFOREPHEMERALS";
    /// The znode exists already.
    NODE_EXISTS = -110, "NODEEXISTS";
    /// The znode has children.
    NOT_EMPTY = -111, "NOTEMPTY";
    /// The session is over.
    SESSION_EXPIRED = -112, "SESSIONEXPIRED";
    /// A callback is not valid; made by clients.
    INVALID_CALLBACK = -113, "INVALIDCALLBACK";
    /// The ACL is not valid.
    INVALID_ACL = -114, "INVALIDACL";
    /// Authentication failed.
    AUTH_FAILED = -115, "AUTHFAILED";
    /// The session has moved to another server.
    SESSION_MOVED = -118, "SESSIONMOVED";
    /// The server is read-only.
    NOT_READ_ONLY = -119, "NOTREADONLY";
    /// A local session may not own ephemerals.
    EPHEMERAL_ON_LOCAL_SESSION = -120, "EPHEMERALONLOCALSESSION";
    /// There is no such watcher.
    NO_WATCHER = -121, "NOWATCHER";
    /// The request timed out; made by clients.
    REQUEST_TIMEOUT = -122, "REQUESTTIMEOUT";
    /// Reconfiguration is switched off.
    RECONFIG_DISABLED = -123, "RECONFIGDISABLED";
    /// The session was closed because SASL is required.
    SESSION_CLOSED_REQUIRE_SASL_AUTH = -124, "SESSIONCLOSEDREQUIRESASLAUTH";
    /// A hard quota would be exceeded.
    QUOTA_EXCEEDED = -125, "QUOTAEXCEEDED";
    /// The request was dropped because the server is overloaded.
    THROTTLED_OP = -127, "THROTTLEDOP";
}

impl ErrorCode {
    /// Whether this is success.
    #[must_use]
    pub const fn is_ok(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}
