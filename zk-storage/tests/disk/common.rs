//! A small state with a history, and a disk in memory to keep it on.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zk_proto::{
    Acl, CreateTxn, Id, OpCode, Perms, Record, SessionId, SnapshotNode, SnapshotSession,
    StatPersisted, Txn, TxnDigest, TxnHeader, TxnRecord, Xid, Zxid,
};
use zk_storage::memory::MemoryFileSystem;
use zk_storage::{
    GivenBack, IoError, LogError, OpenError, RecoverError, Recovered, Restore, RestoreError,
    SnapshotFile, SnapshotSource, SnapshotTrailer, Storage, StorageConfig, TxnLogItem,
    TxnLogReader,
};

pub(crate) const DIR: &str = "/data/version-2";

pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

pub(crate) fn config() -> StorageConfig {
    StorageConfig {
        pre_alloc_bytes: 4096,
        ..StorageConfig::new("/data")
    }
}

/// The transaction that creates one znode, with so many bytes of data.
pub(crate) fn record(zxid: i64, data_bytes: usize) -> TxnRecord {
    let fill = u8::try_from(zxid % 251).unwrap() + 1;
    TxnRecord {
        header: TxnHeader {
            session: SessionId(7),
            cxid: Xid(1),
            zxid: Zxid(zxid),
            time_ms: 1_700_000_000_000,
            op: OpCode::CREATE,
        },
        txn: Txn::Create(CreateTxn {
            path: format!("/{zxid:x}"),
            data: Some(vec![fill; data_bytes].into()),
            acl: vec![],
            ephemeral: false,
            parent_cversion: 1,
        }),
        digest: None,
    }
}

/// What a server would hold: every transaction so far, each as a znode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) sessions: Vec<SnapshotSession>,
    pub(crate) acls: Vec<(i64, Vec<Acl>)>,
    /// Path, data, zxid.
    pub(crate) nodes: Vec<(String, Vec<u8>, i64)>,
    pub(crate) snapshot: Option<(Zxid, SnapshotTrailer)>,
    pub(crate) txns: Vec<i64>,
}

impl State {
    pub(crate) fn with_one_of_each() -> Self {
        Self {
            sessions: vec![SnapshotSession {
                id: SessionId(7),
                timeout_ms: 4000,
            }],
            acls: vec![(
                1,
                vec![Acl {
                    perms: Perms::ALL,
                    id: Id {
                        scheme: "world".into(),
                        id: "anyone".into(),
                    },
                }],
            )],
            nodes: vec![(String::new(), vec![], 0)],
            ..Self::default()
        }
    }

    pub(crate) fn apply(&mut self, record: &TxnRecord) {
        let Txn::Create(create) = &record.txn else {
            panic!("only creations are made here, seen {record:?}");
        };
        self.nodes.push((
            create.path.clone(),
            create.data.as_deref().unwrap_or_default().to_vec(),
            record.header.zxid.0,
        ));
        self.txns.push(record.header.zxid.0);
    }

    /// The zxids of all transactions, from the snapshot and from the logs.
    pub(crate) fn history(&self) -> Vec<i64> {
        self.nodes.iter().skip(1).map(|node| node.2).collect()
    }
}

impl Restore for State {
    fn begin(&mut self) {
        *self = Self::default();
    }

    fn session(&mut self, session: SnapshotSession) -> Result<(), RestoreError> {
        self.sessions.push(session);
        Ok(())
    }

    fn acl(&mut self, id: i64, acl: Vec<Acl>) -> Result<(), RestoreError> {
        self.acls.push((id, acl));
        Ok(())
    }

    fn node(&mut self, node: SnapshotNode<'_>) -> Result<(), RestoreError> {
        let data = node.data.unwrap_or_default().to_vec();
        self.nodes
            .push((node.path.to_owned(), data, node.stat.czxid.0));
        Ok(())
    }

    fn snapshot_done(&mut self, zxid: Zxid, trailer: SnapshotTrailer) -> Result<(), RestoreError> {
        self.snapshot = Some((zxid, trailer));
        Ok(())
    }

    fn txn(&mut self, record: &TxnRecord) -> Result<(), RestoreError> {
        self.apply(record);
        Ok(())
    }
}

impl SnapshotSource for State {
    fn sessions(&self) -> Vec<SnapshotSession> {
        self.sessions.clone()
    }

    fn acls(&self) -> Vec<(i64, Vec<Acl>)> {
        self.acls.clone()
    }

