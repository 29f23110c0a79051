//! What is dumped can be loaded.

use zk_proto::{Acl, Id, Perms};
use zk_testkit::TestServer;

use super::{zk, zk_with_input};

#[tokio::test]
async fn a_dump_loaded_elsewhere_dumps_the_same() {
    let from = TestServer::start().await.unwrap();
    let client = from.client().await.unwrap();
    client.set("/", "the root").await.unwrap();
    let acl = [
        Acl::open(),
        Acl::new(Perms::READ, Id::new("ip", "10.0.0.0/8")),
    ];
    client
        .create("/a")
        .data(&b"\xff\x00"[..])
        .acl(acl)
        .await
        .unwrap();
    client
        .create("/a/\u{e9}")
        .data("\u{4e2d}\n\"")
        .await
        .unwrap();
    client.create("/many").await.unwrap();
    for number in 0..700 {
        client
            .create(format!("/many/{number}"))
            .data(number.to_string())
            .await
            .unwrap();
    }
    client.create("/gone").ephemeral().await.unwrap();
    let dumped = zk(&from, &["dump"]).await;
    assert_eq!(dumped.text().lines().count(), 1 + 1 + 1 + 1 + 700 + 1);

    let to = TestServer::start().await.unwrap();
    let loaded = zk_with_input(&to, &["load"], &dumped.out).await;
    let counts = "703 created, 1 overwritten, 0 kept, 1 ephemeral ones left out\n";
    assert_eq!(loaded.text(), counts);
    let again = zk(&to, &["dump"]).await;
    let kept: Vec<&str> = dumped
        .out
        .lines()
        .filter(|line| !line.contains("\"/gone\""))
        .collect();
    assert_eq!(again.text().lines().collect::<Vec<_>>(), kept);
}

#[tokio::test]
async fn znodes_that_exist_are_refused_kept_or_overwritten() {
    let server = TestServer::start().await.unwrap();
    zk(&server, &["create", "/a", "old"]).await.text();
    let input = "{\"path\":\"/a\",\"data\":\"new\"}\n\n{\"path\":\"/b\"}\n";
    let refused = zk_with_input(&server, &["load"], input).await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.err.contains("line 1: Node already exists: /a"),
        "{}",
        refused.err
    );
    let kept = zk_with_input(&server, &["load", "--existing", "keep"], input).await;
    assert_eq!(kept.code, Some(0), "{}", kept.err);
    assert_eq!(zk(&server, &["get", "/a"]).await.text(), "old\n");
    let args = ["--json", "load", "--existing", "overwrite"];
    let overwritten = zk_with_input(&server, &args, input).await;
    assert_eq!(overwritten.json()[0]["overwritten"], 2);
    assert_eq!(zk(&server, &["get", "/a"]).await.text(), "new\n");
}

#[tokio::test]
async fn a_line_that_is_none_is_refused_by_its_number() {
    let server = TestServer::start().await.unwrap();
    for input in [
        "{\"path\":\"/a\"}\n{\"path\":",
        "{\"path\":\"/a\"}\n{\"path\":\"/b\",\"data_base64\":\"?\"}",
        "{\"path\":\"/a\"}\n{\"path\":\"/b\",\"kind\":\"ttl\"}",
        "{\"path\":\"/a\"}\n{\"path\":\"/b/c\"}",
    ] {
        let args = ["load", "--existing", "keep"];
        let run = zk_with_input(&server, &args, input).await;
        assert_eq!(run.code, Some(1), "{input}");
        assert!(run.err.contains("line 2: "), "{input}: {}", run.err);
    }
}

#[tokio::test]
async fn an_acl_that_the_server_masks_is_not_dumped() {
    let server = TestServer::start().await.unwrap();
    let auth = ["--auth", "digest:bob:secret"];
    let create = ["create", "/a", "x", "auth::cdrwa,world:anyone:r"];
    zk(&server, &[&auth[..], &create].concat()).await.text();
    let run = zk(&server, &["dump", "/a"]).await;
    assert_eq!(run.code, Some(1));
    assert!(run.err.contains("--auth"), "{}", run.err);
    assert_eq!(
        zk(&server, &[&auth[..], &["dump", "/a"]].concat())
            .await
            .code,
        Some(0)
    );
}
