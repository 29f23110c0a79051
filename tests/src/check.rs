//! What must hold of an ensemble that is well again, whatever happened to it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, io};

use zk_proto::{Request, Zxid};

use crate::ensemble::{Ensemble, version_folder};
use crate::load::Ledger;
use crate::process::{Flavour, ServerProcess, ServerSettings, free_address, program};
use crate::tree::{SUPER_DIGEST, Tree, assert_same_tree, become_super_user, read_tree};
use crate::{Needs, RawClient};

const SESSION_TIMEOUT: Duration = Duration::from_secs(30);
const CATCH_UP_WITHIN: Duration = Duration::from_secs(10);
const POLL_EVERY: Duration = Duration::from_millis(10);

/// Each server puts the ensemble's configuration there anew, as it knows it and at its own time. A
/// server that runs alone has none.
const CONFIG: &str = "/zookeeper/config";

/// Compares what all members show with each other and with what writers know. All members serve,
/// and nobody else writes. Gives the tree.
///
/// # Panics
/// When an acknowledged write is missing at a member, when members show different trees, or when a
/// member found that its tree's digest is not the one of the log.
pub fn check_members(ensemble: &Ensemble, ledgers: &[Ledger]) -> Tree {
    let trees: Vec<_> = ensemble
        .sids()
        .into_iter()
        .map(|sid| (sid, tree_of(ensemble, sid)))
        .collect();
    let (_, first) = trees.first().expect("an ensemble has members");
    for (sid, tree) in &trees {
        let member = format!("member {sid}, {:?}", ensemble.flavour(*sid));
        for ledger in ledgers {
            ledger.check(&member, tree);
        }
        assert_same_tree(&member, tree, first, &[CONFIG]);
        if !ensemble.has_links() {
            let config = |tree: &Tree| tree.get(CONFIG).map(|znode| znode.data.clone());
            assert_eq!(config(tree), config(first), "{member}: {CONFIG}");
        }
    }
    check_zxids(ensemble);
    // Apache's servers, when they are killed and brought up again, count mismatches among themselves.
    let ours = |sid: &u8| ensemble.flavour(*sid) == Flavour::Ours;
    for sid in ensemble.sids().into_iter().filter(ours) {
        let figures = ensemble.figures(sid);
        assert_eq!(figures.number("digest_mismatches_count"), 0, "member {sid}");
    }
    trees
        .into_iter()
        .next()
        .map(|(_, tree)| tree)
        .expect("an ensemble has members")
}

/// The tree that a member shows once it has all that is committed.
fn tree_of(ensemble: &Ensemble, sid: u8) -> Tree {
    let tree = || -> io::Result<Tree> {
        let mut client = RawClient::connect(ensemble.address(sid), SESSION_TIMEOUT)?;
        become_super_user(&mut client)?;
        let path = String::from("/");
        client.get(Request::Sync { path })?;
        let tree = read_tree(&mut client)?;
        client.get(Request::CloseSession)?;
        Ok(tree)
    };
    tree().unwrap_or_else(|error| panic!("the tree of member {sid}: {error}"))
}

fn check_zxids(ensemble: &Ensemble) {
    let began = Instant::now();
    loop {
        let zxid = |sid: u8| ensemble.status(sid).map(|status| status.zxid);
        let zxids: Vec<Option<Zxid>> = ensemble.sids().into_iter().map(zxid).collect();
        if zxids
            .iter()
            .all(|zxid| zxid.is_some() && Some(zxid) == zxids.first())
        {
            return;
        }
        assert!(
            began.elapsed() < CATCH_UP_WITHIN,
            "members stand at {zxids:?}"
        );
        std::thread::sleep(POLL_EVERY);
    }
}

