//! A znode's data: raw, in base64, as a hex dump, or in JSON.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// How text shows data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As it is.
    Raw,
    Base64,
    /// Offsets, bytes and characters, as `get -x` of zkCli shows them.
    Hex,
}

impl Encoding {
    /// Writes data and a line end.
    pub(crate) fn write(self, data: &[u8], out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Raw => {
                out.write_all(data)?;
                writeln!(out)
            }
            Self::Base64 => writeln!(out, "{}", STANDARD.encode(data)),
            Self::Hex => write_hex(data, out),
        }
    }
}

fn write_hex(data: &[u8], out: &mut dyn Write) -> io::Result<()> {
    const EDGE: &str =
        "+--------+-------------------------------------------------+----------------+";
    writeln!(
        out,
        "         +-------------------------------------------------+"
    )?;
    writeln!(
        out,
        "         |  0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f |"
    )?;
    writeln!(out, "{EDGE}")?;
    for (row, bytes) in data.chunks(16).enumerate() {
        let hex: String = bytes.iter().map(|byte| format!(" {byte:02x}")).collect();
        let text: String = bytes.iter().map(|&byte| printable(byte)).collect();
        writeln!(out, "|{:08x}|{hex:<48} |{text:<16}|", row * 16)?;
    }
    writeln!(out, "{EDGE}")
}

fn printable(byte: u8) -> char {
    match byte {
        b' '..=b'~' => char::from(byte),
        _ => '.',
    }
}

/// Data in JSON: `"data"` when it is UTF-8, else `"data_base64"`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct DataFields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

impl DataFields {
    pub(crate) fn new(data: &[u8]) -> Self {
        match std::str::from_utf8(data) {
            Ok(text) => Self {
                data: Some(text.to_owned()),
                data_base64: None,
            },
            Err(_) => Self {
                data: None,
                data_base64: Some(STANDARD.encode(data)),
            },
        }
    }

    /// The data; empty when neither field is there.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, String> {
        match (&self.data, &self.data_base64) {
            (Some(_), Some(_)) => Err("both data and data_base64".to_owned()),
            (Some(text), None) => Ok(text.clone().into_bytes()),
            (None, Some(encoded)) => decode_base64(encoded),
            (None, None) => Ok(Vec::new()),
        }
    }
}

/// Reads base64.
pub(crate) fn decode_base64(text: &str) -> Result<Vec<u8>, String> {
    STANDARD
        .decode(text)
        .map_err(|error| format!("{text:?} is not base64: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hex_dump_has_sixteen_bytes_a_row() {
        let mut out = Vec::new();
        Encoding::Hex
            .write(b"0123456789abcdef\x00~\xff", &mut out)
            .unwrap();
        let text = String::from_utf8(out).unwrap();
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), 6);
        assert_eq!(
            rows[3],
            "|00000000| 30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66 |0123456789abcdef|"
        );
        assert_eq!(
            rows[4],
            "|00000010| 00 7e ff                                        |.~.             |"
        );
    }

    #[test]
    fn data_survives_json_whatever_its_bytes() {
        for data in [
            &b""[..],
            b"text \xc3\xa9 \"quoted\"\n",
            b"\xff\x00",
            b"\xed\xa0\x80",
        ] {
            let json = serde_json::to_string(&DataFields::new(data)).unwrap();
            let fields: DataFields = serde_json::from_str(&json).unwrap();
            assert_eq!(fields.bytes().unwrap(), data, "{json}");
        }
    }
}
