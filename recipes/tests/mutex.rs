//! A mutex has one holder, whatever happens to connections, sessions and znodes, and leaves nothing
//! behind. Tickets name the failures of other libraries that a test guards against.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use std::pin::pin;
use std::time::Duration;

use common::{DIR, Faulty, children, next_session, poll_then_drop, server, within};
use zk_client::{Kind, OwnedNode, Parents, SessionEnd};
use zk_recipes::layout::{Contender, Family, Layout};
use zk_recipes::{Error, LeaderGuard, LockGuard, LossPolicy, LossReason, Mutex, Term};
use zk_testkit::{Content, OpCode};

const SHORT: Duration = Duration::from_millis(1500);

fn kind(error: &Error) -> &Kind {
    match error {
        Error::Client(error) => error.kind(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_lock_passes_from_one_to_the_next_in_the_order_of_asking() {
    let server = server().await;
    let holder = Faulty::lasting(&server).await;
    let mut guard = holder.lock().await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let client = Faulty::lasting(&server).await;
        let lock = client.begin_to_wait().await;
        waiting.push((client, lock));
    }
    for (_client, lock) in &mut waiting {
        assert!(!lock.is_finished());
        let token = guard.token();
        guard.release().await.unwrap();
        guard = within(lock).await.unwrap().unwrap();
        assert!(guard.token() > token);
    }
    drop(guard);
    server.expect_left(&[DIR]).await.unwrap();
}

#[tokio::test]
async fn a_contender_has_curators_name_and_its_data() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let mutex = Mutex::builder(&client.zk, DIR)
        .data("host-1")
        .build()
        .unwrap();
    let guard = within(mutex.lock()).await.unwrap();
    let name = guard.path().strip_prefix("/lock/").unwrap();
    let contender = Contender::parse(name).unwrap();
    assert_eq!(contender.family(), Family::Curator);
    assert!(name.contains(&format!("-{}", Layout::Lock.marker())));
    let node = client.zk.get(guard.path()).await.unwrap();
    assert_eq!(node.data, "host-1");
    assert_eq!(node.stat.czxid.0, guard.token().get());
}

/// The herd effect (ZooKeeper's recipes guide, *Locks*).
#[tokio::test]
async fn a_release_wakes_one_contender() {
    let server = server().await;
    let holder = Faulty::lasting(&server).await;
    let guard = holder.lock().await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let client = Faulty::lasting(&server).await;
        let lock = client.begin_to_wait().await;
        waiting.push((client, lock));
    }
    guard.release().await.unwrap();
    let mut events = 0;
    let (first, lock) = waiting.remove(0);
    let guard = within(lock).await.unwrap().unwrap();
    for client in waiting.iter().map(|(client, _)| client).chain([&first]) {
        // Events are sent before the replies that follow them.
        client.zk.sync("/").await.unwrap();
        events += client
            .proxy
            .frames()
            .iter()
            .filter(|frame| frame.is_event())
            .count();
    }
    assert_eq!(events, 1);
    for (_client, lock) in &waiting {
        lock.abort();
    }
    drop(guard);
    server.expect_left(&[DIR]).await.unwrap();
}

#[tokio::test]
async fn an_uncontended_lock_is_two_requests() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    client.lock().await.release().await.unwrap();
    let before = client.proxy.frames().len();
    let guard = client.lock().await;
    let frames = client.proxy.frames();
    let requests = frames[before..]
        .iter()
        .filter(|frame| frame.is_request(OpCode::CREATE2));
    assert_eq!(requests.count(), 1);
    let lists = frames[before..]
        .iter()
        .filter(|frame| frame.is_request(OpCode::GET_CHILDREN2));
    assert_eq!(lists.count(), 1);
    assert!(
        frames[before..]
            .iter()
            .all(|frame| !frame.is_request(OpCode::GET_DATA))
    );
    drop(guard);
}

#[tokio::test]
async fn trying_for_a_held_lock_gives_nothing_and_leaves_nothing() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let guard = client.try_lock().await.unwrap();
    assert!(client.try_lock().await.is_none());
    assert_eq!(children(&client.zk).await.len(), 1);
    guard.release().await.unwrap();
    assert!(client.try_lock().await.is_some());
    server.expect_left(&[DIR]).await.unwrap();
}

