//! Turns requests to write into transactions (`PrepRequestProcessor`, 3.9.5).
//!
//! A request is checked against the tree and everything pending, in the order in which Apache's
//! server checks, and becomes a transaction with a zxid and the wall time. A request that is refused
//! becomes an error transaction: it takes a zxid and is logged too. In a multi each operation sees
//! those before it; when one is refused, all are taken back. So is a transaction that would be too
//! long for the log, since it is the transaction that must be read again, not the request.

mod ahead;
mod quotas;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write as _;

use zk_proto::{
    Acl, Create, EphemeralOwner, ErrorCode, MultiOp, OpCode, Path, Perms, Request, SessionId,
    StatPersisted, TTL_MS_MAX, Txn, TxnHeader, Writer, Xid, Zxid,
};

use crate::auth::{Identities, Policy};
use crate::tree::{CONFIG_PATH, ContentDigest, Tree};
use crate::{CoreConfig, Counters, Effect, QuotaExceeded, QuotaOf};
use ahead::{Ahead, Node};
use quotas::Quotas;

/// Znodes that are never deleted.
const SPECIAL: [&str; 4] = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

/// The first stage of the pipeline.
#[derive(Debug)]
pub(crate) struct Prep {
    ahead: Ahead,
    /// `None` where quotas are not enforced.
    quotas: Option<Quotas>,
    last_zxid: Zxid,
    rules: Rules,
}

#[derive(Debug)]
struct Rules {
    extended_types: bool,
    reconfig_enabled: bool,
    digest: bool,
    close_session_paths: bool,
    path_bytes_max: usize,
    path_depth_max: usize,
    txn_bytes_max: usize,
    ephemeral_bytes_per_session_max: usize,
}

/// A transaction to be logged.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) header: TxnHeader,
    pub(crate) txn: Txn,
    /// The tree's digest after it, when digests are on.
    pub(crate) digest: Option<u64>,
}

/// What a request is checked against, and by whom it was made.
pub(crate) struct Asked<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) policy: &'a Policy,
    pub(crate) counters: &'a mut Counters,
    /// Where it is told that a quota is passed.
    pub(crate) effects: &'a mut Vec<Effect>,
    pub(crate) who: &'a Identities,
    pub(crate) session: SessionId,
    /// How the creation of an ephemeral is refused: the whole ensemble must know the session.
    pub(crate) may_own: Result<(), ErrorCode>,
    pub(crate) xid: Xid,
    pub(crate) time_ms: i64,
}

impl Prep {
    /// With nothing pending on top of `tree`; the first transaction follows `after`.
    pub(crate) fn new(config: &CoreConfig, tree: &Tree, after: Zxid) -> Self {
        Self {
            ahead: Ahead::new(tree),
            quotas: config.enforce_quota.then(Quotas::default),
            last_zxid: after,
            rules: Rules {
                extended_types: config.extended_types,
                reconfig_enabled: config.reconfig_enabled,
                digest: config.digest,
                close_session_paths: config.close_session_paths,
                path_bytes_max: config.path_bytes_max,
                path_depth_max: config.path_depth_max,
                txn_bytes_max: config.txn_bytes_max,
                ephemeral_bytes_per_session_max: config.ephemeral_bytes_per_session_max,
            },
        }
    }

    /// The newest transaction made.
    pub(crate) const fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// Drops what is pending up to this transaction: the tree has it now.
    pub(crate) fn on_applied(&mut self, zxid: Zxid) {
        self.ahead.on_applied(zxid);
        if let Some(quotas) = &mut self.quotas {
            quotas.on_applied(zxid);
        }
    }

