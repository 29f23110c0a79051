//! What a leader sends to a learner. A packet that decodes encodes to one that decodes to the same, and a cut
//! packet is no packet.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use zk_proto::Record;
use zk_proto::quorum::{FromLeader, split_packet};

const LIMIT: usize = 0xf_ffff;

fuzz_target!(|input: &[u8]| {
    let mut wire = BytesMut::from(input);
    while let Ok(Some(packet)) = split_packet::<FromLeader>(&mut wire, LIMIT) {
        let bytes = packet.to_bytes();
        let mut cut = BytesMut::from(&bytes[..bytes.len() - 1]);
        assert_eq!(split_packet::<FromLeader>(&mut cut, LIMIT), Ok(None));
        let mut again = BytesMut::from(&bytes[..]);
        assert_eq!(split_packet(&mut again, LIMIT), Ok(Some(packet)));
        assert!(again.is_empty());
    }
});
