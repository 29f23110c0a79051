//! Data directories made of a fuzzer's bytes.
//!
//! ```text
//! directory = file*
//! file      = byte kind, short epoch, short counter, 3 bytes length, content
//! kind      = number of a name, with 0x80 when the content's checksums are to be made right
//! ```
//!
//! A fuzzer guesses no checksum: without the second form nothing behind one would be looked at.
//! `fuzz/make_corpus.py` writes the same form.

use std::path::{Path, PathBuf};

use simd_adler32::adler32;
use zk_proto::Zxid;
use zk_storage::memory::MemoryFileSystem;

use crate::Choices;

/// Where logs and snapshots are.
pub const DIR: &str = "/data/version-2";

const SEALED: u8 = 0x80;
/// Twice the best that deflate can do; snappy does less.
const COMPRESSION_MAX: usize = 2 * 1032;
/// Long checksum, the string "/".
const SEAL_BYTES: usize = 13;
const ENDING: [u8; 5] = [0, 0, 0, 1, b'/'];
const SECTOR_BYTES: usize = 512;

/// A disk with files on it.
#[derive(Debug)]
pub struct Directory {
    /// The disk.
    pub disk: MemoryFileSystem,
    /// No content is longer than this, decompressed.
    pub bytes_max: usize,
}

impl Directory {
    /// Reads the form above; whatever the bytes are, they are a directory.
    #[must_use]
    pub fn new(input: &[u8]) -> Self {
        let (disk, mut bytes_max) = (MemoryFileSystem::new(), 0);
        let mut choices = Choices(input);
        while !choices.is_empty() {
            let kind = choices.byte();
            let zxid = zxid(u32::from(choices.short()), u32::from(choices.short()));
            let length = usize::from(choices.byte()) << 16 | usize::from(choices.short());
            let mut content = choices.bytes(length).to_vec();
            if kind & SEALED != 0 {
                seal(kind & !SEALED, &mut content);
            }
            let is_compressed = matches!(kind & !SEALED, 2 | 3);
            bytes_max += content.len() * if is_compressed { COMPRESSION_MAX } else { 1 };
            disk.place(&path(kind & !SEALED, zxid), &content);
        }
        Self { disk, bytes_max }
    }

    /// Every file with its content.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let paths = self.disk.paths().into_iter();
        paths
            .map(|path| {
                (
                    path.clone(),
                    self.disk.content(&path).expect("it is listed"),
                )
            })
            .collect()
    }
}

fn zxid(epoch: u32, counter: u32) -> Zxid {
    Zxid(i64::from(epoch) << 32 | i64::from(counter))
}

fn path(kind: u8, zxid: Zxid) -> PathBuf {
    let name = match kind {
        0 => format!("log.{:x}", zxid.0),
        1 => format!("snapshot.{:x}", zxid.0),
        2 => format!("snapshot.{:x}.gz", zxid.0),
        3 => format!("snapshot.{:x}.snappy", zxid.0),
        4 => "flushed".to_owned(),
        5 => "intent".to_owned(),
        6 => format!("partial.snapshot.{:x}", zxid.0),
        7 => "acceptedEpoch".to_owned(),
        8 => "currentEpoch".to_owned(),
        9 => return "/data/initialize".into(),
        10 => format!("log.{:X}0", zxid.0),
        11 => "intent.tmp".to_owned(),
        _ => format!("other.{kind:x}"),
    };
    Path::new(DIR).join(name)
}

fn seal(kind: u8, content: &mut [u8]) {
    match kind {
        0 => seal_log(content),
        1 | 6 => seal_snapshot(content),
        4 => content
            .chunks_mut(SECTOR_BYTES)
            .for_each(|slot| seal_end(slot, 40)),
        5 => seal_end(content, content.len().saturating_sub(8)),
        _ => {}
    }
}

/// Writes the checksum of the first `length` bytes behind them.
fn seal_end(content: &mut [u8], length: usize) {
    if let Some((before, after)) = content.split_at_mut_checked(length)
        && let Some(place) = after.first_chunk_mut()
    {
        *place = u64::from(adler32(&&*before)).to_be_bytes();
    }
}

/// Makes frames right from the first on, as far as their lengths lead.
fn seal_log(content: &mut [u8]) {
    let mut rest = content.get_mut(16..).unwrap_or_default();
    while let Some((frame, after)) = rest.split_first_chunk_mut::<12>() {
        let [sum @ .., l0, l1, l2, l3] = frame;
        let length = i32::from_be_bytes([*l0, *l1, *l2, *l3]);
        let Ok(length @ 1..) = usize::try_from(length) else {
            return;
        };
        let Some((entry, next)) = after.split_at_mut_checked(length + 1) else {
            return;
        };
        let (end, body) = entry.split_last_mut().expect("it is not empty");
        *end = b'B';
        *sum = u64::from(adler32(&&*body)).to_be_bytes();
        rest = next;
    }
}

/// Makes the seals at the end right: behind the body, a digest, a zxid.
fn seal_snapshot(content: &mut [u8]) {
    let mut end = content.len();
    let mut seals = Vec::new();
    for section in [Some(8), Some(20), None] {
        let ends_here = |end: usize| {
            content
                .get(..end)
                .is_some_and(|left| left.ends_with(&ENDING))
        };
        let Some(before) = end.checked_sub(SEAL_BYTES) else {
            break;
        };
        match section {
            Some(bytes) => {
                if let Some(earlier) = before.checked_sub(bytes).filter(|&at| ends_here(at)) {
                    seals.push(before);
                    end = earlier;
                }
            }
            None => seals.push(before),
        }
    }
    for at in seals.into_iter().rev() {
        seal_end(content, at);
    }
}

/// A file that holds this body, which begins with the header and ends with the path "/".
#[must_use]
pub fn sealed_snapshot(mut body: Vec<u8>) -> Vec<u8> {
    body.extend_from_slice(&u64::from(adler32(&&body[..])).to_be_bytes());
    body.extend_from_slice(&ENDING);
    body
}
