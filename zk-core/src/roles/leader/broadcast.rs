//! Proposals, acknowledgements and commits.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::{Bytes, BytesMut};
use zk_proto::quorum::{
    EnsembleConfig, FromLeader, FromLearner, ServerAddress, put_inform, put_proposal,
};
use zk_proto::{
    ErrorCode, OpCode, Reader, Reconfig, Record as _, Request, ServerId, SessionId, Xid, Zxid,
};

use super::learner::{Learner, Stage as LearnerStage};
use super::reconfig::next_config;
use super::{Leader, Stage, send};
use crate::auth::Identities;
use crate::authority::{Authority, Claim, Made};
use crate::prep::Asked;
use crate::quorum::Membership;
use crate::replica::{Replica, is_write};
use crate::roles::facts::{Facts, Step};
use crate::tracker::Owner;
use crate::{LeaveReason, Now, QuorumLink};

/// In the last transactions of an epoch the leader steps down, so that the next epoch begins before
/// zxids run out.
const ROLL_OVER: u32 = u32::MAX - (1 << 16);
/// What a PROPOSAL has besides the record.
const PROPOSAL_BYTES: usize = 20;

#[derive(Debug)]
pub(super) struct Broadcast {
    pub(super) authority: Authority,
    /// The newest proposal that each follower has on disk, with all before it.
    acked: BTreeMap<ServerId, Zxid>,
    committed: Zxid,
    /// A membership that was made a transaction and is not committed.
    reconfig: Option<(Zxid, EnsembleConfig)>,
    /// In the order asked.
    syncs: VecDeque<Sync>,
}

/// A client's sync. It is answered when everything proposed before is committed and, if that is
/// asked for, a quorum has answered a ping that was sent after it came.
#[derive(Debug)]
struct Sync {
    after: Zxid,
    round: u64,
    from: SyncFrom,
}

#[derive(Debug)]
enum SyncFrom {
    Learner(QuorumLink),
    Here {
        session: SessionId,
        xid: Xid,
        path: String,
    },
}

impl Broadcast {
    pub(super) fn new(replica: &mut Replica, epoch: Zxid, now: Now) -> Self {
        Self {
            authority: Authority::new(replica, epoch, now),
            acked: BTreeMap::new(),
            committed: epoch,
            reconfig: None,
            syncs: VecDeque::new(),
        }
    }

    /// The server is not connected any more.
    pub(super) fn forget(&mut self, server: ServerId) {
        self.acked.remove(&server);
    }

    /// Who leads once this membership is in force: this server, if it votes and learners find it where
    /// it is, or else the voter that has most on disk.
    fn designated(&self, facts: &Facts, config: &EnsembleConfig) -> ServerId {
        let me = facts.id;
        let quorum_addresses = |config: &EnsembleConfig| {
            let own = config.servers().get(&me)?;
            let quorum = own.addresses().iter().map(ServerAddress::quorum);
            Some(quorum.collect::<Vec<_>>())
        };
        let stays = quorum_addresses(config) == quorum_addresses(&facts.ensemble);
        let mut voters = config.participants().map(|(id, _)| id);
        if stays && voters.any(|id| id == me) {
            return me;
        }
        let voters = config.participants().map(|(id, _)| id);
        let acked = |id: ServerId| Some((*self.acked.get(&id)?, id));
        let best = voters.filter(|&id| id != me).filter_map(acked).max();
        best.map_or(me, |(_, id)| id)
    }

    /// The newest proposal that a quorum has on disk.
    fn agreed(&self, facts: &Facts) -> Zxid {
        let acked = |id| match id == facts.id {
            true => facts.flushed,
            false => self.acked.get(&id).copied().unwrap_or(self.committed),
        };
        let candidates = self.acked.values().copied().chain([facts.flushed]);
        candidates
            .filter(|&zxid| {
                zxid > self.committed && facts.quorums.has_all_by(|id| acked(id) >= zxid)
            })
            .max()
            .unwrap_or(self.committed)
            .min(self.authority.last_zxid())
    }
}

