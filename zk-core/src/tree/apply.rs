//! What a transaction does to the tree (`DataTree.processTxn`, 3.9.5).
//!
//! Applying is idempotent in the sense that Apache's fuzzy snapshots need: a snapshot may already
//! show what transactions after its zxid did, and replaying those must end in the same tree. So a
//! creation that finds its node, or a deletion that misses it, still brings the parent's cversion and
//! pzxid forward, never back.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use zk_proto::{
    Acl, EphemeralOwner, ErrorCode, OpCode, SessionId, Stat, StatPersisted, TTL_MS_MAX, Txn,
    TxnHeader, Zxid,
};

use super::acl::AclId;
use super::{CONFIG_PATH, ROOT, Tree, split, utf16_len};

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// What the reply tells.
    pub outcome: Outcome,
    /// What watches are told, in order.
    pub changes: Vec<Change>,
}

/// What the reply to a transaction tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// create, create2, createContainer, createTTL.
    Created {
        /// The whole path.
        path: String,
        /// The stat right after.
        stat: Stat,
    },
    /// delete and deleteContainer.
    Deleted,
    /// setData, reconfig and setACL: the stat right after.
    Changed(Stat),
    /// check, in a multi.
    Checked,
    /// createSession and closeSession.
    Session,
    /// multi: one outcome a part. Of one that was refused every part is an error:
    /// [`ErrorCode::OK`] before the part that failed, RUNTIMEINCONSISTENCY after it.
    Multi(Vec<Self>),
    /// The transaction is a refusal, or the tree does not allow it, which happens only while the
    /// transactions after a fuzzy snapshot are replayed.
    Error(ErrorCode),
}

/// A change that watches may wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened. A creation and a deletion also change the children of the parent.
    pub kind: ChangeKind,
    /// The node.
    pub path: String,
    /// The node's ACL at the change.
    pub acl: Arc<[Acl]>,
    /// Its parent's ACL at the change; of the root, its own.
    pub parent_acl: Arc<[Acl]>,
}

/// What happened to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ChangeKind {
    Created,
    Deleted,
    DataChanged,
}

/// Where changes are noted; nowhere during a replay, for nobody watches yet.
type Notes<'a> = Option<&'a mut Vec<Change>>;

impl Tree {
    /// Applies the next transaction, which was checked against the tree before.
    ///
    /// # Panics
    /// When the zxid is not above [`last_zxid`](Self::last_zxid), or a znode with children is
    /// deleted.
    pub fn apply(&mut self, header: &TxnHeader, txn: &Txn) -> Applied {
        let mut changes = Vec::new();
        let outcome = self.process(header, txn, Some(&mut changes));
        Applied { outcome, changes }
    }

    /// Applies a transaction that the tree may show already, in part or whole.
    pub(crate) fn replay(&mut self, header: &TxnHeader, txn: &Txn) -> Outcome {
        self.process(header, txn, None)
    }

    /// Deletes the ephemerals of sessions that are not open, as a server does before it serves: a
    /// fuzzy snapshot may hold some whose closeSession lies before it.
    pub(super) fn delete_orphans(&mut self, is_open: impl Fn(SessionId) -> bool) {
        let zxid = self.last_zxid;
        let orphaned: Vec<SessionId> = self
            .sessions_with_ephemerals()
            .filter(|&session| !is_open(session))
            .collect();
        for session in orphaned {
            self.close_session(session, &[], zxid, &mut None);
        }
    }

    fn process(&mut self, header: &TxnHeader, txn: &Txn, mut notes: Notes<'_>) -> Outcome {
        assert!(
            header.zxid > self.last_zxid,
            "zxid {} applied after {}",
            header.zxid,
            self.last_zxid
        );
        let outcome = match txn {
            Txn::Multi(parts) => Outcome::Multi(self.process_parts(header, parts, &mut notes)),
            txn => self.process_one(header, txn, &mut notes),
        };
        self.last_zxid = header.zxid;
        outcome
    }

    fn process_parts(
        &mut self,
        header: &TxnHeader,
        parts: &[(OpCode, Txn)],
        notes: &mut Notes<'_>,
    ) -> Vec<Outcome> {
        let failed = parts
            .iter()
            .position(|(_, part)| matches!(part, Txn::Error(_)));
        let refusal = |(at, (_, part)): (usize, &(OpCode, Txn))| {
            Outcome::Error(match part {
                Txn::Error(code) => *code,
                _ if Some(at) < failed => ErrorCode::OK,
                _ => ErrorCode::RUNTIME_INCONSISTENCY,
            })
        };
        if failed.is_some() {
            parts.iter().enumerate().map(refusal).collect()
        } else {
            parts
                .iter()
                .map(|(_, part)| self.process_one(header, part, notes))
                .collect()
        }
    }

