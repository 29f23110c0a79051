//! Printing: text for people, in zkCli's words, or one JSON document a line.

mod answers;
mod data;
mod date;

use std::io::{self, Write};

use serde::Serialize;

pub(crate) use answers::{
    AclAnswer, AclEntry, ChildrenAnswer, CreatedAnswer, EventAnswer, Line, NodeAnswer,
    NumberAnswer, StatAnswer, StatFields, Values,
};
pub(crate) use data::{DataFields, Encoding, decode_base64};
pub(crate) use date::format_date;

/// Something to print.
pub(crate) trait Answer: Serialize {
    /// Writes the text, with a line end.
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()>;
}

/// Where and how answers are printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    json: bool,
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints to the standard output, at once.
    pub(crate) fn print(self, answer: &impl Answer) -> io::Result<()> {
        self.write(answer, &mut io::stdout().lock())
    }

    /// Writes to `out`, in one piece.
    pub(crate) fn write(self, answer: &impl Answer, out: &mut dyn Write) -> io::Result<()> {
        let mut bytes = Vec::new();
        if self.json {
            serde_json::to_writer(&mut bytes, answer)?;
            bytes.push(b'\n');
        } else {
            answer.write_text(&mut bytes)?;
        }
        out.write_all(&bytes)?;
        out.flush()
    }
}
