//! A learner: a follower, or an observer (`Learner`, `Follower`, `Observer`, 3.9.5).
//!
//! ```text
//! Dialling ──> Registering ── LEADERINFO ──> Accepting ── on disk, ACKEPOCH ──> Waiting
//!     ── DIFF ────────────────────────────────────────────────────> Syncing
//!     ── TRUNC, SNAP ──> Reloading ── the state is another ───────> Syncing
//!     ── NEWLEADER ──> Logging ── all before it on disk ──> Adopting ── on disk, ACK ──> Synced
//!     ── UPTODATE ──> Serving
//! ```
//!
//! What is on disk goes before what is told: the transactions, then the epoch, then the
//! acknowledgement. Proposals are acknowledged one by one, and only while serving: before that the
//! leader expects the acknowledgement of NEWLEADER and no other.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use zk_proto::quorum::{EnsembleConfig, FromLeader, FromLearner, LearnerInfo, PROTOCOL_VERSION};
use zk_proto::{OpCode, Record as _, Request, ServerId, SessionId, Txn, Xid, Zxid};

use super::facts::{Facts, Step, follows};
use crate::blocks::Blocks;
use crate::replica::{Ask, Replica};
use crate::unapplied::Unapplied;
use crate::{Effect, EpochPromise, HaltReason, LeaveReason, Now, QuorumEffect, QuorumLink};

/// Tries to connect to a leader.
const DIALS_MAX: u32 = 8;
/// The wait after the first of them. It doubles up to the one that is set: who is elected here a little
/// earlier than there finds the leader soon.
const DIAL_DELAY_MIN: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(crate) struct Learner {
    leader: ServerId,
    is_observer: bool,
    stage: Stage,
    link: Option<QuorumLink>,
    /// Tries to connect that were begun.
    dials: u32,
    /// The epoch that the leader begins; zero before it is known.
    epoch: u32,
    /// The membership that the leader had seen last when it began, which UPTODATE puts in force.
    leaders_config: Option<EnsembleConfig>,
    /// The newest transaction of the state that the leader sent. Until UPTODATE, transactions up to it
    /// may come again: Apache's leader notes what to forward before it looks up which transaction its
    /// state is sent as (`LearnerHandler`, 3.9.5).
    state: Zxid,
    /// When the leader counts as gone if nothing is heard of it.
    patience: Duration,
    /// Proposed and not committed.
    proposed: VecDeque<Unapplied>,
    /// Logged, and not acknowledged yet.
    unacked: VecDeque<Zxid>,
    /// What came while the state was being read back.
    held: Vec<FromLeader>,
    /// Clients heard of since the last ping, with their timeouts in ms.
    touched: BTreeMap<SessionId, i32>,
    /// Clients' syncs on their way to the leader.
    syncs: VecDeque<PendingSync>,
    packets: Blocks,
}

#[derive(Debug)]
struct PendingSync {
    session: SessionId,
    xid: Xid,
    path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The next try is due then, if none is under way.
    Dialling {
        attempt: u64,
        next: Option<Duration>,
    },
    Registering,
    /// The leader's epoch is on its way to the disk as accepted.
    Accepting,
    Waiting,
    Reloading,
    Syncing,
    /// NEWLEADER came; everything up to here has to be on disk.
    Logging {
        until: Zxid,
    },
    /// The leader's epoch is on its way to the disk as current.
    Adopting,
    Synced,
    Serving,
}

impl Learner {
    pub(crate) fn new(
        facts: &mut Facts,
        replica: &mut Replica,
        leader: ServerId,
        is_observer: bool,
        now: Now,
    ) -> Self {
        let attempt = dial(facts, replica, leader);
        Self {
            leader,
            is_observer,
            stage: Stage::Dialling {
                attempt,
                next: None,
            },
            link: None,
            dials: 1,
            epoch: 0,
            leaders_config: None,
            state: Zxid::ZERO,
            patience: now.monotonic + facts.settings.init_timeout(),
            proposed: VecDeque::new(),
            unacked: VecDeque::new(),
            held: Vec::new(),
            touched: BTreeMap::new(),
            syncs: VecDeque::new(),
            packets: Blocks::default(),
        }
    }

    /// Whether it hears of what is committed only. A server that is no member hears as much as one
    /// that votes, so that it can begin to.
    pub(crate) const fn is_observer(&self) -> bool {
        self.is_observer
    }

    pub(crate) const fn leader(&self) -> ServerId {
        self.leader
    }

    pub(crate) fn is_serving(&self) -> bool {
        self.stage == Stage::Serving
    }