#[tokio::test]
async fn waiting_ends_with_its_timeout_and_leaves_nothing() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let guard = client.lock().await;
    let locked = within(client.mutex().lock_timeout(Duration::from_millis(100))).await;
    assert!(locked.unwrap().is_none());
    let one_left = async { while children(&client.zk).await.len() != 1 {} };
    within(one_left).await;
    drop(guard);
    server.expect_left(&[DIR]).await.unwrap();
}

/// CURATOR-240.
#[tokio::test]
async fn waiting_that_is_dropped_leaves_no_watch() {
    let server = server().await;
    // A server keeps one watch for all that one client has on a znode.
    let holder = Faulty::lasting(&server).await;
    let client = Faulty::lasting(&server).await;
    let guard = holder.lock().await;
    let lock = client.begin_to_wait().await;
    let watches = async |count| while server.watches().await.unwrap() != count {};
    // The holder has one on its own znode.
    within(watches(2)).await;
    lock.abort();
    within(watches(1)).await;
    drop(guard);
    server.expect_left(&[DIR]).await.unwrap();
}

/// CURATOR-79, CURATOR-498: an orphan would block everyone while its session lives.
#[tokio::test]
async fn a_lost_reply_to_the_create_leaves_one_contender() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    client.zk.create(DIR).await.unwrap();
    for request_too in [false, true] {
        let fault = match request_too {
            false => client.proxy.drop_reply(OpCode::CREATE2),
            true => client.proxy.drop_request(OpCode::CREATE2),
        };
        let guard = client.lock().await;
        fault.struck().await;
        let names = children(&client.zk).await;
        assert_eq!(names.len(), 1);
        assert!(guard.path().ends_with(&names[0]));
        guard.release().await.unwrap();
    }
    server.expect_left(&[DIR]).await.unwrap();
}

/// CURATOR-205, kazoo#732: dropped after every number of polls, with and without a holder, with and without the
/// create's reply lost, the contender vanishes and the next one gets the lock.
#[tokio::test]
async fn a_dropped_future_leaves_no_contender() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let next = Faulty::lasting(&server).await;
    client.zk.create(DIR).await.unwrap();
    for held in [false, true] {
        for lost in [false, true] {
            let mut finished = false;
            for polls in 0..12 {
                let holder = match held {
                    true => Some(next.lock().await),
                    false => None,
                };
                let fault = lost.then(|| client.proxy.drop_reply(OpCode::CREATE2));
                let mutex = client.mutex();
                finished = poll_then_drop(polls, mutex.lock()).await.is_some();
                drop(holder);
                next.lock().await.release().await.unwrap();
                drop(fault);
                if finished {
                    break;
                }
            }
            assert!(held || finished, "the lock is not reached in 12 polls");
        }
    }
    server.expect_left(&[DIR]).await.unwrap();
}

/// What takes a place and gives it back leaves nothing either, wherever it is dropped.
#[tokio::test]
async fn a_dropped_try_or_release_leaves_no_contender() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let next = Faulty::lasting(&server).await;
    client.zk.create(DIR).await.unwrap();
    let mut finished = false;
    for polls in 0..12 {
        let holder = next.lock().await;
        let mutex = client.mutex();
        finished = poll_then_drop(polls, mutex.try_lock()).await.is_some();
        drop(holder);
        next.lock().await.release().await.unwrap();
        if finished {
            break;
        }
    }
    assert!(finished, "trying takes more than 12 polls");
    for polls in 0..3 {
        let guard = client.lock().await;
        poll_then_drop(polls, guard.release()).await;
        next.lock().await.release().await.unwrap();
    }
    server.expect_left(&[DIR]).await.unwrap();
}

/// CURATOR-462: a deletion that fails is made again.
#[tokio::test]
async fn a_guard_dropped_without_a_connection_releases_the_lock() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let next = Faulty::lasting(&server).await;
    let guard = client.lock().await;
    let refusal = client.proxy.refuse();
    client.proxy.cut();
    drop(guard);
    assert!(next.try_lock().await.is_none());
    drop(refusal);
    drop(next.lock().await);
    server.expect_left(&[DIR]).await.unwrap();
}

