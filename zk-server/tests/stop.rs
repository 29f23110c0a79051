//! Stopping and starting again.

mod common;

use std::any::Any;
use std::io;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use common::{PATIENCE, RawClient, create, get, resume, start};
use tempfile::tempdir;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use zk_proto::{CreateMode, ErrorCode, Request, Response, Zxid};
use zk_server::{Config, Server, ServerError};
use zk_storage::memory::{Chances, MemoryFileSystem};
use zk_storage::{DirEntry, File, FileSystem, OpenMode};

/// Every sync fails. The log's is the next one: what works beside it at the disk of an idle server syncs
/// nothing.
const NO_SYNC: Chances = Chances {
    read_error: 0,
    write_error: 0,
    sync_error: 1_000_000,
    name_error: 0,
    no_space: 0,
    power_off: 0,
};

#[tokio::test]
async fn a_restart_finds_sessions_ephemerals_and_znodes() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let (mut client, opened) = RawClient::log_in(server.local_addr()).await;
    client
        .call(create("/a", b"data", CreateMode::Persistent))
        .await;
    client.call(create("/e", b"", CreateMode::Ephemeral)).await;
    server.shutdown().await.unwrap();
    assert!(client.is_closed().await);

    let server = start(dir.path(), |_| {}).await;
    let mut client = RawClient::connect(server.local_addr()).await;
    let mut request = resume(&opened);
    request.last_zxid_seen = Zxid(3);
    let response = client.shake(&request).await.unwrap();
    assert_eq!(response.session_id, opened.session_id);
    let Response::Data(data, _) = client.call(get("/a")).await else {
        panic!("getData answers data");
    };
    assert_eq!(data.as_deref(), Some(&b"data"[..]));
    let Response::Data(_, stat) = client.call(get("/e")).await else {
        panic!("getData answers data");
    };
    assert_eq!(stat.ephemeral_owner, opened.session_id.0);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_write_that_was_taken_is_answered_before_the_stop() {
    let dir = tempdir().unwrap();
    for round in 0..20 {
        let server = start(dir.path(), |_| {}).await;
        let (mut client, _) = RawClient::log_in(server.local_addr()).await;
        let paths: Vec<_> = (0..50).map(|number| format!("/{round}-{number}")).collect();
        let create = |path: &String| create(path, b"", CreateMode::Persistent);
        client
            .send(&paths.iter().map(create).collect::<Vec<_>>())
            .await;
        assert_eq!(client.reply().await.0.err, ErrorCode::OK);
        server.shutdown().await.unwrap();
        let mut answered = 1;
        while client.frame().await.is_some() {
            answered += 1;
        }
        let server = start(dir.path(), |_| {}).await;
        let (mut client, _) = RawClient::log_in(server.local_addr()).await;
        for path in paths.iter().take(answered) {
            client.call(get(path)).await;
        }
        server.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn several_servers_run_in_one_process() {
    let dirs = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
    let mut servers = Vec::new();
    for dir in &dirs {
        servers.push(start(dir.path(), |_| {}).await);
    }
    for (number, server) in servers.iter().enumerate() {
        let (mut client, _) = RawClient::log_in(server.local_addr()).await;
        let path = format!("/{number}");
        client
            .call(create(&path, b"", CreateMode::Persistent))
            .await;
        client.send(&[get("/7")]).await;
        assert_eq!(client.reply().await.0.err, ErrorCode::NO_NODE);
    }
    for server in servers {
        server.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_directory_in_use_is_refused_and_free_after_the_stop() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let second = Server::builder()
        .config(Config::dev(dir.path(), 0))
        .start()
        .await;
    let error = second.expect_err("the directory is in use");
    assert!(matches!(error, ServerError::DataDir(_)), "{error}");
    assert_eq!(error.exit_code(), 3);
    server.shutdown().await.unwrap();
    start(dir.path(), |_| {}).await.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_refused() {
    let (dir, other) = (tempdir().unwrap(), tempdir().unwrap());
    let server = start(dir.path(), |_| {}).await;
    let config = Config::dev(other.path(), server.local_addr().port());
    let error = Server::builder()
        .config(config)
        .start()
        .await
        .expect_err("the port is in use");
    assert!(matches!(error, ServerError::Listen { .. }), "{error}");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn dropping_a_server_stops_it() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let (mut client, _) = RawClient::log_in(server.local_addr()).await;
    drop(server);
    assert!(client.is_closed().await);
    let free = async {
        let config = || Config::dev(dir.path(), 0);
        while Server::builder().config(config()).start().await.is_err() {}
    };
    timeout(PATIENCE, free)
        .await
        .expect("the directory is free soon");
}

#[tokio::test]
async fn a_disk_that_fails_ends_the_server_and_acknowledges_nothing() {
    let dir = tempdir().unwrap();
    let disk = Arc::new(MemoryFileSystem::new());
    let config = Config::dev(dir.path(), 0);
    let server = Server::builder()
        .config(config)
        .file_system(disk.clone())
        .start();
    let mut server = server.await.unwrap();
    let (mut client, _) = RawClient::log_in(server.local_addr()).await;
    client.call(create("/a", b"", CreateMode::Persistent)).await;
    disk.misbehave(0, NO_SYNC);
    client
        .send(&[create("/b", b"", CreateMode::Persistent)])
        .await;
    assert!(client.is_closed().await);
    let error = timeout(PATIENCE, server.wait()).await.unwrap().unwrap_err();
    assert!(matches!(error, ServerError::Log(_)), "{error}");
    assert_eq!(error.exit_code(), 1);
    server.shutdown().await.unwrap();
}

/// A disk on which snapshots begin only while a gate is open.
#[derive(Debug)]
struct Gated {
    disk: MemoryFileSystem,
    gate: RwLock<()>,
    waits: Sender<()>,
}

impl FileSystem for Gated {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("partial.") && self.gate.try_read().is_err() {
            (self.waits.send(())).expect("the test waits for it");
            drop(self.gate.read());
        }
        self.disk.open(path, mode)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.disk.lock(path)
    }

    fn reads_ahead(&self) -> bool {
        self.disk.reads_ahead()
    }
}

/// The log fails while a snapshot is being written: the server ends once both have let go.
#[tokio::test]
async fn a_directory_is_free_when_a_server_whose_log_failed_has_ended() {
    let dir = tempdir().unwrap();
    let (waits, waiting) = channel();
    let disk = Arc::new(Gated {
        disk: MemoryFileSystem::new(),
        gate: RwLock::new(()),
        waits,
    });
    let mut config = Config::dev(dir.path(), 0);
    config.storage.snap_count = NonZeroU32::MIN;
    let server = |disk| {
        let builder = Server::builder().config(config.clone());
        builder.file_system(disk).start()
    };
    let mut running = server(disk.clone()).await.unwrap();
    let (closed, closing) = channel();
    let (open, opening) = channel::<()>();
    let gated = disk.clone();
    let keeper = spawn_blocking(move || {
        let gate = gated.gate.write().unwrap();
        closed.send(()).unwrap();
        opening.recv().unwrap();
        // Opened by a time: the end of the server waits for it.
        _ = opening.recv_timeout(Duration::from_millis(200));
        drop(gate);
    });
    spawn_blocking(move || closing.recv().unwrap())
        .await
        .expect("the gate is closed");
    // The second transaction, after the session's, makes a snapshot due.
    let (mut client, _) = RawClient::log_in(running.local_addr()).await;
    client.call(create("/a", b"", CreateMode::Persistent)).await;
    spawn_blocking(move || waiting.recv().unwrap())
        .await
        .expect("a snapshot waits");
    disk.disk.misbehave(0, NO_SYNC);
    client
        .send(&[create("/b", b"", CreateMode::Persistent)])
        .await;
    assert!(client.is_closed().await, "the log failed");
    open.send(()).unwrap();
    let ended = timeout(PATIENCE, running.wait()).await.unwrap();
    assert!(matches!(ended, Err(ServerError::Log(_))), "{ended:?}");
    disk.disk.misbehave(0, Chances::default());
    let again = server(disk).await;
    drop(open);
    keeper.await.unwrap();
    again
        .expect("the directory is free")
        .shutdown()
        .await
        .unwrap();
}

#[tokio::test]
async fn an_idle_connection_does_not_delay_the_stop() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let _silent = RawClient::connect(server.local_addr()).await;
    let (mut client, _) = RawClient::log_in(server.local_addr()).await;
    client.call(Request::Ping).await;
    timeout(Duration::from_secs(5), server.shutdown())
        .await
        .unwrap()
        .unwrap();
}
