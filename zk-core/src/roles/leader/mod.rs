//! The leader of an ensemble (`Leader`, `LearnerHandler`, 3.9.5).
//!
//! ```text
//! Discovery ── accepted epochs of a quorum ──> Accepting ── on disk ──> Agreeing
//!     ── current epochs of a quorum, none newer than ours ──> Adopting ── on disk ──> Synchronizing
//!     ── NEWLEADER acknowledged by a quorum ──> Broadcast
//! ```
//!
//! Until Broadcast nothing is served: the history may hold transactions that no quorum has. From then
//! on it is what a quorum has, and every transaction of the epoch follows it. A learner that comes
//! later goes through the same steps alone.

mod broadcast;
mod learner;
mod plan;
mod reconfig;
mod sync;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use zk_proto::quorum::{FromLeader, FromLearner, LearnerInfo, PROTOCOL_VERSION};
use zk_proto::{Record as _, ServerId, Zxid};

use super::facts::{Facts, Step};
use crate::authority::Authority;
use crate::replica::Replica;
use crate::{Effect, EpochPromise, LearnerStatus, LeaveReason, Now, QuorumEffect, QuorumLink};
pub(crate) use broadcast::Asker;
use broadcast::Broadcast;
use learner::{Learner, Stage as LearnerStage};

#[derive(Debug)]
pub(crate) struct Leader {
    /// The epoch that begins; zero before it is known.
    epoch: u32,
    stage: Stage,
    learners: BTreeMap<QuorumLink, Learner>,
    /// When the stages before Broadcast must be over.
    deadline: Duration,
    /// When learners are pinged and counted next.
    next_beat: Duration,
    /// Rounds of pings so far.
    round: u64,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
enum Stage {
    /// Collects accepted epochs.
    Discovery,
    /// The new epoch is on its way to the disk as accepted.
    Accepting,
    /// Collects current epochs; who has told its own.
    Agreeing(BTreeSet<ServerId>),
    /// The new epoch is on its way to the disk as current.
    Adopting,
    /// Collects acknowledgements of NEWLEADER.
    Synchronizing,
    Broadcast(Broadcast),
}

impl Leader {
    pub(crate) fn begin(facts: &mut Facts, replica: &mut Replica, now: Now) -> Self {
        let mut leader = Self {
            epoch: 0,
            stage: Stage::Discovery,
            learners: BTreeMap::new(),
            deadline: now.monotonic + facts.settings.init_timeout(),
            next_beat: now.monotonic + facts.settings.tick / 2,
            round: 0,
        };
        // An ensemble of one voter needs nobody else.
        leader.try_begin_epoch(facts, replica);
        leader
    }

    /// The first zxid of the epoch.
    fn epoch_zxid(&self) -> Zxid {
        Zxid::of_epoch(self.epoch)
    }

    pub(crate) fn authority(&self) -> Option<&Authority> {
        match &self.stage {
            Stage::Broadcast(broadcast) => Some(&broadcast.authority),
            _ => None,
        }
    }

    pub(crate) fn authority_mut(&mut self) -> Option<&mut Authority> {
        match &mut self.stage {
            Stage::Broadcast(broadcast) => Some(&mut broadcast.authority),
            _ => None,
        }
    }

    /// The learners that have said who they are.
    pub(crate) fn learners(&self) -> impl Iterator<Item = LearnerStatus> + '_ {
        self.learners.values().filter_map(|learner| {
            Some(LearnerStatus {
                server: learner.server?,
                is_observer: learner.is_observer,
                is_synced: learner.stage == LearnerStage::Active,
            })
        })
    }

    pub(crate) fn next_deadline(&self, is_retiring: bool) -> Duration {
        match &self.stage {
            Stage::Broadcast(broadcast) => {
                let authority = broadcast.authority.next_deadline(is_retiring);
                authority.map_or(self.next_beat, |at| at.min(self.next_beat))
            }
            _ => self.deadline.min(self.next_beat),
        }
    }

