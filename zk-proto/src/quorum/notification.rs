//! Votes on the election port (`FastLeaderElection`, 3.9.5).
//!
//! ```text
//! frame   0  int   length n of the body, 1 to 512 KiB
//!         4  n     body
//! body    0  int   state
//!         4  long  leader
//!        12  long  zxid
//!        20  long  round                               28 bytes: before ZooKeeper 3.4
//!        28  long  peer epoch
//!        36  int   version                             40 bytes: not read; before 3.5
//!        40  int   length n of the text                version 2
//!        44  n     text of an EnsembleConfig           version 2
//! ```
//!
//! Version 1 ends at 40 or at 44 bytes. What follows the text is ignored.

use alloc::borrow::ToOwned;
use alloc::string::String;

use bytes::{Bytes, BytesMut};

use crate::{DecodeError, Reader, ServerId, Writer, Zxid, write_frame};

/// The longest body of a frame, for [`split_frame`](crate::split_frame).
pub const NOTIFICATION_BYTES_MAX: usize = 512 * 1024;

/// The version that is written.
pub const NOTIFICATION_VERSION: i32 = 2;

const BYTES_BEFORE_3_4: usize = 28;
const BYTES_BEFORE_3_5: usize = 40;

/// What a server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerState {
    /// Electing a leader.
    Looking,
    /// Following one, as a participant.
    Following,
    /// Leading.
    Leading,
    /// Following a leader, as an observer.
    Observing,
}

impl ServerState {
    const ALL: [Self; 4] = [
        Self::Looking,
        Self::Following,
        Self::Leading,
        Self::Observing,
    ];

    fn from_wire(seen: i32) -> Result<Self, DecodeError> {
        let state = Self::ALL.into_iter().find(|state| state.to_wire() == seen);
        state.ok_or(DecodeError::BadValue {
            what: "server state",
            seen: i64::from(seen),
        })
    }

    const fn to_wire(self) -> i32 {
        match self {
            Self::Looking => 0,
            Self::Following => 1,
            Self::Leading => 2,
            Self::Observing => 3,
        }
    }
}

/// A server's vote, and what it does meanwhile.
///
/// A server that is no participant in its own config votes for `i64::MIN`; an observer's zxid and
/// epoch are `i64::MIN` as well. A vote that must not count has zxid −1. All numbers pass unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// What the sender does.
    pub state: ServerState,
    /// Whom it votes for.
    pub leader: ServerId,
    /// The last transaction of that server.
    pub zxid: Zxid,
    /// The sender's count of elections (`electionEpoch`).
    pub round: i64,
    /// The epoch of that server; that of `zxid` in the oldest form.
    pub peer_epoch: i64,
    /// The form in which it came: 0 below 44 bytes, else as told. What is written is always
    /// [`NOTIFICATION_VERSION`].
    pub version: i32,
    /// The text of the sender's [`EnsembleConfig`](super::EnsembleConfig), never empty. It may be no
    /// such text; the vote counts all the same.
    pub config: Option<String>,
}

impl Notification {
    /// Reads the body of one frame.
    ///
    /// # Errors
    /// [`DecodeError`]; the frames that follow are not touched by it.
    pub fn decode(body: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let state = ServerState::from_wire(reader.i32()?)?;
        let leader = ServerId(reader.i64()?);
        let zxid = Zxid(reader.i64()?);
        let mut notification = Self {
            state,
            leader,
            zxid,
            round: reader.i64()?,
            peer_epoch: zxid.0 >> 32,
            version: 0,
            config: None,
        };
        if body.len() > BYTES_BEFORE_3_4 {
            notification.peer_epoch = reader.i64()?;
            let version = reader.i32()?;
            if body.len() > BYTES_BEFORE_3_5 {
                notification.version = version;
            }
        }
        if notification.version >= NOTIFICATION_VERSION {
            notification.config = config(&mut reader)?;
        }
        Ok(notification)
    }