    pub(super) fn process_one(
        &mut self,
        header: &TxnHeader,
        txn: &Txn,
        notes: &mut Notes<'_>,
    ) -> Outcome {
        let done = match txn {
            Txn::Create(create) => {
                let owner = if create.ephemeral {
                    header.session.0
                } else {
                    0
                };
                let cversion = create.parent_cversion;
                let new = NewNode::new(&create.path, &create.data, &create.acl, owner, cversion);
                self.create(header, &new, notes)
            }
            Txn::CreateContainer {
                path,
                data,
                acl,
                parent_cversion,
            } => {
                let owner = EphemeralOwner::Container.to_raw();
                let new = NewNode::new(path, data, acl, owner, *parent_cversion);
                self.create(header, &new, notes)
            }
            Txn::CreateTtl {
                path,
                data,
                acl,
                parent_cversion,
                ttl_ms,
            } => {
                if (1..=TTL_MS_MAX).contains(ttl_ms) {
                    let owner = EphemeralOwner::Ttl(*ttl_ms).to_raw();
                    let new = NewNode::new(path, data, acl, owner, *parent_cversion);
                    self.create(header, &new, notes)
                } else {
                    Err(ErrorCode::BAD_ARGUMENTS)
                }
            }
            Txn::Delete { path } => self.delete(path, header.zxid, notes),
            Txn::SetData {
                path,
                data,
                version,
            } => self.set_data(header, path, data.as_deref(), *version, notes),
            Txn::SetAcl { path, acl, version } => self.set_acl(path, acl, *version),
            Txn::Check { .. } => Ok(Outcome::Checked),
            Txn::CreateSession { .. } => Ok(Outcome::Session),
            Txn::CloseSession { paths } => {
                let paths = paths.as_deref().unwrap_or_default();
                self.close_session(header.session, paths, header.zxid, notes);
                Ok(Outcome::Session)
            }
            Txn::Error(code) => Err(*code),
            Txn::Multi(_) => panic!("a multi is no part of a multi"),
        };
        done.unwrap_or_else(Outcome::Error)
    }

    fn create(
        &mut self,
        header: &TxnHeader,
        new: &NewNode<'_>,
        notes: &mut Notes<'_>,
    ) -> Result<Outcome, ErrorCode> {
        let path = new.path;
        let (parent_path, name) = split(path).ok_or(ErrorCode::NO_NODE)?;
        let parent = self.find(parent_path).ok_or(ErrorCode::NO_NODE)?;
        let acl = self.acls.acquire(new.acl);
        self.raise_cversion(parent, new.parent_cversion, header.zxid);
        let place = self.lookup.place(parent, name);
        if let Some(existing) = self.lookup.find(self.nodes.pages(), place) {
            // The ACLs of a fuzzy snapshot are older than its nodes: this may be one that the
            // snapshot has no ACL for.
            self.replace_acl(existing, acl);
            return Err(ErrorCode::NODE_EXISTS);
        }
        let stat = StatPersisted {
            czxid: header.zxid,
            mzxid: header.zxid,
            ctime: header.time_ms,
            mtime: header.time_ms,
            version: 0,
            cversion: 0,
            aversion: 0,
            ephemeral_owner: new.owner,
            pzxid: header.zxid,
        };
        let id = self.insert(path, place, new.data, acl, stat);
        let stat = self.stat(id);
        self.on_created_in_quota(parent_path, name, id);
        self.book_usage(path, 1, i64::from(stat.data_length));
        self.note(notes, ChangeKind::Created, path, id);
        let path = path.to_owned();
        Ok(Outcome::Created { path, stat })
    }

    /// Deletes a node, and in a replay what the snapshot shows below it: it was created after this
    /// deletion, below a node that was created again, and will be once more.
    fn delete(
        &mut self,
        path: &str,
        zxid: Zxid,
        notes: &mut Notes<'_>,
    ) -> Result<Outcome, ErrorCode> {
        let (parent_path, name) = split(path).ok_or(ErrorCode::NO_NODE)?;
        let parent = self.find(parent_path).ok_or(ErrorCode::NO_NODE)?;
        let pzxid = self.nodes.get(parent).stat.pzxid;
        if zxid > pzxid {
            self.change(parent, |parent| parent.stat.pzxid = zxid);
        }
        let id = self.child(parent, name).ok_or(ErrorCode::NO_NODE)?;
        if self.nodes.get(id).child_count > 0 {
            assert!(notes.is_none(), "{path:?} is deleted and has children");
            self.delete_below(id);
        }
        self.note(notes, ChangeKind::Deleted, path, id);
        self.delete_leaf(path, id);
        Ok(Outcome::Deleted)
    }

