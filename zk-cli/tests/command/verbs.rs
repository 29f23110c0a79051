//! Texts are zkCli's, JSON has the same content, and failures say what to do.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use zk_testkit::TestServer;

use super::{command, finish, zk};

#[tokio::test(flavor = "multi_thread")]
async fn ensemble_shows_servers_that_serve_and_those_that_do_not_answer() {
    let server = TestServer::start().await.unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let absent = nobody.local_addr().unwrap();
    drop(nobody);
    let list = format!("{},{absent}", server.address());
    let run = zk(&server, &["--server", &list, "--json", "ensemble"]).await;
    let shown = &run.json()[0]["members"];
    assert_eq!(shown[0]["role"], "standalone");
    assert_eq!(shown[0]["behind"], 0);
    assert_eq!(shown[1]["server"], absent.to_string());
    assert!(shown[1]["zxid"].is_null(), "{shown}");
    assert!(
        shown[1]["role"].as_str().unwrap().contains("refused"),
        "{shown}"
    );
    let list = absent.to_string();
    let run = zk(&server, &["--server", &list, "ensemble"]).await;
    assert_eq!(run.code, Some(3));
    assert!(run.out.contains("refused"), "{}", run.out);
}

/// The later one counts, wherever it stands; what follows a `--` is no option of this program.
#[tokio::test]
async fn options_stand_before_the_command_or_after_it() {
    let server = TestServer::start().await.unwrap();
    let created = zk(&server, &["create", "/a", "hello", "--json"]).await;
    assert_eq!(created.json()[0]["created"], "/a");
    for words in [
        &["--json", "get", "/a"][..],
        &["get", "--json", "/a"],
        &["get", "/a", "--json"],
        &["get", "/a", "--timeout", "10s", "--json"],
    ] {
        assert_eq!(
            zk(&server, words).await.json()[0]["data"],
            "hello",
            "{words:?}"
        );
    }
    let chroot = format!("{}/a", server.address());
    let below = zk(&server, &["get", "/", "--server", &chroot]).await;
    assert_eq!(below.text(), "hello\n");
    let refused = zk(&server, &["get", "/none", "--json"]).await;
    assert_eq!(refused.code, Some(1));
    let error: serde_json::Value = serde_json::from_str(&refused.err).unwrap();
    assert_eq!(error["error"]["path"], "/none", "{error}");
    let held = ["lock", "/held", "--json", "--", "echo", "--json"];
    assert_eq!(zk(&server, &held).await.text(), "--json\n");
}

#[tokio::test]
async fn znodes_are_created_read_changed_and_deleted() {
    let server = TestServer::start().await.unwrap();
    let run = async |args: &[&str]| zk(&server, args).await;
    assert_eq!(run(&["create", "/a", "hello"]).await.text(), "Created /a\n");
    assert_eq!(run(&["get", "/a"]).await.text(), "hello\n");
    assert_eq!(run(&["get", "-b", "/a"]).await.text(), "aGVsbG8=\n");
    assert_eq!(
        run(&["create", "-s", "/a/n-", "1"]).await.text(),
        "Created /a/n-0000000000\n"
    );
    assert_eq!(
        run(&["create", "-s", "/a/n-"]).await.text(),
        "Created /a/n-0000000001\n"
    );
    assert_eq!(run(&["create", "-c", "/c"]).await.text(), "Created /c\n");
    assert_eq!(
        run(&["ls", "/a"]).await.text(),
        "[n-0000000000, n-0000000001]\n"
    );
    assert_eq!(
        run(&["ls", "-R", "/a"]).await.text(),
        "/a\n/a/n-0000000000\n/a/n-0000000001\n"
    );
    assert_eq!(run(&["set", "-v", "0", "/a", "other"]).await.text(), "");
    assert_eq!(run(&["set", "-b", "/c", "AP8="]).await.text(), "");
    assert_eq!(
        run(&["--json", "get", "/c"]).await.json()[0]["data_base64"],
        "AP8="
    );
    assert_eq!(run(&["getAllChildrenNumber", "/a"]).await.text(), "2\n");
    assert_eq!(run(&["sync", "/a"]).await.text(), "Sync is OK\n");
    assert_eq!(run(&["delete", "/a/n-0000000000"]).await.text(), "");
    assert_eq!(run(&["deleteall", "-b", "2", "/a"]).await.text(), "");
    assert_eq!(run(&["ls", "/"]).await.text(), "[c, zookeeper]\n");
}

