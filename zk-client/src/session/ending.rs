//! Ends: of one session, after which another is opened, and of the whole client.

use std::time::Duration;

use zk_proto::{OpCode, Request, SessionId};

use super::link::{Entry, Origin};
use super::{Action, Open, Phase, Repeat, Session};
use crate::error::{Error, Kind, Outcome};
use crate::state::{CloseReport, SessionEnd, State};
use crate::token::SessionToken;
use crate::watch::WatchEnd;

/// How long the server has to confirm the end of the session, beyond the time for draining.
const CONFIRM_WAIT: Duration = Duration::from_secs(2);

/// The client is about to end.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) deadline: Duration,
    /// Whether the session is to go on elsewhere.
    detach: bool,
    /// Whether closeSession was sent.
    sent: bool,
}

impl<T> Session<T> {
    /// Ends the session. What was submitted and what is to be deleted has until `drain` from now.
    pub fn close(&mut self, now: Duration, drain: Duration) {
        self.begin_closing(now, drain, false);
    }

    /// Leaves the session without ending it, likewise.
    pub fn detach(&mut self, now: Duration, drain: Duration) {
        self.begin_closing(now, drain, true);
    }

    fn begin_closing(&mut self, now: Duration, drain: Duration, detach: bool) {
        if self.closing.is_none() && !self.is_over() {
            self.closing = Some(Closing {
                deadline: now.saturating_add(drain),
                detach,
                sent: false,
            });
            self.advance_closing(now);
        }
    }

    /// Goes on with closing as far as possible; does nothing otherwise.
    pub(super) fn advance_closing(&mut self, now: Duration) {
        let Some(closing) = &self.closing else {
            return;
        };
        if self.is_over() {
            return;
        }
        let late = closing.deadline <= now;
        let (detach, sent) = (closing.detach, closing.sent);
        let linked = matches!(self.phase, Phase::Linked(_));
        if self.open.is_none() {
            self.over(SessionEnd::Closed, false);
        } else if sent {
            if late || !linked {
                self.over(SessionEnd::Closed, false);
            }
        } else if !late && self.is_draining(detach) {
            // What was begun still has time.
        } else if detach {
            self.over(SessionEnd::Detached, false);
        } else if linked {
            if let Some(closing) = &mut self.closing {
                closing.sent = true;
                closing.deadline = closing.deadline.max(now) + CONFIRM_WAIT;
            }
            self.send(now, Entry::internal(Origin::Close, Request::CloseSession));
        } else if late {
            self.over(SessionEnd::Closed, false);
        }
    }

    /// What is on its way is answered before closeSession is, so that only a detached session has to
    /// wait for it.
    fn is_draining(&self, detach: bool) -> bool {
        let begun = if detach {
            self.callers()
        } else {
            self.queue.len()
        };
        begun > 0 || self.cleanups.len() > 0
    }

    /// Requests that somebody waits for.
    fn callers(&self) -> usize {
        let linked = match &self.phase {
            Phase::Linked(link) => Some(link.entries()),
            _ => None,
        };
        let entries = linked.into_iter().flatten().chain(&self.queue);
        entries.filter(|entry| entry.has_caller()).count()
    }

    /// The session is over; another is opened on another link.
    pub(super) fn end_session(&mut self, now: Duration, end: SessionEnd) {
        match self.phase {
            Phase::Handshake { .. } | Phase::Linked(_) => {
                self.actions.push_back(Action::Disconnect);
                self.lost(now, Repeat::Allowed);
                self.phase = Phase::Waiting { until: now };
            }
            // A connection that is being made serves the next session as well.
            Phase::Waiting { .. } | Phase::Connecting { .. } => {}
            Phase::Over => return,
        }
        self.end_epoch(end);
    }

    /// The session is over; the link, if any, is not.
    pub(super) fn end_epoch(&mut self, end: SessionEnd) {
        self.last_end = end;
        if self.open.take().is_none() {
            // The session to be taken over was over: there is nothing to go on with.
            return self.over(end, false);
        }
        let epoch = self.epoch;
        self.actions.push_back(Action::Ended { epoch, end });
        self.set_state(State::Connecting);
        for mut entry in std::mem::take(&mut self.queue) {
            if entry.pin == Some(epoch) {
                self.fail(&mut entry, Kind::SessionEnded(end), Outcome::NotApplied);
            } else {
                self.queue.push_back(entry);
            }
        }
        self.end_watchers(Some(epoch), end);
        self.end_cleanups(Some(epoch), end);
    }

    fn end_watchers(&mut self, epoch: Option<u64>, end: SessionEnd) {
        for watcher in self.watches.end(epoch) {
            self.actions.push_back(Action::Notify {
                watcher,
                item: Err(WatchEnd(end)),
                told: self.told_zxid,
                last: true,
            });
        }
    }

    /// Nothing more will happen: everybody who waits is told.
    pub(super) fn over(&mut self, end: SessionEnd, session_closed: bool) {
        let report = CloseReport {
            session_closed,
            requests_failed: self.callers(),
            cleanups_left: self.cleanups.len(),
        };
        let phase = std::mem::replace(&mut self.phase, Phase::Over);
        let kind = match end {
            SessionEnd::AuthFailed => Kind::AuthFailed,
            _ => Kind::Closed,
        };
        if let Phase::Linked(link) = phase {
            for mut entry in link.into_entries() {
                let outcome = entry.outcome_unanswered();
                self.fail(&mut entry, kind.clone(), outcome);
            }
        }
        for mut entry in std::mem::take(&mut self.queue) {
            self.fail(&mut entry, kind.clone(), Outcome::NotApplied);
        }
        for auth in std::mem::take(&mut self.auths) {
            if let Some(waiter) = auth.waiter {
                let error = Error::new(OpCode::AUTH, None, kind.clone(), Outcome::Unknown);
                self.push_result(waiter, Err(error));
            }
        }
        self.end_watchers(None, end);
        self.end_cleanups(None, end);
        let open = self.open.take();
        if open.is_some() {
            let epoch = self.epoch;
            self.actions.push_back(Action::Ended { epoch, end });
        }
        self.last_end = end;
        self.set_state(match end {
            SessionEnd::AuthFailed => State::AuthFailed,
            _ => State::Closed,
        });
        self.actions.push_back(Action::Disconnect);
        let token = open
            .filter(|_| end == SessionEnd::Detached)
            .map(|open| self.token(&open));
        self.actions.push_back(Action::Over { end, report, token });
    }

    fn token(&self, open: &Open) -> SessionToken {
        let Open {
            id,
            password,
            timeout,
            ..
        } = open;
        let id: SessionId = *id;
        SessionToken::new(id, password, *timeout, self.last_zxid)
    }
}
