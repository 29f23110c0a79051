//! What went wrong, with which request, and whether the ensemble may have done it all the same.

use std::fmt;
use std::net::SocketAddr;

use zk_proto::{DecodeError, ErrorCode, OpCode, PathError, SessionId};

use crate::connect_string::ConnectStringError;
use crate::state::SessionEnd;

/// The result of an operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Whether a failed request may have changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It changed nothing and never will. Repeating it is safe.
    NotApplied,
    /// It may have been applied, or may yet be. Find out before repeating it.
    Unknown,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Kind {
    /// Text is not a path.
    #[error(transparent)]
    InvalidPath(#[from] PathError),
    /// Text is not a list of servers.
    #[error(transparent)]
    InvalidConnectString(#[from] ConnectStringError),
    /// An argument is not valid, or a combination of arguments has no meaning.
    #[error("bad arguments: {0}")]
    BadArguments(&'static str),
    /// More requests are in flight than the client's bounds allow; only for `submit()`, which does
    /// not wait.
    #[error("too many requests in flight")]
    Overloaded,
    /// The client is closed, or was detached from its session.
    #[error("the client is closed")]
    Closed,

    /// The znode does not exist; for a create, its parent.
    #[error("no such znode")]
    NoNode,
    /// The znode exists already.
    #[error("the znode exists")]
    NodeExists,
    /// The version differs from the expected one.
    #[error("the version differs")]
    BadVersion,
    /// The znode has children.
    #[error("the znode has children")]
    NotEmpty,
    /// Ephemeral znodes have no children.
    #[error("the parent is ephemeral")]
    NoChildrenForEphemerals,
    /// The ACL does not permit it.
    #[error("not permitted")]
    NoAuth,
    /// The ACL is not valid.
    #[error("the ACL is not valid")]
    InvalidAcl,
    /// Authentication failed. A client whose identities are refused does nothing more.
    #[error("authentication failed")]
    AuthFailed,
    /// A hard quota would be exceeded.
    #[error("quota exceeded")]
    QuotaExceeded,
    /// The server is read-only.
    #[error("the server is read-only")]
    NotReadOnly,
    /// The server does not know the operation, or has it switched off.
    #[error("not implemented by the server")]
    Unimplemented,
    /// The server dropped the request because it is overloaded.
    #[error("dropped by an overloaded server")]
    Throttled,
    /// Any other error of the server.
    #[error("server error {0}")]
    Server(ErrorCode),

    /// The connection was lost.
    #[error("connection lost")]
    ConnectionLoss,
    /// No server could be reached in time; the reason is that of the last attempt.
    #[error("no server reached: {0}")]
    Unreachable(String),
    /// The request's time ran out.
    #[error("timed out")]
    Timeout,
    /// The session to which the request was bound is over.
    #[error("the session is over: {0}")]
    SessionEnded(SessionEnd),
    /// The server sent bytes without a meaning.
    #[error("the server sent no reply to this request: {0}")]
    Protocol(#[from] DecodeError),
}

impl Kind {
    /// The meaning of a server's error code.
    pub(crate) fn of_code(code: ErrorCode) -> Self {
        match code {
            ErrorCode::NO_NODE => Self::NoNode,
            ErrorCode::NODE_EXISTS => Self::NodeExists,
            ErrorCode::BAD_VERSION => Self::BadVersion,
            ErrorCode::NOT_EMPTY => Self::NotEmpty,
            ErrorCode::NO_CHILDREN_FOR_EPHEMERALS => Self::NoChildrenForEphemerals,
            ErrorCode::NO_AUTH => Self::NoAuth,
            ErrorCode::INVALID_ACL => Self::InvalidAcl,
            ErrorCode::AUTH_FAILED => Self::AuthFailed,
            ErrorCode::QUOTA_EXCEEDED => Self::QuotaExceeded,
            ErrorCode::NOT_READ_ONLY => Self::NotReadOnly,
            ErrorCode::UNIMPLEMENTED => Self::Unimplemented,
            ErrorCode::THROTTLED_OP => Self::Throttled,
            ErrorCode::SESSION_EXPIRED => Self::SessionEnded(SessionEnd::Expired),
            ErrorCode::BAD_ARGUMENTS => Self::BadArguments("refused by the server"),
            other => Self::Server(other),
        }
    }

    /// Apache ZooKeeper's code for this kind, as command lines and other languages print it.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidPath(_) | Self::InvalidConnectString(_) | Self::BadArguments(_) => {
                ErrorCode::BAD_ARGUMENTS
            }
            Self::Overloaded | Self::Throttled => ErrorCode::THROTTLED_OP,
            Self::NoNode => ErrorCode::NO_NODE,
            Self::NodeExists => ErrorCode::NODE_EXISTS,
            Self::BadVersion => ErrorCode::BAD_VERSION,
            Self::NotEmpty => ErrorCode::NOT_EMPTY,
            Self::NoChildrenForEphemerals => ErrorCode::NO_CHILDREN_FOR_EPHEMERALS,
            Self::NoAuth => ErrorCode::NO_AUTH,
            Self::InvalidAcl => ErrorCode::INVALID_ACL,
            Self::AuthFailed => ErrorCode::AUTH_FAILED,
            Self::QuotaExceeded => ErrorCode::QUOTA_EXCEEDED,
            Self::NotReadOnly => ErrorCode::NOT_READ_ONLY,
            Self::Unimplemented => ErrorCode::UNIMPLEMENTED,
            Self::Server(code) => *code,
            Self::Closed | Self::ConnectionLoss | Self::Unreachable(_) => {
                ErrorCode::CONNECTION_LOSS
            }
            Self::Timeout => ErrorCode::REQUEST_TIMEOUT,
            Self::SessionEnded(_) => ErrorCode::SESSION_EXPIRED,
            Self::Protocol(_) => ErrorCode::MARSHALLING_ERROR,
        }
    }
}

/// A failed operation.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    op: OpCode,
    path: Option<String>,
    kind: Kind,
    outcome: Outcome,
    txn_index: Option<usize>,
    session: SessionId,
    server: Option<SocketAddr>,
}