impl Leader {
    /// Syncs that are not answered yet.
    pub(crate) fn pending_syncs(&self) -> usize {
        match &self.stage {
            Stage::Broadcast(broadcast) => broadcast.syncs.len(),
            _ => 0,
        }
    }

    /// Proposes what was made: it goes to the disk and to the followers at once, to these in one piece
    /// of memory that they share.
    pub(crate) fn propose(&mut self, facts: &mut Facts, replica: &mut Replica, now: Now) {
        let Stage::Broadcast(broadcast) = &mut self.stage else {
            return;
        };
        let made = broadcast.authority.take_made();
        let Some(first) = made.first().map(|made| made.zxid) else {
            return;
        };
        let bytes = |made: &Made| made.record.len() + PROPOSAL_BYTES;
        let mut packets = BytesMut::with_capacity(made.iter().map(bytes).sum());
        for Made { zxid, record } in made {
            if let Some((_, config)) = broadcast.reconfig.as_ref().filter(|next| next.0 == zxid) {
                facts.propose_config(replica, config.clone());
            }
            put_proposal(&mut packets, zxid, &record);
            facts.append(replica, zxid, record);
        }
        let packets = packets.freeze();
        let deadline = now.monotonic + facts.settings.sync_timeout();
        for (&link, learner) in &mut self.learners {
            if learner.is_forwarded_to() && !learner.is_observer {
                learner.unacked.get_or_insert((first, deadline));
                if let Some(packets) = learner.hold(packets.clone()) {
                    send(replica, link, packets);
                }
            }
        }
    }

    /// Commits what a quorum has on disk, but nothing behind a sync that is not answered: a session's
    /// write behind its sync is answered behind it. That holds nobody up for long. Who has logged what
    /// came after a sync has also answered the ping that was sent with it, or does so at the next.
    pub(crate) fn commit(&mut self, facts: &mut Facts, replica: &mut Replica, now: Now) -> Step {
        while let Stage::Broadcast(broadcast) = &mut self.stage {
            let agreed = broadcast.agreed(facts);
            let agreed = (broadcast.syncs.front()).map_or(agreed, |sync| agreed.min(sync.after));
            if agreed <= broadcast.committed {
                break;
            }
            let next = broadcast.committed.next();
            match broadcast.reconfig.take_if(|(zxid, _)| *zxid <= agreed) {
                Some((zxid, config)) if zxid == next => {
                    self.commit_reconfig(facts, replica, zxid, config, now)?;
                }
                Some(reconfig) => {
                    let before = Zxid(reconfig.0.0 - 1);
                    broadcast.reconfig = Some(reconfig);
                    self.commit_to(replica, before, now);
                }
                None => self.commit_to(replica, agreed, now),
            }
            self.answer_syncs(facts, replica);
            replica.snapshot_if_due();
        }
        Ok(())
    }

    fn commit_to(&mut self, replica: &mut Replica, agreed: Zxid, now: Now) {
        let Stage::Broadcast(broadcast) = &mut self.stage else {
            unreachable!("something is agreed on");
        };
        let (mut commits, mut informs) = (BytesMut::new(), BytesMut::new());
        let has_observers = (self.learners.values())
            .any(|learner| learner.is_observer && learner.is_forwarded_to());
        for (zxid, record) in broadcast.authority.unapplied() {
            if zxid > agreed {
                break;
            }
            FromLeader::Commit { zxid }.encode(&mut commits);
            if has_observers {
                put_inform(&mut informs, zxid, record);
            }
        }
        broadcast.authority.commit(replica, agreed, now);
        broadcast.committed = agreed;
        self.tell_committed(replica, &commits.freeze(), &informs.freeze());
    }

