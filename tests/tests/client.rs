//! The client against real servers, ours and Apache's: one suite, both implementations.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::time::Duration;

use tokio::time::timeout;
use zk_client::{
    Acl, Client, CreateError, GapCause, Id, Kind, Outcome, Parents, Perms, ReadResult, SessionEnd,
    State, TxnResult, WatchEvent,
};
use zk_tests::{Flavour, Needs, ServerProcess, ServerSettings};

const SOON: Duration = Duration::from_secs(60);

/// The longest that the servers grant: a restart of Apache's takes its time.
const TIMEOUT: Duration = Duration::from_secs(40);

async fn client(server: &ServerProcess, chroot: &str) -> Client {
    Client::builder()
        .connect(format!("{}{chroot}", server.address()))
        .session_timeout(TIMEOUT)
        .build()
        .await
        .expect("the server serves")
}

/// Every operation, in a tree of its own.
async fn suite(server: &ServerProcess) {
    let zk = client(server, "").await;
    operations(&zk.chroot("/operations").unwrap()).await;
    modes(&zk.chroot("/modes").unwrap()).await;
    errors(&zk.chroot("/errors").unwrap()).await;
    transactions(&zk.chroot("/transactions").unwrap()).await;
    watches(&zk.chroot("/watches").unwrap()).await;
    protection(&zk.chroot("/protection").unwrap()).await;
    pipelining(&zk.chroot("/pipelining").unwrap()).await;
    identities(&zk.chroot("/identities").unwrap()).await;
    sessions(server).await;
    let report = zk.close(SOON).await;
    assert!(report.session_closed, "{report:?}");
    assert_eq!((report.requests_failed, report.cleanups_left), (0, 0));
    assert_eq!(*zk.get("/").await.unwrap_err().kind(), Kind::Closed);
}

async fn operations(zk: &Client) {
    let created = zk
        .create("/a")
        .data("1")
        .parents(Parents::Persistent)
        .await
        .unwrap();
    assert_eq!((created.path(), created.seq()), ("/a", None));
    let node = zk.get("/a").await.unwrap();
    assert_eq!((&node.data[..], &node.stat), (&b"1"[..], created.stat()));
    assert_eq!(zk.get_latest("/a").await.unwrap(), node);
    let stat = zk.set("/a", "22").version(0).await.unwrap();
    assert_eq!((stat.version, stat.data_length), (1, 2));
    assert_eq!(zk.exists("/a").await.unwrap(), Some(stat));
    assert_eq!(zk.exists("/b").await.unwrap(), None);
    zk.create("/a/x").await.unwrap();
    zk.create("/a/y").await.unwrap();
    let mut children = zk.children("/a").await.unwrap();
    children.names.sort();
    assert_eq!(children.names, ["x", "y"]);
    assert_eq!(children.stat.num_children, 2);
    assert_eq!(zk.all_children_number("/").await.unwrap(), 3);
    zk.sync("/a").await.unwrap();
    zk.check("/a").version(1).await.unwrap();
    assert_eq!(
        *zk.check("/a").version(7).await.unwrap_err().kind(),
        Kind::BadVersion
    );
    let acl = vec![Acl::new(Perms::READ | Perms::ADMIN, Id::anyone())];
    let stat = zk.set_acl("/a/x", acl.clone()).version(0).await.unwrap();
    assert_eq!(zk.get_acl("/a/x").await.unwrap(), (acl, stat));
    assert_eq!(
        *zk.set("/a/x", "no").await.unwrap_err().kind(),
        Kind::NoAuth
    );
    assert!(zk.get_config().await.is_ok());
    let refused = zk.reconfig().leaving("1").await.unwrap_err();
    assert!(matches!(
        refused.kind(),
        Kind::Server(_) | Kind::Unimplemented | Kind::NoAuth
    ));
    zk.delete("/a/y").version(0).await.unwrap();
    assert_eq!(zk.exists("/a/y").await.unwrap(), None);
}

