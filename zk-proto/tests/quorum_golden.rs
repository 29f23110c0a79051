//! Streams recorded between Apache's servers: every packet and notification decodes, and encodes to
//! the same bytes. The format of the recordings is described in `tests/golden/README.md`.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use zk_proto::quorum::{
    AuthPacket, EnsembleConfig, FromLeader, FromLearner, InitialMessage, NOTIFICATION_BYTES_MAX,
    Notification, Packet, SNAPSHOT_SIGNATURE, split_packet,
};
use zk_proto::{
    Acl, OpCode, Reader, Record, ServerId, SnapshotNode, SnapshotSession, Txn, TxnRecord,
    split_frame,
};

const LIMIT: usize = 0xf_ffff;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Port {
    Quorum,
    Election,
}

/// One connection: what the dialler sent and what it got.
struct Connection {
    port: Port,
    sent: Bytes,
    received: Bytes,
}

fn connections() -> Vec<(String, Connection)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/quorum");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for (number, part) in text.split("\n+ ").skip(1).enumerate() {
            let name = format!("{}, connection {number}", file.display());
            all.push((name, connection(part)));
        }
    }
    all
}

fn connection(part: &str) -> Connection {
    let port = match part.split(' ').next() {
        Some("quorum") => Port::Quorum,
        Some("election") => Port::Election,
        other => panic!("{other:?} is no port"),
    };
    let stream = |mark| {
        let pieces = part.lines().filter_map(|line| line.strip_prefix(mark));
        pieces.flat_map(from_hex).collect()
    };
    Connection {
        port,
        sent: stream("> "),
        received: stream("< "),
    }
}

fn from_hex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// What the recordings hold, by name.
#[derive(Default)]
struct Seen(BTreeMap<String, usize>);

impl Seen {
    /// Counts a value under its variant's name.
    fn count(&mut self, value: &impl Debug) {
        let shown = format!("{value:?}");
        let name = shown.split([' ', '(', '{']).next().unwrap();
        *self.0.entry(name.to_owned()).or_default() += 1;
    }

    fn assert_all(&self, names: &[&str]) {
        for name in names {
            assert!(self.0.contains_key(*name), "no {name} among {:?}", self.0);
        }
    }
}

/// Takes what `split` yields off a stream that arrives byte by byte, up to and with the first that
/// is `last`, and compares its encoding with the bytes it stood in. So every cut of the stream
/// yields what is whole before it, and nothing else.
fn take<T>(
    stream: &mut Bytes,
    mut split: impl FnMut(&mut BytesMut) -> Option<T>,
    encode: impl Fn(&T, &mut BytesMut),
    last: impl Fn(&T) -> bool,
) -> Vec<T> {
    let mut input = BytesMut::new();
    let (mut taken, mut whole) = (Vec::new(), 0);
    for (end, byte) in (1..).zip(stream.clone()) {
        input.extend_from_slice(&[byte]);
        let Some(value) = split(&mut input) else {
            continue;
        };
        assert!(
            input.is_empty(),
            "{} bytes were not whole before the last",
            input.len()
        );
        let mut encoded = BytesMut::new();
        encode(&value, &mut encoded);
        assert_eq!(encoded, stream.slice(whole..end));
        whole = end;
        let is_last = last(&value);
        taken.push(value);
        if is_last {
            break;
        }
    }
    *stream = stream.slice(whole..);
    taken
}

fn take_packets<P: Packet + Debug>(
    stream: &mut Bytes,
    seen: &mut Seen,
    last: impl Fn(&P) -> bool,
) -> Vec<P> {
    let split = |input: &mut BytesMut| split_packet(input, LIMIT).unwrap();
    let packets = take(stream, split, |packet: &P, out| packet.encode(out), last);
    for packet in &packets {
        seen.count(packet);
    }
    packets
}

fn take_login(stream: &mut Bytes, seen: &mut Seen) {
    if AuthPacket::begins(stream) != Some(true) {
        return;
    }
    let split = |input: &mut BytesMut| match AuthPacket::begins(input) {
        Some(true) => AuthPacket::split(input, LIMIT).unwrap(),
        _ => None,
    };
    let rest = stream.clone();
    let mut logins = 0;
    while AuthPacket::begins(stream) == Some(true) {
        let packets = take(stream, split, |packet, out| packet.encode(out), |_| true);
        logins += packets.len();
        seen.count(&packets.first().unwrap().status);
    }
    assert!(logins > 0 && rest.len() > stream.len());
}

