//! What reads answer.

use zk_proto::{ErrorCode, MultiResult, Perms, ReadOp, Request, Response, SessionId, Zxid};

use super::{History, Model, State};

impl Model {
    /// The answer to a read after a transaction. Names and paths come sorted.
    ///
    /// # Panics
    /// When the request is no read that clients of this world make.
    pub(crate) fn read(
        &self,
        request: &Request,
        session: SessionId,
        zxid: Zxid,
    ) -> Result<Response, ErrorCode> {
        let readable = |path: &str| {
            let state = self.at(path, zxid).ok_or(ErrorCode::NO_NODE)?;
            match state.permits(Perms::READ) {
                true => Ok(state),
                false => Err(ErrorCode::NO_AUTH),
            }
        };
        Ok(match request {
            Request::Exists { path, .. } => Response::Stat(readable(path)?.stat()),
            Request::GetData { path, .. } => data(readable(path)?),
            Request::GetAcl { path } => {
                let state = self.at(path, zxid).ok_or(ErrorCode::NO_NODE)?;
                if !state.permits(Perms::READ) && !state.permits(Perms::ADMIN) {
                    return Err(ErrorCode::NO_AUTH);
                }
                Response::Acl(state.acl.to_vec(), state.stat())
            }
            Request::GetChildren { path, .. } => {
                readable(path)?;
                Response::Children(self.children(path, zxid))
            }
            Request::GetChildren2 { path, .. } => {
                let stat = readable(path)?.stat();
                Response::ChildrenAndStat(self.children(path, zxid), stat)
            }
            Request::MultiRead(ops) => {
                let read = |op: &ReadOp| match op {
                    ReadOp::GetData { path, .. } => readable(path)
                        .map(|state| MultiResult::GetData(state.data.clone(), state.stat())),
                    ReadOp::GetChildren { path, .. } => {
                        readable(path).map(|_| MultiResult::GetChildren(self.children(path, zxid)))
                    }
                };
                let results = ops
                    .iter()
                    .map(|op| read(op).unwrap_or_else(MultiResult::Error));
                Response::Multi(results.collect())
            }
            Request::GetEphemerals { prefix } => {
                let owned = self.nodes.keys().filter(|path| {
                    let owner = self.at(path, zxid).map(|state| state.owner);
                    owner == Some(session.0) && path.starts_with(prefix)
                });
                Response::Ephemerals(owned.cloned().collect())
            }
            Request::GetAllChildrenNumber { path } => {
                readable(path)?;
                let below = format!("{path}/");
                let all = self.nodes.range(below.clone()..);
                let all = all.take_while(|(path, _)| path.starts_with(&below));
                let count = all
                    .filter(|(path, _)| self.at(path, zxid).is_some())
                    .count();
                Response::Number(i32::try_from(count).expect("few znodes"))
            }
            Request::Sync { path } => Response::Path(path.clone()),
            other => panic!("{} is no read of this world", other.op()),
        })
    }

    fn children<N: for<'a> From<&'a str>>(&self, path: &str, zxid: Zxid) -> Vec<N> {
        let history = self.nodes.get(path).expect("it is there");
        history.children_at(zxid)
    }
}

impl History {
    fn children_at<N: for<'a> From<&'a str>>(&self, zxid: Zxid) -> Vec<N> {
        let is_later = |moved: &&(Zxid, bool, String)| moved.0 > zxid;
        if self.moves.last().is_none_or(|last| last.0 <= zxid) {
            return self
                .children
                .iter()
                .map(|name| name.as_str().into())
                .collect();
        }
        let mut names = self.children.clone();
        for (_, came, name) in self.moves.iter().rev().take_while(is_later) {
            match came {
                true => names.remove(name),
                false => names.insert(name.clone()),
            };
        }
        names.iter().map(|name| name.as_str().into()).collect()
    }
}

fn data(state: &State) -> Response {
    Response::Data(state.data.clone(), state.stat())
}

/// Sorts what has no order, and levels what may be told in two ways: of a create2 in a multi, which
/// is written to the log as a create, only the server that made the transaction tells the Stat.
pub(crate) fn sort(response: &mut Response) {
    match response {
        Response::Children(names) | Response::ChildrenAndStat(names, _) => names.sort_unstable(),
        Response::Ephemerals(paths) => paths.sort_unstable(),
        Response::Multi(results) => {
            for result in results {
                match result {
                    MultiResult::GetChildren(names) => names.sort_unstable(),
                    MultiResult::Create2(path, _) => {
                        *result = MultiResult::Create(std::mem::take(path));
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}
