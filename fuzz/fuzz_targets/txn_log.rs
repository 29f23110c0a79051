//! A transaction log's framing: entries never reach past the input, and are read in order.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use zk_proto::{LOG_HEADER_BYTES, LogEntry, LogHeader, Reader, Record, TxnRecord, decode_entry};

fuzz_target!(|input: &[u8]| {
    let file = Bytes::copy_from_slice(input);
    let _ = LogHeader::decode(&mut Reader::new(&file));
    let mut rest = input.get(LOG_HEADER_BYTES..).unwrap_or_default();
    while let LogEntry::Whole { body, consumed } = decode_entry(rest) {
        let body = Bytes::copy_from_slice(body);
        let _ = TxnRecord::decode(&mut Reader::new(&body));
        rest = &rest[consumed..];
    }
});