/// CURATOR-206, and fencing.
#[tokio::test]
async fn an_expired_session_loses_the_lock_and_stops_the_work() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let next = Faulty::lasting(&server).await;
    let guard = client.lock().await;
    let session = client.zk.session();
    server.expire(session.id()).await.unwrap();
    let lost = within(guard.run(std::future::pending::<()>()))
        .await
        .unwrap_err();
    assert_eq!(lost.reason, LossReason::SessionEnded(SessionEnd::Expired));
    assert_eq!(lost.token, guard.token());
    assert!(guard.lost().is_cancelled());
    let successor = next.lock().await;
    assert!(successor.token() > guard.token());
    // The client has another session; the lock of the old one opens nothing.
    next_session(&client.zk, &session).await;
    let write = client
        .zk
        .txn()
        .with(|txn| guard.fence(txn))
        .create("/written", "");
    let error = within(write.commit()).await.unwrap_err();
    assert_eq!((error.kind(), error.txn_index()), (&Kind::NoNode, Some(0)));
    let write = next
        .zk
        .txn()
        .with(|txn| successor.fence(txn))
        .create("/written", "");
    within(write.commit()).await.unwrap();
    let released = within(guard.release()).await.unwrap_err();
    assert!(matches!(
        kind(&released),
        Kind::SessionEnded(SessionEnd::Expired)
    ));
}

#[tokio::test]
async fn work_does_not_begin_when_the_lock_is_lost_already() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let guard = client.lock().await;
    server.expire(client.zk.session().id()).await.unwrap();
    within(guard.lost().cancelled()).await;
    let mut begun = false;
    guard.run(async { begun = true }).await.unwrap_err();
    assert!(!begun);
}

#[tokio::test]
async fn work_that_ends_in_time_is_done() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let guard = client.lock().await;
    assert_eq!(guard.run(async { 5 }).await, Ok(5));
    assert_eq!(guard.loss(), None);
}

/// CURATOR-604, ClickHouse#116690: the server makes another session out of a resumed one, and the contender's znode
/// comes first while its dead session still keeps it.
#[tokio::test]
async fn a_znode_of_a_dead_session_wins_nothing() {
    let server = server().await;
    let client = Faulty::start(&server, SHORT).await;
    let holder = Faulty::lasting(&server).await;
    let held = holder.lock().await;
    let lock = client.begin_to_wait().await;
    let before = client.zk.session();
    let fault = client.proxy.new_session_on_resume();
    client.proxy.cut();
    within(fault.struck()).await;
    let after = next_session(&client.zk, &before).await;
    assert_eq!(before.end(), Some(SessionEnd::Expired));
    held.release().await.unwrap();
    let guard = within(lock).await.unwrap().unwrap();
    let stat = client.zk.exists(guard.path()).await.unwrap().unwrap();
    assert_eq!(stat.ephemeral_owner, after.id().0);
}

/// CURATOR-604: the list was asked for while the session lived, and is looked at when it is over.
#[tokio::test]
async fn a_list_of_a_session_that_is_over_by_now_wins_nothing() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let before = client.zk.session();
    let mutex = client.mutex();
    let mut lock = pin!(mutex.lock());
    let listed = client
        .proxy
        .wait_for_frame(|frame| frame.is_reply(OpCode::GET_CHILDREN2));
    tokio::select! {
        biased;
        _ = listed => {}
        locked = &mut lock => panic!("{locked:?} before there is a list"),
    }
    let fault = client.proxy.new_session_on_resume();
    client.proxy.cut();
    within(fault.struck()).await;
    let after = next_session(&client.zk, &before).await;
    server.expire(before.id()).await.unwrap();
    let guard = within(lock).await.unwrap();
    let stat = client.zk.exists(guard.path()).await.unwrap().unwrap();
    assert_eq!(stat.ephemeral_owner, after.id().0);
}

/// ClickHouse#116690.
#[tokio::test]
async fn a_resumed_session_that_is_another_one_loses_the_lock() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let guard = client.lock().await;
    let fault = client.proxy.new_session_on_resume();
    client.proxy.cut();
    within(fault.struck()).await;
    within(guard.lost().cancelled()).await;
    let reason = guard.loss().unwrap().reason;
    assert_eq!(reason, LossReason::SessionEnded(SessionEnd::Expired));
}

/// CURATOR-644.
#[tokio::test]
async fn a_reconnect_in_the_same_session_loses_nothing() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    // So that the lock asks for the existence of nothing but its own znode.
    client.zk.create(DIR).await.unwrap();
    let watched = client.proxy.wait_for(OpCode::EXISTS);
    let guard = client.lock().await;
    within(watched).await;
    client.catch_up().await;
    client.reconnect().await;
    assert_eq!(guard.loss(), None);
    assert_eq!(children(&client.zk).await.len(), 1);
    // The watch of the own znode came along.
    let operator = server.client().await.unwrap();
    operator.delete(guard.path()).await.unwrap();
    within(guard.lost().cancelled()).await;
    assert_eq!(guard.loss().unwrap().reason, LossReason::Removed);
}

