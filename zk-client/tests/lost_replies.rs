//! Lost replies, lost callers, lost sessions: what the client does against a server that plays them.
#![expect(clippy::disallowed_methods, reason = "the fake server opens sockets")]

mod fake;

use std::time::Duration;

use bytes::Bytes;
use fake::{Fake, SESSION, completed, created_path};
use futures::StreamExt;
use tokio::time::timeout;
use zk_client::{
    Create, ErrorCode, GapCause, Handle, Kind, OpCode, Outcome, Parents, SessionEnd, SessionId,
    Stat, State, WatchEvent,
};
use zk_proto::{EventType, Request, Response};

const SOON: Duration = Duration::from_secs(20);

/// A create of a contender.
fn contender(handle: &Handle) -> Create {
    handle.create("/l/lock-").ephemeral().sequential()
}

fn name_of(path: &str) -> String {
    path.rsplit('/')
        .next()
        .map_or_else(String::new, str::to_owned)
}

// --- creates whose reply is lost ---

#[tokio::test]
async fn a_create_that_was_applied_is_found_after_its_reply_was_lost() {
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    let create = contender(&zk).protected().submit();
    let (_, created) = link.expect_create(3).await;
    drop(link);
    let server = async {
        let mut link = fake.accept(SESSION).await;
        let names = ["_c_other-lock-0000000001".to_owned(), name_of(&created)];
        link.expect_lookup("/l", &names, OpCode::GET_CHILDREN2)
            .await;
        link.expect_exists(&created, SESSION).await;
        link
    };
    let (found, mut link) = tokio::join!(create, server);
    let found = found.unwrap();
    assert_eq!((found.path(), found.seq()), (created.as_str(), Some(3)));
    assert_eq!(found.stat().czxid.0, 42);
    // Nothing is undone.
    let check = zk.sync("/").submit();
    link.expect(OpCode::SYNC).await;
    drop(check);
}

#[tokio::test]
async fn a_create_that_was_not_applied_is_made_again_under_the_same_name() {
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    let create = contender(&zk).protected().submit();
    let (_, first) = link.expect(OpCode::CREATE2).await;
    drop(link);
    let server = async {
        let mut link = fake.accept(SESSION).await;
        link.expect_lookup("/l", &[], OpCode::GET_CHILDREN2).await;
        let (xid, second) = link.expect(OpCode::CREATE2).await;
        assert_eq!(first, second);
        let path = completed(&second, 4);
        link.reply_created(xid, &path, SESSION).await;
        link
    };
    let (created, _link) = tokio::join!(create, server);
    assert_eq!(created.unwrap().seq(), Some(4));
}

#[tokio::test]
async fn a_znode_of_another_session_under_the_own_name_is_deleted_and_created_anew() {
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    let create = contender(&zk).protected().submit();
    let (_, stale) = link.expect_create(3).await;
    drop(link);
    let server = async {
        let mut link = fake.accept(SESSION).await;
        link.expect_lookup("/l", &[name_of(&stale)], OpCode::GET_CHILDREN2)
            .await;
        link.expect_exists(&stale, SESSION - 1).await;
        link.expect_delete(&stale).await;
        let (xid, path) = link.expect_create(4).await;
        link.reply_created(xid, &path, SESSION).await;
        link
    };
    let (created, _link) = tokio::join!(create, server);
    assert_eq!(created.unwrap().seq(), Some(4));
}

#[tokio::test]
async fn an_unprotected_create_reports_that_its_outcome_is_unknown() {
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    let create = zk.create("/a").submit();
    link.expect(OpCode::CREATE2).await;
    drop(link);
    let error = create.await.unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (&Kind::ConnectionLoss, Outcome::Unknown)
    );
    assert_eq!(
        (error.path(), error.session()),
        (Some("/a"), SessionId(SESSION))
    );
    assert_eq!(error.server(), Some(fake.address()));
}

