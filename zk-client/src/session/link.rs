//! One link to a server: numbering and sending requests, and pairing replies with them.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use zk_proto::{
    ErrorCode, OpCode, Reader, Record, ReplyHeader, Request, RequestHeader, Response, SessionId,
    WatcherEvent, Xid, Zxid, write_frame,
};

use super::cleanup::CleanupStep;
use super::{Action, Phase, Repeat, Reply, SET_WATCHES_BYTES_MAX, Session, is_repeatable, path_of};
use crate::error::{Error, Kind, Outcome, Result};
use crate::state::SessionEnd;
use crate::watch::{GapCause, WatchEvent};

/// How often a request that changes nothing is repeated over lost links. A reply that kills every
/// link must not do so for ever.
const TRIES_MAX: u32 = 4;

#[derive(Debug)]
pub(super) struct Link<T> {
    in_flight: VecDeque<InFlight<T>>,
    /// When each ping without a reply was sent.
    pings: VecDeque<Duration>,
    /// Identities without a reply, and when each was sent.
    auths: VecDeque<(u64, Duration)>,
    /// setWatches without a reply.
    unarmed: usize,
    pub(super) last_sent: Duration,
    pub(super) last_received: Duration,
}

#[derive(Debug)]
struct InFlight<T> {
    xid: Xid,
    sent: Duration,
    entry: Entry<T>,
}

/// A request, sent or waiting.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) origin: Origin<T>,
    pub(super) request: Request,
    pub(super) pin: Option<u64>,
    pub(super) watcher: Option<super::WatcherId>,
    pub(super) deadline: Option<Duration>,
    pub(super) tries: u32,
}

/// Who makes a request.
#[derive(Debug)]
pub(super) enum Origin<T> {
    /// A caller; `None` once told that it takes too long.
    User(Option<T>),
    Cleanup(CleanupStep),
    SetWatches,
    Unwatch,
    Close,
}

impl<T> Entry<T> {
    pub(super) fn internal(origin: Origin<T>, request: Request) -> Self {
        Self {
            origin,
            request,
            pin: None,
            watcher: None,
            deadline: None,
            tries: 0,
        }
    }

    /// Takes the caller away from a request that stays on its way.
    pub(super) fn abandon(&mut self) -> Self {
        self.deadline = None;
        Self {
            origin: std::mem::replace(&mut self.origin, Origin::User(None)),
            request: self.request.clone(),
            pin: self.pin,
            watcher: None,
            deadline: None,
            tries: self.tries,
        }
    }

    pub(super) fn has_caller(&self) -> bool {
        matches!(self.origin, Origin::User(Some(_)))
    }

    /// What is known of a request that was sent and has no reply.
    pub(super) fn outcome_unanswered(&self) -> Outcome {
        if is_repeatable(&self.request) {
            Outcome::NotApplied
        } else {
            Outcome::Unknown
        }
    }
}

impl<T> Link<T> {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            in_flight: VecDeque::new(),
            pings: VecDeque::new(),
            auths: VecDeque::new(),
            unarmed: 0,
            last_sent: now,
            last_received: now,
        }
    }

    pub(super) fn has_proved_identities(&self) -> bool {
        self.auths.is_empty()
    }

    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry<T>> {
        self.in_flight.iter_mut().map(|flight| &mut flight.entry)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry<T>> {
        self.in_flight.iter().map(|flight| &flight.entry)
    }

    pub(super) fn into_entries(self) -> impl Iterator<Item = Entry<T>> {
        self.in_flight.into_iter().map(|flight| flight.entry)
    }
}

impl<T> Session<T> {
    pub(super) fn send_or_queue(&mut self, now: Duration, entry: Entry<T>) {
        if matches!(self.phase, Phase::Linked(_)) {
            self.send(now, entry);
        } else {
            self.queue.push_back(entry);
        }
    }

    /// Sends on the link; without one, the request is dropped.
    pub(super) fn send(&mut self, now: Duration, entry: Entry<T>) {
        let Phase::Linked(link) = &mut self.phase else {
            return;
        };
        let xid = match entry.origin {
            Origin::SetWatches => Xid::SET_WATCHES,
            Origin::User(_) | Origin::Cleanup(_) | Origin::Unwatch | Origin::Close => {
                let xid = self.next_xid;
                // Zero and the negative numbers have meanings of their own.
                self.next_xid = if xid == i32::MAX { 1 } else { xid + 1 };
                Xid(xid)
            }
        };
        let op = entry.request.op();
        write_frame(&mut self.output, |out| {
            RequestHeader { xid, op }.encode(out);
            entry.request.encode(out);
        });
        link.last_sent = now;
        link.in_flight.push_back(InFlight {
            xid,
            sent: now,
            entry,
        });
    }

    pub(super) fn send_queue(&mut self, now: Duration) {
        for entry in std::mem::take(&mut self.queue) {
            self.send(now, entry);
        }
    }

    pub(super) fn send_ping(&mut self, now: Duration) {
        let Phase::Linked(link) = &mut self.phase else {
            return;
        };
        let (xid, op) = (Xid::PING, OpCode::PING);
        write_frame(&mut self.output, |out| {
            RequestHeader { xid, op }.encode(out);
        });
        link.last_sent = now;
        link.pings.push_back(now);
    }