#[tokio::test]
async fn a_stat_has_the_names_of_zkcli() {
    let server = TestServer::start().await.unwrap();
    zk(&server, &["create", "/a", "hello"]).await.text();
    for args in [
        &["stat", "/a"][..],
        &["get", "-s", "/a"],
        &["set", "-s", "/a", "hello"],
    ] {
        let run = zk(&server, args).await;
        let names: Vec<&str> = run
            .text()
            .lines()
            .filter_map(|line| Some(line.split_once(" = ")?.0))
            .collect();
        assert_eq!(
            names,
            [
                "cZxid",
                "ctime",
                "mZxid",
                "mtime",
                "pZxid",
                "cversion",
                "dataVersion",
                "aclVersion",
                "ephemeralOwner",
                "dataLength",
                "numChildren",
            ],
            "{args:?}"
        );
    }
    let stat = &zk(&server, &["--json", "stat", "/a"]).await.json()[0];
    assert_eq!(stat["path"], "/a");
    assert_eq!(stat["stat"]["version"], 1);
    assert_eq!(stat["stat"]["dataLength"], 5);
    assert_eq!(stat["stat"]["ephemeralOwner"], 0);
}

#[tokio::test]
async fn acls_quotas_and_identities_are_shown() {
    let server = TestServer::start().await.unwrap();
    let run = async |args: &[&str]| zk(&server, args).await;
    let auth = ["--auth", "digest:bob:secret"];
    let acl = "auth::cdrwa,world:anyone:r";
    run(&[&auth[..], &["create", "/a", "x", acl]].concat())
        .await
        .text();
    let shown = run(&[&auth[..], &["getAcl", "/a"]].concat()).await;
    assert!(shown.text().starts_with("'digest,'bob:"), "{}", shown.out);
    assert!(
        shown.out.ends_with("\n: cdrwa\n'world,'anyone\n: r\n"),
        "{}",
        shown.out
    );
    let whoami = run(&[&auth[..], &["whoami"]].concat()).await;
    assert!(whoami.text().starts_with("Auth scheme: User\n"));
    assert!(whoami.out.contains("digest: bob\n"), "{}", whoami.out);
    assert_eq!(
        run(&[&auth[..], &["setAcl", "-R", "/a", "world:anyone:cdrwa"]].concat())
            .await
            .text(),
        ""
    );
    assert_eq!(
        run(&["getAcl", "/a"]).await.text(),
        "'world,'anyone\n: cdrwa\n"
    );

    assert_eq!(run(&["setquota", "-n", "5", "/a"]).await.text(), "");
    assert_eq!(run(&["setquota", "-B", "100", "/a"]).await.text(), "");
    assert_eq!(
        run(&["listquota", "/a"]).await.text(),
        "absolute path is /zookeeper/quota/a/zookeeper_limits\n\
         Output quota for /a count=5,bytes=-1=;byteHardLimit=100;countHardLimit=-1\n\
         Output stat for /a count=1,bytes=1\n"
    );
    assert_eq!(run(&["delquota", "-n", "/a"]).await.text(), "");
    let quota = &run(&["--json", "listquota", "/a"]).await.json()[0];
    assert_eq!(quota["limits"]["count"], -1);
    assert_eq!(quota["limits"]["byteHardLimit"], 100);
    zk(&server, &["create", "/a/b"]).await.text();
    let nested = run(&["setquota", "-n", "5", "/a/b"]).await;
    assert_eq!(nested.code, Some(1));
    assert!(
        nested
            .err
            .contains("/a/b has a parent /a which has a quota"),
        "{}",
        nested.err
    );
    assert_eq!(run(&["delquota", "/a"]).await.text(), "");
    assert_eq!(run(&["ls", "/zookeeper/quota"]).await.text(), "[]\n");
}