    /// Whether storage is at work on the state as a whole.
    pub(crate) fn is_reloading(&self) -> bool {
        self.stage == Stage::Reloading
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.proposed.len()
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        match self.stage {
            Stage::Dialling {
                next: Some(next), ..
            } => Some(next.min(self.patience)),
            // A state that is being read back takes as long as it takes.
            Stage::Reloading => None,
            _ => Some(self.patience),
        }
    }

    pub(crate) fn on_tick(&mut self, facts: &mut Facts, replica: &mut Replica, now: Now) -> Step {
        if now.monotonic >= self.patience && self.stage != Stage::Reloading {
            return Err(LeaveReason::LeaderSilent);
        }
        if let Stage::Dialling {
            next: Some(next), ..
        } = self.stage
            && now.monotonic >= next
        {
            self.dials += 1;
            self.stage = Stage::Dialling {
                attempt: dial(facts, replica, self.leader),
                next: None,
            };
        }
        Ok(())
    }

    pub(crate) fn on_dial_failed(&mut self, facts: &Facts, failed: u64, now: Now) -> Step {
        match self.stage {
            Stage::Dialling {
                attempt,
                next: None,
            } if attempt == failed => self.dial_later(facts, now),
            _ => Ok(()),
        }
    }

    /// Tries again after a while, if it has not been too often.
    fn dial_later(&mut self, facts: &Facts, now: Now) -> Step {
        if self.dials >= DIALS_MAX {
            return Err(LeaveReason::LeaderUnreachable);
        }
        let wait = DIAL_DELAY_MIN * 2_u32.saturating_pow(self.dials - 1);
        self.link = None;
        self.stage = Stage::Dialling {
            attempt: 0,
            next: Some(now.monotonic + wait.min(facts.settings.dial_delay)),
        };
        Ok(())
    }

    pub(crate) fn on_dialled(
        &mut self,
        facts: &Facts,
        replica: &mut Replica,
        dialled: u64,
        link: QuorumLink,
    ) {
        let is_awaited =
            matches!(self.stage, Stage::Dialling { attempt, .. } if attempt == dialled);
        if !is_awaited {
            replica
                .effects
                .push(Effect::Quorum(QuorumEffect::Close(link)));
            return;
        }
        self.link = Some(link);
        self.stage = Stage::Registering;
        let accepted = Zxid::of_epoch(facts.accepted);
        let info = Some(LearnerInfo {
            server: facts.id,
            protocol_version: PROTOCOL_VERSION,
            config_version: facts.ensemble.version(),
        });
        let packet = match self.is_observer {
            true => FromLearner::ObserverInfo { accepted, info },
            false => FromLearner::FollowerInfo { accepted, info },
        };
        self.send(replica, &packet);
    }

    /// A link is gone. A leader that closes it before it says anything may not know yet that it
    /// leads.
    pub(crate) fn on_closed(&mut self, facts: &Facts, link: QuorumLink, now: Now) -> Step {
        match self.stage {
            _ if self.link != Some(link) => Ok(()),
            Stage::Registering => self.dial_later(facts, now),
            _ => Err(LeaveReason::LeaderLost),
        }
    }

    fn send(&mut self, replica: &mut Replica, packet: &FromLearner) {
        let packet = self.packets.encode(|out| packet.encode(out));
        self.send_all(replica, packet);
    }

    fn send_all(&self, replica: &mut Replica, packets: Bytes) {
        let link = self.link.expect("the leader is connected");
        replica
            .effects
            .push(Effect::Quorum(QuorumEffect::Send { link, packets }));
    }

    pub(crate) fn on_packet(
        &mut self,
        facts: &mut Facts,
        replica: &mut Replica,
        link: QuorumLink,
        packet: FromLeader,
        now: Now,
    ) -> Step {
        if self.link != Some(link) {
            return Ok(());
        }
        let limit = match self.stage {
            Stage::Synced | Stage::Serving => facts.settings.sync_timeout(),
            _ => facts.settings.init_timeout(),
        };
        self.patience = now.monotonic + limit;
        if self.stage == Stage::Reloading {
            self.held.push(packet);
            return Ok(());
        }
        match packet {
            FromLeader::LeaderInfo {
                zxid,
                protocol_version,
            } => self.on_leader_info(facts, replica, zxid.epoch(), protocol_version),
            FromLeader::Diff { .. } if self.stage == Stage::Waiting => {
                self.stage = Stage::Syncing;
                Ok(())
            }
            FromLeader::Trunc { zxid } if self.stage == Stage::Waiting => {
                self.stage = Stage::Reloading;
                let effect = QuorumEffect::Truncate(zxid);
                replica.effects.push(Effect::Quorum(effect));
                Ok(())
            }
            FromLeader::Snap { zxid } if self.stage == Stage::Waiting => {
                self.stage = Stage::Reloading;
                self.state = zxid;
                let effect = QuorumEffect::ReceiveSnapshot { link, zxid };
                replica.effects.push(Effect::Quorum(effect));
                Ok(())
            }
            packet => match self.stage {
                Stage::Syncing
                | Stage::Logging { .. }
                | Stage::Adopting
                | Stage::Synced
                | Stage::Serving => self.on_history(facts, replica, packet, now),
                _ => Err(LeaveReason::UnexpectedPacket),
            },
        }
    }

