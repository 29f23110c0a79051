//! The session driven by hand: time, frames and losses go in, actions and frames come out.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use zk_proto::{
    AddWatch, AddWatchMode, ConnectRequest, ConnectResponse, ErrorCode, EventType, KeeperState,
    OpCode, Reader, Record, ReplyHeader, Request, RequestHeader, Response, SessionId, Stat,
    WatcherEvent, Xid, Zxid, split_frame,
};

use super::{
    Action, CleanupTarget, Phase, Reply, SET_WATCHES_BYTES_MAX, Session, SessionConfig, Submission,
    WatcherId,
};
use crate::error::{Kind, Outcome};
use crate::state::{SessionEnd, State};
use crate::token::SessionToken;
use crate::watch::{GapCause, WatchEvent};

/// The timeout that the server of these tests grants.
const T: Duration = Duration::from_secs(12);

fn config() -> SessionConfig {
    SessionConfig {
        timeout: Duration::from_secs(30),
        read_only: false,
        servers: 1,
        backoff_min: ms(100),
        backoff_max: ms(1000),
        seed: 1,
        first_xid: 1,
        auths: Vec::new(),
        resume: None,
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A session, its clock, and the server's side of its connection.
struct World {
    session: Session<u32>,
    now: Duration,
}

impl World {
    fn new(config: SessionConfig) -> Self {
        Self {
            session: Session::new(config),
            now: Duration::ZERO,
        }
    }

    /// With a link to session 7.
    fn linked() -> Self {
        let mut world = Self::new(config());
        world.connect();
        world.accept(7);
        world.actions();
        world
    }

    fn actions(&mut self) -> Vec<Action<u32>> {
        std::iter::from_fn(|| self.session.next_action()).collect()
    }

    fn tick(&mut self, pass: Duration) {
        self.now += pass;
        self.session.on_tick(self.now);
    }

    /// Lets time pass until the session wants a connection, makes it, and gives the handshake.
    fn connect(&mut self) -> ConnectRequest {
        loop {
            let due = self.session.next_deadline().unwrap();
            self.now = self.now.max(due);
            self.session.on_tick(self.now);
            let wanted = |action: &Action<u32>| matches!(action, Action::Connect { .. });
            if self.session.actions.iter().any(wanted) {
                break;
            }
        }
        self.session.on_connected(self.now);
        let frame = split_frame(self.session.output(), 1 << 20)
            .unwrap()
            .unwrap();
        ConnectRequest::decode(&mut Reader::new(&frame)).unwrap()
    }

    fn accept(&mut self, id: i64) {
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms: i32::try_from(T.as_millis()).unwrap(),
            session_id: SessionId(id),
            password: Bytes::from_static(&[9; 16]),
            read_only: Some(false),
        };
        self.frame(|out| response.encode(out));
    }

    fn frame(&mut self, content: impl FnOnce(&mut BytesMut)) {
        let mut out = BytesMut::new();
        content(&mut out);
        self.session.on_frame(self.now, &out.freeze());
    }

    fn reply(&mut self, xid: Xid, zxid: i64, result: Result<&Response, ErrorCode>) {
        let header = ReplyHeader {
            xid,
            zxid: Zxid(zxid),
            err: result.err().unwrap_or(ErrorCode::OK),
        };
        self.frame(|out| {
            header.encode(out);
            if let Ok(response) = result {
                response.encode(out);
            }
        });
    }

    fn event(&mut self, zxid: i64, event: EventType, path: &str) {
        let header = ReplyHeader {
            xid: Xid::NOTIFICATION,
            zxid: Zxid(zxid),
            err: ErrorCode::OK,
        };
        let event = WatcherEvent {
            event,
            state: KeeperState::SyncConnected,
            path: path.to_owned(),
        };
        self.frame(|out| {
            header.encode(out);
            event.encode(out);
        });
    }

    fn sent(&mut self) -> Vec<(Xid, Request)> {
        let mut requests = Vec::new();
        while let Some(frame) = split_frame(self.session.output(), 1 << 20).unwrap() {
            let mut reader = Reader::new(&frame);
            let header = RequestHeader::decode(&mut reader).unwrap();
            let request = Request::decode(header.op, &mut reader, 100).unwrap();
            requests.push((header.xid, request));
        }
        requests
    }

    fn submit(&mut self, token: u32, request: Request) {
        self.submit_with(token, request, |_| {});
    }

    fn submit_with(
        &mut self,
        token: u32,
        request: Request,
        change: impl FnOnce(&mut Submission<u32>),
    ) {
        let mut submission = Submission {
            token,
            request,
            pin: None,
            timeout: None,
            watcher: None,
        };
        change(&mut submission);
        self.session.submit(self.now, submission);
    }

    /// Leaves an armed watch.
    fn watch(
        &mut self,
        id: u64,
        request: Request,
        zxid: i64,
        result: Result<&Response, ErrorCode>,
    ) {
        self.submit_with(0, request, |submission| {
            submission.watcher = Some(WatcherId(id));
        });
        let (xid, _) = self.sent().pop().unwrap();
        self.reply(xid, zxid, result);
        self.actions();
    }

    fn lose(&mut self) {
        self.session.on_lost(self.now);
    }

    fn completions(&mut self) -> Vec<(u32, crate::Result<Reply>)> {
        let done = |action| match action {
            Action::Complete { token, result } => Some((token, result)),
            _ => None,
        };
        self.actions().into_iter().filter_map(done).collect()
    }

    fn notifications(&mut self) -> Vec<(u64, crate::WatchItem)> {
        let heard = |action| match action {
            Action::Notify { watcher, item, .. } => Some((watcher.0, item)),
            _ => None,
        };
        self.actions().into_iter().filter_map(heard).collect()
    }
}

fn get(path: &str) -> Request {
    let path = path.to_owned();
    Request::GetData { path, watch: false }
}

fn get_watched(path: &str) -> Request {
    let path = path.to_owned();
    Request::GetData { path, watch: true }
}

fn exists_watched(path: &str) -> Request {
    let path = path.to_owned();
    Request::Exists { path, watch: true }
}

fn set(path: &str) -> Request {
    Request::SetData {
        path: path.to_owned(),
        data: None,
        version: -1,
    }
}

fn add_watch(path: &str) -> Request {
    Request::AddWatch(AddWatch {
        path: path.to_owned(),
        mode: AddWatchMode::Persistent.to_raw(),
    })
}

fn data() -> Response {
    Response::Data(Some(Bytes::from_static(b"x")), Stat::default())
}

fn failure(result: &crate::Result<Reply>) -> (Kind, Outcome) {
    let error = result.as_ref().unwrap_err();
    (error.kind().clone(), error.outcome())
}

// --- requests and replies ---

#[test]
fn replies_complete_requests_in_their_order() {
    let mut world = World::linked();
    world.submit(1, get("/a"));
    world.submit(2, set("/a"));
    let sent = world.sent();
    assert_eq!(sent, [(Xid(1), get("/a")), (Xid(2), set("/a"))]);
    world.reply(Xid(1), 5, Ok(&data()));
    world.reply(Xid(2), 6, Err(ErrorCode::BAD_VERSION));
    let done = world.completions();
    assert_eq!(done[0].0, 1);
    let reply = done[0].1.as_ref().unwrap();
    assert_eq!((&reply.response, reply.zxid), (&data(), Zxid(5)));
    assert_eq!(done[1].0, 2);
    assert_eq!(failure(&done[1].1), (Kind::BadVersion, Outcome::NotApplied));
}

#[test]
fn numbers_of_requests_wrap_to_one_and_never_meet_the_reserved_ones() {
    let mut world = World::new(SessionConfig {
        first_xid: i32::MAX - 1,
        ..config()
    });
    world.connect();
    world.accept(7);
    for token in 0..4 {
        world.submit(token, get("/a"));
    }
    let xids = world.sent().into_iter().map(|(xid, _)| xid.0);
    let xids = xids.collect::<Vec<_>>();
    assert_eq!(xids, [i32::MAX - 1, i32::MAX, 1, 2]);
    for xid in xids {
        world.reply(Xid(xid), 1, Ok(&data()));
    }
    assert!(world.completions().iter().all(|(_, result)| result.is_ok()));
}

#[test]
fn requests_without_a_link_wait_for_one_in_order() {
    let mut world = World::new(config());
    world.submit(1, set("/a"));
    world.connect();
    world.submit(2, get("/a"));
    world.accept(7);
    assert_eq!(world.sent(), [(Xid(1), set("/a")), (Xid(2), get("/a"))]);
}

#[test]
fn a_lost_reply_leaves_the_outcome_of_a_write_unknown_and_repeats_nothing_but_reads() {
    let mut world = World::linked();
    world.submit(1, get("/a"));
    world.submit(2, set("/a"));
    world.submit(3, get("/b"));
    world.sent();
    world.lose();
    world.submit(4, set("/later"));
    let done = world.completions();
    assert_eq!(done.len(), 1);
    assert_eq!(done[0].0, 2);
    assert_eq!(
        failure(&done[0].1),
        (Kind::ConnectionLoss, Outcome::Unknown)
    );
    world.connect();
    world.accept(7);
    let sent = world.sent().into_iter().map(|(_, request)| request);
    assert_eq!(
        sent.collect::<Vec<_>>(),
        [get("/a"), get("/b"), set("/later")]
    );
}

#[test]
fn a_read_that_loses_every_link_is_given_up() {
    let mut world = World::linked();
    world.submit(1, get("/poison"));
    let mut losses = 0;
    let done = loop {
        world.lose();
        losses += 1;
        let done = world.completions();
        if !done.is_empty() {
            break done;
        }
        assert!(losses < 10);
        world.connect();
        world.accept(7);
    };
    assert_eq!(
        failure(&done[0].1),
        (Kind::ConnectionLoss, Outcome::NotApplied)
    );
}

#[test]
fn a_reply_out_of_order_costs_the_link_and_repeats_nothing() {
    let mut world = World::linked();
    world.submit(1, get("/a"));
    world.submit(2, set("/a"));
    world.reply(Xid(2), 5, Ok(&Response::Stat(Stat::default())));
    let actions = world.actions();
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::Disconnect))
    );
    let failed = actions.iter().filter(|action| {
        matches!(action, Action::Complete { result: Err(error), .. } if *error.kind() == Kind::ConnectionLoss)
    });
    assert_eq!(failed.count(), 2);
}

