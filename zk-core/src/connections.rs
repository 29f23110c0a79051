//! The connections that carry or open a session.

use alloc::collections::VecDeque;

use hashbrown::HashMap;
use zk_proto::{ErrorCode, Request, Response, Xid, Zxid};

use crate::auth::Identities;
use crate::slab::Slab;
use crate::{CloseReason, ConnId};

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnId,
    /// The slot of its session.
    pub(crate) session: u32,
    pub(crate) who: Identities,
    /// Whether its client sends and expects the byte for read-only servers.
    pub(crate) has_read_only_byte: bool,
    /// What waits for the session's writes, in the order of the requests.
    pub(crate) waiting: VecDeque<Waiting>,
    /// It will be closed when what waits is answered: no more is taken from it.
    pub(crate) is_ending: bool,
}

/// Something that waits for its turn.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// The transaction that must be applied before.
    pub(crate) after: Zxid,
    pub(crate) xid: Xid,
    pub(crate) turn: Turn,
}

/// What is done when its turn comes.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Serve a request that is no write.
    Serve(Request),
    /// Give an answer that is known already.
    Answer {
        /// The header's zxid; `None` for the newest one.
        zxid: Option<Zxid>,
        result: Result<Response, ErrorCode>,
        close: Option<CloseReason>,
    },
}

/// The connections, in slots that stay valid until they are removed.
#[derive(Debug)]
pub(crate) struct Connections {
    slots: Slab<Connection>,
    by_id: HashMap<ConnId, u32>,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            slots: Slab::new(),
            by_id: HashMap::new(),
        }
    }
}

impl Connections {
    pub(crate) fn insert(&mut self, connection: Connection) -> u32 {
        let id = connection.id;
        let slot = self.slots.insert(connection);
        let before = self.by_id.insert(id, slot);
        assert!(before.is_none(), "connection {id:?} is numbered twice");
        slot
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Connection {
        let connection = self.slots.remove(slot);
        self.by_id.remove(&connection.id);
        connection
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