    fn on_leader_info(
        &mut self,
        facts: &mut Facts,
        replica: &mut Replica,
        epoch: u32,
        protocol_version: i32,
    ) -> Step {
        if self.stage != Stage::Registering || protocol_version < PROTOCOL_VERSION {
            return Err(LeaveReason::UnexpectedPacket);
        }
        if epoch < facts.accepted {
            return Err(LeaveReason::OldEpoch {
                seen: epoch,
                accepted: facts.accepted,
            });
        }
        self.epoch = epoch;
        if epoch > facts.accepted {
            self.stage = Stage::Accepting;
            facts.promise(replica, EpochPromise::Accepted(epoch));
        } else {
            self.acknowledge_epoch(replica, None);
        }
        Ok(())
    }

    fn acknowledge_epoch(&mut self, replica: &mut Replica, current_epoch: Option<u32>) {
        self.stage = Stage::Waiting;
        let packet = FromLearner::AckEpoch {
            last_zxid: replica.tree.last_zxid(),
            current_epoch,
        };
        self.send(replica, &packet);
    }

    /// An epoch is on disk.
    pub(crate) fn on_promised(&mut self, facts: &Facts, replica: &mut Replica) {
        match self.stage {
            Stage::Accepting => self.acknowledge_epoch(replica, Some(facts.current)),
            Stage::Adopting => self.acknowledge_leader(replica),
            _ => unreachable!("nothing else is promised"),
        }
    }

    fn acknowledge_leader(&mut self, replica: &mut Replica) {
        self.stage = Stage::Synced;
        let zxid = Zxid::of_epoch(self.epoch);
        self.send(replica, &FromLearner::Ack { zxid });
    }

    /// The state is what it was.
    pub(crate) fn on_reload_failed(&mut self) {
        self.stage = Stage::Waiting;
    }

    /// The state is another, and so is the end of the log.
    pub(crate) fn on_reloaded(
        &mut self,
        facts: &mut Facts,
        replica: &mut Replica,
        now: Now,
    ) -> Step {
        assert_eq!(self.stage, Stage::Reloading, "a state was asked for");
        self.stage = Stage::Syncing;
        self.patience = now.monotonic + facts.settings.init_timeout();
        let link = self.link.expect("the leader is connected");
        for packet in core::mem::take(&mut self.held) {
            self.on_packet(facts, replica, link, packet, now)?;
        }
        Ok(())
    }

