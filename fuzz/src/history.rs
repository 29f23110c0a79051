//! The cheapest state there is: which transactions happened.

use std::ops::ControlFlow;

use zk_proto::{
    Acl, CreateTxn, OpCode, SessionId, SnapshotNode, SnapshotSession, StatPersisted, Txn,
    TxnHeader, TxnRecord, Xid, Zxid,
};
use zk_storage::{Restore, RestoreError, SnapshotSource, SnapshotTrailer};

/// Each transaction with the length of its data, as a znode in a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History(pub Vec<(Zxid, usize)>);

/// A transaction that leaves no zeros but in its frame and header.
#[must_use]
pub fn record(zxid: Zxid, data_bytes: usize) -> TxnRecord {
    let fill = u8::try_from(zxid.0 % 251).expect("it is below 251") + 1;
    TxnRecord {
        header: TxnHeader {
            session: SessionId(7),
            cxid: Xid(1),
            zxid,
            time_ms: 1_700_000_000_000,
            op: OpCode::CREATE,
        },
        txn: Txn::Create(CreateTxn {
            path: format!("/{:x}", zxid.0),
            data: Some(vec![fill; data_bytes].into()),
            acl: Vec::new(),
            ephemeral: false,
            parent_cversion: 1,
        }),
        digest: None,
    }
}

impl History {
    /// The newest transaction.
    #[must_use]
    pub fn last(&self) -> Zxid {
        self.0.last().map_or(Zxid::ZERO, |last| last.0)
    }
}

impl Restore for History {
    fn begin(&mut self) {
        self.0.clear();
    }

    fn session(&mut self, _: SnapshotSession) -> Result<(), RestoreError> {
        Ok(())
    }

    fn acl(&mut self, _: i64, _: Vec<Acl>) -> Result<(), RestoreError> {
        Ok(())
    }

    fn node(&mut self, node: SnapshotNode<'_>) -> Result<(), RestoreError> {
        if !node.path.is_empty() {
            self.0
                .push((node.stat.czxid, node.data.map_or(0, <[u8]>::len)));
        }
        Ok(())
    }

    fn snapshot_done(&mut self, _: Zxid, _: SnapshotTrailer) -> Result<(), RestoreError> {
        Ok(())
    }

    fn txn(&mut self, record: &TxnRecord) -> Result<(), RestoreError> {
        let Txn::Create(create) = &record.txn else {
            panic!("{record:?} was never written")
        };
        let bytes = create.data.as_ref().map_or(0, bytes::Bytes::len);
        self.0.push((record.header.zxid, bytes));
        Ok(())
    }
}

impl SnapshotSource for History {
    fn sessions(&self) -> Vec<SnapshotSession> {
        Vec::new()
    }

    fn acls(&self) -> Vec<(i64, Vec<Acl>)> {
        Vec::new()
    }

    fn nodes(&self, visit: &mut dyn FnMut(SnapshotNode<'_>) -> ControlFlow<()>) {
        for &(czxid, data_bytes) in [(Zxid::ZERO, 0)].iter().chain(&self.0) {
            let path = if czxid == Zxid::ZERO {
                String::new()
            } else {
                format!("/{:x}", czxid.0)
            };
            let data = vec![b'd'; data_bytes];
            let stat = StatPersisted {
                czxid,
                ..StatPersisted::default()
            };
            let node = SnapshotNode {
                path: &path,
                data: Some(&data),
                acl: -1,
                stat,
            };
            if visit(node).is_break() {
                return;
            }
        }
    }
}