    fn delete_below(&mut self, top: u32) {
        let below: Vec<u32> = self.subtree(top).skip(1).collect();
        for &id in below.iter().rev() {
            self.delete_leaf(&self.path(id), id);
        }
    }

    fn delete_leaf(&mut self, path: &str, id: u32) {
        let bytes = self.nodes.get(id).data_len();
        self.remove(utf16_len(path), id);
        self.book_usage(path, -1, -i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Writes the membership into `/zookeeper/config`, which no transaction does as long as it is what
    /// the configuration says (`ZKDatabase.initConfigInZKDatabase`, 3.9.5). No watch fires.
    pub(crate) fn set_config(&mut self, config: &str, version: Zxid, time_ms: i64) {
        let Some(id) = self.find(CONFIG_PATH) else {
            return;
        };
        self.change(id, |node| {
            node.stat.mzxid = version;
            node.stat.mtime = time_ms;
            node.stat.version = -1;
            node.set_data(CONFIG_PATH, Some(config.as_bytes()));
        });
    }

    fn set_data(
        &mut self,
        header: &TxnHeader,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
        notes: &mut Notes<'_>,
    ) -> Result<Outcome, ErrorCode> {
        let id = self.find(path).ok_or(ErrorCode::NO_NODE)?;
        let old_len = self.nodes.get(id).data_len();
        self.change(id, |node| {
            node.stat.mzxid = header.zxid;
            node.stat.mtime = header.time_ms;
            node.stat.version = version;
            node.set_data(path, data);
        });
        let stat = self.stat(id);
        let old_len = i64::try_from(old_len).unwrap_or(i64::MAX);
        self.book_usage(path, 0, i64::from(stat.data_length) - old_len);
        self.note(notes, ChangeKind::DataChanged, path, id);
        Ok(Outcome::Changed(stat))
    }

    fn set_acl(&mut self, path: &str, acl: &[Acl], version: i32) -> Result<Outcome, ErrorCode> {
        let id = self.find(path).ok_or(ErrorCode::NO_NODE)?;
        let acl = self.acls.acquire(acl);
        self.replace_acl(id, acl);
        self.change(id, |node| node.stat.aversion = version);
        Ok(Outcome::Changed(self.stat(id)))
    }

    /// Deletes the paths that the transaction lists, then whatever else the session owns here.
    fn close_session(
        &mut self,
        session: SessionId,
        paths: &[String],
        zxid: Zxid,
        notes: &mut Notes<'_>,
    ) {
        for path in paths {
            let _missing_in_a_replay = self.delete(path, zxid, notes);
        }
        let owned: Vec<String> = self.ephemerals_of(session).collect();
        for path in owned {
            let _found_above = self.delete(&path, zxid, notes);
        }
    }

    /// A creation sets its parent's cversion to what the leader made of it, −1 standing for one more,
    /// but never back.
    fn raise_cversion(&mut self, parent: u32, cversion: i32, zxid: Zxid) {
        let present = self.nodes.get(parent).stat.cversion;
        let cversion = match cversion {
            -1 => present.wrapping_add(1),
            cversion => cversion,
        };
        if cversion > present {
            self.change(parent, |parent| {
                parent.stat.cversion = cversion;
                parent.stat.pzxid = zxid;
            });
        }
    }

    fn replace_acl(&mut self, id: u32, acl: AclId) {
        let old = core::mem::replace(&mut self.nodes.get_mut(id).acl, acl);
        self.acls.release(old);
    }

    fn note(&self, notes: &mut Notes<'_>, kind: ChangeKind, path: &str, id: u32) {
        let Some(notes) = notes else {
            return;
        };
        let acl_of = |id| Arc::clone(self.acls.get(self.nodes.get(id).acl));
        let parent = if id == ROOT {
            ROOT
        } else {
            self.nodes.get(id).parent
        };
        notes.push(Change {
            kind,
            path: path.to_owned(),
            acl: acl_of(id),
            parent_acl: acl_of(parent),
        });
    }
}

/// What the creating transactions have in common.
struct NewNode<'a> {
    path: &'a str,
    data: Option<&'a [u8]>,
    acl: &'a [Acl],
    owner: i64,
    parent_cversion: i32,
}

impl<'a> NewNode<'a> {
    fn new(
        path: &'a str,
        data: &'a Option<bytes::Bytes>,
        acl: &'a [Acl],
        owner: i64,
        parent_cversion: i32,
    ) -> Self {
        Self {
            path,
            data: data.as_deref(),
            acl,
            owner,
            parent_cversion,
        }
    }
}
