//! How a learner introduces itself.

use bytes::Bytes;

use crate::{DecodeError, Reader, ServerId, Zxid};

/// What servers speak since ZooKeeper 3.4. Below it there is no LEADERINFO and no ACKEPOCH; callers
/// refuse such a peer.
pub const PROTOCOL_VERSION: i32 = 0x1_0000;

/// Stands for the version that a learner does not tell (`LearnerHandler`, 3.9.5).
const UNTOLD_PROTOCOL_VERSION: i32 = 1;

/// Layout: long server id, int protocol version, long config version. Learners of old leave out the
/// last or the last two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearnerInfo {
    /// The learner's number.
    pub server: ServerId,
    /// What it speaks: [`PROTOCOL_VERSION`].
    pub protocol_version: i32,
    /// The version of the newest [`EnsembleConfig`](super::EnsembleConfig) that it has active. Zero
    /// where it tells none.
    pub config_version: Zxid,
}

impl LearnerInfo {
    pub(super) fn decode(data: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(data);
        Ok(Self {
            server: ServerId(reader.i64()?),
            protocol_version: reader.i32().unwrap_or(UNTOLD_PROTOCOL_VERSION),
            config_version: Zxid(reader.i64().unwrap_or(0)),
        })
    }

    pub(super) fn to_array(self) -> [u8; 20] {
        let mut data = [0; 20];
        let (server, rest) = data.split_at_mut(8);
        let (protocol_version, config_version) = rest.split_at_mut(4);
        server.copy_from_slice(&self.server.0.to_be_bytes());
        protocol_version.copy_from_slice(&self.protocol_version.to_be_bytes());
        config_version.copy_from_slice(&self.config_version.0.to_be_bytes());
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_forms_of_old_learners_are_read() {
        let info = LearnerInfo {
            server: ServerId(3),
            protocol_version: PROTOCOL_VERSION,
            config_version: Zxid(0x1_0000_0002),
        };
        let whole = Bytes::copy_from_slice(&info.to_array());
        assert_eq!(LearnerInfo::decode(&whole), Ok(info));
        let (config_version, protocol_version) = (Zxid(0), 1);
        let twelve = LearnerInfo {
            config_version,
            ..info
        };
        let eight = LearnerInfo {
            protocol_version,
            ..twelve
        };
        for length in 0..20 {
            let seen = LearnerInfo::decode(&whole.slice(..length));
            match length {
                0..8 => assert!(matches!(seen, Err(DecodeError::Truncated { .. }))),
                8..12 => assert_eq!(seen, Ok(eight)),
                _ => assert_eq!(seen, Ok(twelve)),
            }
        }
    }
}