#[tokio::test]
async fn a_conditional_set_is_not_made_twice() {
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    let set = zk.set("/counter", "6").version(5).submit();
    link.expect(OpCode::SET_DATA).await;
    drop(link);
    let read = zk.get("/counter").submit();
    let mut link = fake.accept(SESSION).await;
    link.expect(OpCode::GET_DATA).await;
    let error = set.await.unwrap_err();
    assert_eq!(
        (error.outcome(), error.is_retryable()),
        (Outcome::Unknown, false)
    );
    drop(read);
}

#[tokio::test]
async fn a_create_goes_on_in_the_next_session_under_another_name() {
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    let session = zk.session();
    let free = contender(&zk).protected().submit();
    let bound = contender(&session).protected().submit();
    let (_, first) = link.expect(OpCode::CREATE2).await;
    link.expect(OpCode::CREATE2).await;
    drop(link);
    let server = async {
        let mut link = fake.accept(SESSION + 1).await;
        let (xid, request) = link.expect(OpCode::CREATE2).await;
        assert_ne!(first, request);
        let path = completed(&request, 9);
        link.reply_created(xid, &path, SESSION + 1).await;
        link
    };
    let (free, bound, _link) = tokio::join!(free, bound, server);
    assert_eq!(free.unwrap().seq(), Some(9));
    let error = bound.unwrap_err();
    assert_eq!(*error.kind(), Kind::SessionEnded(SessionEnd::Expired));
    assert_eq!(session.end(), Some(SessionEnd::Expired));
    assert_eq!(
        (zk.session().epoch(), zk.session().id()),
        (2, SessionId(SESSION + 1))
    );
}

// --- callers that go away ---

#[tokio::test]
async fn a_create_that_is_dropped_before_its_reply_is_undone() {
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    drop(contender(&zk).protected().submit());
    let (xid, path) = link.expect_create(0).await;
    link.reply_created(xid, &path, SESSION).await;
    link.expect_lookup("/l", &[name_of(&path)], OpCode::GET_CHILDREN)
        .await;
    link.expect_delete(&path).await;
}

#[tokio::test]
async fn a_create_that_is_dropped_is_undone_also_when_the_link_is_lost_twice() {
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    let create = contender(&zk).owned().submit();
    let (_, path) = link.expect_create(0).await;
    drop(create);
    drop(link);
    let mut link = fake.accept(SESSION).await;
    link.expect_lookup("/l", &[name_of(&path)], OpCode::GET_CHILDREN)
        .await;
    link.expect(OpCode::DELETE).await;
    drop(link);
    let mut link = fake.accept(SESSION).await;
    link.expect_lookup("/l", &[name_of(&path)], OpCode::GET_CHILDREN)
        .await;
    link.expect_delete(&path).await;
}

#[tokio::test]
async fn a_create_that_times_out_is_undone() {
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    let create = contender(&zk)
        .protected()
        .timeout(Duration::from_millis(50));
    let create = tokio::spawn(create.into_future());
    let (xid, path) = link.expect_create(0).await;
    let error = create.await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (&Kind::Timeout, Outcome::Unknown)
    );
    link.reply_created(xid, &path, SESSION).await;
    let (xid, _) = link.expect(OpCode::SYNC).await;
    link.reply(xid, Ok(Response::Path("/l".to_owned()))).await;
    // The create itself may have begun to look for its znode before its time ran out.
    let list =
        |request: &Request| matches!(request.op(), OpCode::GET_CHILDREN | OpCode::GET_CHILDREN2);
    let deleted = async {
        loop {
            let (xid, request) = link.next().await.unwrap();
            let names = vec![name_of(&path).into()];
            match request.op() {
                OpCode::DELETE => return link.reply(xid, Ok(Response::Empty)).await,
                OpCode::GET_CHILDREN => link.reply(xid, Ok(Response::Children(names))).await,
                OpCode::SYNC => link.reply(xid, Ok(Response::Path("/l".to_owned()))).await,
                _ => {
                    assert!(list(&request), "{request:?}");
                    let reply = Response::ChildrenAndStat(names, Stat::default());
                    link.reply(xid, Ok(reply)).await;
                }
            }
        }
    };
    timeout(SOON, deleted).await.unwrap();
}