/// The snapshot between SNAP and the packets behind it.
fn take_snapshot(stream: &mut Bytes) {
    let whole = stream.clone();
    let mut reader = Reader::new(&whole);
    let sessions = reader.vec(12, SnapshotSession::decode).unwrap();
    let acls = reader.i32().unwrap();
    for _ in 0..acls {
        reader.i64().unwrap();
        reader.vec(12, Acl::decode).unwrap();
    }
    let mut nodes = 0;
    while SnapshotNode::decode(&mut reader).unwrap().is_some() {
        nodes += 1;
    }
    assert!(nodes > 3, "{nodes} nodes and {} sessions", sessions.len());
    assert_eq!(reader.string().unwrap(), SNAPSHOT_SIGNATURE);
    *stream = reader.rest();
}

fn check_config(text: &str) {
    assert_eq!(text.parse::<EnsembleConfig>().unwrap().to_string(), text);
}

fn check_record(bytes: &Bytes) {
    let record = TxnRecord::decode(&mut Reader::new(bytes)).unwrap();
    assert_eq!(record.to_bytes(), bytes);
    if let (OpCode::RECONFIG, Txn::SetData { data, .. }) = (record.header.op, &record.txn) {
        check_config(std::str::from_utf8(data.as_ref().unwrap()).unwrap());
    }
}

fn check_learner(mut stream: Bytes, seen: &mut Seen) {
    take_login(&mut stream, seen);
    for packet in take_packets::<FromLearner>(&mut stream, seen, |_| false) {
        if let FromLearner::AckEpoch { current_epoch, .. } = packet {
            seen.count(&current_epoch);
        }
    }
    assert!(stream.is_empty(), "{} bytes at the end", stream.len());
}

fn check_leader(mut stream: Bytes, seen: &mut Seen) {
    take_login(&mut stream, seen);
    while !stream.is_empty() {
        let is_snap = |packet: &FromLeader| matches!(packet, FromLeader::Snap { .. });
        let packets = take_packets(&mut stream, seen, is_snap);
        for packet in &packets {
            match packet {
                FromLeader::NewLeader { config, .. } => check_config(config),
                FromLeader::Proposal { record, .. }
                | FromLeader::Inform { record, .. }
                | FromLeader::InformAndActivate { record, .. } => check_record(record),
                _ => {}
            }
        }
        match packets.last().unwrap() {
            FromLeader::Snap { .. } => take_snapshot(&mut stream),
            _ => assert!(stream.is_empty(), "{} bytes at the end", stream.len()),
        }
    }
}

fn check_dialler(mut stream: Bytes, seen: &mut Seen) {
    let split = |input: &mut BytesMut| InitialMessage::split(input).unwrap();
    let initial = take(&mut stream, split, InitialMessage::encode, |_| true);
    seen.count(&initial.first().unwrap().form);
    check_voter(stream, seen);
}

fn check_voter(mut stream: Bytes, seen: &mut Seen) {
    take_login(&mut stream, seen);
    let split = |input: &mut BytesMut| {
        let body = split_frame(input, NOTIFICATION_BYTES_MAX).unwrap();
        body.map(|body| Notification::decode(&body).unwrap())
    };
    let votes = take(&mut stream, split, Notification::encode_frame, |_| false);
    assert!(stream.is_empty(), "{} bytes at the end", stream.len());
    for vote in votes {
        check_config(vote.config.as_deref().unwrap());
        seen.count(&vote.state);
        if vote.leader == ServerId(i64::MIN) {
            let is_observer = (vote.zxid.0, vote.peer_epoch) == (i64::MIN, i64::MIN);
            seen.count(if is_observer { &"observer" } else { &"joiner" });
        }
    }
}

#[test]
fn every_recorded_stream_is_decoded_and_encoded_to_the_same_bytes() {
    let mut seen = Seen::default();
    for (name, connection) in connections() {
        println!("{name}");
        match connection.port {
            Port::Quorum => {
                check_learner(connection.sent, &mut seen);
                check_leader(connection.received, &mut seen);
            }
            Port::Election => {
                check_dialler(connection.sent, &mut seen);
                check_voter(connection.received, &mut seen);
            }
        }
    }
    seen.assert_all(&[
        "FollowerInfo",
        "ObserverInfo",
        "AckEpoch",
        "Ack",
        "Request",
        "Ping",
        "Revalidate",
    ]);
    seen.assert_all(&[
        "LeaderInfo",
        "Diff",
        "Trunc",
        "Snap",
        "NewLeader",
        "UpToDate",
        "Proposal",
        "Commit",
        "CommitAndActivate",
        "Inform",
        "InformAndActivate",
        "Sync",
        "Ping",
        "Revalidated",
    ]);
    seen.assert_all(&[
        "V1",
        "V2",
        "Looking",
        "Following",
        "Leading",
        "\"observer\"",
        "\"joiner\"",
    ]);
    seen.assert_all(&["InProgress", "Success", "Some", "None"]);
}