    /// Puts a membership in force. From here on its quorum alone decides, and if this server does not
    /// vote in it, the best of its voters leads.
    fn commit_reconfig(
        &mut self,
        facts: &mut Facts,
        replica: &mut Replica,
        zxid: Zxid,
        config: EnsembleConfig,
        now: Now,
    ) -> Step {
        let Stage::Broadcast(broadcast) = &mut self.stage else {
            unreachable!("something is agreed on");
        };
        let leader = broadcast.designated(facts, &config);
        let record = broadcast.authority.unapplied().next();
        let record = record.map(|(_, record)| record.clone()).unwrap_or_default();
        broadcast.authority.commit(replica, zxid, now);
        broadcast.committed = zxid;
        facts.activate_config(replica, config);
        let commit = FromLeader::CommitAndActivate { zxid, leader };
        let inform = FromLeader::InformAndActivate {
            zxid,
            leader,
            record,
        };
        self.tell_committed(replica, &commit.to_bytes(), &inform.to_bytes());
        match leader == facts.id {
            true => Ok(()),
            false => Err(LeaveReason::Reconfigured {
                leader: Some(leader),
            }),
        }
    }

    fn tell_committed(&mut self, replica: &mut Replica, commits: &Bytes, informs: &Bytes) {
        for (&link, learner) in &mut self.learners {
            if learner.is_forwarded_to() {
                let packets = match learner.is_observer {
                    true => informs.clone(),
                    false => commits.clone(),
                };
                if let Some(packets) = learner.hold(packets) {
                    send(replica, link, packets);
                }
            }
        }
    }

    /// A client wants another membership.
    pub(crate) fn reconfig(
        &mut self,
        facts: &Facts,
        replica: &mut Replica,
        from: Asker<'_>,
        request: &Reconfig,
        now: Now,
    ) {
        let config = self.next_config(facts, replica, request);
        let Stage::Broadcast(broadcast) = &mut self.stage else {
            unreachable!("clients are served");
        };
        let Asker { session, xid, who } = from;
        let zxid = broadcast.authority.last_zxid().next();
        match config {
            Ok(config) => {
                let asked = Asked {
                    tree: &replica.tree,
                    policy: &replica.policy,
                    counters: &mut replica.counters,
                    effects: &mut replica.effects,
                    who,
                    session,
                    may_own: Ok(()),
                    xid,
                    time_ms: now.wall_ms,
                };
                if broadcast.authority.reconfig(&asked, &config) {
                    broadcast.reconfig = Some((zxid, config));
                }
            }
            Err(code) => broadcast.authority.refuse(session, xid, now, code),
        }
    }

    fn next_config(
        &self,
        facts: &Facts,
        replica: &Replica,
        request: &Reconfig,
    ) -> Result<EnsembleConfig, ErrorCode> {
        let Stage::Broadcast(broadcast) = &self.stage else {
            unreachable!("clients are served");
        };
        if !replica.config.reconfig_enabled {
            return Err(ErrorCode::RECONFIG_DISABLED);
        }
        if facts.proposed.is_some() || broadcast.reconfig.is_some() {
            return Err(ErrorCode::RECONFIG_IN_PROGRESS);
        }
        let zxid = broadcast.authority.last_zxid().next();
        let voters_min = facts.settings.voters_min;
        let config = next_config(facts.last_seen(), request, zxid, voters_min)?;
        let is_synced = |id| id == facts.id || self.has(id, LearnerStage::Acked);
        match Membership::of(&config).is_quorum_by(is_synced) {
            true => Ok(config),
            false => Err(ErrorCode::NEW_CONFIG_NO_QUORUM),
        }
    }

    /// A client of this server asks for a sync.
    pub(crate) fn sync_here(
        &mut self,
        facts: &Facts,
        replica: &mut Replica,
        session: SessionId,
        xid: Xid,
        path: String,
    ) {
        let from = SyncFrom::Here { session, xid, path };
        self.begin_sync(facts, replica, from);
    }

    fn begin_sync(&mut self, facts: &Facts, replica: &mut Replica, from: SyncFrom) {
        if facts.settings.sync_asks_quorum {
            self.ping(replica);
        }
        let round = self.round;
        let Stage::Broadcast(broadcast) = &mut self.stage else {
            unreachable!("clients are served");
        };
        let after = broadcast.authority.last_zxid();
        broadcast.syncs.push_back(Sync { after, round, from });
        self.answer_syncs(facts, replica);
    }

