//! A client's session as a value: what happened goes in with the time, what is to be done comes out.
//!
//! It knows the protocol of the client port, the order of requests, watches, deletions that must
//! happen, and when a session is over. It does not know sockets, clocks, names of servers, or how
//! callers wait. The same inputs give the same actions.
//!
//! ```text
//!               ┌──────────────── failed, or the session is over ───────────────┐
//!               ▼                        │                                      │
//!  Waiting{until} ──tick──► Connecting ──┴─on_connected──► Handshake ──reply──► Linked
//!               ▲                                                               │
//!               └──────────────────────────── lost ─────────────────────────────┘
//!                       any ── closed, detached, refused ──► Over
//! ```
//!
//! One session lasts over many links; its epoch counts the sessions of one client. On every link the
//! order is: identities, watches, then requests in the order submitted.

mod cleanup;
mod ending;
mod link;
mod request;
#[cfg(test)]
mod tests;
mod timing;
mod watches;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use zk_proto::{
    ConnectRequest, ConnectResponse, Reader, Record, Request, Response, SessionId, Xid, Zxid,
    write_frame,
};

use crate::error::{Error, Kind, Outcome, Result};
use crate::state::{CloseReport, SessionEnd, State};
use crate::token::SessionToken;
use crate::watch::{GapCause, WatchItem};

pub use cleanup::CleanupTarget;
use cleanup::Cleanups;
use ending::Closing;
use link::{Entry, Link, Origin};
use request::is_repeatable;
pub(crate) use request::{path_of, size_of};
pub use watches::WatcherId;
use watches::Watches;

/// Most bytes of paths in one setWatches (`ClientCnxn.SET_WATCHES_MAX_LENGTH`, 3.9.5).
pub const SET_WATCHES_BYTES_MAX: usize = 128 << 10;

/// How a session behaves.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// The timeout to ask for.
    pub timeout: Duration,
    /// Whether a read-only server will do.
    pub read_only: bool,
    /// How many servers there are: after so many failures the waits begin.
    pub servers: usize,
    /// The first wait.
    pub backoff_min: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// The source of jitter.
    pub seed: u64,
    /// The first request's number.
    pub first_xid: i32,
    /// Identities to prove on every link.
    pub auths: Vec<(String, Bytes)>,
    /// The session to take over, instead of opening one.
    pub resume: Option<SessionToken>,
}

/// A request to be made. `T` is what its reply is given back with.
#[derive(Debug)]
pub struct Submission<T> {
    /// Goes with the reply.
    pub token: T,
    /// What is asked for, with the server's paths.
    pub request: Request,
    /// The epoch outside of which it must not be made.
    pub pin: Option<u64>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Who hears of the watch that it leaves.
    pub watcher: Option<WatcherId>,
}

/// A successful reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The content; of an exists that found nothing, [`Response::Empty`].
    pub response: Response,
    /// The request's number; zero when it was answered without being sent.
    pub xid: Xid,
    /// The newest transaction whose effect the reply may show.
    pub zxid: Zxid,
}

/// Something to be done, in this order.
#[derive(Debug)]
pub enum Action<T> {
    /// Connect to the next server, then call [`Session::on_connected`] or [`Session::on_lost`].
    Connect {
        /// After so long the attempt is given up.
        within: Duration,
    },
    /// Drop the connection. Nothing is to be told about it any more.
    Disconnect,
    /// A request has its result.
    Complete {
        /// What was submitted with it.
        token: T,
        /// The reply, or why there is none.
        result: Result<Reply>,
    },
    /// A watcher has something to hear.
    Notify {
        /// The watcher.
        watcher: WatcherId,
        /// An event, or the end.
        item: WatchItem,
        /// Before the event, nothing up to this transaction is missing.
        told: Zxid,
        /// Whether nothing follows.
        last: bool,
    },
    /// A session was opened or taken over.
    Opened {
        /// Its number within the client.
        epoch: u64,
        /// Its id.
        id: SessionId,
        /// The timeout granted.
        timeout: Duration,
    },
    /// A session is over.
    Ended {
        /// Its number within the client.
        epoch: u64,
        /// Why.
        end: SessionEnd,
    },
    /// The state changed.
    State(State),
    /// Nothing more will happen.
    Over {
        /// Why.
        end: SessionEnd,
        /// What was left behind.
        report: CloseReport,
        /// The session, when it was detached.
        token: Option<SessionToken>,
    },
}

