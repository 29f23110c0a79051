//! Votes of the election port. What decodes encodes to the same vote in the newest form.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use zk_proto::quorum::{NOTIFICATION_BYTES_MAX, NOTIFICATION_VERSION, Notification};
use zk_proto::split_frame;

fuzz_target!(|input: &[u8]| {
    let mut wire = BytesMut::from(input);
    while let Ok(Some(body)) = split_frame(&mut wire, NOTIFICATION_BYTES_MAX) {
        vote(&body);
    }
    vote(&Bytes::copy_from_slice(input));
});

fn vote(body: &Bytes) {
    let Ok(vote) = Notification::decode(body) else {
        return;
    };
    let mut wire = BytesMut::new();
    vote.encode_frame(&mut wire);
    let body = split_frame(&mut wire, NOTIFICATION_BYTES_MAX)
        .unwrap()
        .unwrap();
    let version = NOTIFICATION_VERSION;
    assert_eq!(
        Notification::decode(&body),
        Ok(Notification { version, ..vote })
    );
}