    /// A transaction for a client's request to write.
    ///
    /// # Panics
    /// When the request is no write.
    pub(crate) fn write(&mut self, mut asked: Asked<'_>, request: Request) -> Prepared {
        let zxid = self.last_zxid.next();
        let asked = &mut asked;
        self.begin();
        let mut made = match request {
            Request::Create(create) => self.op(asked, zxid, MultiOp::Create(create)),
            Request::Delete { path, version } => {
                self.op(asked, zxid, MultiOp::Delete { path, version })
            }
            Request::SetData {
                path,
                data,
                version,
            } => {
                let op = MultiOp::SetData {
                    path,
                    data,
                    version,
                };
                self.op(asked, zxid, op)
            }
            Request::SetAcl { path, acl, version } => self.set_acl(asked, zxid, path, acl, version),
            Request::Multi(ops) => Ok((OpCode::MULTI, self.multi(asked, zxid, ops))),
            Request::Reconfig(_) if self.rules.reconfig_enabled => Err(ErrorCode::UNIMPLEMENTED),
            Request::Reconfig(_) => Err(ErrorCode::RECONFIG_DISABLED),
            other => unreachable!("{} is no write", other.op()),
        };
        if let Ok((_, txn)) = &made
            && encoded_bytes(txn) > self.rules.txn_bytes_max
        {
            self.take_back();
            made = Err(ErrorCode::MARSHALLING_ERROR);
        }
        self.keep();
        let (op, txn) = made.unwrap_or_else(|code| (OpCode::ERROR, Txn::Error(code)));
        self.prepared(asked.session, asked.xid, asked.time_ms, op, txn)
    }

    /// An error transaction for a request that is refused whatever it asks for.
    pub(crate) fn refuse(
        &mut self,
        session: SessionId,
        xid: Xid,
        time_ms: i64,
        code: ErrorCode,
    ) -> Prepared {
        self.prepared(session, xid, time_ms, OpCode::ERROR, Txn::Error(code))
    }

    /// A transaction that puts another membership in force; an error transaction when the client may
    /// not do that.
    pub(crate) fn reconfig(&mut self, asked: &Asked<'_>, config: &str) -> Prepared {
        let zxid = self.last_zxid.next();
        let made = self.node(asked.tree, CONFIG_PATH).and_then(|node| {
            asked.permits(&node.acl, Perms::WRITE)?;
            let content = self.content(CONFIG_PATH, Some(config.as_bytes()));
            let time_ms = asked.time_ms;
            self.ahead.change(zxid, CONFIG_PATH, node, |node| {
                node.stat.version = -1;
                node.stat.mtime = time_ms;
                node.stat.mzxid = zxid;
                node.content = content;
                node.data_bytes = config.len();
            });
            Ok(Txn::SetData {
                path: CONFIG_PATH.into(),
                data: Some(bytes::Bytes::copy_from_slice(config.as_bytes())),
                version: -1,
            })
        });
        let (op, txn) = match made {
            Ok(txn) => (OpCode::RECONFIG, txn),
            Err(code) => (OpCode::ERROR, Txn::Error(code)),
        };
        self.prepared(asked.session, asked.xid, asked.time_ms, op, txn)
    }

    /// A transaction that opens a session.
    pub(crate) fn create_session(
        &mut self,
        session: SessionId,
        xid: Xid,
        timeout_ms: i32,
        time_ms: i64,
    ) -> Prepared {
        let txn = Txn::CreateSession { timeout_ms };
        self.prepared(session, xid, time_ms, OpCode::CREATE_SESSION, txn)
    }

    /// A transaction that ends a session and deletes its ephemerals, those still pending included.
    pub(crate) fn close_session(
        &mut self,
        tree: &Tree,
        session: SessionId,
        xid: Xid,
        time_ms: i64,
    ) -> Prepared {
        let zxid = self.last_zxid.next();
        let paths = self.ahead.ephemerals_of(tree, session);
        for path in &paths {
            let parent_path = parent_of(path).expect("an ephemeral is below the root");
            let node = self.ahead.node(tree, path).expect("the session owns it");
            let parent = self.ahead.node(tree, parent_path);
            let parent = parent.expect("a znode has a parent");
            self.delete_node(tree, zxid, path, &node, parent_path, parent);
        }
        let paths = self.rules.close_session_paths.then_some(paths);
        let txn = Txn::CloseSession { paths };
        self.prepared(session, xid, time_ms, OpCode::CLOSE_SESSION, txn)
    }

