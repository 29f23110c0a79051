//! An election has one leader, who keeps its znode over a reconnect and loses its role with the
//! session; everybody can see who leads. Tickets name the failures of other libraries that a test
//! guards against.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use std::pin::Pin;
use std::time::Duration;

use common::{DIR, Faulty, children, next_session, server, within};
use futures::{FutureExt, Stream, StreamExt};
use zk_client::SessionEnd;
use zk_recipes::layout::Contender;
use zk_recipes::{
    LeaderLatch, LeaderView, LossPolicy, LossReason, Participant, Result, Role, Term,
};
use zk_testkit::OpCode;

type Roles = Pin<Box<dyn Stream<Item = Result<Role>> + Send>>;
type Seen = Pin<Box<dyn Stream<Item = Result<Option<Participant>>> + Send>>;

fn latch(client: &Faulty, id: &'static str) -> LeaderLatch {
    LeaderLatch::builder(&client.zk, DIR)
        .id(id)
        .build()
        .unwrap()
}

async fn follower(roles: &mut Roles) {
    match within(roles.next()).await {
        Some(Ok(Role::Follower)) => {}
        other => panic!("{other:?}"),
    }
}

async fn leader(roles: &mut Roles) -> Term {
    match within(roles.next()).await {
        Some(Ok(Role::Leader(term))) => term,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_next_candidate_leads_when_the_leader_resigns() {
    let server = server().await;
    let (a, b) = (
        Faulty::lasting(&server).await,
        Faulty::lasting(&server).await,
    );
    let first = within(latch(&a, "a").campaign()).await.unwrap();
    let mut roles: Roles = Box::pin(latch(&b, "b").roles());
    follower(&mut roles).await;
    assert!(roles.next().now_or_never().is_none());
    let token = first.token();
    within(first.resign()).await.unwrap();
    let term = leader(&mut roles).await;
    assert!(term.token() > token);
    // Whoever drops the stream resigns.
    drop(roles);
    let again = within(latch(&a, "a").campaign()).await.unwrap();
    assert!(again.token() > term.token());
    drop(again);
    server.expect_left(&[DIR]).await.unwrap();
}

/// CURATOR-644, CURATOR-696: no delete and create on reconnecting, so no race between the two.
#[tokio::test]
async fn a_leader_keeps_its_znode_over_a_reconnect() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let latch = LeaderLatch::builder(&client.zk, DIR).loss(LossPolicy::OnSuspend);
    let mut roles: Roles = Box::pin(latch.build().unwrap().roles());
    follower(&mut roles).await;
    let before = leader(&mut roles).await;
    let creates = client.requests(OpCode::CREATE2);
    within(client.zk.sync("/")).await.unwrap();
    client.reconnect().await;
    follower(&mut roles).await;
    assert_eq!(before.loss().unwrap().reason, LossReason::Suspended);
    let after = leader(&mut roles).await;
    assert_eq!(
        (after.token(), after.path()),
        (before.token(), before.path())
    );
    assert_eq!(after.loss(), None);
    assert_eq!(client.requests(OpCode::CREATE2), creates);
    assert_eq!(client.requests(OpCode::DELETE), 0);
}

#[tokio::test]
async fn an_expired_leader_follows_and_contends_anew() {
    let server = server().await;
    let (a, b) = (
        Faulty::lasting(&server).await,
        Faulty::lasting(&server).await,
    );
    let mut of_a: Roles = Box::pin(latch(&a, "a").roles());
    let mut of_b: Roles = Box::pin(latch(&b, "b").roles());
    follower(&mut of_a).await;
    follower(&mut of_b).await;
    let first = leader(&mut of_a).await;
    assert!(of_b.next().now_or_never().is_none());
    let session = a.zk.session();
    server.expire(session.id()).await.unwrap();
    follower(&mut of_a).await;
    let reason = first.loss().unwrap().reason;
    assert_eq!(reason, LossReason::SessionEnded(SessionEnd::Expired));
    let second = leader(&mut of_b).await;
    assert!(second.token() > first.token());
    next_session(&a.zk, &session).await;
    assert!(of_a.next().now_or_never().is_none());
    drop(of_b);
    let third = leader(&mut of_a).await;
    assert!(third.token() > second.token());
}

/// ClickHouse#116690, CURATOR-696: the znode of the dead session is the first one, and leads nobody.
#[tokio::test]
async fn a_znode_of_a_dead_session_does_not_lead() {
    let server = server().await;
    let client = Faulty::start(&server, Duration::from_millis(1500)).await;
    let mut roles: Roles = Box::pin(latch(&client, "a").roles());
    follower(&mut roles).await;
    let before = leader(&mut roles).await;
    let fault = client.proxy.new_session_on_resume();
    client.proxy.cut();
    within(fault.struck()).await;
    follower(&mut roles).await;
    let after = leader(&mut roles).await;
    assert!(after.token() > before.token());
    let stat = client.zk.exists(after.path()).await.unwrap().unwrap();
    assert_eq!(stat.ephemeral_owner, client.zk.session().id().0);
}

/// CURATOR-724.
#[tokio::test]
async fn an_election_survives_the_deletion_of_its_directory() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let mut roles: Roles = Box::pin(latch(&client, "a").roles());
    follower(&mut roles).await;
    let before = leader(&mut roles).await;
    let operator = server.client().await.unwrap();
    let delete = operator.txn().delete(before.path()).delete(DIR);
    within(delete.commit()).await.unwrap();
    follower(&mut roles).await;
    assert_eq!(before.loss().unwrap().reason, LossReason::Removed);
    let after = leader(&mut roles).await;
    assert!(after.token() > before.token());
    assert_eq!(children(&operator).await.len(), 1);
}

