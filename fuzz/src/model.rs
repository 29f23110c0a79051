//! A tree of nothing but a map by path, written down from the documents.

use std::collections::BTreeMap;

use zk_proto::{
    Create, ErrorCode, MultiOp, MultiResult, OpCode, Path, Request, Response, SessionId, Stat,
    StatPersisted, TTL_MS_MAX, Zxid,
};

use crate::Image;

/// Znodes that are never deleted.
const SPECIAL: [&str; 4] = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

/// The tree after one transaction. Every ACL is open.
#[derive(Debug, Clone)]
pub struct Model {
    extended_types: bool,
    nodes: BTreeMap<String, Node>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    data: Option<Vec<u8>>,
    /// But for `cversion`, the number of creations.
    stat: StatPersisted,
}

/// The transaction that a write becomes.
#[derive(Debug, Clone, Copy)]
struct Txn {
    zxid: Zxid,
    time_ms: i64,
    session: SessionId,
}

impl Model {
    /// The empty tree.
    #[must_use]
    pub fn new(extended_types: bool) -> Self {
        let node = |path: &str| {
            let stat = StatPersisted {
                aversion: if path.ends_with("config") { -1 } else { 0 },
                ..StatPersisted::default()
            };
            let data = Some(Vec::new());
            (path.to_owned(), Node { data, stat })
        };
        Self {
            extended_types,
            nodes: SPECIAL.map(node).into(),
        }
    }

    /// Does what a request to write asks for, or tells why not.
    ///
    /// # Errors
    /// What the client is told; nothing was changed.
    ///
    /// # Panics
    /// When the request is none that is known here.
    pub fn write(
        &mut self,
        zxid: Zxid,
        time_ms: i64,
        session: SessionId,
        request: &Request,
    ) -> Result<Response, ErrorCode> {
        let txn = Txn {
            zxid,
            time_ms,
            session,
        };
        let result = match request.clone() {
            Request::Create(create) => self.op(txn, &MultiOp::Create(create)),
            Request::Delete { path, version } => self.op(txn, &MultiOp::Delete { path, version }),
            Request::SetData {
                path,
                data,
                version,
            } => self.op(
                txn,
                &MultiOp::SetData {
                    path,
                    data,
                    version,
                },
            ),
            Request::SetAcl { path, version, .. } => {
                Path::parse(&path).map_err(|_| ErrorCode::BAD_ARGUMENTS)?;
                let node = self.nodes.get_mut(&path).ok_or(ErrorCode::NO_NODE)?;
                fits(node.stat.aversion, version)?;
                node.stat.aversion += 1;
                return Ok(Response::Stat(self.stat(&path)));
            }
            Request::Multi(ops) => return Ok(Response::Multi(self.multi(txn, &ops))),
            Request::CloseSession => {
                let owned = |(_, node): &(&String, &Node)| node.stat.ephemeral_owner == session.0;
                let owned = self.nodes.iter().filter(owned);
                let owned: Vec<String> = owned.map(|(path, _)| path.clone()).collect();
                for path in owned {
                    self.op(txn, &MultiOp::Delete { path, version: -1 })
                        .expect("it is a leaf");
                }
                return Ok(Response::Empty);
            }
            other => panic!("{} is not known here", other.op()),
        };
        result.map(|result| match result {
            MultiResult::Create(path) => Response::Path(path),
            MultiResult::Create2(path, stat) => Response::PathAndStat(path, stat),
            MultiResult::SetData(stat) => Response::Stat(stat),
            _ => Response::Empty,
        })
    }

    /// Either all are done, or what they are told apart by is why not.
    fn multi(&mut self, txn: Txn, ops: &[MultiOp]) -> Vec<MultiResult> {
        let before = self.clone();
        let mut results = Vec::new();
        for op in ops {
            match self.op(txn, op) {
                Ok(result) => results.push(result),
                Err(code) => {
                    *self = before;
                    results.fill(MultiResult::Error(ErrorCode::OK));
                    results.push(MultiResult::Error(code));
                    let rest = MultiResult::Error(ErrorCode::RUNTIME_INCONSISTENCY);
                    results.resize(ops.len(), rest);
                    return results;
                }
            }
        }
        results
    }