#[test]
fn a_request_times_out_sent_or_not_and_its_late_reply_is_nobodys() {
    let mut world = World::linked();
    let timeout = |submission: &mut Submission<u32>| submission.timeout = Some(ms(100));
    world.submit_with(1, set("/a"), timeout);
    world.submit_with(2, get("/a"), timeout);
    world.submit(3, get("/b"));
    assert_eq!(world.session.next_deadline(), Some(world.now + ms(100)));
    world.tick(ms(100));
    let done = world.completions();
    assert_eq!(failure(&done[0].1), (Kind::Timeout, Outcome::Unknown));
    assert_eq!(failure(&done[1].1), (Kind::Timeout, Outcome::NotApplied));
    world.reply(Xid(1), 1, Ok(&Response::Stat(Stat::default())));
    world.reply(Xid(2), 1, Ok(&data()));
    world.reply(Xid(3), 1, Ok(&data()));
    let done = world.completions();
    assert_eq!(done.len(), 1);
    assert_eq!((done[0].0, done[0].1.is_ok()), (3, true));
    world.lose();
    world.submit_with(4, set("/a"), timeout);
    world.tick(ms(100));
    let done = world.completions();
    assert_eq!(failure(&done[0].1), (Kind::Timeout, Outcome::NotApplied));
}

