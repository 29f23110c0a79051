//! The first bytes of a connection to an election port (`QuorumCnxManager.InitialMessage`, 3.9.5).
//!
//! ```text
//! legacy   0  long  server id, 0 or more
//!
//! V1, V2   0  long  −65536 (V1) or −65535 (V2)
//!          8  long  server id
//!         16  int   length n of the text, 1 to 2048
//!         20  n     text: host ":" port; V2 has several, with "|" between them
//! ```
//!
//! An IPv6 address stands in brackets. Frames follow, and before them a SASL exchange where it is
//! configured.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::{Buf, BytesMut};

use super::Address;
use crate::{ServerId, Writer};

/// The longest text of addresses.
pub const INITIAL_TEXT_BYTES_MAX: usize = 2048;

const VERSION_1: i64 = -65_536;
const VERSION_2: i64 = -65_535;
const HEAD_BYTES: usize = 20;

/// Why a connection does not begin with an [`InitialMessage`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InitialMessageError {
    /// A first number that is neither a server id nor a version.
    #[error("protocol version {seen}, expected {VERSION_1}, {VERSION_2} or a server id")]
    Version {
        /// The number as read.
        seen: i64,
    },
    /// A text that is empty or too long.
    #[error("initial message: text of {seen} bytes, expected 1 to {INITIAL_TEXT_BYTES_MAX}")]
    Length {
        /// The length as read.
        seen: i32,
    },
    /// A text that is not UTF-8.
    #[error("initial message: the text is not UTF-8")]
    Text,
    /// A part of the text that is no address.
    #[error("initial message: {seen:?}, expected host:port")]
    Address {
        /// The part.
        seen: String,
    },
}

/// How an [`InitialMessage`] is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InitialForm {
    /// The server's id alone, of servers before ZooKeeper 3.5.
    Legacy,
    /// One address.
    V1,
    /// Any number of addresses; sent where `multiAddress.enabled` is on.
    V2,
}

/// Who dials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitialMessage {
    /// How it is written.
    pub form: InitialForm,
    /// The dialler.
    pub server: ServerId,
    /// Where it listens for votes; none in the legacy form, and at least one in the others. A
    /// [wildcard](super::Host::is_wildcard) says nothing.
    pub addresses: Vec<Address>,
}

impl InitialMessage {
    /// Takes the message off the start of a connection, and not a byte more; `None` while it is
    /// incomplete.
    ///
    /// # Errors
    /// [`InitialMessageError`], for a length as soon as it is there.
    pub fn split(input: &mut BytesMut) -> Result<Option<Self>, InitialMessageError> {
        let Some(&first) = input.first_chunk() else {
            return Ok(None);
        };
        let form = match i64::from_be_bytes(first) {
            id @ 0.. => {
                input.advance(8);
                return Ok(Some(Self {
                    form: InitialForm::Legacy,
                    server: ServerId(id),
                    addresses: Vec::new(),
                }));
            }
            VERSION_1 => InitialForm::V1,
            VERSION_2 => InitialForm::V2,
            seen => return Err(InitialMessageError::Version { seen }),
        };
        let Some(head) = input.first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let &[.., a, b, c, d] = head;
        let seen = i32::from_be_bytes([a, b, c, d]);
        let Ok(length @ 1..=INITIAL_TEXT_BYTES_MAX) = usize::try_from(seen) else {
            return Err(InitialMessageError::Length { seen });
        };
        if input.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        input.advance(8);
        let server = ServerId(input.get_i64());
        input.advance(4);
        let addresses = addresses(&input.split_to(length))?;
        Ok(Some(Self {
            form,
            server,
            addresses,
        }))
    }

    /// Appends the message. Addresses that find no place in [`INITIAL_TEXT_BYTES_MAX`] are left out.
    ///
    /// # Panics
    /// When the legacy form has an address or a negative id, or another form has no address.
    pub fn encode(&self, out: &mut impl Writer) {
        let Self {
            form,
            server,
            addresses,
        } = self;
        let is_legacy = *form == InitialForm::Legacy;
        assert_eq!(addresses.is_empty(), is_legacy, "{self:?}");
        match form {
            InitialForm::Legacy => {
                assert!(server.0 >= 0, "{self:?}");
                return out.put_long(server.0);
            }
            InitialForm::V1 => out.put_long(VERSION_1),
            InitialForm::V2 => out.put_long(VERSION_2),
        }
        out.put_long(server.0);
        out.put_string(&text_of(addresses));
    }
}

