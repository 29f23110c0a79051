//! Frames recorded between Apache's client and server: every one decodes, and encodes to the same
//! bytes. The format of the recordings is described in `tests/golden/README.md`.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use zk_proto::{
    ConnectRequest, ConnectResponse, OpCode, Reader, Record, ReplyHeader, Request, RequestHeader,
    Response, WatcherEvent, Xid,
};

const MULTI_OPS_MAX: usize = 10_000;

#[derive(Clone, Copy, PartialEq)]
enum From {
    Client,
    Server,
}

struct Frame {
    from: From,
    /// Whether a strict decoder must take it.
    strict: bool,
    bytes: Bytes,
}

fn recordings() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/client-port");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files
}

/// The connections of one recording, each a list of frames.
fn connections(text: &str) -> Vec<Vec<Frame>> {
    let mut connections = Vec::new();
    for line in text.lines() {
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        let from = match mark {
            "+" => {
                connections.push(Vec::new());
                continue;
            }
            ">" | ">?" => From::Client,
            "<" | "<?" => From::Server,
            _ => continue,
        };
        let frame = Frame {
            from,
            strict: !mark.ends_with('?'),
            bytes: from_hex(rest),
        };
        connections
            .last_mut()
            .expect("a connection begins before its frames")
            .push(frame);
    }
    connections
}

fn from_hex(hex: &str) -> Bytes {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Decodes a frame with `decode`, which also gives the encoding of what it saw.
fn check(frame: &Frame, context: &str, decoded: Result<BytesMut, zk_proto::DecodeError>) -> usize {
    match decoded {
        Ok(encoded) if frame.strict => assert_eq!(encoded, frame.bytes, "{context}"),
        Err(error) if frame.strict => panic!("{context}: {error}"),
        Ok(_) | Err(_) => return 0,
    }
    1
}

fn again<R: Record>(reader: &mut Reader<'_>) -> Result<BytesMut, zk_proto::DecodeError> {
    let mut out = BytesMut::new();
    R::decode(reader)?.encode(&mut out);
    Ok(out)
}

fn request_again(reader: &mut Reader<'_>) -> Result<BytesMut, zk_proto::DecodeError> {
    let header = RequestHeader::decode(reader)?;
    let request = Request::decode(header.op, reader, MULTI_OPS_MAX)?;
    assert_eq!(request.op(), header.op);
    let mut out = BytesMut::new();
    header.encode(&mut out);
    request.encode(&mut out);
    if matches!(request, Request::Unsupported(_)) {
        out.extend_from_slice(&reader.rest());
    }
    Ok(out)
}

fn reply_again(
    reader: &mut Reader<'_>,
    unanswered: &mut BTreeMap<Xid, Vec<OpCode>>,
) -> Result<BytesMut, zk_proto::DecodeError> {
    let header = ReplyHeader::decode(reader)?;
    let mut out = BytesMut::new();
    header.encode(&mut out);
    if header.xid == Xid::NOTIFICATION {
        WatcherEvent::decode(reader)?.encode(&mut out);
        return Ok(out);
    }
    let ops = unanswered
        .get_mut(&header.xid)
        .filter(|ops| !ops.is_empty());
    let op = ops.map(|ops| ops.remove(0)).unwrap_or(OpCode::PING);
    if header.err.is_ok() {
        Response::decode(op, reader)?.encode(&mut out);
    }
    Ok(out)
}

#[test]
fn every_recorded_frame_is_decoded_and_encoded_to_the_same_bytes() {
    let (mut frames, mut ops) = (0, BTreeMap::new());
    for file in recordings() {
        let text = fs::read_to_string(&file).unwrap();
        for (number, connection) in connections(&text).iter().enumerate() {
            let mut unanswered: BTreeMap<Xid, Vec<OpCode>> = BTreeMap::new();
            let (mut asked, mut answered) = (false, false);
            for frame in connection {
                let context = format!("{}, connection {number}: {:x}", file.display(), frame.bytes);
                let mut reader = Reader::new(&frame.bytes);
                let decoded = match frame.from {
                    From::Client if !asked => {
                        asked = true;
                        again::<ConnectRequest>(&mut reader)
                    }
                    From::Server if !answered => {
                        answered = true;
                        again::<ConnectResponse>(&mut reader)
                    }
                    From::Client => {
                        if let Ok(header) = RequestHeader::decode(&mut reader.clone()) {
                            unanswered.entry(header.xid).or_default().push(header.op);
                            *ops.entry(header.op).or_insert(0) += 1;
                        }
                        request_again(&mut reader)
                    }
                    From::Server => reply_again(&mut reader, &mut unanswered),
                };
                frames += check(frame, &context, decoded);
            }
        }
    }
    assert!(frames > 300, "only {frames} frames were compared");
    let missing: Vec<_> = OpCode::ALL
        .iter()
        .filter(|op| !ops.contains_key(op) && **op != OpCode::CREATE_SESSION)
        .collect();
    assert!(missing.is_empty(), "no recording of {missing:?}");
}

/// The password in the recorded handshakes is the one derived from the session's id.
#[test]
fn passwords_are_those_of_apache() {
    let mut seen = 0;
    for file in recordings() {
        for connection in connections(&fs::read_to_string(&file).unwrap()) {
            let Some(frame) = connection.iter().find(|frame| frame.from == From::Server) else {
                continue;
            };
            let Ok(response) = ConnectResponse::decode(&mut Reader::new(&frame.bytes)) else {
                continue;
            };
            if response.session_id.0 != 0 {
                let derived = zk_proto::session_password(response.session_id);
                assert_eq!(
                    response.password,
                    derived[..],
                    "session {}",
                    response.session_id
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "only {seen} passwords were compared");
}