#[tokio::test]
async fn roles_end_with_the_client() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let mut roles: Roles = Box::pin(latch(&client, "a").roles());
    follower(&mut roles).await;
    leader(&mut roles).await;
    assert!(
        within(client.zk.close(Duration::from_secs(5)))
            .await
            .session_closed
    );
    follower(&mut roles).await;
    assert!(within(roles.next()).await.unwrap().is_err());
    assert!(within(roles.next()).await.is_none());
}

#[tokio::test]
async fn a_candidate_has_curators_name() {
    let server = server().await;
    let client = Faulty::lasting(&server).await;
    let leader = within(latch(&client, "a").campaign()).await.unwrap();
    let name = leader.path().strip_prefix("/lock/").unwrap();
    assert!(Contender::parse(name).is_some() && name.contains("-latch-"));
}

#[tokio::test]
async fn a_view_costs_one_list_and_one_read_and_creates_nothing() {
    let server = server().await;
    let (watcher, candidate) = (
        Faulty::lasting(&server).await,
        Faulty::lasting(&server).await,
    );
    let view = LeaderView::new(&watcher.zk, DIR).unwrap();
    assert_eq!(within(view.current()).await.unwrap(), None);
    server.expect_left(&[]).await.unwrap();
    let leader = within(latch(&candidate, "a").campaign()).await.unwrap();
    let before = watcher.proxy.frames().len();
    let expected = Participant {
        path: leader.path().into(),
        id: "a".into(),
        token: leader.token(),
    };
    assert_eq!(within(view.current()).await.unwrap(), Some(expected));
    let frames = watcher.proxy.frames().split_off(before);
    for op in [OpCode::GET_CHILDREN2, OpCode::GET_DATA] {
        assert_eq!(
            frames.iter().filter(|frame| frame.is_request(op)).count(),
            1
        );
    }
}

/// CURATOR-105: a view of what is not there asks once, and then waits.
#[tokio::test]
async fn a_view_asks_again_only_when_something_has_changed() {
    let server = server().await;
    let watcher = Faulty::lasting(&server).await;
    let candidate = Faulty::lasting(&server).await;
    let view = LeaderView::new(&watcher.zk, DIR).unwrap();
    let mut seen: Seen = Box::pin(view.stream());
    let quiet = async |seen: &mut Seen| {
        assert!(seen.next().now_or_never().is_none());
        within(watcher.zk.sync("/")).await.unwrap();
        assert!(seen.next().now_or_never().is_none());
        let looks = [OpCode::GET_CHILDREN2, OpCode::EXISTS, OpCode::GET_DATA];
        looks.map(|op| watcher.requests(op))
    };
    assert_eq!(within(seen.next()).await.unwrap().unwrap(), None);
    assert_eq!(quiet(&mut seen).await, [1, 1, 0]);
    candidate.zk.create(DIR).await.unwrap();
    // The directory is there and empty: still nobody, and another watch.
    let watched = watcher.proxy.wait_for(OpCode::GET_CHILDREN2);
    assert!(seen.next().now_or_never().is_none());
    within(watched).await;
    let leader = within(latch(&candidate, "a").campaign()).await.unwrap();
    assert!(within(seen.next()).await.unwrap().unwrap().is_some());
    let asked = quiet(&mut seen).await;
    assert_eq!(quiet(&mut seen).await, asked);
    drop(leader);
}

#[tokio::test]
async fn a_view_tells_every_change_of_leader_and_id() {
    let server = server().await;
    let watcher = Faulty::lasting(&server).await;
    let (a, b) = (
        Faulty::lasting(&server).await,
        Faulty::lasting(&server).await,
    );
    let view = LeaderView::new(&watcher.zk, DIR).unwrap();
    let mut seen = Box::pin(view.stream());
    let mut next = async || {
        let participant = within(seen.next()).await.unwrap().unwrap();
        participant.map(|participant| participant.id)
    };
    assert_eq!(next().await, None);
    let first = within(latch(&a, "a").campaign()).await.unwrap();
    assert_eq!(next().await.unwrap(), "a");
    let candidate = latch(&b, "b");
    let watches = b.proxy.wait_for(OpCode::GET_DATA);
    let campaign = tokio::spawn(async move { candidate.campaign().await });
    within(watches).await;
    within(first.proclaim("a2")).await.unwrap();
    assert_eq!(next().await.unwrap(), "a2");
    watcher.reconnect().await;
    within(first.resign()).await.unwrap();
    assert_eq!(next().await.unwrap(), "b");
    let second = within(campaign).await.unwrap().unwrap();
    within(second.resign()).await.unwrap();
    assert_eq!(next().await, None);
    server
        .expect_left_within(Duration::ZERO, &[DIR])
        .await
        .unwrap_err();
    drop(seen);
    server.expect_left(&[DIR]).await.unwrap();
}
