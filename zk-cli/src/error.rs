//! What went wrong, said to people: what failed, on which path, and what to do about it.

use std::io;

use serde_json::{Value, json};
use zk_client::{ErrorCode, Kind, OpCode, Outcome};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// An operation failed.
    #[error("{}", describe(.0))]
    Zk(#[from] zk_client::Error),
    /// A file is damaged, or input has no meaning; the text names it.
    #[error("{0}")]
    Data(String),
    /// A znode that was asked about is not there.
    #[error("Node does not exist: {0}")]
    Missing(String),
    /// None of the servers asked serves clients.
    #[error("no server serves clients")]
    NoServer,
    /// A watch ended.
    #[error(transparent)]
    WatchEnd(#[from] zk_client::WatchEnd),
    /// ^C was pressed.
    #[error("interrupted")]
    Interrupted,
    /// The terminal, a pipe or a file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Anything else.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// The result of a command.
pub(crate) type Result<T = ()> = std::result::Result<T, CliError>;

/// What the parser of command lines says, without its own heading.
impl From<clap::Error> for CliError {
    fn from(error: clap::Error) -> Self {
        let text = error.to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        Self::Usage(text.to_owned())
    }
}

/// The command line is wrong.
pub(crate) fn usage<T>(message: impl Into<String>) -> Result<T> {
    Err(CliError::Usage(message.into()))
}

impl CliError {
    /// The exit code that tells a script what to do: see the help.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Zk(error) if is_usage(error.kind()) => 2,
            Self::Zk(error) if is_connection(error.kind()) => 3,
            Self::WatchEnd(_) | Self::NoServer => 3,
            Self::Interrupted => 130,
            Self::Zk(_) | Self::Data(_) | Self::Missing(_) | Self::Io(_) | Self::Other(_) => 1,
        }
    }

    /// What to do about it.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Zk(error) => hint(error),
            Self::Missing(path) => Some(format!("see what there is: zk ls {}", parent(path))),
            Self::WatchEnd(_) => Some("connect again and read what was watched".to_owned()),
            Self::Usage(_)
            | Self::Data(_)
            | Self::NoServer
            | Self::Interrupted
            | Self::Io(_)
            | Self::Other(_) => None,
        }
    }

    /// The error as JSON.
    pub(crate) fn to_json(&self) -> Value {
        let mut error = json!({ "message": self.to_string(), "exit_code": self.exit_code() });
        if let Some(fields) = error.as_object_mut() {
            if let Self::Zk(error) = self {
                fields.insert("op".into(), error.op().name().into());
                fields.insert("path".into(), error.path().into());
                fields.insert("code".into(), error.kind().code().name().into());
                let applied = match error.outcome() {
                    Outcome::NotApplied => "not applied",
                    Outcome::Unknown => "unknown",
                };
                fields.insert("outcome".into(), applied.into());
            }
            if let Some(hint) = self.hint() {
                fields.insert("hint".into(), hint.into());
            }
        }
        json!({ "error": error })
    }

    /// Prints to the standard error.
    pub(crate) fn report(&self, json: bool) {
        if json {
            eprintln!("{}", self.to_json());
            return;
        }
        eprintln!("zk: {self}");
        if let Some(hint) = self.hint() {
            eprintln!("    {hint}");
        }
    }
}

fn is_usage(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::InvalidPath(_) | Kind::InvalidConnectString(_) | Kind::BadArguments(_)
    )
}

fn is_connection(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::ConnectionLoss
            | Kind::Unreachable(_)
            | Kind::Timeout
            | Kind::SessionEnded(_)
            | Kind::Closed
    )
}

/// The message, in zkCli's words where it has some.
fn describe(error: &zk_client::Error) -> String {
    let path = error.path().unwrap_or("");
    let parent = parent(path);
    match error.kind() {
        Kind::NoNode if is_create(error.op()) => {
            format!("Node does not exist: {parent}, the parent of {path}")
        }
        Kind::NoNode => format!("Node does not exist: {path}"),
        Kind::NodeExists => format!("Node already exists: {path}"),
        Kind::NotEmpty => format!("Node not empty: {path}"),
        Kind::BadVersion => format!("version No is not valid : {path}"),
        Kind::NoChildrenForEphemerals => {
            format!("Ephemerals cannot have children: {path} ({parent} is ephemeral)")
        }
        Kind::NoAuth => format!("Insufficient permission : {path} ({})", error.op().name()),
        Kind::InvalidAcl => format!("Acl is not valid : {path}"),
        Kind::NotReadOnly => format!("Not a read-only call: {path}"),
        Kind::QuotaExceeded => format!("Quota has exceeded : {path}"),
        Kind::Unimplemented => format!("The server has no {}: {path}", error.op().name()),
        _ => error.to_string(),
    }
}

fn hint(error: &zk_client::Error) -> Option<String> {
    let path = error.path().unwrap_or("");
    Some(match error.kind() {
        Kind::NoNode if is_create(error.op()) => format!("create {} first", parent(path)),
        Kind::NoNode => format!("see what there is: zk ls {}", parent(path)),
        Kind::NodeExists => format!("read it with zk get -s {path}, replace it with zk set {path}"),
        Kind::NotEmpty => format!("delete it with all below it: zk deleteall {path}"),
        Kind::BadVersion => {
            format!("somebody changed it; read it again: zk stat {path}, then use its version")
        }
        Kind::NoAuth => format!(
            "see who may: zk getAcl {path}; prove an identity with --auth scheme:auth or addauth"
        ),
        Kind::InvalidAcl => {
            "the form is scheme:id:perms, such as digest:user:hash:cdrwa; auth: needs --auth"
                .to_owned()
        }
        Kind::AuthFailed => "check the scheme and the secret of --auth or addauth".to_owned(),
        Kind::NotReadOnly => {
            "this server is cut off from its quorum; connect to another one to write".to_owned()
        }
        Kind::QuotaExceeded => format!("see the limits: zk listquota {path}, or of an ancestor"),
        Kind::Unimplemented => "the server is too old for it, or has it switched off \
             (TTL needs extendedTypesEnabled=true)"
            .to_owned(),
        Kind::Server(ErrorCode::RECONFIG_DISABLED) => {
            "the servers need reconfigEnabled=true".to_owned()
        }
        Kind::Unreachable(_) => "is a server running there? see --server and --timeout".to_owned(),
        _ if error.outcome() == Outcome::Unknown => {
            "it may have been applied all the same: look before repeating it".to_owned()
        }
        Kind::ConnectionLoss | Kind::Timeout => "nothing was changed: repeat it".to_owned(),
        _ => return None,
    })
}

fn is_create(op: OpCode) -> bool {
    matches!(
        op,
        OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_CONTAINER | OpCode::CREATE_TTL
    )
}

/// The path without its last part.
pub(crate) fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        None | Some(("", _)) => "/",
        Some((parent, _)) => parent,
    }
}