    /// Transactions, and where the leader is with them.
    fn on_history(
        &mut self,
        facts: &mut Facts,
        replica: &mut Replica,
        packet: FromLeader,
        now: Now,
    ) -> Step {
        match packet {
            FromLeader::Proposal { zxid, record } => {
                if let Some(txn) = self.log(facts, replica, zxid, record) {
                    self.proposed.push_back(txn);
                    if !self.is_observer && zxid > self.state {
                        self.unacked.push_back(zxid);
                    }
                }
            }
            FromLeader::Commit { zxid } => self.commit(replica, zxid),
            FromLeader::Inform { zxid, record } => {
                if let Some(txn) = self.log(facts, replica, zxid, record) {
                    self.apply(replica, &txn);
                }
            }
            FromLeader::NewLeader { zxid, config } => {
                if self.stage != Stage::Syncing || zxid != Zxid::of_epoch(self.epoch) {
                    return Err(LeaveReason::UnexpectedPacket);
                }
                if replica.config.reconfig_enabled
                    && let Ok(config) = config.parse()
                {
                    facts.follow_config(replica, &config, self.epoch);
                    self.leaders_config = Some(config);
                }
                self.stage = Stage::Logging {
                    until: facts.appended,
                };
                self.on_flushed(facts, replica);
            }
            FromLeader::UpToDate => {
                if self.stage != Stage::Synced {
                    return Err(LeaveReason::UnexpectedPacket);
                }
                if replica.config.reconfig_enabled {
                    // One that this leader made is put in force by its own commit, if that is to come.
                    let (epoch, applied) = (self.epoch, replica.tree.last_zxid());
                    let is_agreed = |config: &EnsembleConfig| {
                        let version = config.version();
                        version <= applied || version.epoch() < epoch || version.counter() == 0
                    };
                    let config = self.leaders_config.take().filter(is_agreed);
                    self.activate(facts, replica, config, self.leader)?;
                    facts.show_config(replica, now);
                }
                replica.caught_up();
                self.state = Zxid::ZERO;
                self.stage = Stage::Serving;
                let zxid = Zxid::of_epoch(self.epoch);
                self.send(replica, &FromLearner::Ack { zxid });
                self.on_flushed(facts, replica);
            }
            // Before the acknowledgement of NEWLEADER an answer would be taken for it, and before
            // UPTODATE Apache's learners answer none either.
            FromLeader::Ping { .. } if self.stage != Stage::Serving => {}
            FromLeader::Ping { zxid } => {
                let touched = core::mem::take(&mut self.touched).into_iter().collect();
                self.send(replica, &FromLearner::Ping { zxid, touched });
            }
            FromLeader::Revalidated { session, valid } => replica.resume(session, valid),
            FromLeader::Sync => {
                let Some(sync) = self.syncs.pop_front() else {
                    return Err(LeaveReason::UnexpectedPacket);
                };
                replica.answer_sync(sync.session, sync.xid, sync.path);
            }
            FromLeader::CommitAndActivate { zxid, leader } => {
                let first = self.proposed.front();
                let config = first.and_then(|txn| membership(replica, txn));
                self.commit(replica, zxid);
                return self.activate(facts, replica, config, leader);
            }
            FromLeader::InformAndActivate {
                zxid,
                leader,
                record,
            } => {
                if let Some(txn) = self.log(facts, replica, zxid, record) {
                    self.apply(replica, &txn);
                    let config = membership(replica, &txn);
                    return self.activate(facts, replica, config, leader);
                }
            }
            FromLeader::LeaderInfo { .. }
            | FromLeader::Diff { .. }
            | FromLeader::Trunc { .. }
            | FromLeader::Snap { .. } => return Err(LeaveReason::UnexpectedPacket),
        }
        Ok(())
    }

    /// Puts a membership in force. Where this server votes no longer, or begins to, or is led by
    /// another, its role is over.
    fn activate(
        &self,
        facts: &mut Facts,
        replica: &mut Replica,
        config: Option<EnsembleConfig>,
        leader: ServerId,
    ) -> Step {
        let Some(config) = config else {
            return Ok(());
        };
        let observes = config.observers().any(|(id, _)| id == facts.id);
        let votes = config.participants().any(|(id, _)| id == facts.id);
        facts.activate_config(replica, config);
        let is_other_role = if self.is_observer { votes } else { observes };
        if is_other_role || leader != self.leader {
            let leader = Some(leader);
            return Err(LeaveReason::Reconfigured { leader });
        }
        Ok(())
    }

    /// Sends a transaction to the disk, unless the leader's state held it; `None` when the server has to
    /// stop over it.
    fn log(
        &self,
        facts: &mut Facts,
        replica: &mut Replica,
        zxid: Zxid,
        record: Bytes,
    ) -> Option<Unapplied> {
        let txn = Unapplied::decode(record.clone());
        let Some(txn) = txn.ok().filter(|txn| txn.header.zxid == zxid) else {
            halt(replica, HaltReason::BadProposal { zxid });
            return None;
        };
        if zxid <= self.state {
            return Some(txn);
        }
        if !follows(facts.appended, zxid) {
            let after = facts.appended;
            halt(replica, HaltReason::ProposalGap { after, seen: zxid });
            return None;
        }
        // Nobody hears that a reconfig is on disk before its membership is.
        if let Some(config) = membership(replica, &txn) {
            facts.propose_config(replica, config);
        }
        facts.append(replica, zxid, record);
        Some(txn)
    }

    fn commit(&mut self, replica: &mut Replica, zxid: Zxid) {
        let expected = self.proposed.front().map(|txn| txn.header.zxid);
        if expected != Some(zxid) {
            halt(
                replica,
                HaltReason::UnmatchedCommit {
                    expected,
                    seen: zxid,
                },
            );
            return;
        }
        if let Some(txn) = self.proposed.pop_front() {
            self.apply(replica, &txn);
        }
        if self.stage != Stage::Serving && self.unacked.front() == Some(&zxid) {
            self.unacked.pop_front();
        }
    }