/// Checks the files of members that have stopped: `zk` and Apache's tools read all of them, and a
/// server of either kind, alone on a copy, shows `tree`. What needs Apache is left out without it.
///
/// An Apache server before 3.9.3 that loses its leader while it catches up forgets what it has not
/// logged yet, goes on with its memory, and leaves a hole in its log (ZOOKEEPER-4712). On the data of
/// such a member, and of no other, our server must not serve but name the hole.
///
/// # Panics
/// When a file is refused, or a tree differs.
pub fn check_files(ensemble: &Ensemble, tree: &Tree, test: &str) {
    let classpath = Needs::apache(test);
    for sid in ensemble.sids() {
        let data_dir = ensemble.data_dir(sid);
        check_tools(sid, data_dir, classpath);
        let copy = |flavour| ensemble.folder().join(format!("copy-{sid}-{flavour:?}"));
        let same = |flavour, seen: &Tree| {
            let what = format!("the data of member {sid} seen by a server of {flavour:?}");
            assert_same_tree(&what, seen, tree, &[CONFIG]);
        };
        match tree_of_copy(data_dir, &copy(Flavour::Ours), Flavour::Ours) {
            Ok(seen) => same(Flavour::Ours, &seen),
            Err(refusal) => {
                let lost_its_leader = ensemble.flavour(sid) == Flavour::Apache
                    && ensemble.output(sid).contains(LEADER_LOST);
                let named = lost_its_leader && refusal.contains("(ZOOKEEPER-4712)");
                assert!(named, "the data of member {sid}: {refusal}");
                println!("{test}: the data of member {sid}, as Apache left it: {refusal}");
                continue;
            }
        }
        if classpath.is_some() {
            let seen = tree_of_copy(data_dir, &copy(Flavour::Apache), Flavour::Apache);
            let seen = seen.unwrap_or_else(|refusal| panic!("the data of member {sid}: {refusal}"));
            same(Flavour::Apache, &seen);
        }
    }
}

/// What Apache's server says when it leaves a leader.
const LEADER_LOST: &str = "Exception when following the leader";

/// Lets `zk`, and Apache's tools if they are there, read all logs and snapshots of a member.
fn check_tools(sid: u8, data_dir: &Path, classpath: Option<&str>) {
    let logs = files(data_dir, "log.");
    let snapshots = files(data_dir, "snapshot.");
    assert!(
        !logs.is_empty() && !snapshots.is_empty(),
        "member {sid}: {logs:?} {snapshots:?}"
    );
    for (tool, class, files) in [
        ("txnlog", TXN_LOG_TOOL, &logs),
        ("snapshot", SNAPSHOT_TOOL, &snapshots),
    ] {
        for file in files {
            run(Command::new(program("zk")).arg(tool).arg(file));
            if let Some(classpath) = classpath {
                let printed = run(Command::new("java")
                    .args(TOOL_OPTIONS)
                    .args(["-cp", classpath, class])
                    .arg(file));
                assert!(!printed.contains("CRC ERROR"), "{file:?}: {printed}");
            }
        }
    }
}

const TXN_LOG_TOOL: &str = "org.apache.zookeeper.server.persistence.TxnLogToolkit";
const SNAPSHOT_TOOL: &str = "org.apache.zookeeper.server.SnapshotFormatter";
const TOOL_OPTIONS: [&str; 3] = [
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
];

fn files(data_dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(version_folder(data_dir)).expect("the member has data");
    let paths = entries.map(|entry| entry.expect("the folder can be listed").path());
    let named = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(prefix))
    };
    let mut files: Vec<_> = paths.filter(named).collect();
    files.sort();
    files
}

fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}: {}{printed}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    printed
}

/// The tree that a server shows on a copy of a member's data, or what it says when it refuses to.
fn tree_of_copy(data_dir: &Path, copy: &Path, flavour: Flavour) -> Result<Tree, String> {
    let from = version_folder(data_dir);
    let to = version_folder(copy);
    fs::create_dir_all(&to).expect("the folder is ours");
    for entry in fs::read_dir(from).expect("the member has data") {
        let entry = entry.expect("the folder can be listed");
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("the folder is ours");
        }
    }
    let mut settings = ServerSettings::new(copy);
    settings = settings.property(
        "zookeeper.DigestAuthenticationProvider.superDigest",
        SUPER_DIGEST,
    );
    settings.java_options = TOOL_OPTIONS.map(String::from).to_vec();
    let server = ServerProcess::try_start_at(flavour, &settings, free_address())?;
    let tree = || -> io::Result<Tree> {
        let mut client = RawClient::connect(server.address(), SESSION_TIMEOUT)?;
        become_super_user(&mut client)?;
        read_tree(&mut client)
    };
    tree().map_err(|error| format!("{flavour:?} on {copy:?}: {error}"))
}
