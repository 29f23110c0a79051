//! What the data tree costs: memory for each znode, and time to load, read, write and view.
//!
//! `cargo run --release -p zk-core --example tree [NODES] [DATA_BYTES]`, on Linux, where the process
//! can be asked for its resident memory. The allocator is the system's.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark reads clocks and prints"
)]

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use zk_core::tree::{Loader, Replay, Tree, TreeOptions};
use zk_proto::{
    CreateTxn, OpCode, SessionId, SnapshotNode, StatPersisted, Txn, TxnHeader, Xid, Zxid,
};

const OPTIONS: TreeOptions = TreeOptions {
    extended_types: false,
    hash_seed: 0x5eed,
};
/// Children of one parent.
const FAN_OUT: usize = 1_000;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |default| {
        let given = arguments.next().map(|text| text.parse::<usize>());
        given.unwrap_or(Ok(default)).context("a number is expected")
    };
    let nodes = argument(1_000_000)?;
    let data = vec![b'x'; argument(100)?];

    let before = resident_bytes()?;
    let (mut tree, took) = timed(|| load(nodes, &data));
    let used = resident_bytes()?.saturating_sub(before);
    println!(
        "load        {took:?} for {nodes} znodes of {} bytes",
        data.len()
    );
    println!("memory      {used} bytes, {} a znode", used / nodes);

    let paths: Vec<String> = (0..nodes).step_by(7).map(path).collect();
    let (_, took) = timed(|| {
        for path in &paths {
            black_box(tree.get(path).map(|node| node.stat()));
        }
    });
    each("get", took, paths.len());

    write(&mut tree, "set_data", &paths);
    let (view, took) = timed(|| tree.view());
    each("view", took, 1);
    write(&mut tree, "under view", &paths);
    let (count, took) = timed(|| {
        let (mut walk, mut count) = (view.nodes(), 0_usize);
        while let Some(node) = walk.next_node() {
            count += node.path.len() + 1;
        }
        count
    });
    println!(
        "walk        {took:?} for {} znodes, {count} bytes of paths",
        view.node_count()
    );
    drop(view);
    create_and_delete(&mut tree, &paths);
    Ok(())
}

fn path(number: usize) -> String {
    format!("/d{:04}/n{:07}", number / FAN_OUT, number)
}

fn load(nodes: usize, data: &[u8]) -> Tree {
    let mut loader = Loader::new(OPTIONS);
    let mut add = |path: &str, data| {
        let node = SnapshotNode {
            path,
            data,
            acl: -1,
            stat: StatPersisted::default(),
        };
        loader.node(&node).expect("parents come first");
    };
    add("", None);
    let mut path = String::new();
    for number in 0..nodes {
        path.clear();
        write!(path, "/d{:04}", number / FAN_OUT).expect("a string takes all");
        if number % FAN_OUT == 0 {
            add(&path, None);
        }
        write!(path, "/n{number:07}").expect("a string takes all");
        add(&path, Some(data));
    }
    let replay = loader.finish_snapshot(Zxid::ZERO, None);
    replay.map(Replay::finish).expect("there is a root").tree
}

fn write(tree: &mut Tree, what: &str, paths: &[String]) {
    let data = Some(Bytes::from(vec![b'y'; 100]));
    let txns: Vec<Txn> = paths
        .iter()
        .map(|path| Txn::SetData {
            path: path.clone(),
            data: data.clone(),
            version: 1,
        })
        .collect();
    apply(tree, what, OpCode::SET_DATA, &txns);
}

fn create_and_delete(tree: &mut Tree, paths: &[String]) {
    let created = paths.iter().map(|path| format!("{path}/child"));
    let creations: Vec<Txn> = created
        .clone()
        .map(|path| {
            Txn::Create(CreateTxn {
                path,
                data: Some(Bytes::from_static(b"data")),
                acl: vec![zk_proto::Acl::open()],
                ephemeral: false,
                parent_cversion: 1,
            })
        })
        .collect();
    apply(tree, "create", OpCode::CREATE, &creations);
    let deletions: Vec<Txn> = created.map(|path| Txn::Delete { path }).collect();
    apply(tree, "delete", OpCode::DELETE, &deletions);
}

fn apply(tree: &mut Tree, what: &str, op: OpCode, txns: &[Txn]) {
    let (_, took) = timed(|| {
        for txn in txns {
            let header = TxnHeader {
                session: SessionId(1),
                cxid: Xid(1),
                zxid: tree.last_zxid().next(),
                time_ms: 1,
                op,
            };
            black_box(tree.apply(&header, txn));
        }
    });
    each(what, took, txns.len());
}

fn each(what: &str, took: Duration, times: usize) {
    let nanos = took.as_nanos() / times as u128;
    println!("{what:<11} {nanos} ns each, {times} times");
}

fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = run();
    (result, start.elapsed())
}

fn resident_bytes() -> anyhow::Result<usize> {
    let status = fs::read_to_string("/proc/self/status").context("/proc is needed")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib
        .context("no VmRSS in /proc/self/status")?
        .parse::<usize>()?
        * 1024)
}