    pub(crate) fn on_accepted(&mut self, facts: &Facts, link: QuorumLink, now: Now) {
        let patience = now.monotonic + facts.settings.bring_up_timeout();
        let before = (self.learners).insert(link, Learner::new(patience));
        assert!(before.is_none(), "link {link:?} is numbered twice");
    }

    /// However long the state is, a learner that takes it is there.
    pub(crate) fn on_taken(&mut self, facts: &Facts, link: QuorumLink, now: Now) {
        if let Some(learner) = self.learners.get_mut(&link)
            && !learner.is_synced()
        {
            learner.patience = now.monotonic + facts.settings.bring_up_timeout();
        }
    }

    pub(crate) fn on_closed(&mut self, facts: &Facts, link: QuorumLink) {
        let Some(Learner {
            server: Some(server),
            ..
        }) = self.learners.remove(&link)
        else {
            return;
        };
        if let Stage::Broadcast(broadcast) = &mut self.stage
            && !(self.learners.values()).any(|other| other.server == Some(server))
        {
            broadcast.forget(server);
        }
        if let Stage::Agreeing(acks) = &mut self.stage
            && server != facts.id
        {
            acks.remove(&server);
        }
    }

    fn close(&mut self, facts: &Facts, replica: &mut Replica, link: QuorumLink) {
        push(replica, QuorumEffect::Close(link));
        self.on_closed(facts, link);
    }

    /// Packets of a learner. What they bring a quorum's agreement for is committed at their end, so
    /// that many acknowledgements make one batch of commits.
    pub(crate) fn on_packets(
        &mut self,
        facts: &mut Facts,
        replica: &mut Replica,
        link: QuorumLink,
        packets: Vec<FromLearner>,
        now: Now,
    ) -> Step {
        for packet in packets {
            self.on_packet(facts, replica, link, packet, now)?;
        }
        self.commit(facts, replica, now)
    }

    fn on_packet(
        &mut self,
        facts: &mut Facts,
        replica: &mut Replica,
        link: QuorumLink,
        packet: FromLearner,
        now: Now,
    ) -> Step {
        let epoch_zxid = self.epoch_zxid();
        let Some(learner) = self.learners.get_mut(&link) else {
            return Ok(());
        };
        if learner.is_synced() {
            learner.patience = now.monotonic + facts.settings.sync_timeout();
        }
        match (learner.stage, packet) {
            (LearnerStage::New, FromLearner::FollowerInfo { accepted, info }) => {
                return self.on_info(facts, replica, link, accepted, info, false);
            }
            (LearnerStage::New, FromLearner::ObserverInfo { accepted, info }) => {
                return self.on_info(facts, replica, link, accepted, info, true);
            }
            (
                LearnerStage::Told,
                FromLearner::AckEpoch {
                    last_zxid,
                    current_epoch,
                },
            ) => return self.on_ack_epoch(facts, replica, link, last_zxid, current_epoch, now),
            (LearnerStage::Syncing, FromLearner::Ack { zxid }) if zxid == epoch_zxid => {
                return self.on_synced(facts, replica, link, now);
            }
            (LearnerStage::Syncing, FromLearner::Ack { zxid }) => {
                learner.early_ack = learner.early_ack.max(Some(zxid));
            }
            (LearnerStage::Acked | LearnerStage::Active, packet) => {
                self.on_active(facts, replica, link, packet, now);
            }
            _ => self.close(facts, replica, link),
        }
        Ok(())
    }