#[tokio::test]
async fn an_owned_znode_is_deleted_when_dropped_and_kept_when_asked() {
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    for keep in [true, false] {
        let create = contender(&zk).owned().submit();
        let (xid, path) = link.expect_create(0).await;
        link.reply_created(xid, &path, SESSION).await;
        let node = create.await.unwrap();
        if keep {
            assert_eq!(node.keep().path(), path);
        } else {
            drop(node);
            link.expect_delete(&path).await;
        }
    }
}

#[tokio::test]
async fn releasing_survives_a_lost_link_and_an_unknown_outcome() {
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    let create = contender(&zk).owned().submit();
    let (xid, path) = link.expect_create(0).await;
    link.reply_created(xid, &path, SESSION).await;
    let node = create.await.unwrap();
    let release = tokio::spawn(node.release());
    link.expect(OpCode::DELETE).await;
    drop(link);
    let mut link = fake.accept(SESSION).await;
    let (xid, _) = link.expect(OpCode::DELETE).await;
    link.reply(xid, Err(ErrorCode::NO_NODE)).await;
    release.await.unwrap().unwrap();
}

// --- order, bounds, roots ---

#[tokio::test]
async fn requests_go_out_in_the_order_of_their_calls() {
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    let first = zk.set("/a", "1").submit();
    let second = zk.get("/a").submit();
    let third = zk.delete("/a").submit();
    for op in [OpCode::SET_DATA, OpCode::GET_DATA, OpCode::DELETE] {
        link.expect(op).await;
    }
    // Awaited last to first: the order of polls decides nothing.
    drop((third, second, first));
}

#[tokio::test]
async fn the_latest_data_are_read_behind_a_sync() {
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    let server = async {
        // Both are on their way before either is answered.
        let (sync, _) = link.expect(OpCode::SYNC).await;
        let (get, _) = link.expect(OpCode::GET_DATA).await;
        link.reply(sync, Ok(Response::Path("/a".to_owned()))).await;
        let data = Some(Bytes::from_static(b"x"));
        link.reply(get, Ok(Response::Data(data, Stat::default())))
            .await;
    };
    let (node, ()) = tokio::join!(zk.get_latest("/a"), server);
    assert_eq!(&node.unwrap().data[..], b"x");
}

#[tokio::test]
async fn at_the_bound_submit_refuses_and_await_waits() {
    let fake = Fake::start().await;
    let builder = fake.builder().in_flight(2, 1 << 20);
    let (zk, mut link) = tokio::join!(builder.build(), fake.accept(SESSION));
    let zk = zk.unwrap();
    let first = zk.get("/1").submit();
    let second = zk.get("/2").submit();
    let refused = zk.get("/3").submit().await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.outcome()),
        (&Kind::Overloaded, Outcome::NotApplied)
    );
    let server = async {
        let mut answered = Vec::new();
        for _ in 0..3 {
            let (xid, request) = link.expect(OpCode::GET_DATA).await;
            answered.push(request);
            link.reply(xid, Ok(Response::Data(None, Stat::default())))
                .await;
        }
        answered
    };
    let waiting = zk.get("/4").into_future();
    let (first, second, waited, answered) = tokio::join!(first, second, waiting, server);
    assert!(first.is_ok() && second.is_ok() && waited.is_ok());
    assert!(matches!(&answered[2], Request::GetData { path, .. } if path == "/4"));
}

#[tokio::test]
async fn bytes_on_their_way_are_bounded_as_well() {
    let fake = Fake::start().await;
    let builder = fake.builder().in_flight(100, 1000);
    let (zk, mut link) = tokio::join!(builder.build(), fake.accept(SESSION));
    let zk = zk.unwrap();
    let half = zk.set("/a", vec![0; 500]).submit();
    let refused = zk.set("/a", vec![0; 500]).submit().await.unwrap_err();
    assert_eq!(*refused.kind(), Kind::Overloaded);
    let small = zk.set("/a", vec![0; 100]).submit();
    for _ in 0..2 {
        let (xid, _) = link.expect(OpCode::SET_DATA).await;
        link.reply(xid, Ok(Response::Stat(Stat::default()))).await;
    }
    assert!(half.await.is_ok() && small.await.is_ok());
    // One request that is larger than all there is room for goes alone.
    let large = zk.set("/a", vec![0; 10_000]).submit();
    link.expect(OpCode::SET_DATA).await;
    let refused = zk.get("/a").submit().await.unwrap_err();
    assert_eq!(*refused.kind(), Kind::Overloaded);
    drop(large);
}

