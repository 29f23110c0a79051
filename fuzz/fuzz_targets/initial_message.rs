//! The start of a connection to the election port: the initial message and a login.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use zk_proto::Record;
use zk_proto::quorum::{AuthPacket, InitialMessage};

const TOKEN_BYTES_MAX: usize = 0xf_ffff;

fuzz_target!(|input: &[u8]| {
    let mut wire = BytesMut::from(input);
    if let Ok(Some(message)) = InitialMessage::split(&mut wire) {
        let mut again = BytesMut::new();
        message.encode(&mut again);
        let seen = InitialMessage::split(&mut again).unwrap().unwrap();
        assert_eq!((seen.form, seen.server), (message.form, message.server));
        // IPv6 addresses are longer when they are spelled out, and some may find no place.
        assert!(
            seen.addresses
                .iter()
                .all(|address| message.addresses.contains(address))
        );
    }
    login(&mut wire);
    login(&mut BytesMut::from(input));
});

fn login(wire: &mut BytesMut) {
    while let Ok(Some(packet)) = AuthPacket::split(wire, TOKEN_BYTES_MAX) {
        let bytes = packet.to_bytes();
        assert_eq!(AuthPacket::begins(&bytes), Some(true));
        let again = AuthPacket::split(&mut BytesMut::from(&bytes[..]), TOKEN_BYTES_MAX);
        assert_eq!(again, Ok(Some(packet)));
    }
}