async fn modes(zk: &Client) {
    // The root of a chroot is a znode like any other.
    assert_eq!(
        zk.create("/")
            .parents(Parents::Persistent)
            .await
            .unwrap()
            .path(),
        "/"
    );
    let first = zk
        .create("/s-")
        .sequential()
        .parents(Parents::Persistent)
        .await
        .unwrap();
    let second = zk.create("/s-").sequential().ephemeral().await.unwrap();
    assert_eq!((first.seq(), second.seq()), (Some(0), Some(1)));
    assert_eq!(second.path(), "/s-0000000001");
    assert_eq!(second.stat().ephemeral_owner, zk.session().id().0);
    assert_eq!(zk.get_ephemerals("/s-").await.unwrap(), ["/s-0000000001"]);
    // Servers do not show clients which znodes are containers or have a time to live.
    let container = zk.create("/c").container().await.unwrap();
    let ttl = zk.create("/t").ttl(Duration::from_secs(60)).await.unwrap();
    for created in [container, ttl] {
        assert_eq!(created.stat().ephemeral_owner, 0);
    }
    let nameless = zk.create("/c/").sequential().await.unwrap();
    assert_eq!(nameless.path(), "/c/0000000000");
    let deep = zk
        .create("/p/q/r")
        .parents(Parents::Container)
        .await
        .unwrap();
    assert_eq!(deep.path(), "/p/q/r");
    assert_eq!(zk.children("/p").await.unwrap().names, ["q"]);
}

async fn errors(zk: &Client) {
    let error = zk.get("/none").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (&Kind::NoNode, Outcome::NotApplied)
    );
    assert_eq!(
        (error.path(), error.op().name()),
        (Some("/none"), "getData")
    );
    assert_eq!(error.session(), zk.session().id());
    assert!(error.server().is_some());
    zk.create("/e")
        .ephemeral()
        .parents(Parents::Persistent)
        .await
        .unwrap();
    let as_create = |error: zk_client::Error| error.as_create().unwrap();
    let error = zk.create("/e").await.unwrap_err();
    assert_eq!(as_create(error), CreateError::AlreadyExists);
    let error = zk.create("/e/x").await.unwrap_err();
    assert_eq!(as_create(error), CreateError::ParentIsEphemeral);
    let error = zk.create("/n/x").await.unwrap_err();
    assert_eq!(as_create(error), CreateError::NoParent);
    assert!(matches!(
        zk.get("none").await.unwrap_err().kind(),
        Kind::InvalidPath(_)
    ));
    zk.create("/full/x")
        .parents(Parents::Persistent)
        .await
        .unwrap();
    assert_eq!(
        *zk.delete("/full").await.unwrap_err().kind(),
        Kind::NotEmpty
    );
    let invalid = zk.create("/acl").acl(vec![]).await.unwrap_err();
    assert_eq!(*invalid.kind(), Kind::InvalidAcl);
}

async fn transactions(zk: &Client) {
    zk.create("/a")
        .data("1")
        .parents(Parents::Persistent)
        .await
        .unwrap();
    let results = zk
        .txn()
        .check("/a", Some(0))
        .set("/a", "2")
        .op(zk.create("/a/s-").sequential().ephemeral())
        .create("/b", "3")
        .delete("/b")
        .await
        .unwrap();
    assert!(matches!(&results[1], TxnResult::Set(stat) if stat.version == 1));
    assert_eq!(
        (&results[0], &results[4]),
        (&TxnResult::Checked, &TxnResult::Deleted)
    );
    // Apache 3.8.0 gives no bookkeeping of what a transaction creates.
    let created = results.iter().filter_map(|result| match result {
        TxnResult::Created { path, seq, .. } => Some((path.as_str(), *seq)),
        _ => None,
    });
    assert_eq!(
        created.collect::<Vec<_>>(),
        [("/a/s-0000000000", Some(0)), ("/b", None)]
    );
    let error = zk
        .txn()
        .set("/a", "4")
        .delete("/none")
        .set("/a", "5")
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.txn_index(), error.path()),
        (&Kind::NoNode, Some(1), Some("/none"))
    );
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!(&zk.get("/a").await.unwrap().data[..], b"2");
    let reads = zk
        .read_txn()
        .get("/a")
        .children("/a")
        .get("/none")
        .await
        .unwrap();
    let [
        Ok(ReadResult::Node(node)),
        Ok(ReadResult::Children(names)),
        Err(error),
    ] = &reads[..]
    else {
        panic!("{reads:?}");
    };
    assert_eq!(
        (&node.data[..], names.as_slice()),
        (&b"2"[..], &["s-0000000000".to_owned()][..])
    );
    assert_eq!((error.kind(), error.path()), (&Kind::NoNode, Some("/none")));
}

