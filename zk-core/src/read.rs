//! What reads answer: a function of the tree and of who asks.

use alloc::string::String;
use alloc::vec::Vec;

use smol_str::SmolStr;
use zk_proto::{ErrorCode, MultiResult, Perms, ReadOp, Request, Response, SessionId};

use crate::auth::{Identities, Policy};
use crate::tree::{Node, Tree};
use crate::watches::About;

/// Who reads what.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) policy: &'a Policy,
    pub(crate) who: &'a Identities,
    pub(crate) session: SessionId,
}

impl<'a> Reader<'a> {
    /// Answers a read.
    ///
    /// # Panics
    /// When the request is no read.
    pub(crate) fn read(self, request: &Request) -> Result<Response, ErrorCode> {
        match request {
            Request::Exists { path, .. } => self.exists(path),
            Request::GetData { path, .. } => {
                let node = self.readable(path)?;
                Ok(Response::Data(node.data_bytes(), node.stat()))
            }
            Request::GetAcl { path } => self.acl(path),
            Request::GetChildren { path, .. } => {
                Ok(Response::Children(names(self.readable(path)?)))
            }
            Request::GetChildren2 { path, .. } => {
                let node = self.readable(path)?;
                Ok(Response::ChildrenAndStat(names(node), node.stat()))
            }
            Request::MultiRead(ops) => Ok(Response::Multi(self.multi(ops))),
            Request::GetEphemerals { prefix } => Ok(Response::Ephemerals(self.ephemerals(prefix))),
            Request::GetAllChildrenNumber { path } => {
                self.readable(path)?;
                let count = self.tree.descendant_count(path).unwrap_or(0);
                Ok(Response::Number(i32::try_from(count).unwrap_or(i32::MAX)))
            }
            Request::WhoAmI => Ok(Response::Identities(self.who.users())),
            Request::Sync { path } => Ok(Response::Path(path.clone())),
            Request::Ping => Ok(Response::Empty),
            other => unreachable!("{} is no read", other.op()),
        }
    }

    fn permits(self, node: Node<'_>, perms: Perms) -> bool {
        self.policy.authorize(self.who, node.acl(), perms)
    }

    fn readable(self, path: &str) -> Result<Node<'a>, ErrorCode> {
        let node = self.tree.get(path).ok_or(ErrorCode::NO_NODE)?;
        if self.permits(node, Perms::READ) {
            Ok(node)
        } else {
            Err(ErrorCode::NO_AUTH)
        }
    }

    fn exists(self, path: &str) -> Result<Response, ErrorCode> {
        if path.contains('\0') {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        Ok(Response::Stat(self.readable(path)?.stat()))
    }

    fn acl(self, path: &str) -> Result<Response, ErrorCode> {
        let node = self.tree.get(path).ok_or(ErrorCode::NO_NODE)?;
        if !self.permits(node, Perms::READ | Perms::ADMIN) {
            return Err(ErrorCode::NO_AUTH);
        }
        let acl = self.policy.shown(self.who, node.acl());
        Ok(Response::Acl(acl, node.stat()))
    }

    fn multi(self, ops: &[ReadOp]) -> Vec<MultiResult> {
        let read = |op: &ReadOp| match op {
            ReadOp::GetData { path, .. } => self
                .readable(path)
                .map(|node| MultiResult::GetData(node.data_bytes(), node.stat())),
            ReadOp::GetChildren { path, .. } => self
                .readable(path)
                .map(|node| MultiResult::GetChildren(names(node))),
        };
        ops.iter()
            .map(|op| read(op).unwrap_or_else(MultiResult::Error))
            .collect()
    }

    /// The prefix is text, not a path: `/a` is a prefix of `/ab` too.
    fn ephemerals(self, prefix: &str) -> Vec<String> {
        let trimmed = prefix.trim_matches(|character: char| character <= ' ');
        let all = matches!(trimmed, "" | "/");
        self.tree
            .ephemerals_of(self.session)
            .filter(|path| all || path.starts_with(prefix))
            .collect()
    }
}

fn names(node: Node<'_>) -> Vec<SmolStr> {
    node.children().map(SmolStr::new).collect()
}

/// The watch that a read sets with this result, if any: exists watches znodes that are not there
/// too.
pub(crate) fn watch_set<'a>(
    request: &'a Request,
    result: &Result<Response, ErrorCode>,
) -> Option<(&'a str, About)> {
    match (request, result) {
        (Request::Exists { path, watch: true }, Ok(_) | Err(ErrorCode::NO_NODE))
        | (Request::GetData { path, watch: true }, Ok(_)) => Some((path, About::Data)),
        (
            Request::GetChildren { path, watch: true }
            | Request::GetChildren2 { path, watch: true },
            Ok(_),
        ) => Some((path, About::Children)),
        _ => None,
    }
}
