//! What is on disk is applied, told and answered.

use zk_proto::{ErrorCode, MultiResult, OpCode, Response, Txn, Zxid};

use super::{DIGEST_INTERVAL, DIGESTS_MAX, Origin, Pending, Standalone};
use crate::sessions::SessionState;
use crate::tree::{Applied, Outcome};
use crate::{CloseReason, DigestAt};

impl Standalone {
    pub(super) fn on_flushed(&mut self, zxid: Zxid) {
        assert!(
            zxid <= self.prep.last_zxid(),
            "flushed {zxid}, appended up to {}",
            self.prep.last_zxid()
        );
        while let Some(pending) = self
            .pending
            .pop_front_if(|pending| pending.header.zxid <= zxid)
        {
            self.commit(pending);
        }
        if self.snapshots.is_due() {
            self.begin_snapshot();
        }
    }

    fn commit(&mut self, pending: Pending) {
        let Pending {
            header,
            txn,
            digest,
            origin,
        } = pending;
        let zxid = header.zxid;
        let Applied { outcome, changes } = self.tree.apply(&header, &txn);
        assert!(
            matches!(txn, Txn::Error(_)) || !matches!(outcome, Outcome::Error(_)),
            "{zxid}: {txn:?} was prepared and came to {outcome:?}"
        );
        if let Some(expected) = digest {
            let found = self.tree.digest();
            assert_eq!(found, expected, "{zxid}: digest after {txn:?}");
            self.keep_digest(zxid, found);
        }
        self.prep.on_applied(zxid);
        self.tell_changes(zxid, &changes);
        match origin {
            Origin::Client { session, conn } => {
                let slot = self.sessions.get(session).conn;
                let is_awaited = slot.filter(|&slot| self.conns.get(slot).id == conn);
                match header.op {
                    OpCode::CREATE_SESSION => {
                        self.sessions.get_mut(session).state = SessionState::Open;
                        if let Some(slot) = is_awaited {
                            self.accept(slot);
                        }
                    }
                    OpCode::CLOSE_SESSION => {
                        if is_awaited.is_some() {
                            self.reply(conn, header.cxid, zxid, Ok(Response::Empty));
                        }
                        self.end_session(session, CloseReason::SessionClosed);
                    }
                    op => {
                        if is_awaited.is_some() {
                            self.reply(conn, header.cxid, zxid, response(op, &txn, outcome));
                        }
                        if let Some(slot) = slot {
                            self.take_turns(slot);
                        }
                    }
                }
            }
            Origin::Expiry { session } => self.end_session(session, CloseReason::SessionExpired),
            Origin::Reaper => {}
        }
    }

    fn keep_digest(&mut self, zxid: Zxid, digest: u64) {
        if zxid.0 % DIGEST_INTERVAL == 0 {
            self.digests.push_back(DigestAt { zxid, digest });
            if self.digests.len() > DIGESTS_MAX {
                self.digests.pop_front();
            }
        }
    }

    fn end_session(&mut self, session: u32, reason: CloseReason) {
        if let Some(slot) = self.sessions.get(session).conn {
            self.close(slot, reason);
        }
        self.sessions.remove(session);
    }
}

fn response(op: OpCode, txn: &Txn, outcome: Outcome) -> Result<Response, ErrorCode> {
    Ok(match outcome {
        Outcome::Created { path, .. } if op == OpCode::CREATE => Response::Path(path),
        Outcome::Created { path, stat } => Response::PathAndStat(path, stat),
        Outcome::Deleted | Outcome::Checked | Outcome::Session => Response::Empty,
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
