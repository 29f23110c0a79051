//! The connections that carry, open or resume a session.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use hashbrown::HashMap;
use zk_proto::{ErrorCode, Request, Response, SessionId, Xid};

use crate::auth::Identities;
use crate::slab::Slab;
use crate::{CloseReason, ConnId};

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnId,
    pub(crate) session: SessionId,
    /// The slot of its session, once that is open and the connection accepted.
    pub(crate) attached: Option<u32>,
    /// The session timeout granted to it.
    pub(crate) granted: Duration,
    pub(crate) who: Identities,
    /// Whether its client sends and expects the byte for read-only servers.
    pub(crate) has_read_only_byte: bool,
    /// What waits for the session's writes, in the order of the requests.
    pub(crate) waiting: VecDeque<Waiting>,
    /// It will be closed when what waits is answered: no more is taken from it.
    pub(crate) is_ending: bool,
}

impl Connection {
    /// The session timeout granted to it, in ms.
    pub(crate) fn granted_ms(&self) -> i32 {
        i32::try_from(self.granted.as_millis()).unwrap_or(i32::MAX)
    }
}

/// Something that waits for its turn.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// So many of the session's requests must be [answered](crate::sessions::Session::answered)
    /// before.
    pub(crate) turn: u64,
    pub(crate) xid: Xid,
    pub(crate) what: Turn,
}

/// What is done when its turn comes.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Serve a request that is no write.
    Serve(Request),
    /// End the session, which is local.
    End,
    /// Give an answer that is known already.
    Answer {
        zxid: AnswerZxid,
        result: Result<Response, ErrorCode>,
        close: Option<CloseReason>,
    },
}

/// The zxid in an answer's header.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AnswerZxid {
    /// The newest transaction applied.
    Newest,
    /// None: auth and sasl.
    Zero,
    /// −1: operations that are none (`UnimplementedRequestProcessor`).
    Negative,
}

/// The connections, in slots that stay valid until they are removed.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    slots: Slab<Connection>,
    by_id: HashMap<ConnId, u32>,
    /// Connections that wait for their session to begin or to be found open.
    awaiting: BTreeMap<SessionId, u32>,
}

impl Connections {
    pub(crate) fn insert(&mut self, connection: Connection) -> u32 {
        let id = connection.id;
        let slot = self.slots.insert(connection);
        let before = self.by_id.insert(id, slot);
        assert!(before.is_none(), "connection {id:?} is numbered twice");
        slot
    }

    /// The connection waits for its session; returns the one that did so before.
    pub(crate) fn await_session(&mut self, slot: u32) -> Option<u32> {
        let session = self.get(slot).session;
        self.awaiting.insert(session, slot)
    }

    /// The connection that waited for the session.
    pub(crate) fn take_awaiting(&mut self, session: SessionId) -> Option<u32> {
        self.awaiting.remove(&session)
    }

    /// Whether a connection waits for the session.
    pub(crate) fn awaits(&self, session: SessionId) -> bool {
        self.awaiting.contains_key(&session)
    }

    /// Number of connections that wait for their session.
    pub(crate) fn awaiting(&self) -> usize {
        self.awaiting.len()
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Connection {
        let connection = self.slots.remove(slot);
        self.by_id.remove(&connection.id);
        if self.awaiting.get(&connection.session) == Some(&slot) {
            self.awaiting.remove(&connection.session);
        }
        connection
    }

    /// The slots of all connections, in the order of their numbers.
    pub(crate) fn slots(&self) -> Vec<u32> {
        let mut slots: Vec<_> = (self.by_id.iter()).map(|(&id, &slot)| (id, slot)).collect();
        slots.sort_unstable();
        slots.into_iter().map(|(_, slot)| slot).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(crate) fn slot_of(&self, id: ConnId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn find(&self, slot: u32) -> Option<&Connection> {
        self.slots.find(slot)
    }

    pub(crate) fn get(&self, slot: u32) -> &Connection {
        self.slots.get(slot)
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut Connection {
        self.slots.get_mut(slot)
    }
}
