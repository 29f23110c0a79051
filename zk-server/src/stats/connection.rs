//! Counters of one connection.

use zk_proto::{OpCode, Xid, Zxid};

/// What `cons` and `stat` tell of one connection (`ServerCnxn.dumpConnectionInfo`, 3.9.5).
#[derive(Debug, Clone)]
pub(crate) struct ConnectionStats {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) last_op: Option<OpCode>,
    pub(crate) last_cxid: i32,
    pub(crate) last_zxid: Zxid,
    pub(crate) last_response_ms: u64,
    pub(crate) last_latency_ms: u64,
    min_latency_ms: u64,
    pub(crate) max_latency_ms: u64,
    count: u64,
    total_latency_ms: u64,
}

impl Default for ConnectionStats {
    fn default() -> Self {
        Self {
            received: 0,
            sent: 0,
            last_op: None,
            last_cxid: -1,
            last_zxid: Zxid(-1),
            last_response_ms: 0,
            last_latency_ms: 0,
            min_latency_ms: u64::MAX,
            max_latency_ms: 0,
            count: 0,
            total_latency_ms: 0,
        }
    }
}

impl ConnectionStats {
    /// Counts an answered request.
    pub(crate) fn answered(
        &mut self,
        op: OpCode,
        xid: Xid,
        zxid: Option<Zxid>,
        now_ms: u64,
        latency_ms: u64,
    ) {
        if xid.0 >= 0 {
            self.last_cxid = xid.0;
        }
        self.last_op = Some(op);
        if let Some(zxid) = zxid {
            self.last_zxid = zxid;
        }
        self.last_response_ms = now_ms;
        self.last_latency_ms = latency_ms;
        self.min_latency_ms = self.min_latency_ms.min(latency_ms);
        self.max_latency_ms = self.max_latency_ms.max(latency_ms);
        self.count += 1;
        self.total_latency_ms += latency_ms;
    }

    pub(crate) fn min_latency_ms(&self) -> u64 {
        if self.count == 0 {
            0
        } else {
            self.min_latency_ms
        }
    }

    pub(crate) fn mean_latency_ms(&self) -> u64 {
        self.total_latency_ms.checked_div(self.count).unwrap_or(0)
    }
}

/// The name that `cons` gives an operation (`FinalRequestProcessor`, 3.9.5).
pub(crate) fn op_label(op: Option<OpCode>) -> &'static str {
    match op {
        Some(OpCode::PING) => "PING",
        Some(OpCode::CREATE_SESSION) => "SESS",
        Some(OpCode::MULTI) => "MULT",
        Some(OpCode::MULTI_READ) => "MLTR",
        Some(OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_CONTAINER | OpCode::CREATE_TTL) => {
            "CREA"
        }
        Some(OpCode::DELETE | OpCode::DELETE_CONTAINER) => "DELE",
        Some(OpCode::SET_DATA) => "SETD",
        Some(OpCode::RECONFIG) => "RECO",
        Some(OpCode::SET_ACL) => "SETA",
        Some(OpCode::CLOSE_SESSION) => "CLOS",
        Some(OpCode::SYNC) => "SYNC",
        Some(OpCode::CHECK) => "CHEC",
        Some(OpCode::EXISTS) => "EXIS",
        Some(OpCode::GET_DATA) => "GETD",
        Some(OpCode::SET_WATCHES) => "SETW",
        Some(OpCode::SET_WATCHES2) => "STW2",
        Some(OpCode::ADD_WATCH) => "ADDW",
        Some(OpCode::GET_ACL) => "GETA",
        Some(OpCode::GET_CHILDREN | OpCode::GET_CHILDREN2) => "GETC",
        Some(OpCode::GET_ALL_CHILDREN_NUMBER) => "GETACN",
        Some(OpCode::CHECK_WATCHES) => "CHKW",
        Some(OpCode::REMOVE_WATCHES) => "REMW",
        Some(OpCode::WHO_AM_I) => "HOMI",
        Some(OpCode::GET_EPHEMERALS) => "GETE",
        _ => "NA",
    }
}
