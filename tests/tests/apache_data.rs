//! Data directories change hands: what Apache's server wrote, ours serves with every znode, Stat
//! and ACL equal; and what ours wrote, Apache's serves.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tempfile::TempDir;
use zk_proto::{
    Acl, Auth, ConnectRequest, Create, CreateMode, ErrorCode, MultiOp, OpCode, Request, Response,
    SessionId, Stat, Zxid,
};
use zk_tests::{
    Flavour, GoldenAcl, GoldenNode, GoldenStat, Needs, RawClient, Received, ServerProcess,
    ServerSettings, Wire, golden_folder, golden_nodes,
};

/// The super user of the golden directories, `super:golden`.
const SUPER_DIGEST: &str = "super:c9T5yFYCHEoR/xZ3KuYTF5tNWis=";
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);

fn settings(data_dir: &Path) -> ServerSettings {
    let mut settings = ServerSettings::new(data_dir);
    let property = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    settings.properties.extend([
        property(
            "zookeeper.DigestAuthenticationProvider.superDigest",
            SUPER_DIGEST,
        ),
        property("znode.container.checkIntervalMs", "100000000"),
    ]);
    settings
}

/// A copy of `tests/golden/data/NAME` to serve from.
fn copy_of(name: &str) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let to = copy.path().join("version-2");
    fs::create_dir(&to).unwrap();
    for file in fs::read_dir(golden_folder().join("data").join(name).join("version-2")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    copy
}

/// A client that no ACL binds.
fn super_client(server: &ServerProcess) -> RawClient {
    let mut client = RawClient::connect(server.address(), SESSION_TIMEOUT).unwrap();
    let auth = Bytes::from_static(b"super:golden");
    let request = Request::Auth(Auth {
        kind: 0,
        scheme: "digest".into(),
        auth,
    });
    assert!(client.call(request).unwrap().header.err.is_ok());
    client
}

/// Every znode that a server shows, in order of their paths.
fn tree(client: &mut RawClient) -> BTreeMap<String, GoldenNode> {
    let mut nodes = BTreeMap::new();
    let mut paths = vec![String::from("/")];
    while let Some(path) = paths.pop() {
        let (node, children) = node(client, &path);
        let parent = path.trim_end_matches('/');
        paths.extend(children.iter().map(|child| format!("{parent}/{child}")));
        nodes.insert(path, node);
    }
    nodes
}

fn node(client: &mut RawClient, path: &str) -> (GoldenNode, Vec<String>) {
    let path = || path.to_owned();
    client
        .send(&[
            Request::GetData {
                path: path(),
                watch: false,
            },
            Request::GetAcl { path: path() },
            Request::GetChildren2 {
                path: path(),
                watch: false,
            },
        ])
        .unwrap();
    let mut next = || client.receive().unwrap().response.unwrap();
    let (Response::Data(data, stat), Response::Acl(acl, _), Response::ChildrenAndStat(names, _)) =
        (next(), next(), next())
    else {
        panic!("{}: replies of another kind", path())
    };
    let data = data.map(|data| STANDARD.encode(data));
    let node = GoldenNode {
        path: path(),
        data,
        stat: golden_stat(&stat),
        acl: golden_acl(&acl),
    };
    (node, names.iter().map(ToString::to_string).collect())
}

fn golden_stat(stat: &Stat) -> GoldenStat {
    GoldenStat {
        czxid: stat.czxid.0,
        mzxid: stat.mzxid.0,
        ctime: stat.ctime,
        mtime: stat.mtime,
        version: stat.version,
        cversion: stat.cversion,
        aversion: stat.aversion,
        ephemeral_owner: stat.ephemeral_owner,
        data_length: stat.data_length,
        num_children: stat.num_children,
        pzxid: stat.pzxid.0,
    }
}

fn golden_acl(acl: &[Acl]) -> Vec<GoldenAcl> {
    let entry = |acl: &Acl| GoldenAcl {
        perms: acl.perms.0,
        scheme: acl.id.scheme.clone(),
        id: acl.id.id.clone(),
    };
    let mut entries: Vec<_> = acl.iter().map(entry).collect();
    entries.sort();
    entries
}

fn assert_same(seen: &BTreeMap<String, GoldenNode>, expected: &BTreeMap<String, GoldenNode>) {
    for (path, node) in expected {
        assert_eq!(seen.get(path), Some(node), "{path}");
    }
    let extra: Vec<_> = seen
        .keys()
        .filter(|path| !expected.contains_key(*path))
        .collect();
    assert!(
        extra.is_empty(),
        "znodes that should not be there: {extra:?}"
    );
}