/// CURATOR-645: no delete and create on reconnecting.
#[tokio::test]
async fn a_contender_keeps_its_place_over_a_reconnect() {
    let server = server().await;
    let holder = Faulty::lasting(&server).await;
    let client = Faulty::lasting(&server).await;
    let next = Faulty::lasting(&server).await;
    let held = holder.lock().await;
    let lock = client.begin_to_wait().await;
    let last = next.begin_to_wait().await;
    client.reconnect().await;
    held.release().await.unwrap();
    let guard = within(lock).await.unwrap().unwrap();
    assert!(!last.is_finished());
    assert_eq!(client.requests(OpCode::CREATE2), 1);
    assert_eq!(client.requests(OpCode::DELETE), 0);
    drop(guard);
    drop(within(last).await.unwrap().unwrap());
}

/// More losses in a row than the client repeats a read for.
#[tokio::test]
async fn a_contender_outlasts_many_lost_connections() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    server.client().await.unwrap().create(DIR).await.unwrap();
    let faults = [(); 12].map(|()| client.proxy.drop_reply(OpCode::GET_CHILDREN2));
    let guard = client.lock().await;
    for fault in faults {
        within(fault.struck()).await;
    }
    assert_eq!(client.requests(OpCode::CREATE2), 1);
    drop(guard);
}

#[tokio::test]
async fn a_lost_connection_loses_the_lock_when_asked_to() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let mutex = Mutex::builder(&client.zk, DIR).loss(LossPolicy::OnSuspend);
    let guard = within(mutex.build().unwrap().lock()).await.unwrap();
    // The task that watches over the lock runs once its first request is on the wire.
    within(client.zk.sync("/")).await.unwrap();
    client.proxy.cut();
    within(guard.lost().cancelled()).await;
    assert_eq!(guard.loss().unwrap().reason, LossReason::Suspended);
}

/// CURATOR-460: without a word from any server the lock is lost before the servers let the
/// next contender in.
#[tokio::test]
async fn the_lease_ends_before_the_next_contender_holds() {
    let server = server().await;
    let client = Faulty::start(&server, SHORT).await;
    let next = Faulty::lasting(&server).await;
    let guard = client.lock().await;
    let isolation = client.isolate();
    let deadline = guard.valid_until();
    let successor = next.lock().await;
    assert!(guard.lost().is_cancelled());
    assert_eq!(guard.loss().unwrap().reason, LossReason::LeaseExpired);
    assert!(guard.valid_until() <= deadline + SHORT);
    assert!(successor.token() > guard.token());
    drop(isolation);
}

#[tokio::test]
async fn work_that_fences_all_its_effects_may_go_on_to_the_end_of_the_session() {
    let server = server().await;
    let client = Faulty::start(&server, SHORT).await;
    let mutex = Mutex::builder(&client.zk, DIR).loss(LossPolicy::OnExpiry);
    let guard = within(mutex.build().unwrap().lock()).await.unwrap();
    let isolation = client.isolate();
    within(guard.lost().cancelled()).await;
    let reason = guard.loss().unwrap().reason;
    let expired = SessionEnd::ExpiredLocally;
    assert_eq!(reason, LossReason::SessionEnded(expired));
    drop(isolation);
}

#[tokio::test]
async fn an_operator_who_deletes_the_holders_znode_ends_the_lock() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    // So that the lock asks for the existence of nothing but its own znode.
    client.zk.create(DIR).await.unwrap();
    let watched = client.proxy.wait_for(OpCode::EXISTS);
    let guard = client.lock().await;
    within(watched).await;
    client.catch_up().await;
    let operator = server.client().await.unwrap();
    operator.delete(guard.path()).await.unwrap();
    within(guard.lost().cancelled()).await;
    assert_eq!(guard.loss().unwrap().reason, LossReason::Removed);
    // Releasing what is gone is no failure.
    within(guard.release()).await.unwrap();
    drop(client.lock().await);
}

#[tokio::test]
async fn an_operator_who_deletes_a_waiting_znode_costs_its_place_only() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let holder = Faulty::lasting(&server).await;
    let guard = holder.lock().await;
    let lock = client.begin_to_wait().await;
    let operator = server.client().await.unwrap();
    for name in children(&operator).await {
        let path = format!("{DIR}/{name}");
        if path != guard.path() {
            operator.delete(path).await.unwrap();
        }
    }
    guard.release().await.unwrap();
    drop(within(lock).await.unwrap().unwrap());
}

