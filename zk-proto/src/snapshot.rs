//! Records of snapshots (`FileSnap`, `DataTree.serialize`, 3.9.5).
//!
//! ```text
//! file     = SnapshotHeader body seal [digest seal] [zxid seal]
//! header   = int "ZKSN", int 2, long -1
//! body     = int n, SnapshotSession[n], int n, (long acl id, vector ACL)[n], SnapshotNode*, string "/"
//! seal     = long Adler-32 of all bytes before it, string "/"
//! digest   = long zxid, int digest version, long digest
//! zxid     = long last processed zxid
//! ```
//!
//! The root's path is the empty string, so that "/" can end the list of nodes.

use crate::txnlog::expect_int;
use crate::{DecodeError, Reader, Record, SessionId, StatPersisted, Writer};

const SNAPSHOT_MAGIC: i32 = i32::from_be_bytes(*b"ZKSN");
const SNAPSHOT_VERSION: i32 = 2;
const SNAPSHOT_DBID: i64 = -1;

/// The first four bytes of a snapshot file.
#[must_use]
pub const fn snapshot_magic() -> [u8; 4] {
    SNAPSHOT_MAGIC.to_be_bytes()
}

/// The first bytes of a snapshot file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// −1.
    pub dbid: i64,
}

impl Default for SnapshotHeader {
    fn default() -> Self {
        Self {
            dbid: SNAPSHOT_DBID,
        }
    }
}

impl Record for SnapshotHeader {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        expect_int(reader, "snapshot magic", SNAPSHOT_MAGIC)?;
        expect_int(reader, "snapshot version", SNAPSHOT_VERSION)?;
        Ok(Self {
            dbid: reader.i64()?,
        })
    }

    fn encode(&self, out: &mut impl Writer) {
        out.put_int(SNAPSHOT_MAGIC);
        out.put_int(SNAPSHOT_VERSION);
        out.put_long(self.dbid);
    }
}

/// An open session. Layout: long id, int timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotSession {
    /// The session.
    pub id: SessionId,
    /// Its timeout in ms.
    pub timeout_ms: i32,
}

impl Record for SnapshotSession {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: SessionId(reader.i64()?),
            timeout_ms: reader.i32()?,
        })
    }

    fn encode(&self, out: &mut impl Writer) {
        out.put_long(self.id.0);
        out.put_int(self.timeout_ms);
    }
}

/// A znode. Layout: string path, buffer data, long acl id, StatPersisted. The fields are borrowed:
/// millions of these pass by at every load and save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotNode<'a> {
    /// The whole path; empty for the root.
    pub path: &'a str,
    /// The data.
    pub data: Option<&'a [u8]>,
    /// Number of its ACL in this snapshot; −1 for the open ACL.
    pub acl: i64,
    /// Its bookkeeping.
    pub stat: StatPersisted,
}

impl<'a> SnapshotNode<'a> {
    /// Reads a node; `None` at the path "/" that ends the list.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are no node.
    pub fn decode(reader: &mut Reader<'a>) -> Result<Option<Self>, DecodeError> {
        let path = reader.str()?;
        if path == "/" {
            return Ok(None);
        }
        Ok(Some(Self {
            path,
            data: reader.slice()?,
            acl: reader.i64()?,
            stat: StatPersisted::decode(reader)?,
        }))
    }

    /// Appends the node.
    pub fn encode(&self, out: &mut impl Writer) {
        out.put_string(self.path);
        out.put_buffer(self.data);
        out.put_long(self.acl);
        self.stat.encode(out);
    }
}