// --- links and time ---

#[test]
fn the_newest_transaction_seen_is_told_to_the_next_server() {
    let mut world = World::linked();
    world.submit(1, get("/a"));
    world.reply(Xid(1), 77, Ok(&data()));
    world.lose();
    let handshake = world.connect();
    assert_eq!(handshake.last_zxid_seen, Zxid(77));
    assert_eq!(handshake.session_id, SessionId(7));
    assert_eq!(&handshake.password[..], &[9; 16]);
}

#[test]
fn a_silent_link_is_pinged_and_then_given_up() {
    let mut world = World::linked();
    assert_eq!(world.session.next_deadline(), Some(world.now + T / 3));
    world.tick(T / 3);
    assert_eq!(world.sent(), [(Xid::PING, Request::Ping)]);
    world.tick(T / 3 - ms(1));
    assert!(world.actions().is_empty());
    world.tick(ms(1));
    let actions = world.actions();
    assert!(matches!(actions[0], Action::Disconnect));
    assert!(matches!(actions[1], Action::State(State::Suspended)));
}

#[test]
fn validity_counts_from_when_the_last_acknowledged_request_was_sent() {
    let mut world = World::linked();
    let start = world.now;
    world.tick(ms(1000));
    world.submit(1, get("/a"));
    world.tick(ms(2000));
    // Sent, but not acknowledged: the server may never have heard of it.
    assert_eq!(world.session.valid_until(), Some(start + T * 3 / 4));
    world.reply(Xid(1), 1, Ok(&data()));
    let acknowledged = start + ms(1000) + T * 3 / 4;
    assert_eq!(world.session.valid_until(), Some(acknowledged));
    // Neither losing the link nor events, which acknowledge nothing, move it.
    world.event(2, EventType::NodeCreated, "/a");
    world.tick(ms(500));
    world.lose();
    assert_eq!(world.session.valid_until(), Some(acknowledged));
}

#[test]
fn a_ping_without_a_reply_does_not_prolong_the_validity() {
    let mut world = World::linked();
    let start = world.now;
    world.tick(T / 3);
    assert_eq!(world.session.valid_until(), Some(start + T * 3 / 4));
    world.reply(Xid::PING, 1, Ok(&Response::Empty));
    assert_eq!(world.session.valid_until(), Some(start + T / 3 + T * 3 / 4));
}

#[test]
fn a_session_without_a_server_is_over_by_the_clients_clock() {
    let mut world = World::linked();
    let start = world.now;
    world.lose();
    world.submit_with(1, set("/pinned"), |submission| submission.pin = Some(1));
    world.submit(2, set("/free"));
    let mut turns = 0;
    let ended = loop {
        turns += 1;
        assert!(turns < 1000, "the session is never over");
        let due = world.session.next_deadline().unwrap();
        world.now = world.now.max(due);
        world.session.on_tick(world.now);
        let actions = world.actions();
        if actions
            .iter()
            .any(|action| matches!(action, Action::Connect { .. }))
        {
            world.lose();
        }
        if let Some(at) = actions
            .iter()
            .position(|action| matches!(action, Action::Ended { .. }))
        {
            break (at, actions);
        }
    };
    assert!(matches!(
        ended.1[ended.0],
        Action::Ended {
            epoch: 1,
            end: SessionEnd::ExpiredLocally
        }
    ));
    assert_eq!(world.now, start + T * 4 / 3);
    let failed = ended.1.iter().find_map(|action| match action {
        Action::Complete { token: 1, result } => Some(failure(result)),
        _ => None,
    });
    let end = Kind::SessionEnded(SessionEnd::ExpiredLocally);
    assert_eq!(failed, Some((end, Outcome::NotApplied)));
    // Another session is opened, not the old one resumed, and serves what was not bound to the old.
    assert_eq!(world.connect().session_id, SessionId(0));
    world.accept(8);
    assert_eq!(world.sent().len(), 1);
    assert!(world.actions().iter().any(|action| {
        matches!(
            action,
            Action::Opened {
                epoch: 2,
                id: SessionId(8),
                ..
            }
        )
    }));
}

#[test]
fn a_session_that_was_just_opened_is_not_given_up_for_the_silence_before_it() {
    let mut world = World::new(config());
    for _ in 0..100 {
        world.connect();
        world.lose();
    }
    world.now += Duration::from_secs(600);
    world.connect();
    world.accept(7);
    world.actions();
    world.tick(ms(1));
    assert!(world.actions().is_empty());
}

#[test]
fn another_session_in_place_of_the_one_asked_for_means_that_it_is_over() {
    let mut world = World::linked();
    world.watch(1, get_watched("/a"), 5, Ok(&data()));
    world.submit_with(1, get("/a"), |submission| submission.pin = Some(1));
    world.lose();
    assert_eq!(world.connect().session_id, SessionId(7));
    world.accept(8);
    let actions = world.actions();
    let at = |wanted: fn(&Action<u32>) -> bool| actions.iter().position(wanted).unwrap();
    let ended = at(|action| {
        matches!(
            action,
            Action::Ended {
                epoch: 1,
                end: SessionEnd::Expired
            }
        )
    });
    let opened = at(|action| {
        matches!(
            action,
            Action::Opened {
                epoch: 2,
                id: SessionId(8),
                ..
            }
        )
    });
    assert!(ended < opened);
    assert!(actions.iter().any(|action| {
        matches!(action, Action::Complete { token: 1, result: Err(error) }
            if *error.kind() == Kind::SessionEnded(SessionEnd::Expired))
    }));
    // The watch was not bound to the session: it is restored in the other one.
    assert!(matches!(
        &world.sent()[..],
        [(Xid::SET_WATCHES, Request::SetWatches(_))]
    ));
}