/// CURATOR-240: an exists on a znode that is gone would wait for a creation that never comes.
#[tokio::test]
async fn a_predecessor_that_vanishes_before_it_is_watched_is_not_waited_for() {
    let server = server().await;
    let holder = Faulty::lasting(&server).await;
    let client = Faulty::lasting(&server).await;
    let guard = holder.lock().await;
    let refusal = client.proxy.refuse();
    let unwatched = client.proxy.drop_request(OpCode::GET_DATA);
    let mutex = client.mutex();
    let lock = tokio::spawn(async move { mutex.lock().await });
    within(unwatched.struck()).await;
    guard.release().await.unwrap();
    drop(refusal);
    drop(within(lock).await.unwrap().unwrap());
    server.expect_left(&[DIR]).await.unwrap();
}

/// CURATOR-43.
#[tokio::test]
async fn children_that_are_no_contenders_do_not_matter() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    client.zk.create(DIR).await.unwrap();
    for name in [
        "0",
        "config",
        "-",
        "_c_",
        "lock-1",
        "zzz0000000000",
        "lock-lock-0000000000",
    ] {
        client.zk.create(format!("{DIR}/{name}")).await.unwrap();
    }
    client.lock().await.release().await.unwrap();
    assert!(client.try_lock().await.is_some());
}

#[tokio::test]
async fn contenders_of_other_libraries_are_waited_for() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let other = server.client().await.unwrap();
    client.zk.create(DIR).await.unwrap();
    for name in [
        "x-72057594037927936-",
        "0d31d2f43f434d0b8f071e5b41a1d0a7__lock__",
        "n_",
    ] {
        let foreign = other
            .create(format!("{DIR}/{name}"))
            .ephemeral()
            .sequential();
        let foreign = foreign.await.unwrap();
        assert!(client.try_lock().await.is_none());
        other.delete(foreign.path()).await.unwrap();
        assert!(client.try_lock().await.is_some());
    }
}

/// kazoo#730: numbers behind the overflow stand for later contenders, although they are smaller.
#[tokio::test]
async fn a_sequence_that_overflows_keeps_the_order() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let other = server.client().await.unwrap();
    let guard = client.lock().await;
    // Whoever comes behind i32::MAX gets i32::MIN.
    let overflown = format!("{DIR}/lock--2147483648");
    other.create(&overflown).ephemeral().await.unwrap();
    let watches = client.proxy.wait_for(OpCode::GET_DATA);
    let mutex = client.mutex();
    let lock = tokio::spawn(async move { mutex.lock().await });
    let Content::Request { request, .. } = within(watches).await.content else {
        panic!("a wait for a request gives one");
    };
    assert!(format!("{request:?}").contains(&overflown));
    guard.release().await.unwrap();
    client.zk.sync("/").await.unwrap();
    assert!(!lock.is_finished());
    other.delete(&overflown).await.unwrap();
    drop(within(lock).await.unwrap().unwrap());
}

/// CURATOR-724, CURATOR-537: the directory is gone between two locks, and its numbers start over.
#[tokio::test]
async fn a_directory_that_vanishes_is_made_again_and_tokens_grow() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let mutex = Mutex::builder(&client.zk, "/deep/er/lock").build().unwrap();
    let mut last = None;
    for _ in 0..3 {
        let guard = within(mutex.lock()).await.unwrap();
        assert!(guard.path().ends_with("lock-0000000000"));
        assert!(last < Some(guard.token()));
        last = Some(guard.token());
        guard.release().await.unwrap();
        client.zk.delete("/deep/er/lock").await.unwrap();
        client.zk.delete("/deep/er").await.unwrap();
    }
    let strict = Mutex::builder(&client.zk, "/none").parents(Parents::Require);
    let error = within(strict.build().unwrap().lock()).await.unwrap_err();
    assert_eq!(kind(&error), &Kind::NoNode);
}

