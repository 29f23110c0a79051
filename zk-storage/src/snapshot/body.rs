//! The body of a snapshot, in a file as on a stream: sessions, ACLs, nodes, and the path "/".

use std::ops::ControlFlow;

use bytes::Bytes;
use zk_proto::{
    Acl, DecodeError, Reader, Record, SnapshotNode, SnapshotSession, StatPersisted, Writer,
};

use super::{END_PATH, SnapshotPart, SnapshotReadError, SnapshotSource};
use crate::RestoreError;

/// Int perms and two empty strings.
const ACL_BYTES_MIN: usize = 12;

/// Encodes the body behind what `buffer` holds, and lets `spill` empty it whenever it is longer than
/// `spill_bytes`. What it holds at the end is left there. Returns the number of parts.
pub(super) fn encode<E>(
    source: &dyn SnapshotSource,
    buffer: &mut Vec<u8>,
    spill_bytes: usize,
    mut spill: impl FnMut(&mut Vec<u8>) -> Result<(), E>,
) -> Result<u64, E> {
    let sessions = source.sessions();
    buffer.put_records(&sessions);
    let acls = source.acls();
    buffer.put_length(acls.len());
    for (id, acl) in &acls {
        buffer.put_long(*id);
        buffer.put_records(acl);
    }
    let mut parts = (sessions.len() + acls.len()) as u64;
    let mut result = Ok(());
    source.nodes(&mut |node| {
        node.encode(buffer);
        parts += 1;
        if buffer.len() >= spill_bytes {
            result = spill(buffer);
        }
        if result.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    result?;
    buffer.put_string(END_PATH);
    Ok(parts)
}

/// Decodes a body that comes in pieces.
#[derive(Debug)]
pub(super) struct BodyDecoder {
    next: Next,
}

/// What comes next, and how many of it.
#[derive(Debug, Clone, Copy)]
enum Next {
    SessionCount,
    Session(i32),
    AclCount,
    Acl(i32),
    Node,
}

/// Where decoding stopped.
#[derive(Debug)]
pub(super) enum Progress {
    /// At the body's end.
    Done,
    /// At a part that needs so many bytes to go on, and why.
    Needs(usize, DecodeError),
}

impl BodyDecoder {
    pub(super) fn new() -> Self {
        Self {
            next: Next::SessionCount,
        }
    }

    /// Decodes all parts that `window` holds whole, and shows each with its offset; the window starts
    /// at `offset`. Returns how many bytes were consumed: what is left comes again, with more.
    pub(super) fn decode(
        &mut self,
        window: &Bytes,
        offset: u64,
        mut visit: impl FnMut(u64, SnapshotPart<'_>) -> Result<(), RestoreError>,
    ) -> Result<(usize, Progress), SnapshotReadError> {
        let mut reader = Reader::new(window);
        loop {
            let at = offset + reader.position() as u64;
            let mut part = reader.clone();
            match self.part(&mut part, |part| visit(at, part)) {
                Ok(Step::Part) => reader = part,
                Ok(Step::End) => return Ok((part.position(), Progress::Done)),
                Err(PartError::Refused(source)) => {
                    return Err(SnapshotReadError::Refused { offset: at, source });
                }
                Err(PartError::Decode(error)) => {
                    let DecodeError::Truncated { needed, left, .. } = error else {
                        let what = error.to_string();
                        return Err(SnapshotReadError::Invalid { offset: at, what });
                    };
                    let missing = needed.saturating_sub(left).max(1);
                    let needed = reader.remaining().saturating_add(missing);
                    return Ok((reader.position(), Progress::Needs(needed, error)));
                }
            }
        }
    }

    fn part(
        &mut self,
        reader: &mut Reader<'_>,
        show: impl FnOnce(SnapshotPart<'_>) -> Result<(), RestoreError>,
    ) -> Result<Step, PartError> {
        match self.next {
            Next::Node => {
                let start = reader.clone();
                match SnapshotNode::decode(reader) {
                    Ok(Some(node)) => show(SnapshotPart::Node(node))?,
                    Ok(None) => return Ok(Step::End),
                    Err(DecodeError::BadString) => {
                        *reader = start;
                        node_of_java(reader, show)?;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Next::SessionCount => self.next = Next::Session(reader.i32()?),
            Next::Session(left @ 1..) => {
                show(SnapshotPart::Session(SnapshotSession::decode(reader)?))?;
                self.next = Next::Session(left - 1);
            }
            Next::Session(_) => self.next = Next::AclCount,
            Next::AclCount => self.next = Next::Acl(reader.i32()?),
            Next::Acl(left @ 1..) => {
                let id = reader.i64()?;
                let acl = reader.vec(ACL_BYTES_MIN, Acl::decode)?;
                show(SnapshotPart::Acl(id, acl))?;
                self.next = Next::Acl(left - 1);
            }
            Next::Acl(_) => self.next = Next::Node,
        }
        Ok(Step::Part)
    }
}

enum Step {
    Part,
    End,
}

enum PartError {
    Decode(DecodeError),
    Refused(RestoreError),
}

impl From<DecodeError> for PartError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<RestoreError> for PartError {
    fn from(error: RestoreError) -> Self {
        Self::Refused(error)
    }
}

/// A node whose path holds characters as Java's surrogate pairs: rare, so copied.
fn node_of_java(
    reader: &mut Reader<'_>,
    show: impl FnOnce(SnapshotPart<'_>) -> Result<(), RestoreError>,
) -> Result<(), PartError> {
    let path = reader.string()?;
    let data = reader.buffer()?;
    let node = SnapshotNode {
        path: &path,
        data: data.as_deref(),
        acl: reader.i64()?,
        stat: StatPersisted::decode(reader)?,
    };
    Ok(show(SnapshotPart::Node(node))?)
}