    /// Answers the syncs whose time has come.
    fn answer_syncs(&mut self, facts: &Facts, replica: &mut Replica) {
        let Stage::Broadcast(broadcast) = &mut self.stage else {
            return;
        };
        let learners = &self.learners;
        let is_confirmed = |round| {
            !facts.settings.sync_asks_quorum
                || facts.quorums.has_all_by(|id| {
                    let has_answered = |learner: &Learner| {
                        learner.server == Some(id) && learner.answered_round >= round
                    };
                    id == facts.id || learners.values().any(has_answered)
                })
        };
        let committed = broadcast.committed;
        let is_due = |sync: &mut Sync| sync.after <= committed && is_confirmed(sync.round);
        while let Some(sync) = broadcast.syncs.pop_front_if(is_due) {
            match sync.from {
                SyncFrom::Here { session, xid, path } => replica.answer_sync(session, xid, path),
                SyncFrom::Learner(link) if learners.contains_key(&link) => {
                    send(replica, link, FromLeader::Sync.to_bytes());
                }
                SyncFrom::Learner(_) => {}
            }
        }
    }

    /// Pings all that are far enough to answer.
    fn ping(&mut self, replica: &mut Replica) {
        self.round += 1;
        let zxid = (self.authority()).map_or(self.epoch_zxid(), Authority::last_zxid);
        let ping = FromLeader::Ping { zxid }.to_bytes();
        for (&link, learner) in &mut self.learners {
            if learner.stage >= LearnerStage::Syncing {
                // The others pass it over.
                if learner.stage == LearnerStage::Active {
                    learner.on_ping_sent(self.round);
                }
                send(replica, link, ping.clone());
            }
        }
    }

    /// A packet of a learner that is synced.
    pub(super) fn on_active(
        &mut self,
        facts: &mut Facts,
        replica: &mut Replica,
        link: QuorumLink,
        packet: FromLearner,
        now: Now,
    ) {
        let deadline = now.monotonic + facts.settings.sync_timeout();
        let learner = self.learners.get_mut(&link).expect("the link is open");
        let Stage::Broadcast(broadcast) = &mut self.stage else {
            match packet {
                FromLearner::Ping { .. } => learner.on_ping_answered(),
                // Of what it lacked; nothing is proposed yet.
                FromLearner::Ack { zxid } if zxid <= replica.tree.last_zxid() => {}
                _ => self.close(facts, replica, link),
            }
            return;
        };
        let authority = &mut broadcast.authority;
        match packet {
            FromLearner::Ack { zxid } => {
                if zxid > authority.last_zxid() {
                    self.close(facts, replica, link);
                    return;
                }
                // UPTODATE is acknowledged with the epoch's first number, which is no transaction.
                if zxid.counter() != 0
                    && !learner.is_observer
                    && let Some(server) = learner.server
                {
                    let is_newer = |(oldest, _): &(Zxid, _)| *oldest > zxid;
                    learner.unacked = learner.unacked.filter(is_newer).or_else(|| {
                        (zxid < authority.last_zxid()).then_some((zxid.next(), deadline))
                    });
                    let acked = broadcast.acked.entry(server).or_insert(zxid);
                    *acked = zxid.max(*acked);
                }
            }
            FromLearner::Ping { touched, .. } => {
                learner.on_ping_answered();
                for (session, timeout_ms) in touched {
                    let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
                    authority.tracker.touch(session, timeout, now.monotonic);
                }
                self.answer_syncs(facts, replica);
            }
            FromLearner::Revalidate {
                session,
                timeout_ms,
            } => {
                let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
                let owner = Owner::Learner(link);
                let valid = authority.resume(replica, session, owner, timeout, now);
                let packet = FromLeader::Revalidated { session, valid };
                send(replica, link, packet.to_bytes());
            }
            FromLearner::Request {
                op: OpCode::SYNC, ..
            } => {
                self.begin_sync(facts, replica, SyncFrom::Learner(link));
            }
            FromLearner::Request {
                session,
                xid,
                op,
                content,
                who,
            } => {
                let who = Identities::of_ids(who);
                let request = Forwarded {
                    session,
                    xid,
                    op,
                    content,
                    who,
                };
                self.on_forwarded(facts, replica, link, request, now);
            }
            FromLearner::FollowerInfo { .. }
            | FromLearner::ObserverInfo { .. }
            | FromLearner::AckEpoch { .. } => self.close(facts, replica, link),
        }
    }

