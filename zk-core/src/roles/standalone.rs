//! A server alone: what is on its disk is agreed on.

use zk_proto::Zxid;

use crate::Now;
use crate::authority::{Authority, Made};
use crate::replica::Replica;

#[derive(Debug)]
pub(crate) struct Standalone {
    pub(crate) authority: Authority,
}

impl Standalone {
    pub(crate) fn new(replica: &mut Replica, now: Now) -> Self {
        Self {
            authority: Authority::new(replica, replica.tree.last_zxid(), now),
        }
    }

    pub(crate) fn on_flushed(&mut self, replica: &mut Replica, zxid: Zxid, now: Now) {
        self.authority.commit(replica, zxid, now);
        replica.snapshot_if_due();
    }

    /// Sends what was made to the disk.
    pub(crate) fn send_made(&mut self, replica: &mut Replica) {
        for Made { zxid, record } in self.authority.take_made() {
            replica.append(zxid, record);
        }
    }
}