impl Error {
    pub(crate) fn new(op: OpCode, path: Option<String>, kind: Kind, outcome: Outcome) -> Self {
        Self(Box::new(Inner {
            op,
            path,
            kind,
            outcome,
            txn_index: None,
            session: SessionId(0),
            server: None,
        }))
    }

    pub(crate) fn not_applied(op: OpCode, path: Option<String>, kind: Kind) -> Self {
        Self::new(op, path, kind, Outcome::NotApplied)
    }

    /// What was asked for; `createSession` when the client could not be built.
    #[must_use]
    pub fn op(&self) -> OpCode {
        self.0.op
    }

    /// The znode that was asked for, as the caller's handle sees paths. For a transaction, the
    /// znode of the operation that failed.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.0.path.as_deref()
    }

    /// Why it failed.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// Whether it may have changed anything.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// Which operation of a transaction failed, from zero.
    #[must_use]
    pub fn txn_index(&self) -> Option<usize> {
        self.0.txn_index
    }

    /// The session in which it failed; zero when there was none.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.0.session
    }

    /// The server that answered, or to which the connection was lost.
    #[must_use]
    pub fn server(&self) -> Option<SocketAddr> {
        self.0.server
    }

    /// Whether repeating the same request may succeed and cannot apply it twice: nothing was
    /// changed, and the cause passes by itself.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.outcome == Outcome::NotApplied
            && matches!(
                self.0.kind,
                Kind::ConnectionLoss | Kind::Timeout | Kind::Throttled | Kind::Overloaded
            )
    }

    /// What a failed create says to its caller.
    #[must_use]
    pub fn as_create(&self) -> Option<CreateError> {
        Some(match self.0.kind {
            Kind::NodeExists => CreateError::AlreadyExists,
            Kind::NoNode => CreateError::NoParent,
            Kind::NoChildrenForEphemerals => CreateError::ParentIsEphemeral,
            Kind::NoAuth => CreateError::NotPermitted,
            _ => return None,
        })
    }

    pub(crate) fn with_session(mut self, session: SessionId) -> Self {
        self.0.session = session;
        self
    }

    pub(crate) fn with_server(mut self, server: Option<SocketAddr>) -> Self {
        self.0.server = server;
        self
    }

    pub(crate) fn with_txn_index(mut self, index: usize) -> Self {
        self.0.txn_index = Some(index);
        self
    }

    /// The same error with its path as `change` gives it.
    pub(crate) fn map_path(mut self, change: impl FnOnce(String) -> String) -> Self {
        self.0.path = self.0.path.take().map(change);
        self
    }

    /// The same failure as part of a larger operation.
    pub(crate) fn within(mut self, op: OpCode, path: String, outcome: Outcome) -> Self {
        self.0.op = op;
        self.0.path = Some(path);
        self.with_outcome(outcome)
    }

    pub(crate) fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }
}

/// The failures of a create that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CreateError {
    /// The znode exists.
    AlreadyExists,
    /// The parent does not exist.
    NoParent,
    /// The parent is ephemeral and can have no children.
    ParentIsEphemeral,
    /// The parent's ACL does not permit it.
    NotPermitted,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.op.name())?;
        if let Some(path) = &self.0.path {
            write!(f, " {path:?}")?;
        }
        write!(f, ": {}", self.0.kind)?;
        if let Some(index) = self.0.txn_index {
            write!(f, " (operation {index} of the transaction)")?;
        }
        if self.0.outcome == Outcome::Unknown {
            f.write_str(" (outcome unknown)")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("op", &self.0.op.name())
            .field("path", &self.0.path)
            .field("kind", &self.0.kind)
            .field("outcome", &self.0.outcome)
            .field("txn_index", &self.0.txn_index)
            .field("session", &self.0.session)
            .field("server", &self.0.server)
            .finish()
    }
}

impl std::error::Error for Error {}