    /// A transaction that deletes a container or a znode with a time to live; `None` when the znode
    /// that will be at `path` is none, has children, or `is_due` does not hold for it.
    pub(crate) fn delete_container(
        &mut self,
        tree: &Tree,
        path: String,
        time_ms: i64,
        is_due: impl FnOnce(&StatPersisted) -> bool,
    ) -> Option<Prepared> {
        let zxid = self.last_zxid.next();
        let node = self.ahead.node(tree, &path)?;
        let is_reaped = matches!(
            self.kind(&node),
            EphemeralOwner::Container | EphemeralOwner::Ttl(_)
        );
        if !is_reaped || node.children > 0 || !is_due(&node.stat) {
            return None;
        }
        let parent_path = parent_of(&path)?;
        let parent = self.ahead.node(tree, parent_path)?;
        self.delete_node(tree, zxid, &path, &node, parent_path, parent);
        let op = OpCode::DELETE_CONTAINER;
        Some(self.prepared(SessionId(0), Xid(0), time_ms, op, Txn::Delete { path }))
    }

    /// Begins changes that may be taken back.
    fn begin(&mut self) {
        self.ahead.begin();
        if let Some(quotas) = &mut self.quotas {
            quotas.begin();
        }
    }

    /// Ends what [`begin`](Self::begin) began; the changes stay.
    fn keep(&mut self) {
        self.ahead.keep();
        if let Some(quotas) = &mut self.quotas {
            quotas.keep();
        }
    }

    /// Takes back the changes since [`begin`](Self::begin).
    fn take_back(&mut self) {
        self.ahead.take_back();
        if let Some(quotas) = &mut self.quotas {
            quotas.take_back();
        }
    }

    /// Notes in the quotas how a change alters their usage, and what data the znode will have.
    fn book(
        &mut self,
        tree: &Tree,
        zxid: Zxid,
        path: &str,
        change: (i64, i64),
        data: Option<&[u8]>,
    ) {
        if let Some(quotas) = &mut self.quotas {
            quotas.book(tree, zxid, path, change, data);
        }
    }

    fn prepared(
        &mut self,
        session: SessionId,
        cxid: Xid,
        time_ms: i64,
        op: OpCode,
        txn: Txn,
    ) -> Prepared {
        self.last_zxid = self.last_zxid.next();
        let header = TxnHeader {
            session,
            cxid,
            zxid: self.last_zxid,
            time_ms,
            op,
        };
        Prepared {
            header,
            txn,
            digest: self.rules.digest.then(|| self.ahead.digest()),
        }
    }

    fn multi(&mut self, asked: &mut Asked<'_>, zxid: Zxid, ops: Vec<MultiOp>) -> Txn {
        let mut failed = false;
        let mut parts = Vec::with_capacity(ops.len());
        for op in ops {
            let made = if failed {
                Err(ErrorCode::RUNTIME_INCONSISTENCY)
            } else {
                self.op(asked, zxid, op)
            };
            if made.is_err() && !failed {
                failed = true;
                self.take_back();
            }
            parts.push(made.unwrap_or_else(|code| (OpCode::ERROR, Txn::Error(code))));
        }
        Txn::Multi(parts)
    }

