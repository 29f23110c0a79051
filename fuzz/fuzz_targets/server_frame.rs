//! What a server sends: the handshake's answer, events, and the reply to every operation.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use zk_proto::{ConnectResponse, OpCode, Reader, Record, ReplyHeader, Response, WatcherEvent};

fuzz_target!(|input: &[u8]| {
    let frame = Bytes::copy_from_slice(input);
    let _ = ConnectResponse::decode(&mut Reader::new(&frame));
    let mut reader = Reader::new(&frame);
    if ReplyHeader::decode(&mut reader).is_err() {
        return;
    }
    let _ = WatcherEvent::decode(&mut reader.clone());
    for &op in OpCode::ALL {
        let Ok(response) = Response::decode(op, &mut reader.clone()) else {
            continue;
        };
        let mut out = BytesMut::new();
        response.encode(&mut out);
        assert_eq!(
            Response::decode(op, &mut Reader::new(&out.freeze())),
            Ok(response)
        );
    }
});