/// The session of one client. Times are since an arbitrary start and never go back.
#[derive(Debug)]
pub struct Session<T> {
    config: SessionConfig,
    phase: Phase<T>,
    open: Option<Open>,
    /// Of the newest session; zero before the first.
    epoch: u64,
    last_end: SessionEnd,
    /// The newest transaction seen in any way. Servers that are behind it are refused.
    last_zxid: Zxid,
    /// Every event up to this transaction was handed to its owners. Only replies move it: an event
    /// may be followed by others of the same transaction, a reply comes after all of them.
    told_zxid: Zxid,
    /// Requests that wait for a link.
    queue: VecDeque<Entry<T>>,
    watches: Watches,
    cleanups: Cleanups<T>,
    auths: Vec<Auth<T>>,
    next_auth: u64,
    /// Attempts to connect since a server last answered a request.
    failures: u32,
    random: u64,
    next_xid: i32,
    /// No request's time runs out before.
    earliest: Option<Duration>,
    closing: Option<Closing>,
    state: State,
    output: BytesMut,
    actions: VecDeque<Action<T>>,
}

/// The session at the servers.
#[derive(Debug)]
struct Open {
    id: SessionId,
    password: Bytes,
    timeout: Duration,
    /// When the last acknowledged request was sent.
    acked_sent: Duration,
}

/// An identity to prove on every link.
#[derive(Debug)]
struct Auth<T> {
    id: u64,
    scheme: String,
    auth: Bytes,
    /// Who asked for it and does not know yet.
    waiter: Option<T>,
}

#[derive(Debug)]
enum Phase<T> {
    Waiting { until: Duration },
    Connecting { deadline: Duration },
    Handshake { sent: Duration, deadline: Duration },
    Linked(Link<T>),
    Over,
}

impl<T> Session<T> {
    /// A session that connects at the first tick.
    #[must_use]
    pub fn new(config: SessionConfig) -> Self {
        let resumed = config.resume.as_ref();
        let last_zxid = resumed.map_or(Zxid::ZERO, SessionToken::last_zxid);
        let mut session = Self {
            phase: Phase::Waiting {
                until: Duration::ZERO,
            },
            open: None,
            epoch: 0,
            last_end: SessionEnd::Expired,
            last_zxid,
            told_zxid: last_zxid,
            queue: VecDeque::new(),
            watches: Watches::default(),
            cleanups: Cleanups::default(),
            auths: Vec::new(),
            next_auth: 0,
            failures: 0,
            random: config.seed,
            next_xid: config.first_xid,
            earliest: None,
            closing: None,
            state: State::Connecting,
            output: BytesMut::new(),
            actions: VecDeque::new(),
            config,
        };
        for (scheme, auth) in std::mem::take(&mut session.config.auths) {
            session.remember_auth(scheme, auth, None);
        }
        session
    }

    /// The next thing to be done.
    pub fn next_action(&mut self) -> Option<Action<T>> {
        self.actions.pop_front()
    }

    /// Bytes to be written to the connection; what is taken from it counts as written.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Until when the session surely lives: three quarters of its timeout after the last
    /// acknowledged request was sent. The rest of the timeout covers what a server may not have
    /// told its leader when it crashes, half a tick at most. `None` without a session.
    #[must_use]
    pub fn valid_until(&self) -> Option<Duration> {
        let open = self.open.as_ref()?;
        Some(open.acked_sent + open.timeout * 3 / 4)
    }

    /// Whether there is a link on which every identity was accepted.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(&self.phase, Phase::Linked(link) if link.has_proved_identities())
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Takes a request. It is sent at once when there is a link.
    pub fn submit(&mut self, now: Duration, submission: Submission<T>) {
        let Submission {
            token,
            request,
            pin,
            timeout,
            watcher,
        } = submission;
        let mut entry = Entry {
            origin: Origin::User(Some(token)),
            request,
            pin,
            watcher,
            deadline: timeout.map(|timeout| now + timeout),
            tries: 0,
        };
        if self.closing.is_some() || self.is_over() {
            return self.fail(&mut entry, Kind::Closed, Outcome::NotApplied);
        }
        if pin.is_some_and(|pin| self.open.is_none() || pin != self.epoch) {
            let kind = Kind::SessionEnded(self.last_end);
            return self.fail(&mut entry, kind, Outcome::NotApplied);
        }
        if let Some(watcher) = watcher {
            let shared = self.watches.register(watcher, &entry.request, pin);
            if shared {
                // The server watches this path in this way already.
                return self.complete_shared(entry);
            }
        }
        if let Some(deadline) = entry.deadline {
            self.earliest = Some(self.earliest.map_or(deadline, |known| known.min(deadline)));
        }
        self.send_or_queue(now, entry);
    }

    /// Proves an identity on this link and all later ones. The token is completed when a server has
    /// accepted or refused it.
    pub fn add_auth(&mut self, now: Duration, scheme: String, auth: Bytes, token: T) {
        if self.closing.is_some() || self.is_over() {
            let error = Error::not_applied(zk_proto::OpCode::AUTH, None, Kind::Closed);
            return self.push_result(token, Err(error));
        }
        let id = self.remember_auth(scheme, auth, Some(token));
        self.send_auth(now, id);
    }

