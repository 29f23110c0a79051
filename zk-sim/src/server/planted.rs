//! Where the bugs of [`Planted`] are, but for those of the disk's.

use zk_core::{Effect, Input, QuorumInput};
use zk_proto::quorum::{EnsembleConfig, FromLeader, FromLearner};
use zk_proto::{EventType, Request, Xid, Zxid};

use super::Server;
use super::process::Process;
use crate::planted::Planted;

impl Server {
    /// The membership that this server is started with.
    pub(super) fn membership_of(
        &self,
        planted: Option<Planted>,
        all: EnsembleConfig,
    ) -> EnsembleConfig {
        if planted != Some(Planted::OldMembership) || self.id.0 > 2 {
            return all;
        }
        let servers = all.servers().iter().filter(|(id, _)| id.0 <= 3);
        let servers = servers.map(|(&id, server)| (id, server.clone())).collect();
        EnsembleConfig::new(servers, None, Zxid::ZERO).expect("three voters")
    }
}

impl Process {
    /// What becomes of an input on its way to the core; `None` when it gets lost.
    pub(super) fn distort(&mut self, planted: Planted, mut input: Input) -> Option<Input> {
        let last = self.core.last_zxid();
        match (planted, &mut input) {
            (Planted::WatchesRestoredLate, Input::Requests { requests, .. }) => {
                for request in requests {
                    if let Ok(Request::SetWatches(watches)) = &mut request.request {
                        watches.relative_zxid = last;
                    }
                }
            }
            (
                Planted::TouchesForgotten,
                Input::Quorum(QuorumInput::FromLearner { packets, .. }),
            ) => {
                for packet in packets {
                    if let FromLearner::Ping { touched, .. } = packet {
                        touched.clear();
                    }
                }
            }
            (
                Planted::ProposalForgotten | Planted::InformForgotten,
                Input::Quorum(QuorumInput::FromLeader { packets, .. }),
            ) if !self.core.is_serving() => {
                *packets = forget(planted, std::mem::take(packets));
            }
            (Planted::DeafToVotes, Input::Quorum(QuorumInput::VoterDisconnected(_))) => {
                self.is_deaf = true;
            }
            (Planted::DeafToVotes, Input::Quorum(QuorumInput::Vote { .. })) if self.is_deaf => {
                return None;
            }
            _ => {}
        }
        Some(input)
    }

    /// What becomes of the effects of a turn.
    pub(super) fn distort_effects(&self, planted: Planted, effects: &mut Vec<Effect>) {
        match planted {
            Planted::EventAfterReply => {
                effects.sort_by_key(|effect| matches!(effect, Effect::Notify { .. }));
            }
            Planted::EventTwice => {
                for effect in effects {
                    if let Effect::Notify { conns, event, .. } = effect
                        && event.event == EventType::NodeChildrenChanged
                    {
                        conns.extend_from_within(..);
                    }
                }
            }
            Planted::RepliesSwapped => swap_replies(effects),
            Planted::ZxidOfLater => {
                for effect in effects {
                    if let Effect::Reply { header, .. } = effect {
                        header.zxid = self.core.last_zxid();
                    }
                }
            }
            _ => {}
        }
    }
}

/// The packets that are not forgotten.
fn forget(planted: Planted, packets: Vec<FromLeader>) -> Vec<FromLeader> {
    let commits: Vec<Zxid> = (packets.iter())
        .filter_map(|packet| match packet {
            FromLeader::Commit { zxid } => Some(*zxid),
            _ => None,
        })
        .collect();
    let is_kept = |packet: &FromLeader| match packet {
        FromLeader::Proposal { zxid, .. } => {
            planted != Planted::ProposalForgotten || commits.contains(zxid)
        }
        FromLeader::Inform { .. } => planted != Planted::InformForgotten,
        _ => true,
    };
    packets.into_iter().filter(is_kept).collect()
}

/// Swaps the first two answers that go to one connection one right after the other.
fn swap_replies(effects: &mut [Effect]) {
    let is_reply = |effect: &Effect| match effect {
        Effect::Reply { conn, header, .. } if header.xid != Xid::PING => Some(*conn),
        _ => None,
    };
    let first = effects
        .array_windows()
        .position(|[one, next]| is_reply(one).is_some() && is_reply(one) == is_reply(next));
    if let Some(first) = first {
        effects.swap(first, first + 1);
    }
}