/// kazoo#482: what waits for room waits for nobody once the client is closed.
#[tokio::test]
async fn requests_that_wait_for_room_end_with_the_client() {
    let fake = Fake::start().await;
    let builder = fake.builder().in_flight(1, 1000);
    let (zk, mut link) = tokio::join!(builder.build(), fake.accept(SESSION));
    let zk = zk.unwrap();
    let first = zk.get("/").submit();
    link.expect(OpCode::GET_DATA).await;
    let waiting = (0..3).map(|_| zk.get("/").into_future());
    let waiting = futures::future::join_all(waiting);
    let (results, _report) = tokio::join!(timeout(SOON, waiting), zk.close(Duration::ZERO));
    for result in results.unwrap() {
        assert_eq!(*result.unwrap_err().kind(), Kind::Closed);
    }
    assert_eq!(*first.await.unwrap_err().kind(), Kind::Closed);
}

#[tokio::test]
async fn a_root_is_added_on_the_way_out_and_taken_away_on_the_way_in() {
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    let zk = zk.chroot("/app").unwrap().chroot("/part").unwrap();
    assert_eq!(zk.root(), "/app/part");
    let get = zk.get("/").submit();
    let watch = zk.get("/x").watched().submit();
    let (xid, request) = link.expect(OpCode::GET_DATA).await;
    assert!(matches!(&request, Request::GetData { path, .. } if path == "/app/part"));
    link.reply(xid, Err(ErrorCode::NO_NODE)).await;
    let error = get.await.unwrap_err();
    assert_eq!((error.path(), error.kind()), (Some("/"), &Kind::NoNode));
    let (xid, _) = link.expect(OpCode::GET_DATA).await;
    link.reply(xid, Ok(Response::Data(None, Stat::default())))
        .await;
    link.event(EventType::NodeDeleted, "/app/part/x").await;
    let (_, deleted) = watch.await.unwrap();
    assert_eq!(deleted.await.unwrap().path(), Some("/x"));
}

#[tokio::test]
async fn missing_parents_are_made_from_the_top_as_containers() {
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    let zk = zk.chroot("/app").unwrap();
    let create = zk.create("/a/b/c").parents(Parents::Container).submit();
    let server = async {
        let (xid, _) = link.expect(OpCode::CREATE2).await;
        link.reply(xid, Err(ErrorCode::NO_NODE)).await;
        for (path, exists) in [("/app", true), ("/app/a", false), ("/app/a/b", false)] {
            let (xid, request) = link.expect(OpCode::EXISTS).await;
            assert!(matches!(&request, Request::Exists { path: seen, .. } if seen == path));
            let found = Ok(Response::Stat(Stat::default()));
            link.reply(
                xid,
                if exists {
                    found
                } else {
                    Err(ErrorCode::NO_NODE)
                },
            )
            .await;
        }
        for (path, result) in [
            ("/app/a", Err(ErrorCode::NODE_EXISTS)),
            ("/app/a/b", Ok(())),
        ] {
            let (xid, request) = link.expect(OpCode::CREATE_CONTAINER).await;
            assert_eq!(created_path(&request), path);
            let made = Response::PathAndStat(path.to_owned(), Stat::default());
            link.reply(xid, result.map(|()| made)).await;
        }
        let (xid, request) = link.expect(OpCode::CREATE2).await;
        link.reply_created(xid, &created_path(&request), 0).await;
    };
    let (created, ()) = tokio::join!(create, server);
    assert_eq!(created.unwrap().path(), "/a/b/c");
}