#[test]
fn an_expired_session_is_replaced_at_once() {
    let mut world = World::linked();
    world.lose();
    world.connect();
    world.actions();
    let expired = ConnectResponse::expired(Some(false));
    world.frame(|out| expired.encode(out));
    let actions = world.actions();
    assert!(matches!(actions[0], Action::Disconnect));
    assert!(actions.iter().any(|action| {
        matches!(
            action,
            Action::Ended {
                epoch: 1,
                end: SessionEnd::Expired
            }
        )
    }));
    let before = world.now;
    assert_eq!(world.connect().session_id, SessionId(0));
    assert_eq!(world.now, before);
}

#[test]
fn requests_of_a_session_are_not_made_in_the_next_one() {
    let mut world = World::linked();
    world.submit_with(1, get("/a"), |submission| submission.pin = Some(1));
    world.sent();
    world.lose();
    world.submit_with(2, set("/a"), |submission| submission.pin = Some(1));
    world.submit(3, set("/b"));
    world.connect();
    world.accept(8);
    // This one comes when its session is over.
    world.submit_with(4, set("/a"), |submission| submission.pin = Some(1));
    let sent = world.sent().into_iter().map(|(_, request)| request);
    assert_eq!(sent.collect::<Vec<_>>(), [set("/b")]);
    let ended = (Kind::SessionEnded(SessionEnd::Expired), Outcome::NotApplied);
    let done = world.completions();
    let done = done.iter().map(|(token, result)| (*token, failure(result)));
    let expected = [1, 2, 4].map(|token| (token, ended.clone()));
    assert_eq!(done.collect::<Vec<_>>(), expected);
}

#[test]
fn a_session_to_take_over_that_is_over_ends_the_client() {
    let token = SessionToken::new(SessionId(5), &[1; 16], T, Zxid(9));
    let mut world = World::new(SessionConfig {
        resume: Some(token),
        ..config()
    });
    let handshake = world.connect();
    assert_eq!(
        (handshake.session_id, handshake.last_zxid_seen),
        (SessionId(5), Zxid(9))
    );
    let expired = ConnectResponse::expired(Some(false));
    world.frame(|out| expired.encode(out));
    assert!(world.session.is_over());
    let over = |action: &Action<u32>| {
        matches!(
            action,
            Action::Over {
                end: SessionEnd::Expired,
                ..
            }
        )
    };
    assert!(world.actions().iter().any(over));
}

#[test]
fn waits_between_attempts_double_with_jitter_once_every_server_had_its_turn() {
    let mut world = World::new(SessionConfig {
        servers: 3,
        ..config()
    });
    let mut waits = Vec::new();
    for _ in 0..24 {
        let before = world.now;
        world.connect();
        waits.push(world.now - before);
        world.lose();
    }
    assert!(waits[..4].iter().all(Duration::is_zero), "{waits:?}");
    for (i, longest) in [100, 200, 400, 800, 1000, 1000].into_iter().enumerate() {
        for wait in &waits[4 + 3 * i..7 + 3 * i] {
            assert!(
                *wait >= ms(longest) / 2 && *wait <= ms(longest),
                "{waits:?}"
            );
        }
    }
    assert_ne!(waits[16], waits[17]);
}

#[test]
fn a_server_that_accepts_and_hangs_up_is_not_tried_without_waits() {
    let mut world = World::new(config());
    let start = world.now;
    for _ in 0..20 {
        world.connect();
        world.accept(7);
        world.lose();
    }
    assert!(world.now - start > ms(5000));
}

#[test]
fn an_attempt_that_goes_nowhere_is_given_up() {
    let mut world = World::new(config());
    world.connect();
    world.actions();
    let deadline = world.session.next_deadline().unwrap();
    world.now = deadline;
    world.session.on_tick(deadline);
    assert!(matches!(world.actions()[0], Action::Disconnect));
}

// --- identities ---

#[test]
fn identities_are_proved_on_every_link_before_anything_else() {
    let mut world = World::new(config());
    world.submit(1, get("/a"));
    let auth = ("digest".to_owned(), Bytes::from_static(b"u:p"));
    world.session.add_auth(world.now, auth.0, auth.1, 2);
    for _ in 0..2 {
        world.connect();
        world.accept(7);
        let sent = world.sent();
        assert!(matches!(
            &sent[..],
            [(Xid::AUTH, Request::Auth(_)), (_, Request::GetData { .. })]
        ));
        world.reply(Xid::AUTH, 0, Ok(&Response::Empty));
        world.lose();
    }
    let done = world.completions();
    assert_eq!((done.len(), done[0].0, done[0].1.is_ok()), (1, 2, true));
}

#[test]
fn an_identity_refused_when_added_is_forgotten_and_one_accepted_before_ends_the_client() {
    let mut world = World::linked();
    world
        .session
        .add_auth(world.now, "a".to_owned(), Bytes::new(), 1);
    world
        .session
        .add_auth(world.now, "b".to_owned(), Bytes::new(), 2);
    world.reply(Xid::AUTH, 0, Ok(&Response::Empty));
    world.reply(Xid::AUTH, 0, Err(ErrorCode::AUTH_FAILED));
    let done = world.completions();
    assert!(done[0].1.is_ok());
    assert_eq!(failure(&done[1].1).0, Kind::AuthFailed);
    world.sent();
    world.lose();
    world.connect();
    world.accept(7);
    assert_eq!(world.sent().len(), 1);
    world.submit(3, set("/a"));
    world.reply(Xid::AUTH, 0, Err(ErrorCode::AUTH_FAILED));
    assert!(world.session.is_over());
    let done = world.completions();
    assert_eq!(failure(&done[0].1), (Kind::AuthFailed, Outcome::Unknown));
}

