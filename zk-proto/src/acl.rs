//! Access control lists: who may do what to a znode.

use alloc::string::String;
use core::ops::{BitOr, BitOrAssign};

use crate::{DecodeError, Reader, Record, Writer};

/// A set of permissions as a bit field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Perms(pub i32);

impl Perms {
    /// Read data and list children.
    pub const READ: Self = Self(1);
    /// Replace data.
    pub const WRITE: Self = Self(2);
    /// Create children.
    pub const CREATE: Self = Self(4);
    /// Delete children.
    pub const DELETE: Self = Self(8);
    /// Replace the ACL.
    pub const ADMIN: Self = Self(16);
    /// Everything.
    pub const ALL: Self = Self(31);

    /// Whether any permission of `other` is in this set.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Perms {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Perms {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// An identity under a scheme, such as `ip` and `10.0.0.0/8`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id {
    /// The scheme: `world`, `auth`, `digest`, `ip`, …
    pub scheme: String,
    /// The identity in the scheme's own form.
    pub id: String,
}

impl Id {
    /// An identity under a scheme.
    #[must_use]
    pub fn new(scheme: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            scheme: scheme.into(),
            id: id.into(),
        }
    }

    /// Everybody: `world:anyone`.
    #[must_use]
    pub fn anyone() -> Self {
        Self::new("world", "anyone")
    }
}

/// One entry of an access control list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Acl {
    /// What is permitted.
    pub perms: Perms,
    /// To whom.
    pub id: Id,
}

impl Acl {
    /// One entry.
    #[must_use]
    pub const fn new(perms: Perms, id: Id) -> Self {
        Self { perms, id }
    }

    /// The open entry: everybody may do everything.
    #[must_use]
    pub fn open() -> Self {
        Self::new(Perms::ALL, Id::anyone())
    }
}

/// Layout: string scheme, string id.
impl Record for Id {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            scheme: reader.string()?,
            id: reader.string()?,
        })
    }

    fn encode(&self, out: &mut impl Writer) {
        out.put_string(&self.scheme);
        out.put_string(&self.id);
    }
}

/// Layout: int perms, Id.
impl Record for Acl {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            perms: Perms(reader.i32()?),
            id: Id::decode(reader)?,
        })
    }

    fn encode(&self, out: &mut impl Writer) {
        out.put_int(self.perms.0);
        self.id.encode(out);
    }
}

/// Smallest encoding of one entry: perms and two empty strings.
pub(crate) const ACL_BYTES_MIN: usize = 12;

pub(crate) fn decode_acls(reader: &mut Reader<'_>) -> Result<alloc::vec::Vec<Acl>, DecodeError> {
    reader.vec(ACL_BYTES_MIN, Acl::decode)
}
