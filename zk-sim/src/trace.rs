//! What happened: as a hash, always, and as lines of text, when asked for.

use std::collections::VecDeque;
use std::fmt;

use crate::schedule::Time;

/// Lines kept of each server, and of the rest of the world.
const LINES_KEPT: usize = 200;

/// Whether, and how, lines of text are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// None are.
    Nothing,
    /// The last ones of each server are kept.
    Last,
    /// All are printed.
    All,
}

/// The trace of a world.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    telling: Telling,
    order: u64,
    /// By server, and of the rest.
    last: Vec<VecDeque<(u64, String)>>,
}

/// Whom a line is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum About {
    Server(u8),
    World,
}

impl Trace {
    pub(crate) fn new(telling: Telling, servers: usize) -> Self {
        Self {
            hash: 0,
            telling,
            order: 0,
            last: vec![VecDeque::new(); servers + 1],
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn mix(&mut self, word: u64) {
        self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    pub(crate) fn mix_bytes(&mut self, bytes: &[u8]) {
        self.mix(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        for &byte in rest {
            self.mix(byte.into());
        }
    }

    /// Notes a line, which is made only if somebody wants it.
    #[expect(clippy::print_stdout, reason = "the option --trace asks for it")]
    pub(crate) fn tell(&mut self, now: Time, about: About, line: impl FnOnce() -> String) {
        if self.telling == Telling::Nothing {
            return;
        }
        let line = match about {
            About::Server(server) => format!("{now} server {}: {}", server + 1, line()),
            About::World => format!("{now} {}", line()),
        };
        if self.telling == Telling::All {
            println!("{line}");
        }
        self.order += 1;
        let place = match about {
            About::Server(server) => usize::from(server) + 1,
            About::World => 0,
        };
        if let Some(last) = self.last.get_mut(place) {
            if last.len() == LINES_KEPT {
                last.pop_front();
            }
            last.push_back((self.order, line));
        }
    }

    /// The last lines of every server and of the rest, in the order of time.
    pub(crate) fn last_lines(&self, of_each: usize) -> Vec<String> {
        let skipped = |lines: &VecDeque<_>| lines.len().saturating_sub(of_each);
        let lines = (self.last.iter()).flat_map(|lines| lines.iter().skip(skipped(lines)));
        let mut lines: Vec<_> = lines.collect();
        lines.sort_unstable();
        lines.into_iter().map(|(_, line)| line.clone()).collect()
    }
}

/// Anything that is shown, shortened to so many characters.
pub(crate) struct Short<T>(pub(crate) T, pub(crate) usize);

impl<T: fmt::Debug> fmt::Display for Short<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:?}", self.0);
        match text.char_indices().nth(self.1) {
            Some((end, _)) => write!(f, "{}…", text.get(..end).unwrap_or_default()),
            None => f.write_str(&text),
        }
    }
}
