//! Transactions, as logs and proposals carry them.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use zk_proto::{Reader, Record, TxnRecord};

fuzz_target!(|input: &[u8]| {
    let body = Bytes::copy_from_slice(input);
    let Ok(record) = TxnRecord::decode(&mut Reader::new(&body)) else {
        return;
    };
    let _ = TxnRecord::decode(&mut Reader::new(&record.to_bytes()));
});
