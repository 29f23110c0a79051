//! Apache's own tools read our files: `TxnLogToolkit` every log, `SnapshotFormatter` every
//! snapshot, and its server, replaying all our logs, computes the digests that they carry.
#![expect(clippy::disallowed_methods, reason = "runs programs")]
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use zk_proto::{Acl, Create, CreateMode, Id, MultiOp, OpCode, Perms, Request, Zxid};
use zk_tests::{Flavour, Needs, RawClient, ServerProcess, ServerSettings};

const WRITES: usize = 900;

#[test]
fn apaches_tools_read_our_logs_and_snapshots() {
    let Some(classpath) = Needs::apache("apaches_tools_read_our_logs_and_snapshots") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let settings = ServerSettings::new(folder.path())
        .set("snapCount", "100")
        .set("autopurge.purgeInterval", "0");
    let server = ServerProcess::start(Flavour::Ours, &settings);
    let mut writer = Writer::new(&server);
    for number in 0..WRITES {
        writer.write(number);
    }
    let last = writer.last;
    assert_eq!(server.stop(), Some(0));

    let java = |tool: &str, file: &Path| {
        let mut command = Command::new("java");
        command.args(["-cp", classpath, tool, "-d"]).arg(file);
        let output = command.output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{command:?}: {printed}");
        printed
    };
    let logs = files(folder.path(), "log.");
    assert!(logs.len() > 5, "{logs:?}");
    let mut zxids = Vec::new();
    for (_, log) in &logs {
        let printed = java("org.apache.zookeeper.server.persistence.TxnLogToolkit", log);
        assert!(!printed.contains("CRC ERROR"), "{printed}");
        assert!(printed.contains("EOF reached after"), "{printed}");
        let of_line = |line: &str| {
            let zxid = line.split_once(" zxid 0x")?.1.split(' ').next()?;
            line.contains(" session 0x")
                .then(|| i64::from_str_radix(zxid, 16).unwrap())
        };
        zxids.extend(printed.lines().filter_map(of_line));
    }
    assert_eq!(zxids, (1..=last.0).collect::<Vec<_>>());

    let snapshots = files(folder.path(), "snapshot.");
    assert!(snapshots.len() > 5, "{snapshots:?}");
    for (zxid, snapshot) in &snapshots {
        let printed = java("org.apache.zookeeper.server.SnapshotFormatter", snapshot);
        assert!(
            printed.contains(&format!("Last zxid: {:#x}", zxid.0)),
            "{printed}"
        );
        assert_eq!(nodes(&printed), writer.tree_at(*zxid), "{snapshot:?}");
    }
}

#[test]
fn apaches_server_computes_the_digests_of_our_logs() {
    let name = "apaches_server_computes_the_digests_of_our_logs";
    if Needs::apache(name).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let settings = ServerSettings::new(folder.path());
    let server = ServerProcess::start(Flavour::Ours, &settings);
    let mut writer = Writer::new(&server);
    for number in 0..300 {
        writer.write(number);
    }
    let value = |server: &ServerProcess, key: &str| {
        let mntr = server.ask("mntr").unwrap();
        let line = mntr.lines().find_map(|line| line.strip_prefix(key));
        let value = line.unwrap_or_else(|| panic!("{key} in {mntr}"));
        value.trim().parse::<u64>().unwrap()
    };
    let counts = |server: &ServerProcess| {
        ["zk_znode_count", "zk_ephemerals_count"].map(|key| value(server, key))
    };
    let seen = counts(&server);
    // Without newer snapshots every transaction is replayed, and its digest compared.
    server.kill();
    for (zxid, snapshot) in files(folder.path(), "snapshot.") {
        if zxid != Zxid(0) {
            fs::remove_file(snapshot).unwrap();
        }
    }
    let apache = ServerProcess::start(Flavour::Apache, &settings);
    assert_eq!(value(&apache, "zk_digest_mismatches_count"), 0);
    assert_eq!(counts(&apache), seen);
    let mut client = RawClient::connect(apache.address(), Duration::from_secs(30)).unwrap();
    let path = String::from("/tools/after");
    let after = client
        .call(Writer::create(&path, CreateMode::Persistent))
        .unwrap();
    assert_eq!(after.header.zxid, Zxid(writer.last.0 + 2));
}

/// Writes of every kind, and the tree that they make.
struct Writer {
    client: RawClient,
    last: Zxid,
    /// What became of nodes, in order of zxids: data, or `None` once deleted.
    history: Vec<(Zxid, String, Option<Bytes>)>,
}