    fn op(&mut self, txn: Txn, op: &MultiOp) -> Result<MultiResult, ErrorCode> {
        match op {
            MultiOp::Create(create) => self.create(txn, create),
            MultiOp::Delete { path, version } => {
                let parent = parent_of(path).ok_or(ErrorCode::BAD_ARGUMENTS)?;
                if SPECIAL.contains(&path.as_str()) {
                    return Err(ErrorCode::BAD_ARGUMENTS);
                }
                let node = self.nodes.get(path).ok_or(ErrorCode::NO_NODE)?;
                fits(node.stat.version, *version)?;
                if !self.children(path).is_empty() {
                    return Err(ErrorCode::NOT_EMPTY);
                }
                self.nodes.remove(path);
                let parent = self.nodes.get_mut(parent).expect("a znode has a parent");
                parent.stat.pzxid = txn.zxid;
                Ok(MultiResult::Delete)
            }
            MultiOp::SetData {
                path,
                data,
                version,
            } => {
                Path::parse(path).map_err(|_| ErrorCode::BAD_ARGUMENTS)?;
                let node = self.nodes.get_mut(path).ok_or(ErrorCode::NO_NODE)?;
                fits(node.stat.version, *version)?;
                node.data = data.as_ref().map(|data| data.to_vec());
                node.stat.version += 1;
                node.stat.mzxid = txn.zxid;
                node.stat.mtime = txn.time_ms;
                Ok(MultiResult::SetData(self.stat(path)))
            }
            MultiOp::Check { path, version } => {
                Path::parse(path).map_err(|_| ErrorCode::BAD_ARGUMENTS)?;
                let node = self.nodes.get(path).ok_or(ErrorCode::NO_NODE)?;
                fits(node.stat.version, *version)?;
                Ok(MultiResult::Check)
            }
        }
    }