async fn watches(zk: &Client) {
    zk.create("/w").parents(Parents::Persistent).await.unwrap();
    let (absent, created) = zk.exists("/w/x").watched().await.unwrap();
    assert_eq!(absent, None);
    let (_, children) = zk.children("/w").watched().await.unwrap();
    let mut stream = zk.watch("/w").await.unwrap();
    let mut second = zk.watch("/w").data().await.unwrap();
    let mut tree = zk.watch("/").recursive().await.unwrap();
    zk.create("/w/x").await.unwrap();
    let (_, changed) = zk.get("/w/x").watched().await.unwrap();
    zk.set("/w/x", "1").await.unwrap();
    zk.set("/w", "2").await.unwrap();
    let created = timeout(SOON, created).await.unwrap().unwrap();
    assert!(matches!(&created, WatchEvent::Created { path, .. } if path == "/w/x"));
    let children = timeout(SOON, children).await.unwrap().unwrap();
    assert!(matches!(&children, WatchEvent::Children { path, .. } if path == "/w"));
    let changed = timeout(SOON, changed).await.unwrap().unwrap();
    assert!(matches!(&changed, WatchEvent::Changed { path, .. } if path == "/w/x"));
    let next = async |stream: &mut zk_client::WatchStream| {
        timeout(SOON, stream.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    };
    assert!(matches!(next(&mut stream).await, WatchEvent::Children { path, .. } if path == "/w"));
    assert!(matches!(next(&mut stream).await, WatchEvent::Changed { path, .. } if path == "/w"));
    assert!(matches!(next(&mut second).await, WatchEvent::Changed { path, .. } if path == "/w"));
    assert!(matches!(next(&mut tree).await, WatchEvent::Created { path, .. } if path == "/w/x"));
    assert!(matches!(next(&mut tree).await, WatchEvent::Changed { path, .. } if path == "/w/x"));
    assert!(matches!(next(&mut tree).await, WatchEvent::Changed { path, .. } if path == "/w"));
    // One of two streams goes: the other one still hears.
    drop(second);
    drop(tree);
    zk.set("/w", "3").await.unwrap();
    assert!(matches!(next(&mut stream).await, WatchEvent::Changed { path, .. } if path == "/w"));
}

async fn protection(zk: &Client) {
    let create = zk
        .create("/l/lock-")
        .ephemeral()
        .sequential()
        .parents(Parents::Persistent);
    let node = create.clone().owned().await.unwrap();
    assert!(node.path().starts_with("/l/_c_") && node.path().ends_with("-lock-0000000000"));
    let path = node.path().to_owned();
    assert!(zk.exists(path.clone()).await.unwrap().is_some());
    node.release().await.unwrap();
    assert_eq!(zk.exists(path).await.unwrap(), None);
    // Dropped: deleted by the client's task, before what is asked afterwards.
    let node = create.clone().owned().await.unwrap();
    let path = node.path().to_owned();
    drop(node);
    assert_eq!(zk.exists(path).await.unwrap(), None);
    // Dropped while the create is on its way: nothing is left.
    drop(create.clone().owned().submit());
    drop(create.protected().submit());
    let emptied = async {
        while !zk.children("/l").await.unwrap().names.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, emptied).await.unwrap();
    // An owned ephemeral without protection.
    let plain = zk.create("/l/plain").ephemeral().owned().await.unwrap();
    drop(plain);
    let gone = async {
        while zk.exists("/l/plain").await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, gone).await.unwrap();
}

async fn pipelining(zk: &Client) {
    zk.create("/n").parents(Parents::Persistent).await.unwrap();
    let sets = (0..1000)
        .map(|i| zk.set("/n", i.to_string()).version(i).submit())
        .collect::<Vec<_>>();
    let read = zk.get("/n").submit();
    for (i, set) in sets.into_iter().enumerate() {
        let stat = set.await.unwrap();
        assert_eq!(usize::try_from(stat.version).unwrap(), i + 1);
    }
    assert_eq!(&read.await.unwrap().data[..], b"999");
}

async fn identities(zk: &Client) {
    zk.create("/x").parents(Parents::Persistent).await.unwrap();
    zk.add_auth("digest", "user:password").await.unwrap();
    let ids = zk.who_am_i().await.unwrap();
    assert!(
        ids.iter()
            .any(|id| id.scheme == "digest" && id.id.starts_with("user")),
        "{ids:?}"
    );
    let refused = zk.add_auth("nonsense", "x").await.unwrap_err();
    assert_eq!(*refused.kind(), Kind::AuthFailed);
    // The connection is made again, and the identity that was accepted is proved again.
    let ids = zk.who_am_i().await.unwrap();
    assert!(ids.iter().any(|id| id.scheme == "digest"), "{ids:?}");
    assert_eq!(zk.state(), State::Connected { read_only: false });
}

async fn sessions(server: &ServerProcess) {
    let zk = client(server, "").await;
    let session = zk.session();
    assert_eq!((session.epoch(), session.timeout()), (1, TIMEOUT));
    session.create("/mine").ephemeral().await.unwrap();
    let mut events = session.watch("/mine").await.unwrap();
    let token = zk.detach(SOON).await.unwrap();
    assert_eq!(
        timeout(SOON, session.ended()).await.unwrap(),
        SessionEnd::Detached
    );
    assert_eq!(
        timeout(SOON, events.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap_err()
            .0,
        SessionEnd::Detached
    );
    let copy: zk_client::SessionToken =
        serde_json::from_str(&serde_json::to_string(&token).unwrap()).unwrap();
    let resumed = Client::builder()
        .connect(server.address().to_string())
        .resume(copy)
        .build()
        .await
        .unwrap();
    assert_eq!(resumed.session().id(), session.id());
    let stat = resumed.exists("/mine").await.unwrap().unwrap();
    assert_eq!(stat.ephemeral_owner, session.id().0);
    let _report = resumed.close(SOON).await;
    let error = Client::builder()
        .connect(server.address().to_string())
        .resume(token)
        .build()
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), Kind::SessionEnded(SessionEnd::Expired));
}

