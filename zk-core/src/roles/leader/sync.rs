//! Bringing a learner to the leader's history.
//!
//! ```text
//! DIFF │ TRUNC │ SNAP, state   PROPOSAL, COMMIT …   PROPOSAL …        NEWLEADER
//! ──── or ──── or ───────────  what it lacks of     of the epoch, not
//!                              what is committed    yet committed
//! ```
//!
//! From the moment at which its plan is made it gets whatever is proposed and committed, so that
//! nothing falls between what it is brought to and what follows.

use alloc::string::ToString as _;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};
use zk_proto::quorum::{FromLeader, put_proposal};
use zk_proto::{Record as _, Zxid};

use super::learner::Stage as LearnerStage;
use super::plan::{Plan, plan};
use super::{Leader, Stage, push, send};
use crate::replica::Replica;
use crate::roles::facts::Facts;
use crate::{QuorumEffect, QuorumLink};

impl Leader {
    /// Sends what the learner lacks.
    pub(super) fn sync(&mut self, facts: &Facts, replica: &mut Replica, link: QuorumLink) {
        let learner = self.learners.get_mut(&link).expect("the link is open");
        let peer = learner.last_zxid;
        let last = replica.tree.last_zxid();
        match plan(peer, last, &replica.recent) {
            Plan::Diff => {
                let packets = diff(&FromLeader::Diff { zxid: last }, replica.recent.after(peer));
                send(replica, link, packets);
            }
            Plan::Trunc(to) => {
                let packets = diff(&FromLeader::Trunc { zxid: to }, replica.recent.after(to));
                send(replica, link, packets);
            }
            // What is agreed on and not on this disk yet has to be in memory.
            Plan::Log if !replica.recent.has_all_after(facts.flushed, last) => {
                send_snapshot(replica, link);
            }
            Plan::Log => {
                let to = last.min(facts.flushed);
                learner.stage = LearnerStage::Reading;
                learner.from_memory = replica.recent.after(to).cloned().collect();
                let after = peer;
                push(replica, QuorumEffect::ReadLog { link, after, to });
            }
            Plan::Snapshot => send_snapshot(replica, link),
        }
        self.finish_sync(facts, replica, link);
    }

    /// Sends what follows the committed history. Behind it everything that is proposed and committed
    /// from now on is sent, or held while the log is read.
    fn finish_sync(&mut self, facts: &Facts, replica: &mut Replica, link: QuorumLink) {
        let mut packets = BytesMut::new();
        let learner = self.learners.get_mut(&link).expect("the link is open");
        if let Stage::Broadcast(broadcast) = &self.stage
            && !learner.is_observer
        {
            for (zxid, record) in broadcast.authority.unapplied() {
                put_proposal(&mut packets, zxid, record);
            }
        }
        let new_leader = FromLeader::NewLeader {
            zxid: Zxid::of_epoch(self.epoch),
            config: facts.last_seen().to_string(),
        };
        new_leader.encode(&mut packets);
        if let Some(packets) = learner.hold(packets.freeze()) {
            learner.stage = LearnerStage::Syncing;
            send(replica, link, packets);
        }
    }

    /// The log was read for a learner; without it the learner gets the whole state.
    pub(crate) fn on_log_read(
        &mut self,
        facts: &Facts,
        replica: &mut Replica,
        link: QuorumLink,
        txns: Option<Vec<(Zxid, Bytes)>>,
    ) {
        let Some(learner) = self.learners.get_mut(&link) else {
            return;
        };
        assert_eq!(
            learner.stage,
            LearnerStage::Reading,
            "the log was asked for"
        );
        let from_memory = core::mem::take(&mut learner.from_memory);
        let held = learner.take_held();
        learner.stage = LearnerStage::Syncing;
        if let Some(txns) = txns {
            let zxid =
                (from_memory.last().or(txns.last())).map_or(learner.last_zxid, |last| last.0);
            let all = txns.iter().chain(&from_memory);
            send(replica, link, diff(&FromLeader::Diff { zxid }, all));
            for packets in held {
                send(replica, link, packets);
            }
        } else {
            // What was held is in the state by now, or follows it.
            send_snapshot(replica, link);
            self.finish_sync(facts, replica, link);
        }
    }
}

/// The first packet of a synchronization, and committed transactions.
fn diff<'a>(first: &FromLeader, txns: impl Iterator<Item = &'a (Zxid, Bytes)>) -> Bytes {
    let mut packets = BytesMut::new();
    first.encode(&mut packets);
    for (zxid, record) in txns {
        put_proposal(&mut packets, *zxid, record);
        FromLeader::Commit { zxid: *zxid }.encode(&mut packets);
    }
    packets.freeze()
}

fn send_snapshot(replica: &mut Replica, link: QuorumLink) {
    let view = replica.view();
    let zxid = view.zxid;
    send(replica, link, FromLeader::Snap { zxid }.to_bytes());
    push(replica, QuorumEffect::SendSnapshot { link, view });
}
