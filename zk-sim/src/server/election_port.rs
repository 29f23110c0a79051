//! The election port: the shell around the core's [`Links`](zk_core::election::links::Links).

use bytes::{Bytes, BytesMut};
use zk_core::election::links::{Accepted, Dialled, LinkEffect, LinkId};
use zk_core::{Input, QuorumInput};
use zk_proto::quorum::{
    Address, Host, InitialForm, InitialMessage, NOTIFICATION_BYTES_MAX, Notification,
};
use zk_proto::{ServerId, split_frame};

use super::Server;
use super::process::EndOf;
use crate::context::Context;
use crate::net::{ConnNo, Port, Side};
use crate::trace::About;

impl Server {
    fn election_address(&self) -> Address {
        let host = format!("10.0.0.{}", self.id.0);
        Address {
            host: Host::parse(&host).expect("an IP address"),
            port: 3888,
        }
    }

    /// Does what the links ask for.
    pub(super) fn pump_links(&mut self, ctx: &mut Context) {
        loop {
            let Some(process) = &mut self.process else {
                return;
            };
            let Some(effect) = process.links.next_effect() else {
                return;
            };
            match effect {
                LinkEffect::Dial { peer, .. } => {
                    let place = usize::try_from(peer.0 - 1).expect("an id of the ensemble");
                    let conn = ctx.dial(self.no.into(), place, Port::Election { to: peer.0 });
                    process.ends.insert(conn, EndOf::Voter { peer });
                }
                LinkEffect::Write {
                    peer,
                    link,
                    message,
                } => {
                    ctx.tell(About::Server(self.no), || {
                        let Notification {
                            state,
                            leader,
                            zxid,
                            round,
                            peer_epoch,
                            ..
                        } = &message;
                        format!("  votes to {peer}: {state:?} {leader} {zxid} epoch {peer_epoch} round {round}")
                    });
                    let mut frame = BytesMut::new();
                    message.encode_frame(&mut frame);
                    process.put(number(link), &frame);
                    process.links.on_written(peer, link);
                }
                LinkEffect::Close { link } => {
                    let conn = number(link);
                    if let Some(end) = process.ends.remove(&conn) {
                        ctx.close(conn, end.side(), false);
                    }
                }
                LinkEffect::Up { peer } => {
                    self.input(ctx, Input::Quorum(QuorumInput::VoterConnected(peer)));
                }
                LinkEffect::Down { peer } => {
                    self.input(ctx, Input::Quorum(QuorumInput::VoterDisconnected(peer)));
                }
                LinkEffect::Unreachable { peer } => {
                    self.input(ctx, Input::Quorum(QuorumInput::VoterUnreachable(peer)));
                }
            }
        }
    }

    pub(crate) fn on_links_tick(&mut self, ctx: &mut Context) {
        let now = self.clock.now(ctx.now).monotonic;
        let process = self.process.as_mut().expect("it is up");
        process.links_tick = None;
        process.links.on_tick(now);
        self.after_input(ctx);
    }

    pub(super) fn on_vote_link_dialled(&mut self, ctx: &mut Context, conn: ConnNo, to: i64) {
        let now = self.clock.now(ctx.now).monotonic;
        let address = self.election_address();
        let Some(process) = &mut self.process else {
            return;
        };
        let dialled = process
            .links
            .on_dialled(now, ServerId(to), LinkId(conn.into()));
        let initial = || {
            let mut bytes = BytesMut::new();
            let message = InitialMessage {
                form: InitialForm::V1,
                server: self.id,
                addresses: vec![address],
            };
            message.encode(&mut bytes);
            bytes.freeze()
        };
        match dialled {
            Dialled::Keep => ctx.send(conn, Side::Dialler, initial()),
            Dialled::Announce => {
                ctx.send(conn, Side::Dialler, initial());
                process.ends.remove(&conn);
                ctx.close(conn, Side::Dialler, true);
            }
            Dialled::Drop => {
                process.ends.remove(&conn);
                ctx.close(conn, Side::Dialler, true);
            }
        }
        self.after_input(ctx);
    }

    pub(super) fn on_vote_link_failed(&mut self, ctx: &mut Context, to: i64) {
        let now = self.clock.now(ctx.now).monotonic;
        let process = self.process.as_mut().expect("it is up");
        process.links.on_dial_failed(now, ServerId(to));
        self.after_input(ctx);
    }

    pub(super) fn on_vote_link_ended(
        &mut self,
        ctx: &mut Context,
        conn: ConnNo,
        peer: Option<ServerId>,
    ) {
        let now = self.clock.now(ctx.now).monotonic;
        let process = self.process.as_mut().expect("it is up");
        if let Some(peer) = peer {
            process.links.on_closed(now, peer, LinkId(conn.into()));
        }
        self.after_input(ctx);
    }

    pub(super) fn read_votes(&mut self, ctx: &mut Context, conn: ConnNo) {
        loop {
            let Some(process) = &self.process else {
                return;
            };
            let Some(&end) = process.ends.get(&conn) else {
                return;
            };
            let (EndOf::Voter { peer } | EndOf::Caller { peer: Some(peer) }) = end else {
                if self.read_initial(ctx, conn) {
                    continue;
                }
                return;
            };
            let Some(input) = ctx.net.input(conn, end.side()) else {
                return;
            };
            let frame = split_frame(input, NOTIFICATION_BYTES_MAX);
            let Some(frame) = frame.expect("servers send well-formed frames") else {
                return;
            };
            self.on_vote(ctx, conn, peer, &frame);
        }
    }

    fn on_vote(&mut self, ctx: &mut Context, conn: ConnNo, from: ServerId, frame: &Bytes) {
        let notification = Notification::decode(frame).expect("servers send well-formed votes");
        let process = self.process.as_ref().expect("it is up");
        if process.links.is_current(from, LinkId(conn.into())) {
            self.input(ctx, Input::Quorum(QuorumInput::Vote { from, notification }));
        }
    }

    /// Whoever called says who it is; whether it has, and is listened to.
    fn read_initial(&mut self, ctx: &mut Context, conn: ConnNo) -> bool {
        let now = self.clock.now(ctx.now).monotonic;
        let Some(input) = ctx.net.input(conn, Side::Acceptor) else {
            return false;
        };
        let initial = InitialMessage::split(input);
        let Some(initial) = initial.expect("servers send well-formed messages") else {
            return false;
        };
        let process = self.process.as_mut().expect("it is up");
        let link = LinkId(conn.into());
        let accepted = process
            .links
            .on_accepted(now, link, initial.server, initial.addresses);
        let is_kept = match accepted {
            Accepted::Keep(peer) => {
                process
                    .ends
                    .insert(conn, EndOf::Caller { peer: Some(peer) });
                true
            }
            Accepted::CallBack | Accepted::Refuse(_) => {
                process.ends.remove(&conn);
                ctx.close(conn, Side::Acceptor, true);
                false
            }
        };
        self.after_input(ctx);
        is_kept
    }
}

fn number(link: LinkId) -> ConnNo {
    ConnNo::try_from(link.0).expect("links are numbered in 32 bits")
}