    /// A learner tells who it is, and the newest epoch that it accepted.
    fn on_info(
        &mut self,
        facts: &mut Facts,
        replica: &mut Replica,
        link: QuorumLink,
        accepted: Zxid,
        info: Option<LearnerInfo>,
        is_observer: bool,
    ) -> Step {
        let is_ours = |info: &LearnerInfo| {
            info.protocol_version >= PROTOCOL_VERSION
                && info.config_version <= facts.ensemble.version()
                && info.server != facts.id
        };
        let (Some(info), Some(learner)) = (info.filter(is_ours), self.learners.get_mut(&link))
        else {
            self.close(facts, replica, link);
            return Ok(());
        };
        learner.server = Some(info.server);
        learner.is_observer = is_observer;
        learner.accepted = accepted.epoch();
        learner.stage = LearnerStage::Introduced;
        // A server has one link: the one that it opened last.
        let of_before = |(&other, learner): (&QuorumLink, &Learner)| {
            (other != link && learner.server == Some(info.server)).then_some(other)
        };
        if let Some(before) = self.learners.iter().find_map(of_before) {
            self.close(facts, replica, before);
        }
        match self.stage {
            Stage::Discovery => self.try_begin_epoch(facts, replica),
            Stage::Accepting => {}
            // It would refuse this epoch for ever; the next election finds a newer one.
            _ if !is_observer && accepted.epoch() > self.epoch => {
                return Err(LeaveReason::NewerEpochAccepted {
                    seen: accepted.epoch(),
                    ours: self.epoch,
                });
            }
            _ => self.tell_epoch(replica, link),
        }
        Ok(())
    }

    /// Begins an epoch newer than any that a quorum accepted, once a quorum is here.
    fn try_begin_epoch(&mut self, facts: &mut Facts, replica: &mut Replica) {
        let is_here = |id| id == facts.id || self.has(id, LearnerStage::Introduced);
        if !facts.quorums.has_all_by(is_here) {
            return;
        }
        let accepted = self.learners.values().map(|learner| learner.accepted);
        let newest = accepted.fold(facts.accepted, u32::max);
        self.epoch = newest.checked_add(1).expect("epochs are far below 2³²");
        if replica.config.reconfig_enabled && facts.last_seen().version() == Zxid::ZERO {
            let config = facts.ensemble.clone().with_version(self.epoch_zxid());
            facts.propose_config(replica, config);
        }
        self.stage = Stage::Accepting;
        facts.promise(replica, EpochPromise::Accepted(self.epoch));
    }

    /// Whether a voter is connected and at least so far.
    fn has(&self, server: ServerId, stage: LearnerStage) -> bool {
        (self.learners.values()).any(|learner| {
            learner.server == Some(server) && !learner.is_observer && learner.stage >= stage
        })
    }

    /// An epoch is on disk.
    pub(crate) fn on_promised(
        &mut self,
        facts: &mut Facts,
        replica: &mut Replica,
        now: Now,
    ) -> Step {
        match self.stage {
            Stage::Accepting => {
                self.stage = Stage::Agreeing(BTreeSet::from([facts.id]));
                for link in self.at(LearnerStage::Introduced) {
                    self.tell_epoch(replica, link);
                }
                self.try_adopt(facts, replica)
            }
            Stage::Adopting => {
                self.stage = Stage::Synchronizing;
                for link in self.at(LearnerStage::Agreed) {
                    self.sync(facts, replica, link);
                }
                self.try_broadcast(facts, replica, now)
            }
            _ => unreachable!("nothing else is promised"),
        }
    }

    /// The links of all learners that are just so far.
    fn at(&self, stage: LearnerStage) -> Vec<QuorumLink> {
        let learners = self.learners.iter();
        learners
            .filter_map(|(&link, learner)| (learner.stage == stage).then_some(link))
            .collect()
    }

    fn tell_epoch(&mut self, replica: &mut Replica, link: QuorumLink) {
        let zxid = self.epoch_zxid();
        let learner = self.learners.get_mut(&link).expect("the link is open");
        learner.stage = LearnerStage::Told;
        let packet = FromLeader::LeaderInfo {
            zxid,
            protocol_version: PROTOCOL_VERSION,
        };
        send(replica, link, packet.to_bytes());
    }