    /// An operation that may stand in a multi. Nothing is changed before all is checked.
    fn op(
        &mut self,
        asked: &mut Asked<'_>,
        zxid: Zxid,
        op: MultiOp,
    ) -> Result<(OpCode, Txn), ErrorCode> {
        match op {
            MultiOp::Create(create) => self.create(asked, zxid, create),
            MultiOp::Delete { path, version } => self.delete(asked, zxid, path, version),
            MultiOp::SetData {
                path,
                data,
                version,
            } => {
                is_path(&path)?;
                let node = self.node(asked.tree, &path)?;
                asked.permits(&node.acl, Perms::WRITE)?;
                let data_bytes = data.as_ref().map_or(0, bytes::Bytes::len);
                let bytes = size_change(node.data_bytes, data_bytes);
                self.check_quota(asked, &path, bytes, 0)?;
                let version = next_version(node.stat.version, version)?;
                let content = self.content(&path, data.as_deref());
                let time_ms = asked.time_ms;
                self.ahead.change(zxid, &path, node, |node| {
                    node.stat.version = version;
                    node.stat.mtime = time_ms;
                    node.stat.mzxid = zxid;
                    node.content = content;
                    node.data_bytes = data_bytes;
                });
                let content = data.as_deref().unwrap_or_default();
                self.book(asked.tree, zxid, &path, (0, bytes), Some(content));
                let txn = Txn::SetData {
                    path,
                    data,
                    version,
                };
                Ok((OpCode::SET_DATA, txn))
            }
            MultiOp::Check { path, version } => {
                is_path(&path)?;
                let node = self.node(asked.tree, &path)?;
                asked.permits(&node.acl, Perms::READ)?;
                let version = next_version(node.stat.version, version)?;
                Ok((OpCode::CHECK, Txn::Check { path, version }))
            }
        }
    }