/// CURATOR-240: a watch that nobody listens to would stay with the server.
#[tokio::test]
async fn a_watch_that_is_dropped_is_removed_from_the_server() {
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    let watched = zk.exists("/once").watched().submit();
    let (xid, _) = link.expect(OpCode::EXISTS).await;
    link.reply(xid, Err(ErrorCode::NO_NODE)).await;
    let streamed = zk.watch("/stream").submit();
    let (xid, _) = link.expect(OpCode::ADD_WATCH).await;
    link.reply(xid, Ok(Response::Code(ErrorCode::OK))).await;
    drop(watched.await.unwrap());
    drop(streamed.await.unwrap());
    for removed in ["/once", "/stream"] {
        let (xid, request) = link.expect(OpCode::REMOVE_WATCHES).await;
        assert!(matches!(&request, Request::RemoveWatches { path, .. } if path == removed));
        // It has fired meanwhile, which is nobody's business any more.
        link.reply(xid, Err(ErrorCode::NO_WATCHER)).await;
    }
    let sync = zk.sync("/").submit();
    let (xid, _) = link.expect(OpCode::SYNC).await;
    link.reply(xid, Ok(Response::Path("/".to_owned()))).await;
    sync.await.unwrap();
}

// --- ends ---

#[tokio::test]
async fn every_wait_ends_when_the_client_is_closed() {
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    let session = zk.session();
    let watched = zk.exists("/a").watched().submit();
    let streamed = zk.watch("/a").submit();
    let (xid, _) = link.expect(OpCode::EXISTS).await;
    link.reply(xid, Err(ErrorCode::NO_NODE)).await;
    let (xid, _) = link.expect(OpCode::ADD_WATCH).await;
    link.reply(xid, Ok(Response::Code(ErrorCode::OK))).await;
    let (_, once) = watched.await.unwrap();
    let mut stream = streamed.await.unwrap();
    let unanswered = zk.get("/a").submit();
    let ended = tokio::spawn({
        let session = session.clone();
        async move { session.ended().await }
    });
    link.expect(OpCode::GET_DATA).await;
    let close = zk.close(Duration::ZERO);
    let server = async {
        let (xid, _) = link.expect(OpCode::CLOSE_SESSION).await;
        // The reply to the read never comes, so that this one is out of order.
        drop(link);
        xid
    };
    let (report, _) = tokio::join!(close, server);
    assert_eq!((report.session_closed, report.requests_failed), (false, 1));
    let unanswered = timeout(SOON, unanswered).await.unwrap();
    assert_eq!(*unanswered.unwrap_err().kind(), Kind::Closed);
    let once = timeout(SOON, once).await.unwrap();
    assert_eq!(once.unwrap_err().0, SessionEnd::Closed);
    let end = timeout(SOON, stream.next()).await.unwrap().unwrap();
    assert_eq!(end.unwrap_err().0, SessionEnd::Closed);
    assert!(stream.next().await.is_none());
    assert_eq!(
        timeout(SOON, ended).await.unwrap().unwrap(),
        SessionEnd::Closed
    );
    assert_eq!(*zk.get("/a").await.unwrap_err().kind(), Kind::Closed);
    assert_eq!(*zk.live_session().await.unwrap_err().kind(), Kind::Closed);
    let pinned = session.live_session().await.unwrap_err();
    assert_eq!(*pinned.kind(), Kind::SessionEnded(SessionEnd::Closed));
    assert_eq!(zk.state(), State::Closed);
    assert!(zk.states().next().await.is_none());
}

#[tokio::test]
async fn dropping_the_last_handle_closes_the_session() {
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    let session = zk.session();
    let copy = zk.clone();
    drop(zk);
    let read = copy.get("/a").submit();
    link.expect(OpCode::GET_DATA).await;
    drop((read, copy));
    drop(session);
    // Nobody waits for the read, so nothing is drained.
    link.expect(OpCode::CLOSE_SESSION).await;
}

