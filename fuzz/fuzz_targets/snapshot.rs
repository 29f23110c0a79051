//! A snapshot's records.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use zk_proto::{Reader, Record, SnapshotHeader, SnapshotNode, SnapshotSession};

fuzz_target!(|input: &[u8]| {
    let file = Bytes::copy_from_slice(input);
    let mut reader = Reader::new(&file);
    let _ = SnapshotHeader::decode(&mut reader.clone());
    let _ = SnapshotSession::decode(&mut reader.clone());
    while let Ok(Some(node)) = SnapshotNode::decode(&mut reader) {
        let mut out = BytesMut::new();
        node.encode(&mut out);
        let bytes = out.freeze();
        assert_eq!(
            SnapshotNode::decode(&mut Reader::new(&bytes)),
            Ok(Some(node))
        );
    }
});