    fn remember_auth(&mut self, scheme: String, auth: Bytes, waiter: Option<T>) -> u64 {
        let id = self.next_auth;
        self.next_auth += 1;
        self.auths.push(Auth {
            id,
            scheme,
            auth,
            waiter,
        });
        id
    }

    /// A watcher has gone. The server's watch is removed with the last watcher of its path.
    pub fn unwatch(&mut self, now: Duration, watcher: WatcherId) {
        if let Some(request) = self.watches.unregister(watcher) {
            self.send_unwatch(now, request);
        }
    }

    /// The connection that was asked for stands.
    pub fn on_connected(&mut self, now: Duration) {
        let Phase::Connecting { deadline } = self.phase else {
            return;
        };
        let (session_id, password) = match (&self.open, &self.config.resume) {
            (Some(open), _) => (open.id, open.password.clone()),
            (None, Some(token)) if self.epoch == 0 => {
                (token.id(), token.password().unwrap_or_default())
            }
            (None, _) => (SessionId(0), Bytes::from_static(&[0; 16])),
        };
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            timeout_ms: i32::try_from(self.config.timeout.as_millis()).unwrap_or(i32::MAX),
            session_id,
            password,
            read_only: Some(self.config.read_only),
        };
        self.output.clear();
        write_frame(&mut self.output, |out| request.encode(out));
        self.phase = Phase::Handshake {
            sent: now,
            deadline,
        };
    }

    /// The connection is gone, or could not be made.
    pub fn on_lost(&mut self, now: Duration) {
        if !matches!(self.phase, Phase::Waiting { .. } | Phase::Over) {
            self.lost(now, Repeat::Allowed);
            self.advance_closing(now);
        }
    }

    /// A frame has come, without its length.
    pub fn on_frame(&mut self, now: Duration, frame: &Bytes) {
        match self.phase {
            Phase::Handshake { sent, .. } => self.on_handshake(now, sent, frame),
            Phase::Linked(_) => self.on_reply(now, frame),
            Phase::Waiting { .. } | Phase::Connecting { .. } | Phase::Over => {}
        }
        self.advance_closing(now);
    }

    /// The server sent what no client can read, such as a frame of an absurd length. No request that
    /// it may belong to is repeated.
    pub fn on_violation(&mut self, now: Duration) {
        if !matches!(self.phase, Phase::Waiting { .. } | Phase::Over) {
            self.actions.push_back(Action::Disconnect);
            self.lost(now, Repeat::Forbidden);
            self.advance_closing(now);
        }
    }

    fn on_handshake(&mut self, now: Duration, sent: Duration, frame: &Bytes) {
        let Ok(response) = ConnectResponse::decode(&mut Reader::new(frame)) else {
            return self.on_violation(now);
        };
        let resuming = self.open.is_some() || (self.epoch == 0 && self.config.resume.is_some());
        let timeout_ms = u64::try_from(response.timeout_ms).unwrap_or(0);
        if timeout_ms == 0 || response.session_id.0 == 0 {
            if resuming {
                self.end_session(now, SessionEnd::Expired);
            } else {
                self.on_violation(now);
            }
            return;
        }
        let asked = match (&self.open, &self.config.resume) {
            (Some(open), _) => Some(open.id),
            (None, Some(token)) if self.epoch == 0 => Some(token.id()),
            (None, _) => None,
        };
        // A server that gives another session instead of the one asked for says, in its way, that
        // the latter is over.
        if asked.is_some_and(|asked| asked != response.session_id) {
            self.end_epoch(SessionEnd::Expired);
            if self.is_over() {
                return;
            }
        }
        let timeout = Duration::from_millis(timeout_ms);
        let cause = match &mut self.open {
            Some(open) => {
                open.timeout = timeout;
                open.acked_sent = open.acked_sent.max(sent);
                GapCause::Reconnected
            }
            None => {
                self.epoch += 1;
                self.open = Some(Open {
                    id: response.session_id,
                    password: response.password,
                    timeout,
                    acked_sent: sent,
                });
                self.actions.push_back(Action::Opened {
                    epoch: self.epoch,
                    id: response.session_id,
                    timeout,
                });
                GapCause::SessionReplaced
            }
        };
        self.phase = Phase::Linked(Link::new(now));
        self.set_state(State::Connected {
            read_only: response.read_only.unwrap_or(false),
        });
        self.send_auths(now);
        self.send_watches(now, cause);
        self.send_queue(now);
        self.start_cleanups(now);
    }

    fn set_state(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.actions.push_back(Action::State(state));
        }
    }

    fn push_result(&mut self, token: T, result: Result<Reply>) {
        self.actions.push_back(Action::Complete { token, result });
    }
}

/// Whether requests without a reply may be made again on the next link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Allowed,
    Forbidden,
}
