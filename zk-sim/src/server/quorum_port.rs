//! The quorum port: packets, and the snapshot that may stand between them.

use bytes::BytesMut;
use zk_core::{Input, QuorumInput, QuorumLink};
use zk_proto::DecodeError;
use zk_proto::quorum::{FromLeader, Packet, split_packet};

use super::Server;
use super::disk::{Failure, Job};
use super::process::{EndOf, Receiving, ReceivingStage};
use crate::context::Context;
use crate::net::ConnNo;

const PACKET_BYTES_MAX: usize = 4 << 20;

impl Server {
    /// Hands the core the packets that are there, as long as packets are what follows.
    pub(super) fn read_quorum(&mut self, ctx: &mut Context, conn: ConnNo) {
        loop {
            let Some(process) = &self.process else {
                return;
            };
            let Some(&end) = process.ends.get(&conn) else {
                return;
            };
            match process.receiving {
                Some(receiving) if receiving.link == conn => {
                    match receiving.stage {
                        ReceivingStage::Feeding => self.feed(ctx, conn),
                        ReceivingStage::Asked | ReceivingStage::Ending => {}
                    }
                    return;
                }
                Some(_) | None => {}
            }
            let Some(input) = ctx.net.input(conn, end.side()) else {
                return;
            };
            let link = QuorumLink(conn.into());
            let packets = match end {
                EndOf::Leader => {
                    let is_snap = |packet: &FromLeader| matches!(packet, FromLeader::Snap { .. });
                    split_packets(input, is_snap)
                        .map(|it| it.map(|packets| QuorumInput::FromLeader { link, packets }))
                }
                _ => split_packets(input, |_| false)
                    .map(|it| it.map(|packets| QuorumInput::FromLearner { link, packets })),
            };
            match packets {
                Ok(Some(packets)) => self.input(ctx, Input::Quorum(packets)),
                Ok(None) => return,
                Err(error) => {
                    let id = self.id;
                    let text = format!("server {id} was sent what is no packet: {error}");
                    ctx.checks.fail(ctx.now, "C1", text);
                    return;
                }
            }
        }
    }

    fn feed(&mut self, ctx: &mut Context, conn: ConnNo) {
        let process = self.process.as_mut().expect("it is up");
        let Some(input) = ctx.net.input(conn, EndOf::Leader.side()) else {
            return;
        };
        let bytes = input.split().freeze();
        if bytes.is_empty() {
            return;
        }
        match process.disk.feed(bytes) {
            Ok(None) => {}
            Ok(Some(rest)) => {
                *input = BytesMut::from(rest);
                self.end_receiving(ctx, Job::Install);
            }
            Err(error) => {
                let failure: Failure = error.into();
                self.fail(ctx, &failure);
            }
        }
    }

    /// Storage is ready to take the snapshot.
    pub(super) fn on_may_feed(&mut self, ctx: &mut Context) {
        let process = self.process.as_mut().expect("it is up");
        let receiving = process.receiving.as_mut().expect("a snapshot was to come");
        let Receiving { link, is_lost, .. } = *receiving;
        if is_lost {
            self.end_receiving(ctx, Job::Abandon);
        } else {
            receiving.stage = ReceivingStage::Feeding;
            self.feed(ctx, link);
        }
    }

    fn end_receiving(&mut self, ctx: &mut Context, job: Job) {
        let process = self.process.as_mut().expect("it is up");
        let receiving = process.receiving.as_mut().expect("a snapshot was to come");
        receiving.stage = ReceivingStage::Ending;
        process.disk.ask(job);
        self.work(ctx);
    }

    /// The link is gone: if a snapshot was to come on it, the rest of it does not.
    pub(super) fn lose_snapshot(&mut self, ctx: &mut Context, conn: ConnNo) {
        let Some(process) = &mut self.process else {
            return;
        };
        let Some(receiving) = process.receiving.as_mut().filter(|it| it.link == conn) else {
            return;
        };
        receiving.is_lost = true;
        if receiving.stage == ReceivingStage::Feeding {
            ctx.checks.coverage.snapshots_lost += 1;
            self.end_receiving(ctx, Job::Abandon);
        }
    }

    /// The history on disk is another one, or what it was.
    pub(super) fn on_reload(&mut self, ctx: &mut Context, input: QuorumInput) {
        let process = self.process.as_mut().expect("it is up");
        let link = process.receiving.take().map(|receiving| receiving.link);
        self.input(ctx, Input::Quorum(input));
        if let Some(link) = link {
            self.read_quorum(ctx, link);
        }
    }
}

/// The packets that are there, if any, up to one after which something else follows.
fn split_packets<P: Packet>(
    input: &mut BytesMut,
    is_last: impl Fn(&P) -> bool,
) -> Result<Option<Vec<P>>, DecodeError> {
    let mut packets = Vec::new();
    while let Some(packet) = split_packet(input, PACKET_BYTES_MAX)? {
        let is_last = is_last(&packet);
        packets.push(packet);
        if is_last {
            break;
        }
    }
    Ok(Some(packets).filter(|packets| !packets.is_empty()))
}