// --- watches ---

fn chunks(sent: Vec<(Xid, Request)>) -> Vec<zk_proto::SetWatches> {
    let chunk = |(xid, request)| match request {
        Request::SetWatches(chunk) => {
            assert_eq!(xid, Xid::SET_WATCHES);
            chunk
        }
        other => panic!("{other:?}"),
    };
    sent.into_iter().map(chunk).collect()
}

#[test]
fn watches_are_restored_on_the_next_link_by_what_they_wait_for() {
    let mut world = World::linked();
    world.watch(1, get_watched("/data"), 5, Ok(&data()));
    world.watch(2, exists_watched("/absent"), 6, Err(ErrorCode::NO_NODE));
    let stat = Response::Stat(Stat::default());
    world.watch(3, exists_watched("/present"), 7, Ok(&stat));
    world.watch(
        4,
        add_watch("/stream"),
        8,
        Ok(&Response::Code(ErrorCode::OK)),
    );
    // A read that failed leaves no watch.
    world.watch(5, get_watched("/none"), 9, Err(ErrorCode::NO_NODE));
    world.lose();
    world.connect();
    world.accept(7);
    let sent = chunks(world.sent());
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].relative_zxid, Zxid(9));
    assert_eq!(sent[0].data, ["/data", "/present"]);
    assert_eq!(sent[0].exist, ["/absent"]);
    assert_eq!(
        sent[0].persistent,
        Some((vec!["/stream".to_owned()], vec![]))
    );
}

#[test]
fn many_watches_are_restored_in_frames_that_servers_accept() {
    let mut world = World::linked();
    for id in 0..3000 {
        world.watch(id, get_watched(&format!("/{id:0>99}")), 5, Ok(&data()));
    }
    world.lose();
    world.connect();
    world.accept(7);
    let sent = chunks(world.sent());
    assert_eq!(
        sent.iter().map(|chunk| chunk.data.len()).sum::<usize>(),
        3000
    );
    for chunk in &sent {
        let bytes = chunk.data.iter().map(|path| path.len() + 4).sum::<usize>();
        assert!(bytes <= SET_WATCHES_BYTES_MAX);
    }
    assert_eq!(sent.len(), 3);
}

#[test]
fn a_persistent_watch_tells_of_the_gap_before_anything_that_follows() {
    let mut world = World::linked();
    world.watch(1, add_watch("/a"), 5, Ok(&Response::Code(ErrorCode::OK)));
    world.lose();
    world.connect();
    world.accept(7);
    world.event(9, EventType::NodeDataChanged, "/a");
    let heard = world.notifications();
    let gap = WatchEvent::Gap {
        since: Zxid(5),
        cause: GapCause::Reconnected,
    };
    assert_eq!(heard[0], (1, Ok(gap)));
    let changed = WatchEvent::Changed {
        path: "/a".to_owned(),
        zxid: Some(Zxid(9)),
    };
    assert_eq!(heard[1], (1, Ok(changed)));
}

#[test]
fn an_event_does_not_hide_another_one_of_the_same_transaction() {
    let mut world = World::linked();
    world.watch(1, get_watched("/a"), 5, Ok(&data()));
    world.watch(2, get_watched("/b"), 5, Ok(&data()));
    // One transaction changes both; the link is lost between the two events.
    world.event(10, EventType::NodeDataChanged, "/a");
    world.lose();
    let handshake = world.connect();
    assert_eq!(handshake.last_zxid_seen, Zxid(10));
    world.accept(7);
    let sent = chunks(world.sent());
    assert_eq!(
        (&sent[0].data[..], sent[0].relative_zxid),
        (&["/b".to_owned()][..], Zxid(5))
    );
}

#[test]
fn watches_that_were_not_restored_yet_are_restored_from_where_they_stood() {
    let mut world = World::linked();
    for id in 0..2000 {
        world.watch(id, get_watched(&format!("/{id:0>99}")), 5, Ok(&data()));
    }
    world.lose();
    world.connect();
    world.accept(7);
    assert_eq!(world.sent().len(), 2);
    world.submit(1, get("/x"));
    world.reply(Xid::SET_WATCHES, 20, Ok(&Response::Empty));
    world.lose();
    world.connect();
    world.accept(7);
    let sent = world.sent();
    assert!(matches!(&sent[0].1, Request::SetWatches(chunk) if chunk.relative_zxid == Zxid(5)));
    // Once all are, they stand where the server stood.
    world.reply(Xid::SET_WATCHES, 20, Ok(&Response::Empty));
    world.reply(Xid::SET_WATCHES, 21, Ok(&Response::Empty));
    world.lose();
    world.connect();
    world.accept(7);
    let sent = world.sent();
    assert!(matches!(&sent[0].1, Request::SetWatches(chunk) if chunk.relative_zxid == Zxid(21)));
}

#[test]
fn equal_events_of_one_transaction_are_all_told() {
    let mut world = World::linked();
    world.watch(1, add_watch("/a"), 5, Ok(&Response::Code(ErrorCode::OK)));
    for _ in 0..3 {
        world.event(9, EventType::NodeChildrenChanged, "/a");
    }
    assert_eq!(world.notifications().len(), 3);
}

