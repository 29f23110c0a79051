//! What is to go wrong, and what has passed: the state that handles and connections share.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use zk_proto::{OpCode, PASSWORD_BYTES, Record, SessionId, Xid};

use super::frames::{self, Content, Direction, Frame};

/// A fault that waits for its moment. It is called off when its handle is dropped.
#[derive(Debug)]
struct Plan {
    trigger: Trigger,
    struck: oneshot::Sender<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    /// Cut instead of passing the next request for this operation on.
    Request(OpCode),
    /// Cut instead of passing the reply to the next request for this operation on.
    Reply(OpCode),
    /// Cut after so many bytes.
    Bytes(Direction, usize),
    /// Make the next attempt to resume a session open another one.
    Resume,
}

#[derive(Debug)]
pub(super) struct Control {
    pub(super) server: SocketAddr,
    pub(super) frames: Vec<Frame>,
    /// Connections numbered below this are cut.
    pub(super) cut_below: u64,
    pub(super) accepted: u64,
    pub(super) open: usize,
    pub(super) refusals: usize,
    holds: [usize; 2],
    delays: [Duration; 2],
    plans: Vec<Plan>,
}

impl Control {
    pub(super) fn new(server: SocketAddr) -> Self {
        Self {
            server,
            frames: Vec::new(),
            cut_below: 0,
            accepted: 0,
            open: 0,
            refusals: 0,
            holds: [0; 2],
            delays: [Duration::ZERO; 2],
            plans: Vec::new(),
        }
    }

    pub(super) fn arm(&mut self, trigger: Trigger) -> oneshot::Receiver<()> {
        let (struck, receiver) = oneshot::channel();
        self.plans.push(Plan { trigger, struck });
        receiver
    }

    /// Takes the oldest plan whose trigger is `trigger`.
    fn take(&mut self, trigger: Trigger) -> Option<oneshot::Sender<()>> {
        self.plans.retain(|plan| !plan.struck.is_closed());
        let at = self.plans.iter().position(|plan| plan.trigger == trigger)?;
        Some(self.plans.remove(at).struck)
    }

    pub(super) fn holds(&self, direction: Direction) -> usize {
        let [to_server, to_client] = self.holds;
        match direction {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        }
    }

    pub(super) fn holds_mut(&mut self, direction: Direction) -> &mut usize {
        let [to_server, to_client] = &mut self.holds;
        match direction {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        }
    }

    pub(super) fn delay(&self, direction: Direction) -> Duration {
        let [to_server, to_client] = self.delays;
        match direction {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        }
    }

    pub(super) fn set_delay(&mut self, direction: Direction, delay: Duration) {
        let [to_server, to_client] = &mut self.delays;
        match direction {
            Direction::ToServer => *to_server = delay,
            Direction::ToClient => *to_client = delay,
        }
    }

    /// How many of `bytes` may pass before the connection is cut; `None` for all of them.
    pub(super) fn spend(&mut self, direction: Direction, bytes: usize) -> Option<usize> {
        self.plans.retain(|plan| !plan.struck.is_closed());
        let at = self.plans.iter().position(
            |plan| matches!(plan.trigger, Trigger::Bytes(planned, _) if planned == direction),
        )?;
        let Plan { trigger, struck } = self.plans.remove(at);
        match trigger {
            Trigger::Bytes(_, left) if left > bytes => {
                let trigger = Trigger::Bytes(direction, left - bytes);
                self.plans.insert(at, Plan { trigger, struck });
                None
            }
            Trigger::Bytes(_, left) => {
                strike(struck);
                Some(left)
            }
            Trigger::Request(_) | Trigger::Reply(_) | Trigger::Resume => None,
        }
    }
}

fn strike(struck: oneshot::Sender<()>) {
    // Whoever armed the fault may have stopped waiting between the check and here.
    let _unheard = struck.send(());
}

/// Requests of one connection without a reply.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    connected: bool,
    accepted: bool,
    outstanding: BTreeMap<Xid, OpCode>,
    doomed: BTreeMap<Xid, oneshot::Sender<()>>,
}

impl Exchange {
    /// The frame to pass on in place of `frame`; `None` to cut the connection.
    pub(super) fn pass(
        &mut self,
        control: &mut Control,
        connection: u64,
        direction: Direction,
        frame: Bytes,
    ) -> Option<Bytes> {
        let (content, frame) = match direction {
            Direction::ToServer if !self.connected => {
                self.connected = true;
                on_connect(control, frame)
            }
            Direction::ToServer => self.on_request(control, frame)?,
            Direction::ToClient if !self.accepted => {
                self.accepted = true;
                (frames::decode_connected(&frame), frame)
            }
            Direction::ToClient => self.on_reply(frame)?,
        };
        control.frames.push(Frame {
            connection,
            content,
        });
        Some(frame)
    }

    fn on_request(&mut self, control: &mut Control, frame: Bytes) -> Option<(Content, Bytes)> {
        let Ok((xid, request)) = frames::decode_request(&frame) else {
            return Some((Content::Unknown(frame.clone()), frame));
        };
        let op = request.op();
        if let Some(struck) = control.take(Trigger::Request(op)) {
            strike(struck);
            return None;
        }
        if let Some(struck) = control.take(Trigger::Reply(op)) {
            self.doomed.insert(xid, struck);
        }
        self.outstanding.insert(xid, op);
        Some((Content::Request { xid, request }, frame))
    }

    fn on_reply(&mut self, frame: Bytes) -> Option<(Content, Bytes)> {
        let Ok(header) = frames::decode_reply_header(&frame) else {
            return Some((Content::Unknown(frame.clone()), frame));
        };
        if let Some(struck) = self.doomed.remove(&header.xid) {
            strike(struck);
            return None;
        }
        let op = self.outstanding.remove(&header.xid);
        Some((frames::decode_reply(&frame, op), frame))
    }
}

fn on_connect(control: &mut Control, frame: Bytes) -> (Content, Bytes) {
    let Ok(mut connect) = frames::decode_connect(&frame) else {
        return (Content::Unknown(frame.clone()), frame);
    };
    if connect.session_id == SessionId(0) {
        return (Content::Connect(connect), frame);
    }
    let Some(struck) = control.take(Trigger::Resume) else {
        return (Content::Connect(connect), frame);
    };
    strike(struck);
    connect.session_id = SessionId(0);
    connect.password = Bytes::from_static(&[0; PASSWORD_BYTES]);
    let frame = connect.to_bytes();
    (Content::Connect(connect), frame)
}