    /// Appends the notification as a frame.
    ///
    /// # Panics
    /// When the text makes it longer than [`NOTIFICATION_BYTES_MAX`], which no peer would take.
    pub fn encode_frame(&self, out: &mut BytesMut) {
        let before = out.len();
        write_frame(out, |out| {
            out.put_int(self.state.to_wire());
            out.put_long(self.leader.0);
            out.put_long(self.zxid.0);
            out.put_long(self.round);
            out.put_long(self.peer_epoch);
            out.put_int(NOTIFICATION_VERSION);
            out.put_string(self.config.as_deref().unwrap_or_default());
        });
        let length = out.len() - before - 4;
        assert!(
            length <= NOTIFICATION_BYTES_MAX,
            "a notification of {length} bytes"
        );
    }
}

fn config(reader: &mut Reader<'_>) -> Result<Option<String>, DecodeError> {
    let Some(bytes) = reader.slice()? else {
        let (what, seen) = ("config", -1);
        return Err(DecodeError::BadLength { what, seen });
    };
    match core::str::from_utf8(bytes) {
        Ok("") => Ok(None),
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(DecodeError::BadString),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const STATE: i32 = 2;

    /// A body with these numbers behind the state, and these integers and bytes behind them.
    fn body(longs: &[i64], ints: &[i32], rest: &[u8]) -> Bytes {
        let mut out = Vec::new();
        out.put_int(STATE);
        longs.iter().for_each(|&long| out.put_long(long));
        ints.iter().for_each(|&int| out.put_int(int));
        out.put(rest);
        out.into()
    }

    fn read(longs: &[i64], ints: &[i32], rest: &[u8]) -> Result<Notification, DecodeError> {
        Notification::decode(&body(longs, ints, rest))
    }

    #[test]
    fn the_forms_of_older_servers_are_read() {
        let zxid = Zxid(0x5_0000_0001);
        let oldest = Notification {
            state: ServerState::Leading,
            leader: ServerId(3),
            zxid,
            round: 4,
            peer_epoch: 5,
            version: 0,
            config: None,
        };
        assert_eq!(read(&[3, zxid.0, 4], &[], b""), Ok(oldest.clone()));
        let peer_epoch = 6;
        let middle = Notification {
            peer_epoch,
            ..oldest
        };
        assert_eq!(read(&[3, zxid.0, 4, 6], &[1], b""), Ok(middle.clone()));
        let version = 1;
        let first = Notification { version, ..middle };
        assert_eq!(read(&[3, zxid.0, 4, 6], &[1, 0], b""), Ok(first.clone()));
        let (version, config) = (2, Some("version=0".into()));
        let second = Notification {
            version,
            config,
            ..first
        };
        let longs = [3, zxid.0, 4, 6];
        assert_eq!(read(&longs, &[2, 9], b"version=0"), Ok(second.clone()));
        let version = 3;
        let third = Notification { version, ..second };
        assert_eq!(read(&longs, &[3, 9], b"version=0 and more"), Ok(third));
    }

    #[test]
    fn lengths_between_the_forms_are_refused() {
        let whole = body(&[3, 4, 5, 6], &[2, 9], b"version=0");
        for length in 0..whole.len() {
            let seen = Notification::decode(&whole.slice(..length));
            if matches!(length, BYTES_BEFORE_3_4 | BYTES_BEFORE_3_5) {
                assert!(seen.is_ok(), "{length}");
            } else {
                assert!(
                    matches!(seen, Err(DecodeError::Truncated { .. })),
                    "{length}"
                );
            }
        }
    }

    #[test]
    fn a_state_that_is_none_and_a_text_that_is_none_are_refused() {
        let mut wrong = body(&[3, 4, 5], &[], b"").to_vec();
        wrong[3] = 4;
        let seen = Notification::decode(&wrong.into());
        assert!(matches!(seen, Err(DecodeError::BadValue { seen: 4, .. })));
        let longs = [3, 4, 5, 6];
        assert_eq!(read(&longs, &[2, 1], b"\xff"), Err(DecodeError::BadString));
        let seen = read(&longs, &[2, -1], b"");
        assert!(matches!(seen, Err(DecodeError::BadLength { seen: -1, .. })));
        let seen = read(&longs, &[2, i32::MAX], b"");
        assert!(matches!(seen, Err(DecodeError::Truncated { .. })));
    }
}
