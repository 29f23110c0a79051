//! What the frames between a client and a server say.

use bytes::Bytes;
use zk_proto::{
    ConnectRequest, ConnectResponse, DecodeError, OpCode, Reader, Record, ReplyHeader, Request,
    RequestHeader, Response, WatcherEvent, Xid,
};

const MULTI_OPS_MAX: usize = 100_000;

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// A frame that passed a [`FaultProxy`](crate::FaultProxy).
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// The connection's number, from 0 in the order of accepting.
    pub connection: u64,
    /// What the frame says.
    pub content: Content,
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// The client's first frame.
    Connect(ConnectRequest),
    /// The server's first frame.
    Connected(ConnectResponse),
    /// A request.
    Request {
        /// Its number.
        xid: Xid,
        /// What is asked for.
        request: Request,
    },
    /// A reply.
    Reply {
        /// Its header.
        header: ReplyHeader,
        /// What was asked for.
        op: OpCode,
        /// The content of a successful reply.
        response: Option<Response>,
    },
    /// A watch event.
    Event(WatcherEvent),
    /// Bytes that are none of these.
    Unknown(Bytes),
}

impl Frame {
    /// Whether this is a request for `op`.
    #[must_use]
    pub fn is_request(&self, op: OpCode) -> bool {
        matches!(&self.content, Content::Request { request, .. } if request.op() == op)
    }

    /// Whether this is a reply to `op`.
    #[must_use]
    pub fn is_reply(&self, op: OpCode) -> bool {
        matches!(&self.content, Content::Reply { op: of, .. } if *of == op)
    }

    /// Whether this is a watch event.
    #[must_use]
    pub const fn is_event(&self) -> bool {
        matches!(self.content, Content::Event(_))
    }
}

pub(super) fn decode_connect(frame: &Bytes) -> Result<ConnectRequest, DecodeError> {
    ConnectRequest::decode(&mut Reader::new(frame))
}

pub(super) fn decode_connected(frame: &Bytes) -> Content {
    let decoded = ConnectResponse::decode(&mut Reader::new(frame));
    decoded.map_or_else(|_| Content::Unknown(frame.clone()), Content::Connected)
}

pub(super) fn decode_request(frame: &Bytes) -> Result<(Xid, Request), DecodeError> {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader)?;
    let request = Request::decode(header.op, &mut reader, MULTI_OPS_MAX)?;
    Ok((header.xid, request))
}

pub(super) fn decode_reply_header(frame: &Bytes) -> Result<ReplyHeader, DecodeError> {
    ReplyHeader::decode(&mut Reader::new(frame))
}

/// The content of a reply to `op`, or of an event when there is no such request.
pub(super) fn decode_reply(frame: &Bytes, op: Option<OpCode>) -> Content {
    let decode = || -> Result<Content, DecodeError> {
        let mut reader = Reader::new(frame);
        let header = ReplyHeader::decode(&mut reader)?;
        Ok(match op {
            _ if header.xid == Xid::NOTIFICATION => {
                Content::Event(WatcherEvent::decode(&mut reader)?)
            }
            None => Content::Unknown(frame.clone()),
            Some(op) => {
                // A failed multi carries its results behind an error of the header.
                let has_content = header.err.is_ok() || reader.remaining() > 0;
                let response = has_content.then(|| Response::decode(op, &mut reader));
                Content::Reply {
                    header,
                    op,
                    response: response.transpose()?,
                }
            }
        })
    };
    decode().unwrap_or_else(|_| Content::Unknown(frame.clone()))
}