    fn apply(&self, replica: &mut Replica, txn: &Unapplied) {
        if txn.header.zxid <= self.state {
            return;
        }
        if self.stage != Stage::Serving {
            replica.catch_up(txn);
            return;
        }
        if !replica.apply(txn) {
            replica.counters.digest_mismatches += 1;
        }
        replica.snapshot_if_due();
    }

    /// More is on disk: goes on with NEWLEADER, or acknowledges proposals.
    pub(crate) fn on_flushed(&mut self, facts: &mut Facts, replica: &mut Replica) {
        match self.stage {
            Stage::Logging { until } if facts.flushed >= until => {
                if self.epoch > facts.current {
                    self.stage = Stage::Adopting;
                    facts.promise(replica, EpochPromise::Current(self.epoch));
                } else {
                    self.acknowledge_leader(replica);
                }
            }
            Stage::Serving => {
                let acks = self.packets.encode(|out| {
                    let is_flushed = |zxid: &mut Zxid| *zxid <= facts.flushed;
                    while let Some(zxid) = self.unacked.pop_front_if(is_flushed) {
                        FromLearner::Ack { zxid }.encode(out);
                    }
                });
                if !acks.is_empty() {
                    self.send_all(replica, acks);
                }
            }
            _ => {}
        }
    }

    /// A client's session begins, or is local and becomes one of the ensemble: the leader has to agree.
    pub(crate) fn create_session(
        &mut self,
        replica: &mut Replica,
        session: SessionId,
        timeout_ms: i32,
    ) {
        let mut content = BytesMut::with_capacity(4);
        content.put_i32(timeout_ms);
        let packet = FromLearner::Request {
            session,
            xid: Xid(0),
            op: OpCode::CREATE_SESSION,
            content: content.freeze(),
            who: Vec::new(),
        };
        self.send(replica, &packet);
    }

    /// A client comes back with its session: the leader knows whether it is open.
    pub(crate) fn revalidate(
        &mut self,
        replica: &mut Replica,
        session: SessionId,
        timeout_ms: i32,
    ) {
        let packet = FromLearner::Revalidate {
            session,
            timeout_ms,
        };
        self.send(replica, &packet);
    }

    /// A client was heard of.
    pub(crate) fn touch(&mut self, session: SessionId, timeout_ms: i32) {
        self.touched.insert(session, timeout_ms);
    }

    /// Sends a client's request on to the leader.
    pub(crate) fn forward(
        &mut self,
        replica: &mut Replica,
        facts: &Facts,
        slot: u32,
        xid: Xid,
        request: Request,
    ) {
        let ask = Ask::of(&request);
        if let Some((session, timeout_ms)) = replica.upgrade_for(slot, ask) {
            self.create_session(replica, session, timeout_ms);
        }
        replica.submit(slot, xid, facts.appended, ask);
        let conn = replica.conns.get(slot);
        let session = conn.session;
        let content = self.packets.encode(|out| request.encode(out));
        let packet = FromLearner::Request {
            session,
            xid,
            op: request.op(),
            content,
            who: conn.who.to_ids(),
        };
        if let Request::Sync { path } = request {
            self.syncs.push_back(PendingSync { session, xid, path });
        }
        self.send(replica, &packet);
    }

    /// Closes the link, and gives out what was logged and not applied.
    pub(crate) fn end(self, replica: &mut Replica) -> VecDeque<Unapplied> {
        if let Some(link) = self.link {
            replica
                .effects
                .push(Effect::Quorum(QuorumEffect::Close(link)));
        }
        self.proposed
    }
}

/// The membership that a reconfig puts in force, where that is allowed.
fn membership(replica: &Replica, txn: &Unapplied) -> Option<EnsembleConfig> {
    match &txn.txn {
        Txn::SetData {
            data: Some(data), ..
        } if txn.header.op == OpCode::RECONFIG && replica.config.reconfig_enabled => {
            core::str::from_utf8(data).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// Asks for a link to the leader, under a number that no attempt had before.
fn dial(facts: &mut Facts, replica: &mut Replica, to: ServerId) -> u64 {
    let attempt = facts.next_attempt();
    let effect = QuorumEffect::Dial { to, attempt };
    replica.effects.push(Effect::Quorum(effect));
    attempt
}

fn halt(replica: &mut Replica, reason: HaltReason) {
    replica.effects.push(Effect::Halt(reason));
}