#[tokio::test]
async fn a_tree_is_drawn() {
    let server = TestServer::start().await.unwrap();
    for path in ["/a", "/a/b", "/a/c", "/a/b/d"] {
        zk(&server, &["create", path]).await.text();
    }
    let drawn = "/a\n├── b\n│   └── d\n└── c\n";
    assert_eq!(zk(&server, &["tree", "/a"]).await.text(), drawn);
    let drawn = "/a\n├── b … 1 children\n└── c\n";
    assert_eq!(zk(&server, &["tree", "-L", "1", "/a"]).await.text(), drawn);
}

#[tokio::test]
async fn failures_say_what_failed_where_and_what_to_do() {
    let server = TestServer::start().await.unwrap();
    zk(&server, &["create", "/a"]).await.text();
    for (args, code, error, hint) in [
        (
            &["get", "/no/way"][..],
            1,
            "Node does not exist: /no/way",
            "zk ls /no",
        ),
        (&["stat", "/no"], 1, "Node does not exist: /no", "zk ls /"),
        (&["create", "/a"], 1, "Node already exists: /a", "zk set /a"),
        (
            &["create", "/no/way"],
            1,
            "Node does not exist: /no, the parent",
            "create /no first",
        ),
        (
            &["set", "-v", "7", "/a", "x"],
            1,
            "version No is not valid : /a",
            "zk stat /a",
        ),
        (&["delete", "/zookeeper/quota"], 2, "delete", "zookeeper"),
        (&["get", "relative"], 2, "does not start with /", "zk:"),
        (&["get"], 2, "required", "Usage"),
        (
            &["create", "-e", "-c", "/b"],
            2,
            "cannot be used with",
            "Usage",
        ),
        (&["removewatches", "/a"], 1, "No such watcher", "/a"),
        (&["quit"], 2, "shell", "zk"),
    ] {
        let run = zk(&server, args).await;
        assert_eq!(run.code, Some(code), "{args:?}: {}", run.err);
        assert!(run.err.contains(error), "{args:?}: {}", run.err);
        assert!(run.err.contains(hint), "{args:?}: {}", run.err);
        assert_eq!(run.out, "", "{args:?}");
    }
    let run = zk(&server, &["--json", "get", "/no"]).await;
    let error: serde_json::Value = serde_json::from_str(&run.err).unwrap();
    assert_eq!(error["error"]["code"], "NONODE");
    assert_eq!(error["error"]["path"], "/no");
    assert_eq!(error["error"]["op"], "getData");
    assert_eq!(error["error"]["outcome"], "not applied");
}

#[tokio::test]
async fn no_server_is_its_own_exit_code() {
    let mut server = TestServer::start().await.unwrap();
    server.stop().await.unwrap();
    let run = zk(&server, &["--timeout", "300ms", "ls", "/"]).await;
    assert_eq!(run.code, Some(3), "{}", run.err);
    assert!(run.err.contains("--server"), "{}", run.err);
}

#[tokio::test]
async fn a_path_after_the_servers_is_the_root_of_all_paths() {
    let server = TestServer::start().await.unwrap();
    zk(&server, &["create", "/app"]).await.text();
    let below = format!("{}/app", server.address());
    let args = ["--server", below.as_str(), "create", "/x", "1"];
    assert_eq!(zk(&server, &args).await.text(), "Created /x\n");
    assert_eq!(zk(&server, &["get", "/app/x"]).await.text(), "1\n");
    let args = ["--server", below.as_str(), "setquota", "-n", "3", "/x"];
    assert_eq!(zk(&server, &args).await.text(), "");
    assert_eq!(
        zk(&server, &["ls", "/zookeeper/quota/app/x"]).await.code,
        Some(0)
    );
}