#[test]
fn dropped_watchers_leave_no_watch_at_the_server() {
    let mut world = World::linked();
    world.watch(1, exists_watched("/a"), 5, Err(ErrorCode::NO_NODE));
    world.session.unwatch(world.now, WatcherId(1));
    let sent = world.sent();
    assert!(matches!(&sent[..], [(_, Request::RemoveWatches { path, kind: 3 })] if path == "/a"));
    // It has fired meanwhile, or the server never had it: nobody is told.
    world.event(9, EventType::NodeCreated, "/a");
    world.reply(sent[0].0, 9, Err(ErrorCode::NO_WATCHER));
    assert!(world.actions().is_empty());
    // A watcher that has fired has nothing to remove.
    world.watch(2, get_watched("/b"), 10, Ok(&data()));
    world.event(11, EventType::NodeDeleted, "/b");
    world.session.unwatch(world.now, WatcherId(2));
    assert_eq!(world.sent(), []);
}

#[test]
fn a_second_stream_on_a_path_shares_the_servers_watch() {
    let mut world = World::linked();
    world.watch(1, add_watch("/a"), 5, Ok(&Response::Code(ErrorCode::OK)));
    world.submit_with(9, add_watch("/a"), |submission| {
        submission.watcher = Some(WatcherId(2));
    });
    assert_eq!(world.sent(), []);
    assert!(world.completions()[0].1.is_ok());
    world.event(6, EventType::NodeDataChanged, "/a");
    assert_eq!(world.notifications().len(), 2);
    world.session.unwatch(world.now, WatcherId(1));
    assert_eq!(world.sent(), []);
}

#[test]
fn watches_bound_to_a_session_end_with_it_and_say_why() {
    let mut world = World::linked();
    world.submit_with(0, add_watch("/a"), |submission| {
        submission.watcher = Some(WatcherId(1));
        submission.pin = Some(1);
    });
    world.reply(Xid(1), 5, Ok(&Response::Code(ErrorCode::OK)));
    world.watch(2, add_watch("/a"), 5, Ok(&Response::Code(ErrorCode::OK)));
    world.lose();
    world.connect();
    world.accept(8);
    let heard = world.notifications();
    assert_eq!(heard[0].1.as_ref().unwrap_err().0, SessionEnd::Expired);
    assert!(matches!(
        &heard[1],
        (
            2,
            Ok(WatchEvent::Gap {
                cause: GapCause::SessionReplaced,
                ..
            })
        )
    ));
    assert_eq!(heard.len(), 2);
}

// --- deletions that must happen ---

fn clean_up(world: &mut World, target: CleanupTarget, epoch: Option<u64>, waiter: Option<u32>) {
    world.session.clean_up(world.now, target, epoch, waiter);
}

fn path(path: &str) -> CleanupTarget {
    CleanupTarget::Path(path.to_owned())
}

fn ops(world: &mut World) -> Vec<(Xid, OpCode, String)> {
    let path = |request: &Request| super::path_of(request).unwrap_or("").to_owned();
    let sent = world.sent().into_iter();
    sent.map(|(xid, request)| (xid, request.op(), path(&request)))
        .collect()
}

#[test]
fn a_deletion_goes_on_over_lost_links_until_the_znode_is_gone() {
    let mut world = World::linked();
    clean_up(&mut world, path("/a"), Some(1), Some(4));
    assert_eq!(ops(&mut world).len(), 1);
    for _ in 0..10 {
        world.lose();
        world.connect();
        world.accept(7);
        let sent = ops(&mut world);
        assert_eq!((sent[0].1, sent[0].2.as_str()), (OpCode::DELETE, "/a"));
        assert!(world.completions().is_empty());
        if world.now > ms(2000) {
            world.reply(sent[0].0, 9, Err(ErrorCode::NO_NODE));
            break;
        }
    }
    assert!(world.completions()[0].1.is_ok());
}

#[test]
fn what_a_create_may_have_left_is_found_by_its_prefix_and_deleted() {
    let mut world = World::linked();
    let target = CleanupTarget::Prefix {
        parent: "/l".to_owned(),
        prefix: "_c_1-".to_owned(),
    };
    clean_up(&mut world, target, Some(1), Some(4));
    let sent = ops(&mut world);
    // The server may be behind the one that took the create.
    assert_eq!((sent[0].1, sent[1].1), (OpCode::SYNC, OpCode::GET_CHILDREN));
    world.reply(sent[0].0, 5, Ok(&Response::Path("/l".to_owned())));
    let names = ["_c_2-x", "_c_1-lock-0", "_c_1-lock-1"].map(Into::into);
    world.reply(sent[1].0, 5, Ok(&Response::Children(names.to_vec())));
    let sent = ops(&mut world);
    assert_eq!(sent.len(), 2);
    assert_eq!(
        (sent[0].1, sent[0].2.as_str()),
        (OpCode::DELETE, "/l/_c_1-lock-0")
    );
    world.reply(sent[0].0, 6, Ok(&Response::Empty));
    assert!(world.completions().is_empty());
    world.reply(sent[1].0, 7, Ok(&Response::Empty));
    assert!(world.completions()[0].1.is_ok());
}

#[test]
fn an_ephemeral_znode_of_another_session_is_left_alone() {
    let mut world = World::linked();
    for (owner, deletes) in [(8, 0), (7, 1)] {
        let target = CleanupTarget::Ephemeral("/e".to_owned());
        clean_up(&mut world, target, Some(1), None);
        let sent = ops(&mut world);
        let stat = Stat {
            ephemeral_owner: owner,
            ..Stat::default()
        };
        world.reply(sent[0].0, 5, Ok(&Response::Stat(stat)));
        assert_eq!(ops(&mut world).len(), deletes);
    }
}

#[test]
fn deletions_end_with_the_session_that_owns_the_znode_and_others_go_on() {
    let mut world = World::linked();
    world.lose();
    clean_up(&mut world, path("/ephemeral"), Some(1), Some(1));
    clean_up(&mut world, path("/persistent"), None, Some(2));
    world.connect();
    world.accept(8);
    let done = world.completions();
    assert_eq!((done.len(), done[0].0), (1, 1));
    assert_eq!(
        failure(&done[0].1).0,
        Kind::SessionEnded(SessionEnd::Expired)
    );
    let sent = ops(&mut world);
    assert_eq!((sent.len(), sent[0].2.as_str()), (1, "/persistent"));
}