impl Writer {
    fn new(server: &ServerProcess) -> Self {
        let client = RawClient::connect(server.address(), Duration::from_secs(30)).unwrap();
        let mut writer = Self {
            client,
            last: Zxid(1),
            history: Vec::new(),
        };
        writer.call(&Self::create("/tools", CreateMode::Persistent));
        writer.became("/tools", Some(Bytes::from_static(b"/tools")));
        writer
    }

    /// One write; some are refused, and logged as such.
    fn write(&mut self, number: usize) {
        let path = format!("/tools/{number}");
        let data = Bytes::from(path.clone());
        match number % 9 {
            0 => self.made(&path, CreateMode::Persistent),
            1 => self.made(&path, CreateMode::Ephemeral),
            2 => self.made(&path, CreateMode::Container),
            3 => self.made(&path, CreateMode::PersistentWithTtl),
            4 => {
                let (path, version) = (format!("/tools/{}", number - 4), -1);
                self.call(&Request::Delete {
                    path: path.clone(),
                    version,
                });
                self.became(&path, None);
            }
            5 => {
                let path = format!("/tools/{}", number - 3);
                let data = Some(Bytes::from(vec![b'x'; number]));
                self.call(&Request::SetData {
                    path: path.clone(),
                    data: data.clone(),
                    version: -1,
                });
                self.became(&path, data);
            }
            6 => {
                let Request::Create(create) = Self::create(&path, CreateMode::Persistent) else {
                    unreachable!("create makes a create");
                };
                let version = 0;
                let set = MultiOp::SetData {
                    path: path.clone(),
                    data: None,
                    version,
                };
                self.call(&Request::Multi(vec![MultiOp::Create(create), set]));
                self.became(&path, Some(Bytes::new()));
            }
            7 => {
                let acl = Id::new("digest", format!("user{}:hash", number % 5));
                self.call(&Request::SetAcl {
                    path: String::from("/tools"),
                    acl: vec![Acl::open(), Acl::new(Perms::READ, acl)],
                    version: -1,
                });
            }
            _ => {
                let path = String::from("/none/at/all");
                let refused = self.client.call(Request::SetData {
                    path,
                    data: Some(data),
                    version: 3,
                });
                self.last = refused.unwrap().header.zxid;
            }
        }
    }

    fn made(&mut self, path: &str, mode: CreateMode) {
        self.call(&Self::create(path, mode));
        self.became(path, Some(Bytes::from(path.to_owned())));
    }

    fn call(&mut self, request: &Request) {
        let reply = self.client.call(request.clone()).unwrap();
        assert!(
            reply.header.err.is_ok(),
            "{request:?}: {}",
            reply.header.err
        );
        self.last = reply.header.zxid;
    }

    fn became(&mut self, path: &str, data: Option<Bytes>) {
        self.history.push((self.last, path.to_owned(), data));
    }

    fn create(path: &str, mode: CreateMode) -> Request {
        let op = match mode {
            CreateMode::Container => OpCode::CREATE_CONTAINER,
            mode if mode.is_ttl() => OpCode::CREATE_TTL,
            _ => OpCode::CREATE2,
        };
        Request::Create(Create {
            op,
            path: path.to_owned(),
            data: Some(Bytes::from(path.to_owned())),
            acl: vec![Acl::open()],
            flags: mode.to_flags(),
            ttl_ms: if mode.is_ttl() { 1_000_000 } else { 0 },
        })
    }

    fn tree_at(&self, zxid: Zxid) -> BTreeMap<String, Bytes> {
        let mut tree = BTreeMap::new();
        for (at, path, data) in &self.history {
            match data {
                _ if *at > zxid => break,
                Some(data) => _ = tree.insert(path.clone(), data.clone()),
                None => _ = tree.remove(path),
            }
        }
        tree
    }
}

/// Files of `version-2` in order of the zxids in their names.
fn files(data_dir: &Path, prefix: &str) -> BTreeSet<(Zxid, PathBuf)> {
    let entries = fs::read_dir(data_dir.join("version-2")).unwrap();
    let zxid_and_path = |path: PathBuf| {
        let zxid = path.file_name()?.to_str()?.strip_prefix(prefix)?;
        let zxid = Zxid(i64::from_str_radix(zxid, 16).unwrap());
        Some((zxid, path))
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter_map(zxid_and_path).collect()
}

/// Paths and data below `/tools` as `SnapshotFormatter -d` prints them.
fn nodes(printed: &str) -> BTreeMap<String, Bytes> {
    let mut nodes = BTreeMap::new();
    let mut path = "";
    for line in printed.lines() {
        if line.starts_with('/') {
            path = line;
        } else if let Some(data) = line.trim().strip_prefix("data =")
            && path.starts_with("/tools")
        {
            let data = BASE64_STANDARD.decode(data.trim()).unwrap();
            nodes.insert(path.to_owned(), data.into());
        }
    }
    nodes
}
