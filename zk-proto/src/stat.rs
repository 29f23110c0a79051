//! A znode's bookkeeping, as clients see it and as snapshots keep it.

use crate::{DecodeError, Reader, Record, SessionId, Writer, Zxid};

/// A znode's bookkeeping as clients see it: 68 bytes on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stat {
    /// Transaction that created the znode.
    pub czxid: Zxid,
    /// Transaction that last replaced the data.
    pub mzxid: Zxid,
    /// Time of creation, in ms since the Unix epoch, by the leader's clock.
    pub ctime: i64,
    /// Time of the last data change, likewise.
    pub mtime: i64,
    /// Number of data changes.
    pub version: i32,
    /// Number of changes to the children: creations and deletions.
    pub cversion: i32,
    /// Number of ACL changes.
    pub aversion: i32,
    /// The kind of znode; see [`EphemeralOwner`].
    pub ephemeral_owner: i64,
    /// Length of the data in bytes.
    pub data_length: i32,
    /// Number of children.
    pub num_children: i32,
    /// Transaction that last created or deleted a child.
    pub pzxid: Zxid,
}

/// Layout: czxid, mzxid, ctime, mtime (longs), version, cversion, aversion (ints), ephemeralOwner
/// (long), dataLength, numChildren (ints), pzxid (long).
impl Record for Stat {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            czxid: Zxid(reader.i64()?),
            mzxid: Zxid(reader.i64()?),
            ctime: reader.i64()?,
            mtime: reader.i64()?,
            version: reader.i32()?,
            cversion: reader.i32()?,
            aversion: reader.i32()?,
            ephemeral_owner: reader.i64()?,
            data_length: reader.i32()?,
            num_children: reader.i32()?,
            pzxid: Zxid(reader.i64()?),
        })
    }

    fn encode(&self, out: &mut impl Writer) {
        out.put_long(self.czxid.0);
        out.put_long(self.mzxid.0);
        out.put_long(self.ctime);
        out.put_long(self.mtime);
        out.put_int(self.version);
        out.put_int(self.cversion);
        out.put_int(self.aversion);
        out.put_long(self.ephemeral_owner);
        out.put_int(self.data_length);
        out.put_int(self.num_children);
        out.put_long(self.pzxid.0);
    }
}

/// A znode's bookkeeping as snapshots keep it: 60 bytes. Fields as in [`Stat`]; on disk the
/// cversion counts creations of children alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(missing_docs, reason = "the fields are those of Stat")]
pub struct StatPersisted {
    pub czxid: Zxid,
    pub mzxid: Zxid,
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    pub cversion: i32,
    pub aversion: i32,
    pub ephemeral_owner: i64,
    pub pzxid: Zxid,
}

/// Layout: czxid, mzxid, ctime, mtime (longs), version, cversion, aversion (ints), ephemeralOwner,
/// pzxid (longs).
impl Record for StatPersisted {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            czxid: Zxid(reader.i64()?),
            mzxid: Zxid(reader.i64()?),
            ctime: reader.i64()?,
            mtime: reader.i64()?,
            version: reader.i32()?,
            cversion: reader.i32()?,
            aversion: reader.i32()?,
            ephemeral_owner: reader.i64()?,
            pzxid: Zxid(reader.i64()?),
        })
    }

    fn encode(&self, out: &mut impl Writer) {
        out.put_long(self.czxid.0);
        out.put_long(self.mzxid.0);
        out.put_long(self.ctime);
        out.put_long(self.mtime);
        out.put_int(self.version);
        out.put_int(self.cversion);
        out.put_int(self.aversion);
        out.put_long(self.ephemeral_owner);
        out.put_long(self.pzxid.0);
    }
}

/// Longest time to live: 40 bits of milliseconds, about 34 years.
pub const TTL_MS_MAX: i64 = 0xff_ffff_ffff;

const CONTAINER: i64 = i64::MIN;
const EXTENDED_MASK: u64 = 0xff << 56;
const RESERVED_MASK: u64 = 0xffff << 40;

/// What the `ephemeralOwner` of a Stat says about its znode (`EphemeralType`, 3.9.5).
///
/// | bits | kind |
/// |---|---|
/// | 0 | persistent |
/// | `0x8000000000000000` | container |
/// | `0xff` in 63–56, `0x0000` in 55–40, ms in 39–0 | TTL, when extended types are on |
/// | anything else | ephemeral, the owner's session id |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EphemeralOwner {
    /// Lives until deleted.
    Persistent,
    /// Deleted by the server some time after its last child.
    Container,
    /// Deleted by the server when childless and unchanged for this many ms.
    Ttl(i64),
    /// Deleted with the session.
    Session(SessionId),
}

impl EphemeralOwner {
    /// Reads the kind. With `extended_types` off a TTL reads as a session, as in Apache's server.
    #[must_use]
    #[expect(clippy::cast_sign_loss, reason = "the field is a bit pattern")]
    pub const fn from_raw(raw: i64, extended_types: bool) -> Self {
        let bits = raw as u64;
        if raw == 0 {
            Self::Persistent
        } else if raw == CONTAINER {
            Self::Container
        } else if extended_types
            && bits & EXTENDED_MASK == EXTENDED_MASK
            && bits & RESERVED_MASK == 0
        {
            Self::Ttl(raw & TTL_MS_MAX)
        } else {
            Self::Session(SessionId(raw))
        }
    }

    /// The field's value.
    #[must_use]
    #[expect(clippy::cast_possible_wrap, reason = "the field is a bit pattern")]
    pub const fn to_raw(self) -> i64 {
        match self {
            Self::Persistent => 0,
            Self::Container => CONTAINER,
            Self::Ttl(ttl_ms) => (EXTENDED_MASK as i64) | ttl_ms,
            Self::Session(session) => session.0,
        }
    }
}