    pub(super) fn send_auths(&mut self, now: Duration) {
        let ids = self.auths.iter().map(|auth| auth.id).collect::<Vec<_>>();
        for id in ids {
            self.send_auth(now, id);
        }
    }

    pub(super) fn send_auth(&mut self, now: Duration, id: u64) {
        let Phase::Linked(link) = &mut self.phase else {
            return;
        };
        let Some(auth) = self.auths.iter().find(|auth| auth.id == id) else {
            return;
        };
        let request = Request::Auth(zk_proto::Auth {
            kind: 0,
            scheme: auth.scheme.clone(),
            auth: auth.auth.clone(),
        });
        write_frame(&mut self.output, |out| {
            let (xid, op) = (Xid::AUTH, OpCode::AUTH);
            RequestHeader { xid, op }.encode(out);
            request.encode(out);
        });
        link.last_sent = now;
        link.auths.push_back((id, now));
    }

    /// Restores the watches. Persistent ones have missed what happened meanwhile, and say so.
    pub(super) fn send_watches(&mut self, now: Duration, cause: GapCause) {
        let since = self.told_zxid;
        for watcher in self.watches.persistent() {
            self.actions.push_back(Action::Notify {
                watcher,
                item: Ok(WatchEvent::Gap { since, cause }),
                told: since,
                last: false,
            });
        }
        for chunk in self.watches.chunks(since, SET_WATCHES_BYTES_MAX) {
            if let Phase::Linked(link) = &mut self.phase {
                link.unarmed += 1;
            }
            let request = Request::SetWatches(chunk);
            self.send(now, Entry::internal(Origin::SetWatches, request));
        }
    }

    pub(super) fn send_unwatch(&mut self, now: Duration, request: Request) {
        self.send(now, Entry::internal(Origin::Unwatch, request));
    }

    pub(super) fn on_reply(&mut self, now: Duration, frame: &Bytes) {
        let mut reader = Reader::new(frame);
        let Ok(header) = ReplyHeader::decode(&mut reader) else {
            return self.on_violation(now);
        };
        if let Phase::Linked(link) = &mut self.phase {
            link.last_received = now;
        }
        self.failures = 0;
        self.last_zxid = self.last_zxid.max(header.zxid);
        match header.xid {
            Xid::NOTIFICATION => match WatcherEvent::decode(&mut reader) {
                Ok(event) => self.on_event(header.zxid, &event),
                Err(_) => self.on_violation(now),
            },
            Xid::PING => self.on_pong(header.zxid),
            Xid::AUTH => self.on_auth(now, header.err),
            _ => self.on_answer(now, header, reader),
        }
    }

    fn on_event(&mut self, zxid: Zxid, event: &WatcherEvent) {
        // Servers before 3.9 send −1.
        let zxid = Some(zxid).filter(|zxid| zxid.0 > 0);
        for (watcher, last) in self.watches.fire(event.event, &event.path) {
            if let Some(event) = WatchEvent::new(event.event, event.path.clone(), zxid) {
                self.actions.push_back(Action::Notify {
                    watcher,
                    item: Ok(event),
                    told: self.told_zxid,
                    last,
                });
            }
        }
    }

    fn on_pong(&mut self, zxid: Zxid) {
        if let Phase::Linked(link) = &mut self.phase
            && let Some(sent) = link.pings.pop_front()
        {
            self.acknowledged(sent);
            self.told(zxid);
        }
    }

    fn on_auth(&mut self, now: Duration, err: ErrorCode) {
        let Phase::Linked(link) = &mut self.phase else {
            return;
        };
        let Some((id, sent)) = link.auths.pop_front() else {
            return self.on_violation(now);
        };
        self.acknowledged(sent);
        let Some(at) = self.auths.iter().position(|auth| auth.id == id) else {
            return;
        };
        if err.is_ok() {
            let waiter = self.auths.get_mut(at).and_then(|auth| auth.waiter.take());
            if let Some(waiter) = waiter {
                let reply = Reply {
                    response: Response::Empty,
                    xid: Xid::AUTH,
                    zxid: self.last_zxid,
                };
                self.push_result(waiter, Ok(reply));
            }
            return;
        }
        match self.auths.remove(at).waiter {
            // The server closes the connection by itself; the identity is forgotten.
            Some(waiter) => {
                let error = Error::not_applied(OpCode::AUTH, None, Kind::AuthFailed);
                self.push_result(waiter, Err(error));
            }
            // Going on with fewer identities than asked for would be going on as somebody else.
            None => self.over(SessionEnd::AuthFailed, false),
        }
    }