/// The configuration of an ensemble is not data of the tree: its leader puts it there anew.
const CONFIG: &str = "/zookeeper/config";

fn ours_serves(name: &str) {
    let copy = copy_of(name);
    let server = ServerProcess::start(Flavour::Ours, &settings(copy.path()));
    let mut expected = BTreeMap::new();
    for mut node in golden_nodes(name) {
        node.acl.sort();
        expected.insert(node.path.clone(), node);
    }
    let mut seen = tree(&mut super_client(&server));
    if name == "quorum-of-one" {
        assert!(expected.remove(CONFIG).is_some() && seen.remove(CONFIG).is_some());
    }
    assert_same(&seen, &expected);
}

macro_rules! ours_serves {
    ($($test:ident: $name:literal;)*) => { $(
        #[test]
        fn $test() {
            ours_serves($name);
        }
    )* };
}

ours_serves! {
    ours_serves_an_empty_tree_of_apache: "fresh";
    ours_serves_one_log_of_apache: "one-log";
    ours_serves_many_snapshots_and_logs_of_apache: "many-files";
    ours_serves_a_directory_without_digests: "old-style";
    ours_serves_a_directory_after_containers_were_reaped: "reaped";
    ours_serves_a_thousand_sessions_of_apache: "sessions";
    ours_serves_the_directory_of_a_replicated_server: "quorum-of-one";
    ours_serves_snapshots_compressed_by_gzip: "gz";
    ours_serves_snapshots_compressed_by_snappy: "snappy";
}

fn create(path: &str, data: Option<&'static [u8]>, mode: CreateMode) -> Create {
    Create {
        op: match mode {
            CreateMode::Container => OpCode::CREATE_CONTAINER,
            mode if mode.is_ttl() => OpCode::CREATE_TTL,
            _ => OpCode::CREATE2,
        },
        path: path.to_owned(),
        data: data.map(Bytes::from_static),
        acl: vec![Acl::open()],
        flags: mode.to_flags(),
        ttl_ms: if mode.is_ttl() { 3_600_000 } else { 0 },
    }
}

/// Makes a tree with every kind of znode, refused writes and multis; ends with an open session.
fn fill(client: &mut RawClient) {
    for (path, data, mode) in [
        ("/a", Some(&b"data"[..]), CreateMode::Persistent),
        ("/a/null", None, CreateMode::Persistent),
        ("/a/empty", Some(&b""[..]), CreateMode::Persistent),
        ("/a/s-", None, CreateMode::PersistentSequential),
        ("/a/s-", None, CreateMode::PersistentSequential),
        ("/a/e", None, CreateMode::Ephemeral),
        ("/a/e-", None, CreateMode::EphemeralSequential),
        ("/c", None, CreateMode::Container),
        ("/c/child", None, CreateMode::Persistent),
        ("/ttl", None, CreateMode::PersistentWithTtl),
        (
            "/\u{e9}\u{4e2d}",
            Some(&[0, 255, 1][..]),
            CreateMode::Persistent,
        ),
    ] {
        client
            .get(Request::Create(create(path, data, mode)))
            .unwrap();
    }
    let path = String::from;
    let refused = client
        .call(Request::Delete {
            path: path("/a"),
            version: 7,
        })
        .unwrap();
    assert!(!refused.header.err.is_ok());
    for data in [&b"one"[..], b"two"] {
        let data = Some(Bytes::from_static(data));
        client
            .get(Request::SetData {
                path: path("/a"),
                data,
                version: -1,
            })
            .unwrap();
    }
    client
        .get(Request::Delete {
            path: path("/a/null"),
            version: 0,
        })
        .unwrap();
    let acl = vec![Acl::new(
        zk_proto::Perms::READ,
        zk_proto::Id::new("ip", "127.0.0.1"),
    )];
    client
        .get(Request::SetAcl {
            path: path("/c/child"),
            acl,
            version: -1,
        })
        .unwrap();
    let ops = |last: MultiOp| {
        vec![
            MultiOp::Create(create("/m", Some(b"m"), CreateMode::Persistent)),
            MultiOp::Check {
                path: path("/a"),
                version: 2,
            },
            last,
        ]
    };
    let failing = MultiOp::Delete {
        path: path("/none"),
        version: -1,
    };
    client.get(Request::Multi(ops(failing))).unwrap();
    let working = MultiOp::SetData {
        path: path("/a"),
        data: Some(Bytes::from_static(b"3")),
        version: 2,
    };
    client.get(Request::Multi(ops(working))).unwrap();
}