#[tokio::test]
async fn every_operation_works_against_apache() {
    if Needs::apache("every_operation_works_against_apache").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(Flavour::Apache, &ServerSettings::new(folder.path()));
    suite(&server).await;
}

#[tokio::test]
async fn every_operation_works_against_ours() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(Flavour::Ours, &ServerSettings::new(folder.path()));
    suite(&server).await;
}

/// A restart in between: the session lives on, persistent watches say what they missed, one-shot
/// watches miss nothing.
async fn restart(flavour: Flavour) {
    let folder = tempfile::tempdir().unwrap();
    let settings = ServerSettings::new(folder.path());
    let server = ServerProcess::start(flavour, &settings);
    let zk = client(&server, "").await;
    let session = zk.session();
    zk.create("/a").await.unwrap();
    zk.create("/mine").ephemeral().await.unwrap();
    let (_, once) = zk.get("/a").watched().await.unwrap();
    let mut stream = zk.watch("/a").await.unwrap();
    let address = server.address();
    server.kill();
    let pending = zk.get("/a").submit();
    let server = ServerProcess::start_at(flavour, &settings, address);
    assert!(timeout(SOON, pending).await.unwrap().is_ok());
    let gap = timeout(SOON, stream.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(matches!(
        gap,
        WatchEvent::Gap {
            cause: GapCause::Reconnected,
            ..
        }
    ));
    let other = client(&server, "").await;
    other.set("/a", "changed").await.unwrap();
    let event = timeout(SOON, once).await.unwrap().unwrap();
    assert!(matches!(event, WatchEvent::Changed { .. }));
    assert_eq!(session.end(), None);
    assert_eq!(
        zk.exists("/mine").await.unwrap().unwrap().ephemeral_owner,
        session.id().0
    );
    let _report = zk.close(SOON).await;
    assert_eq!(other.exists("/mine").await.unwrap(), None);
}

#[tokio::test]
async fn sessions_and_watches_outlive_a_restart_of_apache() {
    if Needs::apache("sessions_and_watches_outlive_a_restart_of_apache").is_some() {
        restart(Flavour::Apache).await;
    }
}

#[tokio::test]
async fn sessions_and_watches_outlive_a_restart_of_ours() {
    restart(Flavour::Ours).await;
}