    fn on_answer(&mut self, now: Duration, header: ReplyHeader, mut reader: Reader<'_>) {
        let Phase::Linked(link) = &mut self.phase else {
            return;
        };
        let Some(flight) = link.in_flight.pop_front() else {
            return self.on_violation(now);
        };
        if flight.xid != header.xid {
            link.in_flight.push_front(flight);
            return self.on_violation(now);
        }
        let InFlight {
            sent, mut entry, ..
        } = flight;
        if matches!(entry.origin, Origin::SetWatches) {
            link.unarmed -= 1;
        }
        self.acknowledged(sent);
        self.told(header.zxid);
        let result = if header.err.is_ok() {
            match Response::decode(entry.request.op(), &mut reader) {
                Ok(response) => Ok(response),
                Err(error) => {
                    let outcome = entry.outcome_unanswered();
                    self.fail(&mut entry, Kind::Protocol(error), outcome);
                    return self.on_violation(now);
                }
            }
        } else {
            Err(header.err)
        };
        match &entry.origin {
            Origin::User(_) => self.on_user_answer(now, entry, header, result),
            Origin::Cleanup(step) => {
                let step = *step;
                self.on_cleanup_answer(now, step, result);
            }
            // Without its watches the link is worth nothing.
            Origin::SetWatches if result.is_err() => self.on_violation(now),
            // A watch that is to be removed may have fired meanwhile.
            Origin::SetWatches | Origin::Unwatch => {}
            Origin::Close => self.over(SessionEnd::Closed, true),
        }
    }

    fn on_user_answer(
        &mut self,
        now: Duration,
        mut entry: Entry<T>,
        header: ReplyHeader,
        result: std::result::Result<Response, ErrorCode>,
    ) {
        let absent =
            matches!(entry.request, Request::Exists { .. }) && result == Err(ErrorCode::NO_NODE);
        let result = if absent { Ok(Response::Empty) } else { result };
        match result {
            Ok(response) => {
                if let Some(watcher) = entry.watcher
                    && let Some(unwatch) = self.watches.arm(watcher, absent)
                {
                    self.send_unwatch(now, unwatch);
                }
                if let Origin::User(Some(token)) = entry.origin {
                    let reply = Reply {
                        response,
                        xid: header.xid,
                        zxid: header.zxid,
                    };
                    self.push_result(token, Ok(reply));
                }
            }
            Err(code) => {
                let outcome = match code {
                    ErrorCode::SYSTEM_ERROR
                    | ErrorCode::OPERATION_TIMEOUT
                    | ErrorCode::REQUEST_TIMEOUT
                    | ErrorCode::CONNECTION_LOSS => entry.outcome_unanswered(),
                    _ => Outcome::NotApplied,
                };
                self.fail(&mut entry, Kind::of_code(code), outcome);
                if code == ErrorCode::SESSION_EXPIRED {
                    self.end_session(now, SessionEnd::Expired);
                }
            }
        }
    }

    /// Completes a request for a watch that the server keeps already.
    pub(super) fn complete_shared(&mut self, entry: Entry<T>) {
        if let Origin::User(Some(token)) = entry.origin {
            let reply = Reply {
                response: Response::Code(ErrorCode::OK),
                xid: Xid(0),
                zxid: self.last_zxid,
            };
            self.push_result(token, Ok(reply));
        }
    }

    fn acknowledged(&mut self, sent: Duration) {
        if let Some(open) = &mut self.open {
            open.acked_sent = open.acked_sent.max(sent);
        }
    }

    /// A reply shows the tree as of `zxid`, so that every event up to there has come. While watches
    /// are being restored that is not so: the events of those not yet restored are still to come.
    fn told(&mut self, zxid: Zxid) {
        if let Phase::Linked(link) = &self.phase
            && link.unarmed == 0
        {
            self.told_zxid = self.told_zxid.max(zxid);
        }
    }

    /// Tells the caller, if it still waits, and forgets the watcher.
    pub(super) fn fail(&mut self, entry: &mut Entry<T>, kind: Kind, outcome: Outcome) {
        if let Some(watcher) = entry.watcher {
            self.watches.forget(watcher);
        }
        if let Origin::User(token) = &mut entry.origin
            && let Some(token) = token.take()
        {
            let path = path_of(&entry.request).map(str::to_owned);
            let session = self.open.as_ref().map_or(SessionId(0), |open| open.id);
            let error = Error::new(entry.request.op(), path, kind, outcome).with_session(session);
            let result: Result<Reply> = Err(error);
            self.push_result(token, result);
        }
    }

    /// Leaves the link. Requests that change nothing are made again on the next one, before all that
    /// waits; others fail, their outcome unknown.
    pub(super) fn lost(&mut self, now: Duration, repeat: Repeat) {
        let until = now + self.next_wait();
        let phase = std::mem::replace(&mut self.phase, Phase::Waiting { until });
        self.output.clear();
        self.interrupt_cleanups();
        self.set_state_unlinked();
        let Phase::Linked(link) = phase else {
            return;
        };
        let mut again = Vec::new();
        for mut entry in link.into_entries() {
            entry.tries += 1;
            let repeatable = repeat == Repeat::Allowed
                && entry.has_caller()
                && entry.tries < TRIES_MAX
                && is_repeatable(&entry.request);
            if repeatable {
                again.push(entry);
            } else {
                let outcome = entry.outcome_unanswered();
                self.fail(&mut entry, Kind::ConnectionLoss, outcome);
            }
        }
        for entry in again.into_iter().rev() {
            self.queue.push_front(entry);
        }
    }
}