fn text_of(addresses: &[Address]) -> String {
    let mut text = String::new();
    for address in addresses {
        let separator = if text.is_empty() { "" } else { "|" };
        let part = alloc::format!("{separator}{address}");
        if text.len() + part.len() <= INITIAL_TEXT_BYTES_MAX {
            text.push_str(&part);
        }
    }
    text
}

fn addresses(text: &[u8]) -> Result<Vec<Address>, InitialMessageError> {
    let text = core::str::from_utf8(text).map_err(|_| InitialMessageError::Text)?;
    let address = |part: &str| {
        Address::parse(part).ok_or_else(|| InitialMessageError::Address {
            seen: part.to_owned(),
        })
    };
    text.split('|').map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(version: i64, length: i32, text: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_long(version);
        out.put_long(3);
        out.put_int(length);
        out.put(text);
        out
    }

    fn text(version: i64, text: &str) -> BytesMut {
        wire(version, i32::try_from(text.len()).unwrap(), text.as_bytes())
    }

    #[test]
    fn every_form_is_taken_off_the_stream_alone() {
        let mut legacy = BytesMut::from(&5_i64.to_be_bytes()[..]);
        legacy.put(b"frame");
        let seen = InitialMessage::split(&mut legacy).unwrap().unwrap();
        assert_eq!((seen.form, seen.server), (InitialForm::Legacy, ServerId(5)));
        assert_eq!(legacy, b"frame"[..]);
        for (version, form, addresses) in [
            (VERSION_1, InitialForm::V1, "zk3:3888"),
            (
                VERSION_2,
                InitialForm::V2,
                "10.0.0.3:3888|[2001:db8:0:0:0:0:0:3]:3888|zk3:3889",
            ),
        ] {
            let mut input = text(version, addresses);
            let encoded = input.clone();
            input.put(b"frame");
            let seen = InitialMessage::split(&mut input).unwrap().unwrap();
            assert_eq!((seen.form, seen.server), (form, ServerId(3)));
            assert_eq!(text_of(&seen.addresses), addresses);
            assert_eq!(input, b"frame"[..]);
            let mut again = BytesMut::new();
            seen.encode(&mut again);
            assert_eq!(again, encoded);
        }
    }

    #[test]
    fn what_is_no_message_is_refused_as_soon_as_it_shows() {
        for seen in [-1, -65_537, -65_534, i64::MIN] {
            let mut input = BytesMut::from(&seen.to_be_bytes()[..]);
            let error = InitialMessage::split(&mut input);
            assert_eq!(error, Err(InitialMessageError::Version { seen }));
        }
        for seen in [0, -1, 2049, i32::MAX] {
            let error = InitialMessage::split(&mut wire(VERSION_1, seen, b""));
            assert_eq!(error, Err(InitialMessageError::Length { seen }));
        }
        let error = InitialMessage::split(&mut wire(VERSION_1, 1, b"\xff"));
        assert_eq!(error, Err(InitialMessageError::Text));
        for (addresses, seen) in [("a:1|", ""), ("a", "a"), ("a:x", "a:x"), ("::1:1", "::1:1")] {
            let error = InitialMessage::split(&mut text(VERSION_2, addresses));
            let seen = seen.to_owned();
            assert_eq!(error, Err(InitialMessageError::Address { seen }));
        }
    }

    #[test]
    fn addresses_beyond_the_bound_are_left_out() {
        let address = Address::parse(&alloc::format!("{}:3888", "a".repeat(250))).unwrap();
        let message = InitialMessage {
            form: InitialForm::V2,
            server: ServerId(1),
            addresses: alloc::vec![address; 9],
        };
        let mut out = BytesMut::new();
        message.encode(&mut out);
        let seen = InitialMessage::split(&mut out).unwrap().unwrap();
        assert_eq!(seen.addresses.len(), 8);
    }
}