#[test]
fn a_deletion_is_repeated_after_a_refusal_that_passes_and_given_up_after_one_that_does_not() {
    let mut world = World::linked();
    clean_up(&mut world, path("/a"), None, Some(1));
    let sent = ops(&mut world);
    world.reply(sent[0].0, 5, Err(ErrorCode::THROTTLED_OP));
    assert_eq!(ops(&mut world), []);
    world.tick(ms(1000));
    let sent = ops(&mut world);
    assert_eq!(sent[0].1, OpCode::DELETE);
    world.reply(sent[0].0, 5, Err(ErrorCode::NOT_EMPTY));
    assert_eq!(failure(&world.completions()[0].1).0, Kind::NotEmpty);
    assert_eq!(world.session.cleanups.len(), 0);
}

// --- ends ---

fn over(world: &mut World) -> Option<(SessionEnd, crate::CloseReport, Option<SessionToken>)> {
    world.actions().into_iter().find_map(|action| match action {
        Action::Over { end, report, token } => Some((end, report, token)),
        _ => None,
    })
}

#[test]
fn closing_waits_for_what_was_begun_then_ends_the_session() {
    let mut world = World::linked();
    world.submit(1, set("/a"));
    clean_up(&mut world, path("/b"), Some(1), None);
    world.session.close(world.now, ms(5000));
    world.submit(2, set("/late"));
    let done = world.completions();
    assert_eq!(
        (done[0].0, failure(&done[0].1)),
        (2, (Kind::Closed, Outcome::NotApplied))
    );
    let sent = ops(&mut world);
    assert_eq!(sent.len(), 2);
    world.reply(sent[0].0, 5, Ok(&Response::Stat(Stat::default())));
    assert_eq!(ops(&mut world), []);
    world.reply(sent[1].0, 6, Ok(&Response::Empty));
    let sent = ops(&mut world);
    assert_eq!(sent[0].1, OpCode::CLOSE_SESSION);
    world.reply(sent[0].0, 7, Ok(&Response::Empty));
    let (end, report, token) = over(&mut world).unwrap();
    assert_eq!(
        (end, report.session_closed, token),
        (SessionEnd::Closed, true, None)
    );
    assert_eq!((report.requests_failed, report.cleanups_left), (0, 0));
    assert_eq!(world.session.next_deadline(), None);
}

#[test]
fn closing_without_a_server_ends_at_its_deadline_and_everybody_is_told() {
    let mut world = World::linked();
    world.watch(1, add_watch("/w"), 5, Ok(&Response::Code(ErrorCode::OK)));
    world.submit(1, set("/a"));
    world.lose();
    world.actions();
    world.submit(2, get("/a"));
    clean_up(&mut world, path("/b"), Some(1), Some(3));
    world.session.close(world.now, ms(500));
    world.tick(ms(499));
    assert!(!world.session.is_over());
    world.tick(ms(1));
    let actions = world.actions();
    let told = |wanted: fn(&Action<u32>) -> bool| assert!(actions.iter().any(wanted));
    told(
        |action| matches!(action, Action::Complete { token: 2, result: Err(error) } if *error.kind() == Kind::Closed),
    );
    told(
        |action| matches!(action, Action::Complete { token: 3, result: Err(error) } if *error.kind() == Kind::Closed),
    );
    told(|action| {
        matches!(
            action,
            Action::Notify {
                item: Err(_),
                last: true,
                ..
            }
        )
    });
    told(|action| {
        matches!(
            action,
            Action::Ended {
                epoch: 1,
                end: SessionEnd::Closed
            }
        )
    });
    told(|action| matches!(action, Action::State(State::Closed)));
    told(|action| {
        matches!(action, Action::Over { report, .. }
        if !report.session_closed && report.requests_failed == 1 && report.cleanups_left == 1)
    });
}

#[test]
fn detaching_leaves_the_session_and_gives_what_resumes_it() {
    let mut world = World::linked();
    world.submit(1, set("/a"));
    world.session.detach(world.now, ms(500));
    world.sent();
    world.reply(Xid(1), 42, Ok(&Response::Stat(Stat::default())));
    assert_eq!(ops(&mut world), []);
    let (end, _, token) = over(&mut world).unwrap();
    assert_eq!(end, SessionEnd::Detached);
    let mut world = World::new(SessionConfig {
        resume: token,
        ..config()
    });
    let handshake = world.connect();
    assert_eq!(
        (handshake.session_id, handshake.last_zxid_seen),
        (SessionId(7), Zxid(42))
    );
    assert_eq!(&handshake.password[..], &[9; 16]);
}

#[test]
fn the_server_saying_that_the_session_expired_ends_it() {
    let mut world = World::linked();
    world.submit(1, set("/a"));
    world.submit_with(2, get("/b"), |submission| submission.pin = Some(1));
    world.reply(Xid(1), 5, Err(ErrorCode::SESSION_EXPIRED));
    let actions = world.actions();
    assert!(actions.iter().any(|action| {
        matches!(
            action,
            Action::Ended {
                epoch: 1,
                end: SessionEnd::Expired
            }
        )
    }));
    let failed = actions.iter().filter(|action| {
        matches!(action, Action::Complete { result: Err(error), .. }
            if *error.kind() == Kind::SessionEnded(SessionEnd::Expired))
    });
    assert_eq!(failed.count(), 2);
}

// --- whatever happens ---