    /// A learner tells how new its history is. It has accepted the epoch before when it tells no
    /// current one, and counts for nothing then.
    fn on_ack_epoch(
        &mut self,
        facts: &mut Facts,
        replica: &mut Replica,
        link: QuorumLink,
        last_zxid: Zxid,
        current_epoch: Option<u32>,
        now: Now,
    ) -> Step {
        let learner = self.learners.get_mut(&link).expect("the link is open");
        learner.last_zxid = last_zxid;
        learner.stage = LearnerStage::Agreed;
        let server = learner.server;
        let is_observer = learner.is_observer;
        match &mut self.stage {
            Stage::Agreeing(acks) => {
                if let Some(epoch) = current_epoch {
                    let ours = (facts.current, replica.tree.last_zxid());
                    if (epoch, last_zxid) > ours && !is_observer {
                        return Err(LeaveReason::FollowerAhead {
                            epoch,
                            zxid: last_zxid,
                        });
                    }
                    if let Some(server) = server
                        && facts.quorums.is_voter(server)
                        && last_zxid != Zxid(-1)
                    {
                        acks.insert(server);
                    }
                }
                self.try_adopt(facts, replica)
            }
            Stage::Synchronizing | Stage::Broadcast(_) => {
                self.sync(facts, replica, link);
                self.try_broadcast(facts, replica, now)
            }
            Stage::Discovery | Stage::Accepting | Stage::Adopting => Ok(()),
        }
    }

    /// Adopts the epoch once a quorum has agreed to it.
    fn try_adopt(&mut self, facts: &mut Facts, replica: &mut Replica) -> Step {
        if let Stage::Agreeing(acks) = &self.stage
            && facts.quorums.has_all(acks)
        {
            self.stage = Stage::Adopting;
            facts.promise(replica, EpochPromise::Current(self.epoch));
        }
        Ok(())
    }

    /// A learner has all of the history before the epoch on its disk.
    fn on_synced(
        &mut self,
        facts: &mut Facts,
        replica: &mut Replica,
        link: QuorumLink,
        now: Now,
    ) -> Step {
        let learner = self.learners.get_mut(&link).expect("the link is open");
        learner.stage = LearnerStage::Acked;
        learner.patience = now.monotonic + facts.settings.sync_timeout();
        if let Some((_, deadline)) = &mut learner.unacked {
            *deadline = learner.patience;
        }
        let early_ack = learner.early_ack.take();
        self.try_broadcast(facts, replica, now)?;
        if let Some(zxid) = early_ack {
            self.on_active(facts, replica, link, FromLearner::Ack { zxid }, now);
        }
        Ok(())
    }

    /// Serves once a quorum has the history, and lets serve who has it.
    fn try_broadcast(&mut self, facts: &mut Facts, replica: &mut Replica, now: Now) -> Step {
        if matches!(self.stage, Stage::Synchronizing) {
            let has_history = |id| id == facts.id || self.has(id, LearnerStage::Acked);
            if !facts.quorums.has_all_by(has_history) {
                return Ok(());
            }
            let broadcast = Broadcast::new(replica, self.epoch_zxid(), now);
            self.stage = Stage::Broadcast(broadcast);
            // The newest membership was part of the history, or is the first of all.
            let config = facts.last_seen().clone();
            facts.activate_config(replica, config);
            facts.show_config(replica, now);
            if !facts.quorums.is_voter(facts.id) {
                return Err(LeaveReason::Reconfigured { leader: None });
            }
        }
        if matches!(self.stage, Stage::Broadcast(_)) {
            for link in self.at(LearnerStage::Acked) {
                let learner = self.learners.get_mut(&link).expect("the link is open");
                learner.stage = LearnerStage::Active;
                learner.patience = now.monotonic + facts.settings.sync_timeout();
                send(replica, link, FromLeader::UpToDate.to_bytes());
            }
        }
        Ok(())
    }

    /// Whether clients are served.
    pub(crate) const fn is_serving(&self) -> bool {
        matches!(self.stage, Stage::Broadcast(_))
    }

    /// Closes all links, and gives out what was made and not applied.
    pub(crate) fn end(self, replica: &mut Replica) -> Option<Authority> {
        for &link in self.learners.keys() {
            push(replica, QuorumEffect::Close(link));
        }
        match self.stage {
            Stage::Broadcast(broadcast) => Some(broadcast.authority),
            _ => None,
        }
    }
}

fn push(replica: &mut Replica, effect: QuorumEffect) {
    replica.effects.push(Effect::Quorum(effect));
}

fn send(replica: &mut Replica, link: QuorumLink, packets: Bytes) {
    push(replica, QuorumEffect::Send { link, packets });
}