/// CURATOR-724: the directory goes with everything in it, in one transaction.
#[tokio::test]
async fn a_directory_that_vanishes_under_a_contender_costs_its_place_only() {
    let server = server().await;
    let holder = Faulty::lasting(&server).await;
    let client = Faulty::lasting(&server).await;
    let guard = holder.lock().await;
    let lock = client.begin_to_wait().await;
    let operator = server.client().await.unwrap();
    let mut delete = operator.txn();
    for name in children(&operator).await {
        delete = delete.delete(format!("{DIR}/{name}"));
    }
    within(delete.delete(DIR).commit()).await.unwrap();
    within(guard.lost().cancelled()).await;
    let successor = within(lock).await.unwrap().unwrap();
    assert!(successor.token() > guard.token());
    assert_eq!(children(&operator).await.len(), 1);
}

/// kazoo#482, CURATOR-720.
#[tokio::test]
async fn a_closed_client_ends_waits_and_locks() {
    let server = server().await;
    let holder = Faulty::lasting(&server).await;
    let client = Faulty::lasting(&server).await;
    let guard = holder.lock().await;
    let lock = client.begin_to_wait().await;
    assert!(
        within(client.zk.close(Duration::from_secs(5)))
            .await
            .session_closed
    );
    let error = within(lock).await.unwrap().unwrap_err();
    assert_eq!(kind(&error), &Kind::Closed);
    assert!(
        within(holder.zk.close(Duration::from_secs(5)))
            .await
            .session_closed
    );
    // The servers delete the znode, and say so, before they say that the session is closed.
    within(guard.lost().cancelled()).await;
    server.expect_left(&[DIR]).await.unwrap();
}

#[tokio::test]
async fn a_mutex_of_a_session_ends_with_it() {
    let server = server().await;
    let holder = Faulty::lasting(&server).await;
    let client = Faulty::lasting(&server).await;
    let _guard = holder.lock().await;
    let session = client.zk.session();
    let mutex = Mutex::builder(&session, DIR).build().unwrap();
    let watches = client.proxy.wait_for(OpCode::GET_DATA);
    let lock = tokio::spawn(async move { mutex.lock().await });
    within(watches).await;
    server.expire(session.id()).await.unwrap();
    let error = within(lock).await.unwrap().unwrap_err();
    assert_eq!(kind(&error), &Kind::SessionEnded(SessionEnd::Expired));
}

/// Whoever waits for the loss of a lock does not hear of its release, however long that takes.
#[tokio::test]
async fn a_release_is_no_loss() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    // So that the lock asks for the existence of nothing but its own znode.
    client.zk.create(DIR).await.unwrap();
    for waits in [true, false] {
        let watched = client.proxy.wait_for(OpCode::EXISTS);
        let guard = client.lock().await;
        within(watched).await;
        let term = Term::clone(&guard);
        // The event of the deletion comes before the reply to it, which does not come at first.
        let fault = client.proxy.drop_reply(OpCode::DELETE);
        match waits {
            true => within(guard.release()).await.unwrap(),
            false => drop(guard),
        }
        within(fault.struck()).await;
        within(client.zk.sync("/")).await.unwrap();
        assert_eq!(term.loss(), None);
    }
    server.expect_left(&[DIR]).await.unwrap();
}

/// A clone that is dropped would release what the other one holds.
#[test]
fn guards_move_between_threads_and_are_not_cloned() {
    struct Probe<T>(std::marker::PhantomData<T>);
    trait Fallback {
        const IS_CLONE: bool = false;
    }
    impl<T> Fallback for Probe<T> {}
    impl<T: Clone> Probe<T> {
        const IS_CLONE: bool = true;
    }
    const fn is_sent<T: Send + Sync>() {}
    is_sent::<LockGuard>();
    is_sent::<LeaderGuard>();
    let clones = [
        Probe::<Term>::IS_CLONE,
        Probe::<LockGuard>::IS_CLONE,
        Probe::<LeaderGuard>::IS_CLONE,
        Probe::<OwnedNode>::IS_CLONE,
    ];
    assert_eq!(clones, [true, false, false, false]);
}

/// Dropping needs no runtime, as it would if it spawned a task.
#[test]
fn a_guard_may_be_dropped_outside_of_any_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (server, _client, guard) = runtime.block_on(async {
        let server = server().await;
        let client = Faulty::lasting(&server).await;
        let guard = client.lock().await;
        (server, client, guard)
    });
    drop(guard);
    runtime.block_on(server.expect_left(&[DIR])).unwrap();
}

#[tokio::test]
async fn a_directory_is_a_path() {
    let zk = server().await.client().await.unwrap();
    let refused = Mutex::builder(&zk, "locks").build();
    assert!(matches!(refused, Err(Error::InvalidPath(_))));
}
