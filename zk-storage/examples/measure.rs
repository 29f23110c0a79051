//! Measures a disk as storage uses it: group commits, a snapshot of many nodes, and its recovery.
//!
//! `cargo run --release -p zk-storage --example measure -- DIR [NODES]`
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement reads the clock and prints"
)]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use zk_proto::{
    Acl, OpCode, Record, SessionId, SnapshotNode, SnapshotSession, StatPersisted, Txn, TxnHeader,
    TxnRecord, Xid, Zxid,
};
use zk_storage::{
    RealFileSystem, Recovered, Restore, RestoreError, SnapshotSource, SnapshotTrailer, Storage,
    StorageConfig,
};

const DATA_BYTES: usize = 100;
const BATCHES: usize = 1000;

/// Nodes that are made up as they are asked for.
struct Nodes(u64);

impl SnapshotSource for Nodes {
    fn sessions(&self) -> Vec<SnapshotSession> {
        Vec::new()
    }

    fn acls(&self) -> Vec<(i64, Vec<Acl>)> {
        Vec::new()
    }

    fn nodes(&self, visit: &mut dyn FnMut(SnapshotNode<'_>) -> ControlFlow<()>) {
        let data = [7; DATA_BYTES];
        let mut path = String::new();
        for number in 0..=self.0 {
            let node = SnapshotNode {
                path: &path,
                data: Some(&data),
                acl: -1,
                stat: StatPersisted::default(),
            };
            if visit(node).is_break() {
                return;
            }
            path = format!("/node-{number:010}");
        }
    }
}

#[derive(Default)]
struct Counter {
    nodes: u64,
    txns: u64,
}

impl Restore for Counter {
    fn begin(&mut self) {
        *self = Self::default();
    }

    fn session(&mut self, _: SnapshotSession) -> Result<(), RestoreError> {
        Ok(())
    }

    fn acl(&mut self, _: i64, _: Vec<Acl>) -> Result<(), RestoreError> {
        Ok(())
    }

    fn node(&mut self, node: SnapshotNode<'_>) -> Result<(), RestoreError> {
        black_box(node);
        self.nodes += 1;
        Ok(())
    }

    fn snapshot_done(&mut self, _: Zxid, _: SnapshotTrailer) -> Result<(), RestoreError> {
        Ok(())
    }

    fn txn(&mut self, record: &TxnRecord) -> Result<(), RestoreError> {
        black_box(record);
        self.txns += 1;
        Ok(())
    }
}

fn record(zxid: i64, data_bytes: usize) -> TxnRecord {
    TxnRecord {
        header: TxnHeader {
            session: SessionId(1),
            cxid: Xid(1),
            zxid: Zxid(zxid),
            time_ms: 0,
            op: OpCode::SET_DATA,
        },
        txn: Txn::SetData {
            path: "/node-0000000000".to_owned(),
            data: Some(vec![7; data_bytes].into()),
            version: 1,
        },
        digest: None,
    }
}

fn open(config: &StorageConfig) -> anyhow::Result<(Recovered, Counter)> {
    let mut counter = Counter::default();
    let storage = Storage::open(Arc::new(RealFileSystem), config.clone())?;
    Ok((storage.recover(&mut counter)?, counter))
}

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let dir: PathBuf = args.next().context("which directory?")?.into();
    let nodes = args.next().map_or(Ok(1_000_000), |nodes| nodes.parse())?;
    let config = StorageConfig::new(dir);

    let (mut recovered, _) = open(&config)?;
    let start = Instant::now();
    let last = recovered.report.last_zxid;
    let snapshot = recovered.snapshots.write(&Nodes(nodes), last, None)?;
    println!(
        "snapshot of {nodes} nodes, {} MB, written and read back: {:?}",
        snapshot.bytes / 1_000_000,
        start.elapsed()
    );

    let mut zxid = last.0;
    for count in [1, 4, 16, 64, 256] {
        let mut latencies = Vec::with_capacity(BATCHES);
        let start = Instant::now();
        for _ in 0..BATCHES {
            let start = Instant::now();
            for _ in 0..count {
                zxid += 1;
                let record = record(zxid, 1024).to_bytes();
                recovered.log.append(Zxid(zxid), &record);
            }
            recovered.log.flush()?;
            latencies.push(start.elapsed());
        }
        let rate = (BATCHES * count) as f64 / start.elapsed().as_secs_f64();
        latencies.sort();
        println!(
            "commits of {count} x 1 KiB: {rate:.0} txns/s, median {:?}, 99 % {:?}",
            latencies.get(BATCHES / 2).context("no batches")?,
            latencies.get(BATCHES * 99 / 100).context("no batches")?,
        );
    }
    drop(recovered);

    let start = Instant::now();
    let (_, counter) = open(&config)?;
    println!(
        "recovery of {} nodes and {} txns: {:?}",
        counter.nodes,
        counter.txns,
        start.elapsed()
    );
    Ok(())
}