#[tokio::test]
async fn a_builder_that_reaches_no_server_says_why() {
    let unused = Fake::start().await.address();
    let error = zk_client::Client::builder()
        .connect(unused.to_string())
        .connect_timeout(Duration::from_millis(200))
        .build()
        .await
        .unwrap_err();
    let Kind::Unreachable(reason) = error.kind() else {
        panic!("{error:?}");
    };
    assert!(reason.contains(&unused.to_string()), "{reason}");
}

#[tokio::test]
async fn the_client_survives_the_end_of_its_session_and_its_streams_tell_of_it() {
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    let session = zk.session();
    let mut states = zk.states();
    let streamed = zk.watch("/a").submit();
    let (xid, _) = link.expect(OpCode::ADD_WATCH).await;
    link.reply(xid, Ok(Response::Code(ErrorCode::OK))).await;
    let mut stream = streamed.await.unwrap();
    let until = session.valid_until();
    drop(link);
    // A resumed session with another id is another session.
    let mut link = fake.accept(SESSION + 1).await;
    assert_eq!(
        timeout(SOON, session.ended()).await.unwrap(),
        SessionEnd::Expired
    );
    assert!(session.valid_until() <= until);
    let next = zk.live_session().await.unwrap();
    assert_eq!((next.epoch(), next.id()), (2, SessionId(SESSION + 1)));
    let gap = stream.next().await.unwrap().unwrap();
    assert!(matches!(
        gap,
        WatchEvent::Gap {
            cause: GapCause::SessionReplaced,
            ..
        }
    ));
    link.expect(OpCode::SET_WATCHES2).await;
    let error = session.get("/a").await.unwrap_err();
    assert_eq!(error.kind(), &Kind::SessionEnded(SessionEnd::Expired));
    assert_eq!(error.outcome(), Outcome::NotApplied);
    let connected = State::Connected { read_only: false };
    let mut from = connected;
    for to in [State::Suspended, State::Connecting, connected] {
        let change = states.next().await.unwrap();
        assert_eq!((change.from, change.to), (from, to));
        from = to;
    }
}

#[tokio::test]
async fn a_refused_identity_ends_the_client_that_was_built_with_it() {
    let fake = Fake::start().await;
    let builder = fake.builder().auth("digest", "user:password");
    let server = async {
        let mut link = fake.accept(SESSION).await;
        let (xid, _) = link.expect(OpCode::AUTH).await;
        link.reply(xid, Err(ErrorCode::AUTH_FAILED)).await;
        link
    };
    let (built, _link) = tokio::join!(builder.build(), server);
    assert_eq!(*built.unwrap_err().kind(), Kind::AuthFailed);
}

#[tokio::test]
async fn ephemerals_outside_the_root_are_not_shown() {
    let fake = Fake::start().await;
    let (zk, mut link) = fake.client().await;
    let zk = zk.chroot("/app").unwrap();
    let asked = zk.get_ephemerals("/").submit();
    let (xid, _) = link.expect(OpCode::GET_EPHEMERALS).await;
    let paths = ["/app/a", "/apple/b", "/app"].map(str::to_owned);
    link.reply(xid, Ok(Response::Ephemerals(paths.to_vec())))
        .await;
    assert_eq!(asked.await.unwrap(), ["/a", "/"]);
}

/// Whatever a request meets on its way to a client that ends, it has an end itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_between_a_client_and_its_end() {
    for _ in 0..100 {
        let fake = Fake::start().await;
        let (zk, link) = fake.client().await;
        let asking = (0..4).map(|_| {
            let zk = zk.clone();
            tokio::spawn(async move { while zk.get("/").submit().await.is_ok() {} })
        });
        let asking = asking.collect::<Vec<_>>();
        let closing = zk.clone();
        tokio::spawn(async move { closing.close(Duration::ZERO).await });
        // Nobody confirms the end, which then comes at once.
        drop(link);
        let more = (0..50).map(|_| zk.get("/").submit()).collect::<Vec<_>>();
        for request in more {
            timeout(SOON, request).await.unwrap().unwrap_err();
        }
        for task in asking {
            timeout(SOON, task).await.unwrap().unwrap();
        }
    }
}