#[tokio::test]
async fn a_watch_of_one_command_is_waited_for() {
    let server = TestServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    client.create("/a").data("1").await.unwrap();
    let mut child = command(&server, &["get", "-w", "/a"]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(out.next_line().await.unwrap().unwrap(), "1");
    client.set("/a", "2").await.unwrap();
    let event = out.next_line().await.unwrap().unwrap();
    let expected = "WatchedEvent state:SyncConnected type:NodeDataChanged path:/a zxid: ";
    assert!(event.starts_with(expected), "{event}");
    assert_eq!(out.next_line().await.unwrap(), None);
    assert_eq!(finish(child).await.code, Some(0));
}

#[tokio::test]
async fn a_stream_of_events_shows_its_gaps() {
    let mut server = TestServer::start().await.unwrap();
    let args = ["--json", "watch", "--recursive", "/"];
    let mut child = command(&server, &args)
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    while server.watches().await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    zk(&server, &["create", "/a"]).await.text();
    let event = out.next_line().await.unwrap().unwrap();
    let event: serde_json::Value = serde_json::from_str(&event).unwrap();
    assert_eq!(
        (&event["event"], &event["path"]),
        (&"NodeCreated".into(), &"/a".into())
    );
    server.stop().await.unwrap();
    server.resume().await.unwrap();
    let gap = out.next_line().await.unwrap().unwrap();
    let gap: serde_json::Value = serde_json::from_str(&gap).unwrap();
    assert_eq!(gap["event"], "Gap");
    assert_eq!(gap["cause"], "Reconnected");
}

/// Forms that zkCli takes beside those of its help.
#[tokio::test]
async fn old_and_combined_flags_work() {
    let server = TestServer::start().await.unwrap();
    let run = async |args: &[&str]| zk(&server, args).await;
    for path in ["/a", "/a/b"] {
        run(&["create", path, "x"]).await.text();
    }
    assert!(run(&["get", "-b", "-x", "/a"]).await.text().contains("78"));
    let acl = ["--json", "setAcl", "-s", "-R", "/a", "world:anyone:cdrwa"];
    let stats = run(&acl).await.json();
    let changed = |stat: &serde_json::Value| stat["stat"]["aversion"] == 1;
    assert!(stats.len() == 2 && stats.iter().all(changed), "{stats:?}");
    let help = run(&["ls", "-?"]).await;
    assert!(help.text().contains("Usage: zk ls"), "{}", help.out);
    for (args, changes) in [
        (&["ls", "-R", "-w", "/a"][..], 2),
        (&["ls", "/a", "watch"], 1),
        (&["get", "/a", "watch"], 1),
        (&["stat", "/a", "watch"], 1),
    ] {
        let mut child = command(&server, args).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        while server.watches().await.unwrap() < changes {
            tokio::task::yield_now().await;
        }
        run(&["create", "/a/b/c"]).await.text();
        run(&["deleteall", "/a/b"]).await.text();
        run(&["create", "/a/b"]).await.text();
        run(&["set", "/a", "y"]).await.text();
        let mut events = 0;
        while let Some(line) = out.next_line().await.unwrap() {
            events += usize::from(line.starts_with("WatchedEvent"));
        }
        assert_eq!(events, changes, "{args:?}");
        assert_eq!(finish(child).await.code, Some(0), "{args:?}");
    }
}

#[tokio::test]
async fn a_command_line_that_is_wrong_is_told_in_json_too() {
    let server = TestServer::start().await.unwrap();
    for args in [&["--json", "get"][..], &["--json", "--nonsense", "ls"]] {
        let run = zk(&server, args).await;
        assert_eq!(run.code, Some(2), "{args:?}");
        let error: serde_json::Value = serde_json::from_str(&run.err).unwrap();
        assert_eq!(error["error"]["exit_code"], 2, "{args:?}");
    }
}

#[tokio::test]
async fn settings_of_zkclis_client_are_read() {
    let server = TestServer::start().await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    for (text, code, said) in [
        ("zookeeper.request.timeout=5000\n", 0, ""),
        (
            "zookeeper.kinit=x\n",
            0,
            ":1: zookeeper.kinit means nothing",
        ),
        (
            "\nzookeeper.client.secure=true\n",
            2,
            ":2: zookeeper.client.secure=true",
        ),
    ] {
        std::fs::write(path, text).unwrap();
        for verb in [
            &["ls", "/"][..],
            &["bench", "idle", "--warm-up", "0", "--duration", "10ms"],
        ] {
            let options = ["-waitforconnection", "-client-configuration", path];
            let run = zk(&server, &[&options, verb].concat()).await;
            assert_eq!(run.code, Some(code), "{text}: {}", run.err);
            assert!(run.err.contains(said), "{}", run.err);
        }
    }
}
