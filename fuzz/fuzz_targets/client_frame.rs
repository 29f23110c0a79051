//! What a client sends: the framing, the handshake, and every request. A request that decodes
//! encodes to something that decodes to the same request.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use zk_proto::{ConnectRequest, Reader, Record, Request, RequestHeader, split_frame};

const FRAME_BYTES_MAX: usize = 0xf_ffff;
const MULTI_OPS_MAX: usize = 1_000;

fuzz_target!(|input: &[u8]| {
    let mut wire = BytesMut::from(input);
    while let Ok(Some(frame)) = split_frame(&mut wire, FRAME_BYTES_MAX) {
        request(&frame);
    }
    let frame = Bytes::copy_from_slice(input);
    let _ = ConnectRequest::decode(&mut Reader::new(&frame));
    request(&frame);
});

fn request(frame: &Bytes) {
    let mut reader = Reader::new(frame);
    let Ok(header) = RequestHeader::decode(&mut reader) else {
        return;
    };
    let Ok(request) = Request::decode(header.op, &mut reader, MULTI_OPS_MAX) else {
        return;
    };
    assert_eq!(request.op(), header.op);
    let mut out = BytesMut::new();
    request.encode(&mut out);
    let again = Request::decode(header.op, &mut Reader::new(&out.freeze()), MULTI_OPS_MAX);
    assert_eq!(again.as_ref(), Ok(&request));
}