    fn nodes(&self, visit: &mut dyn FnMut(SnapshotNode<'_>) -> ControlFlow<()>) {
        for (path, data, zxid) in &self.nodes {
            let node = SnapshotNode {
                path,
                data: Some(data),
                acl: 1,
                stat: StatPersisted {
                    czxid: Zxid(*zxid),
                    ..StatPersisted::default()
                },
            };
            if visit(node).is_break() {
                break;
            }
        }
    }
}

/// The first zxid of an epoch.
pub(crate) const fn epoch(epoch: i64) -> i64 {
    epoch << 32
}

/// A disk with a history of three epochs, one of them without transactions, over four logs and three
/// snapshots.
pub(crate) fn disk_of_epochs() -> MemoryFileSystem {
    let disk = MemoryFileSystem::new();
    let mut server = Server::start(&disk);
    server.append(1..=3);
    server.snapshot();
    server.recovered.log.roll().unwrap();
    server.append([4, 5]);
    server.append([epoch(1) + 1, epoch(1) + 2]);
    server.recovered.log.roll().unwrap();
    server.append([epoch(1) + 3]);
    server.snapshot();
    server.recovered.log.roll().unwrap();
    server.append([epoch(3) + 1, epoch(3) + 2]);
    server.append([epoch(3) + 3]);
    server.recovered.log.close().unwrap();
    disk.power_cut(|| false);
    drop(Server::start(&disk));
    disk
}

/// The transactions of [`disk_of_epochs`].
pub(crate) const EPOCHS: [i64; 11] = [
    1,
    2,
    3,
    4,
    5,
    epoch(1) + 1,
    epoch(1) + 2,
    epoch(1) + 3,
    epoch(3) + 1,
    epoch(3) + 2,
    epoch(3) + 3,
];

/// A server on a disk in memory.
pub(crate) struct Server {
    pub(crate) state: State,
    pub(crate) recovered: Recovered,
}

/// Why a server does not start.
#[derive(Debug)]
pub(crate) enum NoStart {
    Open(OpenError),
    Recover(RecoverError),
}

impl Server {
    pub(crate) fn start_with(
        disk: &MemoryFileSystem,
        config: StorageConfig,
    ) -> Result<Self, NoStart> {
        let storage = Storage::open(Arc::new(disk.clone()), config).map_err(NoStart::Open)?;
        let mut state = State::default();
        let recovered = storage.recover(&mut state).map_err(NoStart::Recover)?;
        if state.snapshot.is_none() && state.txns.is_empty() {
            state = State::with_one_of_each();
        }
        Ok(Self { state, recovered })
    }

    /// Starts, and writes the first snapshot if there is none.
    pub(crate) fn start(disk: &MemoryFileSystem) -> Self {
        let mut server = Self::start_with(disk, config()).unwrap();
        if server.state.snapshot.is_none() {
            server.snapshot();
        }
        server
    }

    pub(crate) fn last(&self) -> i64 {
        self.state.history().last().copied().unwrap_or(0)
    }

    /// Appends so many transactions and flushes once.
    pub(crate) fn batch(&mut self, count: usize, data_bytes: usize) -> Result<Zxid, LogError> {
        for _ in 0..count {
            let record = record(self.last() + 1, data_bytes);
            self.recovered
                .log
                .append(record.header.zxid, &record.to_bytes());
            self.state.apply(&record);
        }
        self.recovered.log.flush()
    }

    /// Appends these transactions and flushes once.
    pub(crate) fn append(&mut self, zxids: impl IntoIterator<Item = i64>) {
        for zxid in zxids {
            let record = record(zxid, 20);
            self.recovered
                .log
                .append(record.header.zxid, &record.to_bytes());
            self.state.apply(&record);
        }
        self.recovered.log.flush().unwrap();
    }

    /// Gives the directories back, to change the history.
    pub(crate) fn into_storage(self) -> Storage {
        Storage::from_handles(self.recovered.log, self.recovered.snapshots).unwrap()
    }

    /// Gives back all space that is not needed.
    pub(crate) fn space(&mut self) -> Result<(), IoError> {
        while self.recovered.space.give_back()? == GivenBack::Piece {}
        Ok(())
    }

    pub(crate) fn try_snapshot(&mut self) -> Result<SnapshotFile, zk_storage::SnapshotError> {
        let digest = TxnDigest {
            version: TxnDigest::VERSION,
            tree_digest: 42,
        };
        let zxid = Zxid(self.last());
        self.recovered
            .snapshots
            .write(&self.state, zxid, Some(digest))
    }

    pub(crate) fn snapshot(&mut self) -> SnapshotFile {
        self.try_snapshot().unwrap()
    }
}

/// Every file with its length and checksum.
pub(crate) fn files(disk: &MemoryFileSystem) -> Vec<(PathBuf, usize, u32)> {
    let summed = |path: PathBuf| {
        let content = disk.content(&path).unwrap();
        (path, content.len(), simd_adler32::adler32(&&content[..]))
    };
    disk.paths().into_iter().map(summed).collect()
}

/// What a reader of all files would find: the transactions of all logs, and the snapshots' zxids.
pub(crate) fn stored(disk: &MemoryFileSystem) -> (Vec<i64>, Vec<i64>) {
    let (mut txns, mut snapshots) = (Vec::new(), Vec::new());
    for path in disk.paths() {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("log.") {
            for item in TxnLogReader::open(disk, &path).unwrap() {
                if let TxnLogItem::Txn { record, .. } = item.unwrap() {
                    txns.push(record.unwrap().header.zxid.0);
                }
            }
        } else if let Some(zxid) = name.strip_prefix("snapshot.") {
            snapshots.push(i64::from_str_radix(zxid, 16).unwrap());
        }
    }
    txns.sort_unstable();
    snapshots.sort_unstable();
    (txns, snapshots)
}

/// Small, fast, and the same on every machine.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 11).unwrap() % bound
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

/// How the unsynced changes of one crash fare.
pub(crate) fn fates(changes: usize, seed: u64) -> Vec<Box<dyn FnMut() -> bool>> {
    let mut fates: Vec<Box<dyn FnMut() -> bool>> = vec![Box::new(|| false), Box::new(|| true)];
    for single in 0..changes.min(24) {
        for survives in [true, false] {
            let mut asked = 0;
            fates.push(Box::new(move || {
                asked += 1;
                (asked - 1 == single) == survives
            }));
        }
    }
    for round in 0..16 {
        let mut random = Random(seed * 64 + round + 1);
        fates.push(Box::new(move || random.flip()));
    }
    fates
}

/// How many changes a power cut now would ask about.
pub(crate) fn unsynced_changes(disk: &MemoryFileSystem) -> usize {
    let mut asked = 0;
    disk.fork().power_cut(|| {
        asked += 1;
        true
    });
    asked
}