    fn create(
        &mut self,
        asked: &mut Asked<'_>,
        zxid: Zxid,
        create: Create,
    ) -> Result<(OpCode, Txn), ErrorCode> {
        let mode = create.mode().ok_or(ErrorCode::BAD_ARGUMENTS)?;
        let is_ttl = create.op == OpCode::CREATE_TTL;
        if mode.is_ttl() && !self.rules.extended_types {
            return Err(ErrorCode::UNIMPLEMENTED);
        }
        if mode.is_ttl() != is_ttl || is_ttl && !(1..=TTL_MS_MAX).contains(&create.ttl_ms) {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        if mode.is_ephemeral() {
            asked.may_own?;
        }
        let Create { mut path, data, .. } = create;
        let parent_end = parent_of(&path).ok_or(ErrorCode::BAD_ARGUMENTS)?.len();
        let acl = asked.policy.fix_up(asked.who, create.acl)?;
        let parent = path.get(..parent_end).unwrap_or("/");
        let parent = self.node(asked.tree, parent)?;
        asked.permits(&parent.acl, Perms::CREATE)?;
        let cversion = parent.stat.cversion;
        if mode.is_sequential() {
            write!(path, "{cversion:010}").expect("a string takes any text");
        }
        is_path(&path)?;
        self.check_length(&path)?;
        if self.ahead.contains(asked.tree, &path) {
            return Err(ErrorCode::NODE_EXISTS);
        }
        if matches!(self.kind(&parent), EphemeralOwner::Session(_)) {
            return Err(ErrorCode::NO_CHILDREN_FOR_EPHEMERALS);
        }
        let data_bytes = data.as_ref().map_or(0, bytes::Bytes::len);
        let bytes = size_change(0, data_bytes);
        self.check_quota(asked, &path, bytes, 1)?;

        // What the znode is follows from the transaction, and that from the operation: the flags
        // alone make no container.
        let is_container = create.op == OpCode::CREATE_CONTAINER;
        let owner = (mode.is_ephemeral() && !is_container).then_some(asked.session);
        let kind = match owner {
            Some(session) => EphemeralOwner::Session(session),
            None if is_container => EphemeralOwner::Container,
            None if is_ttl => EphemeralOwner::Ttl(create.ttl_ms),
            None => EphemeralOwner::Persistent,
        };
        if owner.is_some_and(|session| {
            let owned = self.ahead.owned_bytes(session) + 4 + path.len();
            owned > self.rules.ephemeral_bytes_per_session_max
        }) {
            return Err(ErrorCode::QUOTA_EXCEEDED);
        }
        let parent_cversion = cversion.wrapping_add(1);
        let parent_path = path.get(..parent_end).unwrap_or("/");
        self.ahead.change(zxid, parent_path, parent, |parent| {
            parent.children += 1;
            // As when the transaction is applied: never back, not even at the overflow.
            if parent_cversion > cversion {
                parent.stat.cversion = parent_cversion;
                parent.stat.pzxid = zxid;
            }
        });
        let node = Node {
            stat: StatPersisted {
                czxid: zxid,
                mzxid: zxid,
                pzxid: zxid,
                ctime: asked.time_ms,
                mtime: asked.time_ms,
                ephemeral_owner: kind.to_raw(),
                ..StatPersisted::default()
            },
            children: 0,
            acl: Arc::from(acl.as_slice()),
            content: self.content(&path, data.as_deref()),
            data_bytes,
        };
        self.ahead.create(zxid, &path, node, owner);
        let content = data.as_deref().unwrap_or_default();
        self.book(asked.tree, zxid, &path, (1, bytes), Some(content));
        let txn = match kind {
            EphemeralOwner::Container => Txn::CreateContainer {
                path,
                data,
                acl,
                parent_cversion,
            },
            EphemeralOwner::Ttl(ttl_ms) => Txn::CreateTtl {
                path,
                data,
                acl,
                parent_cversion,
                ttl_ms,
            },
            EphemeralOwner::Persistent | EphemeralOwner::Session(_) => {
                Txn::Create(zk_proto::CreateTxn {
                    path,
                    data,
                    acl,
                    ephemeral: owner.is_some(),
                    parent_cversion,
                })
            }
        };
        Ok((create.op, txn))
    }

    fn delete(
        &mut self,
        asked: &mut Asked<'_>,
        zxid: Zxid,
        path: String,
        version: i32,
    ) -> Result<(OpCode, Txn), ErrorCode> {
        let parent_path = parent_of(&path).ok_or(ErrorCode::BAD_ARGUMENTS)?;
        if SPECIAL.contains(&path.as_str()) {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        let parent = self.node(asked.tree, parent_path)?;
        asked.permits(&parent.acl, Perms::DELETE)?;
        let node = self.node(asked.tree, &path)?;
        next_version(node.stat.version, version)?;
        if node.children > 0 {
            return Err(ErrorCode::NOT_EMPTY);
        }
        self.delete_node(asked.tree, zxid, &path, &node, parent_path, parent);
        Ok((OpCode::DELETE, Txn::Delete { path }))
    }

    fn delete_node(
        &mut self,
        tree: &Tree,
        zxid: Zxid,
        path: &str,
        node: &Node,
        parent_path: &str,
        parent: Node,
    ) {
        self.ahead.change(zxid, parent_path, parent, |parent| {
            parent.children -= 1;
            parent.stat.pzxid = zxid;
        });
        let owner = match self.kind(node) {
            EphemeralOwner::Session(session) => Some(session),
            EphemeralOwner::Persistent | EphemeralOwner::Container | EphemeralOwner::Ttl(_) => None,
        };
        self.ahead.delete(zxid, path, node, owner);
        self.book(
            tree,
            zxid,
            path,
            (-1, size_change(node.data_bytes, 0)),
            None,
        );
    }

    fn set_acl(
        &mut self,
        asked: &mut Asked<'_>,
        zxid: Zxid,
        path: String,
        acl: Vec<Acl>,
        version: i32,
    ) -> Result<(OpCode, Txn), ErrorCode> {
        is_path(&path)?;
        let acl = asked.policy.fix_up(asked.who, acl)?;
        let node = self.node(asked.tree, &path)?;
        asked.permits(&node.acl, Perms::ADMIN)?;
        let version = next_version(node.stat.aversion, version)?;
        self.ahead.change(zxid, &path, node, |node| {
            node.stat.aversion = version;
            node.acl = Arc::from(acl.as_slice());
        });
        Ok((OpCode::SET_ACL, Txn::SetAcl { path, acl, version }))
    }

    fn node(&self, tree: &Tree, path: &str) -> Result<Node, ErrorCode> {
        self.ahead.node(tree, path).ok_or(ErrorCode::NO_NODE)
    }

    fn kind(&self, node: &Node) -> EphemeralOwner {
        EphemeralOwner::from_raw(node.stat.ephemeral_owner, self.rules.extended_types)
    }

    fn content(&self, path: &str, data: Option<&[u8]>) -> ContentDigest {
        if self.rules.digest {
            ContentDigest::of(path, data)
        } else {
            ContentDigest::default()
        }
    }

    fn check_length(&self, path: &str) -> Result<(), ErrorCode> {
        let depth = path.bytes().filter(|&byte| byte == b'/').count();
        if path.len() > self.rules.path_bytes_max || depth > self.rules.path_depth_max {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        Ok(())
    }

    /// Whether a quota allows a change (`ZooKeeperServer.checkQuota`, which measures by what is
    /// applied alone): usage is counted with all that is pending.
    fn check_quota(
        &self,
        asked: &mut Asked<'_>,
        path: &str,
        bytes: i64,
        count: i64,
    ) -> Result<(), ErrorCode> {
        let Some(quotas) = &self.quotas else {
            return Ok(());
        };
        let Some((quota, limits)) = quotas.limits_for(asked.tree, path) else {
            return Ok(());
        };
        let Some((nodes_used, bytes_used)) = quotas.usage(asked.tree, quota) else {
            return Ok(());
        };
        for (what, change, used, hard, soft) in [
            (
                QuotaOf::Nodes,
                count,
                nodes_used,
                limits.count_hard,
                limits.count,
            ),
            (
                QuotaOf::Bytes,
                bytes,
                bytes_used,
                limits.bytes_hard,
                limits.bytes,
            ),
        ] {
            let is_hard = hard > -1;
            let limit = if is_hard { hard } else { soft };
            let usage = used.saturating_add(change);
            if change == 0 || limit <= -1 || usage <= limit {
                continue;
            }
            asked.effects.push(Effect::QuotaExceeded(QuotaExceeded {
                path: String::from(quota),
                what,
                usage,
                limit,
                is_hard,
            }));
            if is_hard {
                asked.counters.quota_refused += 1;
                return Err(ErrorCode::QUOTA_EXCEEDED);
            }
            asked.counters.quota_passed += 1;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.ahead.is_empty() && self.quotas.as_ref().is_none_or(Quotas::is_empty)
    }
}

impl Asked<'_> {
    fn permits(&self, acl: &[Acl], perms: Perms) -> Result<(), ErrorCode> {
        if self.policy.authorize(self.who, acl, perms) {
            Ok(())
        } else {
            Err(ErrorCode::NO_AUTH)
        }
    }
}

/// The path up to its last slash, `/` for the root; `None` for text without a slash or with NUL. The
/// text need be no path: where it names no znode the answer is NONODE before BADARGUMENTS.
fn parent_of(path: &str) -> Option<&str> {
    if path.contains('\0') {
        return None;
    }
    match path.rfind('/')? {
        0 => Some("/"),
        slash => path.get(..slash),
    }
}

fn is_path(path: &str) -> Result<(), ErrorCode> {
    match Path::parse(path) {
        Ok(_) => Ok(()),
        Err(_) => Err(ErrorCode::BAD_ARGUMENTS),
    }
}

fn next_version(present: i32, expected: i32) -> Result<i32, ErrorCode> {
    if expected != -1 && expected != present {
        return Err(ErrorCode::BAD_VERSION);
    }
    Ok(present.wrapping_add(1))
}

fn encoded_bytes(txn: &Txn) -> usize {
    struct Count(usize);
    impl Writer for Count {
        fn put(&mut self, bytes: &[u8]) {
            self.0 += bytes.len();
        }
    }
    let mut count = Count(0);
    txn.encode(&mut count);
    count.0
}

fn size_change(before: usize, after: usize) -> i64 {
    let signed = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
    signed(after) - signed(before)
}