/// Something that may happen to a session.
#[derive(Debug, Clone)]
enum Happening {
    Submit {
        write: bool,
        watched: bool,
        pinned: bool,
        timeout: bool,
    },
    CleanUp {
        pinned: bool,
        prefix: bool,
    },
    Unwatch(u64),
    Answer(Option<i32>),
    Event,
    Garbage(Vec<u8>),
    Pong,
    Lose,
    Connect {
        accept: Option<i64>,
    },
    Pass(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    let submit = any::<(bool, bool, bool, bool)>().prop_map(|(write, watched, pinned, timeout)| {
        Happening::Submit {
            write,
            watched,
            pinned,
            timeout,
        }
    });
    let clean_up =
        any::<(bool, bool)>().prop_map(|(pinned, prefix)| Happening::CleanUp { pinned, prefix });
    let refusals = [
        ErrorCode::NO_NODE,
        ErrorCode::THROTTLED_OP,
        ErrorCode::SESSION_EXPIRED,
    ];
    let refusal = prop::sample::select(refusals.to_vec());
    prop_oneof![
        6 => submit,
        2 => clean_up,
        1 => (0..50_u64).prop_map(Happening::Unwatch),
        6 => Just(Happening::Answer(None)),
        2 => refusal.prop_map(|code| Happening::Answer(Some(code.0))),
        2 => Just(Happening::Event),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Happening::Garbage),
        1 => Just(Happening::Pong),
        2 => Just(Happening::Lose),
        4 => prop::option::of(7..9_i64).prop_map(|accept| Happening::Connect { accept }),
        3 => (0..20_000_u64).prop_map(Happening::Pass),
    ]
}

/// Answers the oldest request on the link as its kind wants it.
fn answer(world: &mut World, unanswered: &mut VecDeque<(Xid, Request)>, err: Option<i32>) {
    unanswered.extend(world.sent());
    let Some((xid, request)) = unanswered.pop_front() else {
        return;
    };
    let stat = Stat {
        ephemeral_owner: 7,
        ..Stat::default()
    };
    let response = match request.op() {
        OpCode::EXISTS | OpCode::SET_DATA => Response::Stat(stat),
        OpCode::GET_DATA => Response::Data(None, stat),
        OpCode::GET_CHILDREN => Response::Children(vec!["_c_1-x".into(), "y".into()]),
        OpCode::SYNC => Response::Path("/l".to_owned()),
        OpCode::ADD_WATCH => Response::Code(ErrorCode::OK),
        _ => Response::Empty,
    };
    let result = match err {
        Some(code) => Err(ErrorCode(code)),
        None => Ok(&response),
    };
    world.reply(xid, 5, result);
}

/// Makes it happen; `token` is free for whoever waits. Says whether somebody does.
fn make_happen(
    world: &mut World,
    unanswered: &mut VecDeque<(Xid, Request)>,
    happening: Happening,
    token: u32,
) -> bool {
    match happening {
        Happening::Submit {
            write,
            watched,
            pinned,
            timeout,
        } => {
            let request = match (write, watched) {
                (true, _) => set("/a"),
                (false, true) if token.is_multiple_of(2) => add_watch("/a"),
                (false, true) => get_watched("/a"),
                (false, false) => get("/a"),
            };
            let pin = pinned.then_some(world.session.epoch);
            world.submit_with(token, request, |submission| {
                submission.pin = pin;
                submission.timeout = timeout.then_some(ms(700));
                submission.watcher = (watched && !write).then_some(WatcherId(token.into()));
            });
            return true;
        }
        Happening::CleanUp { pinned, prefix } => {
            let target = if prefix {
                CleanupTarget::Prefix {
                    parent: "/l".to_owned(),
                    prefix: "_c_1-".to_owned(),
                }
            } else {
                CleanupTarget::Ephemeral("/e".to_owned())
            };
            let epoch = pinned.then_some(world.session.epoch);
            clean_up(world, target, epoch, Some(token));
            return true;
        }
        Happening::Unwatch(id) => world.session.unwatch(world.now, WatcherId(id)),
        Happening::Answer(err) => answer(world, unanswered, err),
        Happening::Event => world.event(9, EventType::NodeDataChanged, "/a"),
        Happening::Garbage(bytes) => world.frame(|out| out.extend_from_slice(&bytes)),
        Happening::Pong => world.reply(Xid::PING, 6, Ok(&Response::Empty)),
        Happening::Lose => world.lose(),
        Happening::Connect { accept } => {
            if matches!(world.session.phase, Phase::Waiting { .. }) {
                world.connect();
                if let Some(id) = accept {
                    world.accept(id);
                }
            }
        }
        Happening::Pass(pass) => world.tick(ms(pass)),
    }
    false
}

proptest! {
    /// Nothing makes the session panic, and every request and deletion that somebody waits for has
    /// exactly one result.
    #[test]
    fn whatever_happens_every_token_comes_back_exactly_once(
        happenings in prop::collection::vec(happening(), 0..120)
    ) {
        let mut world = World::new(config());
        let mut unanswered = VecDeque::new();
        let mut tokens = 0_u32;
        let mut results = Vec::new();
        for happening in happenings {
            tokens += u32::from(make_happen(&mut world, &mut unanswered, happening, tokens));
            if !matches!(world.session.phase, Phase::Linked(_)) {
                unanswered.clear();
            }
            results.extend(world.completions().into_iter().map(|(token, _)| token));
        }
        world.session.close(world.now, ms(100));
        for _ in 0..3 {
            world.tick(ms(3000));
        }
        prop_assert!(world.session.is_over());
        prop_assert_eq!(world.session.cleanups.len(), 0);
        results.extend(world.completions().into_iter().map(|(token, _)| token));
        results.sort_unstable();
        prop_assert_eq!(results, (0..tokens).collect::<Vec<_>>());
    }
}