    fn create(&mut self, txn: Txn, create: &Create) -> Result<MultiResult, ErrorCode> {
        let mode = create.mode().ok_or(ErrorCode::BAD_ARGUMENTS)?;
        let has_ttl = create.op == OpCode::CREATE_TTL;
        if mode.is_ttl() && !self.extended_types {
            return Err(ErrorCode::UNIMPLEMENTED);
        }
        if mode.is_ttl() != has_ttl || has_ttl && !(1..=TTL_MS_MAX).contains(&create.ttl_ms) {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        let parent_path = parent_of(&create.path).ok_or(ErrorCode::BAD_ARGUMENTS)?;
        let parent = self.nodes.get(parent_path).ok_or(ErrorCode::NO_NODE)?.stat;
        let path = match mode.is_sequential() {
            true => format!("{}{:010}", create.path, parent.cversion),
            false => create.path.clone(),
        };
        Path::parse(&path).map_err(|_| ErrorCode::BAD_ARGUMENTS)?;
        if self.nodes.contains_key(&path) {
            return Err(ErrorCode::NODE_EXISTS);
        }
        if parent.ephemeral_owner > 0 {
            return Err(ErrorCode::NO_CHILDREN_FOR_EPHEMERALS);
        }
        let parent = self.nodes.get_mut(parent_path).expect("it was found");
        parent.stat.cversion += 1;
        parent.stat.pzxid = txn.zxid;
        let ephemeral_owner = match create.op {
            OpCode::CREATE_CONTAINER => i64::MIN,
            OpCode::CREATE_TTL => 0xff << 56 | create.ttl_ms,
            _ if mode.is_ephemeral() => txn.session.0,
            _ => 0,
        };
        let stat = StatPersisted {
            czxid: txn.zxid,
            mzxid: txn.zxid,
            pzxid: txn.zxid,
            ctime: txn.time_ms,
            mtime: txn.time_ms,
            ephemeral_owner,
            ..StatPersisted::default()
        };
        let data = create.data.as_ref().map(|data| data.to_vec());
        self.nodes.insert(path.clone(), Node { data, stat });
        Ok(match create.op {
            OpCode::CREATE => MultiResult::Create(path),
            _ => {
                let stat = self.stat(&path);
                MultiResult::Create2(path, stat)
            }
        })
    }

    /// Answers a read. Lists are sorted.
    ///
    /// # Errors
    /// What the client is told.
    ///
    /// # Panics
    /// When the request is none that is known here.
    pub fn read(&self, session: SessionId, request: &Request) -> Result<Response, ErrorCode> {
        let find = |path: &str| self.nodes.get(path).ok_or(ErrorCode::NO_NODE);
        let names = |path: &str| self.children(path).into_iter().map(Into::into).collect();
        Ok(match request {
            Request::Exists { path, .. } => find(path).map(|_| Response::Stat(self.stat(path)))?,
            Request::GetData { path, .. } => {
                let data = find(path)?.data.clone();
                Response::Data(data.map(Into::into), self.stat(path))
            }
            Request::GetChildren { path, .. } => {
                find(path).map(|_| Response::Children(names(path)))?
            }
            Request::GetChildren2 { path, .. } => {
                find(path).map(|_| Response::ChildrenAndStat(names(path), self.stat(path)))?
            }
            Request::GetAllChildrenNumber { path } => {
                find(path)?;
                let count = self
                    .nodes
                    .keys()
                    .filter(|other| is_below(path, other))
                    .count();
                Response::Number(i32::try_from(count).expect("there are few"))
            }
            Request::GetEphemerals { prefix } => {
                let owned = |(_, node): &(&String, &Node)| node.stat.ephemeral_owner == session.0;
                let paths = self
                    .nodes
                    .iter()
                    .filter(owned)
                    .map(|(path, _)| path.clone());
                Response::Ephemerals(paths.filter(|path| path.starts_with(prefix)).collect())
            }
            other => panic!("{} is not known here", other.op()),
        })
    }

    /// # Panics
    /// When the image shows anything else.
    pub fn assert_is(&self, image: &Image) {
        let paths = image
            .nodes
            .keys()
            .map(|path| if path.is_empty() { "/" } else { path });
        assert!(self.nodes.keys().eq(paths), "{:?}", image.nodes.keys());
        for (node, (data, _, stat)) in self.nodes.values().zip(image.nodes.values()) {
            assert_eq!((data, stat), (&node.data, &node.stat));
        }
    }

    fn stat(&self, path: &str) -> Stat {
        let Node { data, stat } = &self.nodes[path];
        let int = |count: usize| i32::try_from(count).expect("there are few");
        let num_children = int(self.children(path).len());
        Stat {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            ctime: stat.ctime,
            mtime: stat.mtime,
            version: stat.version,
            cversion: stat.cversion * 2 - num_children,
            aversion: stat.aversion,
            ephemeral_owner: stat.ephemeral_owner.max(0),
            data_length: int(data.as_ref().map_or(0, Vec::len)),
            num_children,
            pzxid: stat.pzxid,
        }
    }

    fn children(&self, path: &str) -> Vec<&str> {
        let below = self.nodes.keys().filter(|other| is_below(path, other));
        let prefix = path.trim_end_matches('/').len() + 1;
        let names = below.filter_map(|other| other.get(prefix..));
        names.filter(|name| !name.contains('/')).collect()
    }
}

fn is_below(path: &str, other: &str) -> bool {
    let rest = other.strip_prefix(path.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
}

fn fits(version: i32, expected: i32) -> Result<(), ErrorCode> {
    if expected == -1 || expected == version {
        Ok(())
    } else {
        Err(ErrorCode::BAD_VERSION)
    }
}

fn parent_of(path: &str) -> Option<&str> {
    match path.rfind('/')? {
        0 => Some("/"),
        slash => path.get(..slash),
    }
}