#[test]
fn a_directory_goes_from_ours_to_apache_and_back() {
    if Needs::apache("a_directory_goes_from_ours_to_apache_and_back").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());

    let server = ServerProcess::start(Flavour::Ours, &settings);
    let mut client = super_client(&server);
    fill(&mut client);
    let written = tree(&mut client);
    let session = client.session().clone();
    server.kill();

    let mut seen_by = Vec::new();
    for flavour in [Flavour::Apache, Flavour::Ours, Flavour::Apache] {
        let server = ServerProcess::start(flavour, &settings);
        let resumed = RawClient::resume(
            server.address(),
            SESSION_TIMEOUT,
            session.session_id,
            &session.password,
        );
        assert_eq!(
            resumed.unwrap().session().session_id,
            session.session_id,
            "{flavour:?}"
        );
        seen_by.push((flavour, tree(&mut super_client(&server))));
        let figures = server.ask("mntr").unwrap();
        let mismatches = figures
            .lines()
            .find(|line| line.starts_with("zk_digest_mismatches"));
        assert!(
            mismatches.is_none_or(|line| line.ends_with("\t0")),
            "{flavour:?} {mismatches:?}"
        );
        _ = server.stop();
    }
    for (flavour, seen) in seen_by {
        println!("read by {flavour:?}");
        assert_same(&seen, &written);
    }
}

/// Apache's server takes a zxid for a multi with a null path, and logs nothing under it.
fn leave_a_hole(server: &ServerProcess) {
    let handshake = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: 30_000,
        session_id: SessionId(0),
        password: Bytes::from_static(&[0; 16]),
        read_only: Some(false),
    };
    let (mut wire, _) = Wire::connect(server.address(), &handshake).unwrap();
    let recorded = "000000010000000e0000000100ffffffffffffffff0000000000000001\
        0000001f00000005776f726c6400000006616e796f6e6500000000ffffffff01ffffffff";
    wire.send(&unhex(recorded)).unwrap();
    let Received::Reply(_, header, ..) = wire.receive() else {
        panic!("the multi is answered");
    };
    assert_eq!(header.err, ErrorCode::MARSHALLING_ERROR);
}

fn unhex(text: &str) -> Bytes {
    let mut bytes = Vec::new();
    for pair in text.as_bytes().chunks(2) {
        let pair = std::str::from_utf8(pair).unwrap();
        bytes.push(u8::from_str_radix(pair, 16).unwrap());
    }
    bytes.into()
}

#[test]
fn holes_that_apache_leaves_in_its_logs() {
    if Needs::apache("holes_that_apache_leaves_in_its_logs").is_none() {
        return;
    }
    for digest in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path()).line(&format!("digest.enabled={digest}"));
        let server = ServerProcess::start(Flavour::Apache, &settings);
        let mut client = super_client(&server);
        fill(&mut client);
        leave_a_hole(&server);
        let node = create("/behind", None, CreateMode::Persistent);
        client.get(Request::Create(node)).unwrap();
        let written = tree(&mut client);
        server.kill();

        if !digest {
            let (code, words) = ServerProcess::refusal(Flavour::Ours, &settings);
            assert_eq!(code, Some(1), "{words}");
            assert!(words.contains("txnLog.acceptHoles=true"), "{words}");
            let accepting = settings.clone().line("txnLog.acceptHoles=true");
            let server = ServerProcess::start(Flavour::Ours, &accepting);
            let served = tree(&mut super_client(&server));
            assert_same(&served, &written);
            wait_for_another_snapshot(folder.path());
            server.kill();
        }
        let server = ServerProcess::start(Flavour::Ours, &settings);
        assert_same(&tree(&mut super_client(&server)), &written);
    }
}

/// Waits until there is a snapshot besides the one of the empty database.
fn wait_for_another_snapshot(data_dir: &Path) {
    let is_later = |name: &str| name.starts_with("snapshot.") && name != "snapshot.0";
    let has_another = || {
        let mut files = fs::read_dir(data_dir.join("version-2")).unwrap();
        files.any(|file| is_later(file.unwrap().file_name().to_str().unwrap()))
    };
    let followed = (0..3000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        has_another()
    });
    assert!(followed, "no snapshot follows");
}
