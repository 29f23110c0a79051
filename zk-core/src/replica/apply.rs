//! What is agreed on is applied, told and answered.

use zk_proto::{ErrorCode, MultiResult, OpCode, Response, Txn, TxnHeader, Zxid};

use super::{DIGEST_INTERVAL, DIGESTS_MAX, Replica};
use crate::tree::{Applied, Judged, Outcome};
use crate::unapplied::Unapplied;
use crate::{CloseReason, DigestAt};

impl Replica {
    /// Applies a transaction. Whether it came out as whoever made it expected: it changed what it was
    /// to change, and left the tree with its digest.
    pub(crate) fn apply(&mut self, agreed: &Unapplied) -> bool {
        let Unapplied {
            header,
            txn,
            digest,
            record,
        } = agreed;
        let zxid = header.zxid;
        assert!(
            self.fuzzy.is_none(),
            "a tree that is not exact yet is served"
        );
        self.recent.push(zxid, record);
        let Applied { outcome, changes } = self.tree.apply(header, txn);
        let mut is_expected = is_expected(txn, &outcome);
        if let &Some(expected) = digest {
            let found = self.tree.digest();
            is_expected &= found == expected;
            self.keep_digest(zxid, found);
        }
        self.tell_changes(zxid, &changes);
        match txn {
            &Txn::CreateSession { timeout_ms } => {
                self.open_session(header.session, timeout_ms);
            }
            Txn::CloseSession { .. } => self.end_session(header),
            _ => self.answer(header, txn, outcome),
        }
        is_expected
    }

    /// Applies a transaction while there are no clients yet, to a tree that may show it already.
    pub(crate) fn catch_up(&mut self, agreed: &Unapplied) {
        let Unapplied {
            header,
            txn,
            digest,
            record,
        } = agreed;
        let zxid = header.zxid;
        self.recent.push(zxid, record);
        let outcome = self.tree.replay(header, txn);
        match txn {
            &Txn::CreateSession { timeout_ms } => {
                self.open_session(header.session, timeout_ms);
            }
            Txn::CloseSession { .. } => self.end_session(header),
            _ => {}
        }
        let found = self.tree.digest();
        let is_expected = match self.fuzzy.take() {
            Some(fuzzy) => match fuzzy.judge(zxid, found, *digest) {
                Judged::Fuzzy(still) => {
                    self.fuzzy = Some(still);
                    return;
                }
                Judged::Exact => true,
                Judged::Differs(_) => false,
            },
            None => is_expected(txn, &outcome) && digest.is_none_or(|digest| digest == found),
        };
        self.count_unless(is_expected);
        if digest.is_some() {
            self.keep_digest(zxid, found);
        }
    }

    /// Nothing more is to be applied that the tree may show already: clients may come.
    pub(crate) fn caught_up(&mut self) {
        let suspected = self.fuzzy.take().and_then(|fuzzy| fuzzy.differs_at());
        self.count_unless(suspected.is_none());
    }

    fn count_unless(&mut self, is_expected: bool) {
        self.counters.digest_mismatches += u64::from(!is_expected);
    }

    fn keep_digest(&mut self, zxid: Zxid, digest: u64) {
        if zxid.0 % DIGEST_INTERVAL == 0 {
            self.digests.push_back(DigestAt { zxid, digest });
            if self.digests.len() > DIGESTS_MAX {
                self.digests.pop_front();
            }
        }
    }

    /// Answers the request that became the transaction, if it was asked for here.
    fn answer(&mut self, header: &TxnHeader, txn: &Txn, outcome: Outcome) {
        let Some(session) = self.sessions.slot_of(header.session) else {
            return;
        };
        let session = self.sessions.get_mut(session);
        let Some(answered) = session.take_answered(header.cxid, header.zxid) else {
            return;
        };
        let Some(slot) = session.conn else {
            return;
        };
        if self.conns.get(slot).id == answered.conn {
            let mut result = response(header.op, txn, outcome);
            if answered.wants_too_much {
                result = result_of_local_session(result);
            }
            if result == Err(ErrorCode::SESSION_MOVED) {
                self.close(slot, CloseReason::SessionMoved);
                return;
            }
            self.reply(answered.conn, header.cxid, header.zxid, result);
        }
        self.take_turns(slot);
    }

    fn end_session(&mut self, header: &TxnHeader) {
        let Some(session) = self.sessions.slot_of(header.session) else {
            return;
        };
        let asked = (self.sessions.get_mut(session)).take_answered(header.cxid, header.zxid);
        if let Some(slot) = self.sessions.get(session).conn {
            let conn = self.conns.get(slot).id;
            let is_asked_for = asked.is_some_and(|asked| asked.conn == conn);
            let reason = if is_asked_for {
                self.reply(conn, header.cxid, header.zxid, Ok(Response::Empty));
                CloseReason::SessionClosed
            } else {
                CloseReason::SessionExpired
            };
            self.close(slot, reason);
        }
        self.forget_session(session);
    }
}

/// Whether a transaction changed what it was to change.
fn is_expected(txn: &Txn, outcome: &Outcome) -> bool {
    matches!(txn, Txn::Error(_)) || !matches!(outcome, Outcome::Error(_))
}

fn response(op: OpCode, txn: &Txn, outcome: Outcome) -> Result<Response, ErrorCode> {
    Ok(match outcome {
        Outcome::Created { path, .. } if op == OpCode::CREATE => Response::Path(path),
        Outcome::Created { path, stat } => Response::PathAndStat(path, stat),
        Outcome::Deleted | Outcome::Checked | Outcome::Session => Response::Empty,
        Outcome::Changed(stat) if op == OpCode::RECONFIG => {
            let Txn::SetData { data, .. } = txn else {
                unreachable!("a reconfig writes the membership");
            };
            Response::Data(data.clone(), stat)
        }
        Outcome::Changed(stat) => Response::Stat(stat),
        Outcome::Multi(outcomes) => {
            let Txn::Multi(parts) = txn else {
                unreachable!("only a multi has parts");
            };
            let ops = parts.iter().map(|&(op, _)| op);
            Response::Multi(
                ops.zip(outcomes)
                    .map(|(op, outcome)| result(op, outcome))
                    .collect(),
            )
        }
        Outcome::Error(code) => return Err(code),
    })
}

/// Says why a local session may not own an ephemeral, where it was only said that there is no such session.
fn result_of_local_session(result: Result<Response, ErrorCode>) -> Result<Response, ErrorCode> {
    let said = |code| match code {
        ErrorCode::SESSION_EXPIRED => ErrorCode::EPHEMERAL_ON_LOCAL_SESSION,
        code => code,
    };
    match result {
        Ok(Response::Multi(parts)) => {
            let parts = parts.into_iter().map(|part| match part {
                MultiResult::Error(code) => MultiResult::Error(said(code)),
                part => part,
            });
            Ok(Response::Multi(parts.collect()))
        }
        result => result.map_err(said),
    }
}

fn result(op: OpCode, outcome: Outcome) -> MultiResult {
    match outcome {
        Outcome::Created { path, .. } if op == OpCode::CREATE => MultiResult::Create(path),
        Outcome::Created { path, stat } => MultiResult::Create2(path, stat),
        Outcome::Deleted => MultiResult::Delete,
        Outcome::Changed(stat) => MultiResult::SetData(stat),
        Outcome::Checked => MultiResult::Check,
        Outcome::Error(code) => MultiResult::Error(code),
        Outcome::Session | Outcome::Multi(_) => unreachable!("{op} is no part of a multi"),
    }
}

#[cfg(test)]
mod tests;
