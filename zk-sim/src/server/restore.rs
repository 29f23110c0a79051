//! Between storage and the core's tree, as in the server's shell.

use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};
use zk_core::SnapshotView;
use zk_core::tree::{Loader, Recovered, Replay, TreeOptions};
use zk_proto::{Acl, Record as _, SnapshotNode, SnapshotSession, TxnRecord, Zxid};
use zk_storage::{Restore, RestoreError, SnapshotSource, SnapshotTrailer};

/// Builds the tree of what is read back, and keeps the log that was read.
#[derive(Debug)]
pub(crate) struct Restorer {
    options: TreeOptions,
    loader: Loader,
    replay: Option<Replay>,
    read: ReadBack,
}

/// The history as it was read back.
#[derive(Debug, Default, Clone)]
pub(crate) struct ReadBack {
    /// The snapshot's transaction.
    pub(crate) base: Zxid,
    /// What follows it in the log.
    pub(crate) txns: Vec<(Zxid, Bytes)>,
}

impl Restorer {
    pub(crate) fn new(options: TreeOptions) -> Self {
        Self {
            options,
            loader: Loader::new(options),
            replay: None,
            read: ReadBack::default(),
        }
    }

    pub(crate) fn finish(self) -> (Recovered, ReadBack) {
        let replay = self.replay;
        let replay = replay.unwrap_or_else(|| Replay::empty(self.options));
        (replay.finish(), self.read)
    }
}

impl Restore for Restorer {
    fn begin(&mut self) {
        *self = Self::new(self.options);
    }

    fn session(&mut self, session: SnapshotSession) -> Result<(), RestoreError> {
        self.loader.session(session);
        Ok(())
    }

    fn acl(&mut self, id: i64, acl: Vec<Acl>) -> Result<(), RestoreError> {
        self.loader.acl(id, &acl);
        Ok(())
    }

    fn node(&mut self, node: SnapshotNode<'_>) -> Result<(), RestoreError> {
        Ok(self.loader.node(&node)?)
    }

    fn snapshot_done(&mut self, zxid: Zxid, trailer: SnapshotTrailer) -> Result<(), RestoreError> {
        let loader = std::mem::replace(&mut self.loader, Loader::new(self.options));
        self.replay = Some(loader.finish_snapshot(zxid, trailer.digest)?);
        self.read.base = zxid;
        Ok(())
    }

    fn txn(&mut self, record: &TxnRecord) -> Result<(), RestoreError> {
        let replay = &mut self.replay;
        let replay = replay.get_or_insert_with(|| Replay::empty(self.options));
        replay.replay(record)?;
        let mut bytes = BytesMut::new();
        record.encode(&mut bytes);
        self.read.txns.push((record.header.zxid, bytes.freeze()));
        Ok(())
    }
}

/// The state that the core gave out.
pub(crate) struct ViewSource(pub(crate) SnapshotView);

impl SnapshotSource for ViewSource {
    fn sessions(&self) -> Vec<SnapshotSession> {
        self.0.sessions.clone()
    }

    fn acls(&self) -> Vec<(i64, Vec<Acl>)> {
        let acls = self.0.tree.acls();
        acls.map(|(id, acl)| (id, acl.to_vec())).collect()
    }

    fn nodes(&self, visit: &mut dyn FnMut(SnapshotNode<'_>) -> ControlFlow<()>) {
        let mut nodes = self.0.tree.nodes();
        while let Some(node) = nodes.next_node() {
            if visit(node).is_break() {
                return;
            }
        }
    }
}