    /// A request that a client made of a learner. It becomes a transaction in any case, since the
    /// learner waits for one.
    fn on_forwarded(
        &mut self,
        facts: &Facts,
        replica: &mut Replica,
        link: QuorumLink,
        request: Forwarded,
        now: Now,
    ) {
        let Stage::Broadcast(Broadcast { authority, .. }) = &mut self.stage else {
            unreachable!("the learner is active");
        };
        let Forwarded {
            session,
            xid,
            op,
            content,
            who,
        } = request;
        if replica.is_retiring {
            return;
        }
        let owner = Owner::Learner(link);
        let mut content = Reader::new(&content);
        if op == OpCode::CREATE_SESSION {
            let Ok(timeout_ms) = content.i32() else {
                self.close(facts, replica, link);
                return;
            };
            authority.create_session(session, xid, timeout_ms, owner, now);
            return;
        }
        let claim = match authority.claim(replica, session, owner) {
            Ok(claim) => claim,
            Err(code) => {
                authority.refuse(session, xid, now, code);
                return;
            }
        };
        if op == OpCode::CLOSE_SESSION {
            authority.close_session(replica, session, xid, now);
            return;
        }
        match Request::decode(op, &mut content, facts.settings.multi_ops_max) {
            Ok(Request::Reconfig(request)) => {
                let who = &who;
                self.reconfig(facts, replica, Asker { session, xid, who }, &request, now);
            }
            Ok(request) if is_write(&request) => {
                let asked = Asked {
                    tree: &replica.tree,
                    policy: &replica.policy,
                    counters: &mut replica.counters,
                    effects: &mut replica.effects,
                    who: &who,
                    session,
                    may_own: match claim {
                        Claim::Global => Ok(()),
                        Claim::Local => Err(ErrorCode::SESSION_EXPIRED),
                    },
                    xid,
                    time_ms: now.wall_ms,
                };
                authority.write(asked, request);
            }
            Ok(_) => authority.refuse(session, xid, now, ErrorCode::UNIMPLEMENTED),
            Err(_) => authority.refuse(session, xid, now, ErrorCode::MARSHALLING_ERROR),
        }
    }

    /// Pings learners, drops those that are not heard of, and steps down without a quorum.
    pub(crate) fn on_tick(&mut self, facts: &mut Facts, replica: &mut Replica, now: Now) -> Step {
        if !self.is_serving() && now.monotonic >= self.deadline {
            return Err(LeaveReason::NoQuorumInTime);
        }
        if let Stage::Broadcast(broadcast) = &mut self.stage {
            broadcast.authority.on_tick(replica, now);
            if broadcast.authority.last_zxid().counter() >= ROLL_OVER {
                return Err(LeaveReason::ZxidsRunOut);
            }
        }
        if now.monotonic < self.next_beat {
            return Ok(());
        }
        self.next_beat = now.monotonic + facts.settings.tick / 2;
        let is_lost = |learner: &Learner| {
            let is_late = learner.is_synced()
                && (learner.unacked).is_some_and(|(_, deadline)| deadline <= now.monotonic);
            learner.patience <= now.monotonic || is_late
        };
        let learners = self.learners.iter();
        let lost: Vec<_> = learners
            .filter_map(|(&link, learner)| is_lost(learner).then_some(link))
            .collect();
        for link in lost {
            self.close(facts, replica, link);
        }
        if self.is_serving() {
            let is_synced = |id| id == facts.id || self.has(id, LearnerStage::Acked);
            if !facts.quorums.has_all_by(is_synced) {
                return Err(LeaveReason::QuorumLost);
            }
        }
        self.ping(replica);
        Ok(())
    }
}

/// Who asks for something.
#[derive(Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) session: SessionId,
    pub(crate) xid: Xid,
    pub(crate) who: &'a Identities,
}

struct Forwarded {
    session: SessionId,
    xid: Xid,
    op: OpCode,
    content: Bytes,
    who: Identities,
}
