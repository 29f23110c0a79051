//! Members of one ensemble in one process, over real sockets and disks: they elect, serve, lose
//! members and take them back.

mod common;

use common::ensemble::Ensemble;
use common::{RawClient, create, get};
use tempfile::tempdir;
use zk_proto::{CreateMode, Request, Response};
use zk_server::{Config, Server, ServerError, local_ensemble};

/// What a client reads that saw everything.
async fn read(client: &mut RawClient, path: &str) -> Vec<u8> {
    client.call(Request::Sync { path: "/".into() }).await;
    match client.call(get(path)).await {
        Response::Data(Some(data), _) => data.to_vec(),
        response => panic!("{response:?} is no data"),
    }
}

async fn write(client: &mut RawClient, path: &str, data: &[u8]) {
    client
        .call(create(path, data, CreateMode::Persistent))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_through_any_member_is_read_through_every_other() {
    let dir = tempdir().unwrap();
    let ensemble = Ensemble::start(dir.path(), 3, |_| {}).await;
    for id in ensemble.ids() {
        let path = format!("/by-{id}");
        write(&mut ensemble.client(id).await, &path, b"v").await;
        for other in ensemble.ids() {
            let mut reader = ensemble.client(other).await;
            assert_eq!(read(&mut reader, &path).await, b"v", "from {other}");
        }
    }
    ensemble.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_go_on_without_the_third_and_take_it_back() {
    let dir = tempdir().unwrap();
    let mut ensemble = Ensemble::start(dir.path(), 3, |_| {}).await;
    for gone in ensemble.ids() {
        ensemble.leader().await;
        ensemble.stop_one(gone).await;
        let leader = ensemble.leader().await;
        assert_ne!(leader, gone);
        let path = format!("/without-{gone}");
        write(&mut ensemble.client(leader).await, &path, b"v").await;
        ensemble.start_one(gone).await;
        let mut reader = ensemble.client(gone).await;
        assert_eq!(read(&mut reader, &path).await, b"v");
    }
    ensemble.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ensemble_that_was_stopped_whole_has_what_was_written() {
    let dir = tempdir().unwrap();
    let mut ensemble = Ensemble::start(dir.path(), 3, |_| {}).await;
    write(&mut ensemble.client(2).await, "/kept", b"v").await;
    for id in ensemble.ids() {
        ensemble.stop_one(id).await;
    }
    for id in ensemble.ids() {
        ensemble.start_one(id).await;
    }
    ensemble.leader().await;
    for id in ensemble.ids() {
        assert_eq!(read(&mut ensemble.client(id).await, "/kept").await, b"v");
    }
    ensemble.stop().await;
}

#[tokio::test]
async fn a_membership_that_changes_needs_a_configuration_file() {
    let dir = tempdir().unwrap();
    let member = local_ensemble(&[0; 3]).unwrap().swap_remove(0);
    let mut config = Config::dev(dir.path(), 0);
    config.reconfig_enabled = true;
    let builder = Server::builder().config(config).member(member.membership);
    let refused = builder.start().await.unwrap_err();
    assert!(matches!(refused, ServerError::NoConfigFile), "{refused}");
    assert_eq!(refused.exit_code(), 2);
}
