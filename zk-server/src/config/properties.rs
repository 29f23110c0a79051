//! The `java.util.Properties` text format, which `zoo.cfg` is written in.
//!
//! Knows lines, separators, comments and escapes, and where in the file each key stands. Does not
//! know what a key means.
//!
//! ```text
//! file          = { natural line }                    natural lines end with LF, CR or CR LF
//! logical line  = natural line { "\" end-of-line natural line without its leading blanks }
//! blank         = " " | TAB | FF
//! comment       = a natural line whose first character that is no blank is "#" or "!"
//! entry         = key [ blanks ] [ "=" | ":" ] [ blanks ] value
//! escape        = "\" ( "t" | "n" | "r" | "f" | "u" 4 hex digits | any other character )
//! ```
//!
//! A comment is not continued by a backslash, a blank line ends a continuation, and a key without a
//! value has the empty value. A backslash before any other character stands for that character.
//! Bytes are ISO-8859-1, as `Properties.load(InputStream)` of Java reads them; everything outside is
//! written as UTF-16 units by `\uXXXX`.

use std::ops::Range;

use thiserror::Error;

/// One entry of a properties file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Property {
    /// The line on which the entry begins, counted from 1.
    pub(super) line: u32,
    /// The key, with its escapes resolved.
    pub(super) key: String,
    /// The value, with its escapes resolved; leading blanks are gone, trailing ones are kept.
    pub(super) value: String,
    /// Whether a byte above 127 was read, which Java takes for one character of ISO-8859-1 even in
    /// a UTF-8 file.
    pub(super) has_latin1: bool,
    /// Which bytes of the file it is, with the end of its last line.
    bytes: Range<usize>,
}

/// A `\u` escape that names no character.
///
/// Either fewer than four hex digits follow, where Java refuses the file as well, or the UTF-16
/// units are an unpaired surrogate, which no file name or host name can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("malformed \\u escape: expected four hex digits that form a character")]
pub struct BadEscape {
    /// The line on which the entry with the escape begins, counted from 1.
    pub line: u32,
}

/// Reads every entry of a properties file, in the order of the file; repeated keys are all
/// reported.
///
/// # Errors
///
/// [`BadEscape`] at the first escape that names no character.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Property>, BadEscape> {
    logical_lines(bytes)
        .into_iter()
        .map(|logical| entry(&logical))
        .collect()
}

/// The file without the entries whose keys are not to be kept. All else stays as it is, and whole
/// lines can be added behind it.
///
/// # Errors
/// As [`parse`].
pub(super) fn retain(bytes: &[u8], keeps: impl Fn(&str) -> bool) -> Result<Vec<u8>, BadEscape> {
    let mut kept = Vec::with_capacity(bytes.len());
    let mut end = 0;
    for property in parse(bytes)? {
        if !keeps(&property.key) {
            kept.extend_from_slice(bytes.get(end..property.bytes.start).unwrap_or_default());
            end = property.bytes.end;
        }
    }
    kept.extend_from_slice(bytes.get(end..).unwrap_or_default());
    if !matches!(kept.last(), None | Some(b'\n' | b'\r')) {
        kept.push(b'\n');
    }
    Ok(kept)
}

/// A line that [`parse`] reads as this key and value. The key needs no escape.
pub(super) fn line(key: &str, value: &str) -> String {
    let mut line = format!("{key}=");
    for unit in value.encode_utf16() {
        match char::from_u32(u32::from(unit)) {
            Some('\\') => line.push_str("\\\\"),
            Some(character @ ' '..='~') => line.push(character),
            _ => line.push_str(&format!("\\u{unit:04x}")),
        }
    }
    line.push('\n');
    line
}

/// One entry's characters, continuation lines joined, escapes not yet resolved.
struct LogicalLine {
    line: u32,
    bytes: Range<usize>,
    text: Vec<char>,
}

/// Joins natural lines into logical ones, without comments and blank lines.
fn logical_lines(bytes: &[u8]) -> Vec<LogicalLine> {
    let mut logical_lines = Vec::new();
    let mut open: Option<LogicalLine> = None;
    for (line, (range, natural)) in (1..).zip(natural_lines(bytes)) {
        let text = skip_blanks(natural);
        let begins = open.as_ref().is_none_or(|logical| logical.text.is_empty());
        if begins && matches!(text.first(), None | Some(b'#' | b'!')) {
            open = None;
            continue;
        }
        let logical = open.get_or_insert(LogicalLine {
            line,
            bytes: range.clone(),
            text: Vec::new(),
        });
        logical.bytes.end = range.end;
        let backslashes = text.iter().rev().take_while(|&&byte| byte == b'\\').count();
        let is_continued = backslashes % 2 == 1;
        let kept = text.len() - usize::from(is_continued);
        logical
            .text
            .extend(text.iter().take(kept).copied().map(char::from));
        if !is_continued {
            logical_lines.extend(open.take());
        }
    }
    logical_lines.extend(open);
    logical_lines
}

/// Splits at LF, CR and CR LF: each line, and where it is with its end.
fn natural_lines(bytes: &[u8]) -> impl Iterator<Item = (Range<usize>, &[u8])> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let length = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let (line, tail) = rest.split_at(length.unwrap_or(rest.len()));
        let ending = if tail.starts_with(b"\r\n") {
            2
        } else {
            tail.len().min(1)
        };
        let range = start..start + line.len() + ending;
        start = range.end;
        Some((range, line))
    })
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\u{c}')
}

/// Splits a logical line at its separator and resolves the escapes of both halves.
fn entry(logical: &LogicalLine) -> Result<Property, BadEscape> {
    let text = logical.text.as_slice();
    let mut is_escaped = false;
    let key_end = text
        .iter()
        .position(|&character| {
            if is_escaped {
                is_escaped = false;
                return false;
            }
            is_escaped = character == '\\';
            is_blank(character) || matches!(character, '=' | ':')
        })
        .unwrap_or(text.len());
    let (key, rest) = text.split_at(key_end);
    let rest = skip_blanks(rest);
    let value = match rest {
        ['=' | ':', value @ ..] => skip_blanks(value),
        value => value,
    };
    let line = logical.line;
    Ok(Property {
        line,
        key: unescape(key).ok_or(BadEscape { line })?,
        value: unescape(value).ok_or(BadEscape { line })?,
        has_latin1: text.iter().any(|character| !character.is_ascii()),
        bytes: logical.bytes.clone(),
    })
}

fn skip_blanks<C: Copy + Into<char>>(text: &[C]) -> &[C] {
    let start = text
        .iter()
        .position(|&character| !is_blank(character.into()));
    text.get(start.unwrap_or(text.len())..).unwrap_or_default()
}

/// Resolves escapes, through UTF-16 so that a surrogate pair may be two escapes.
fn unescape(text: &[char]) -> Option<String> {
    let mut units = Vec::with_capacity(text.len());
    let mut characters = text.iter().copied();
    while let Some(character) = characters.next() {
        let resolved = match character {
            '\\' => match characters.next()? {
                'u' => {
                    units.push(hex_unit(&mut characters)?);
                    continue;
                }
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                'f' => '\u{c}',
                other => other,
            },
            other => other,
        };
        units.extend_from_slice(resolved.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16(&units).ok()
}

fn hex_unit(characters: &mut impl Iterator<Item = char>) -> Option<u16> {
    (0..4).try_fold(0, |unit: u16, _| {
        let digit = u16::try_from(characters.next()?.to_digit(16)?).ok()?;
        Some(unit << 4 | digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Write as _;

    fn entries(text: &str) -> Vec<(u32, String, String)> {
        let properties = parse(text.as_bytes()).unwrap();
        properties
            .into_iter()
            .map(|p| (p.line, p.key, p.value))
            .collect()
    }

    fn one(text: &str) -> (String, String) {
        let mut found = entries(text);
        assert_eq!(found.len(), 1, "{text:?}: {found:?}");
        let (_, key, value) = found.remove(0);
        (key, value)
    }

    #[test]
    fn equals_colon_and_blanks_separate_a_key_from_its_value() {
        for text in [
            "k=v", "k:v", "k v", "k\tv", "k\u{c}v", " k = v", "k :\tv", "k  v",
        ] {
            assert_eq!(one(text), ("k".into(), "v".into()), "{text:?}");
        }
        assert_eq!(one("k==v"), ("k".into(), "=v".into()));
        assert_eq!(one("k = :v"), ("k".into(), ":v".into()));
        assert_eq!(one("k"), ("k".into(), String::new()));
        assert_eq!(one("=v"), (String::new(), "v".into()));
    }

    #[test]
    fn trailing_blanks_belong_to_the_value() {
        assert_eq!(one("k = v \t"), ("k".into(), "v \t".into()));
    }

    #[test]
    fn comments_and_blank_lines_are_skipped_and_lines_are_counted() {
        let text = "# one\n\n  ! two\r\na=1\rb=2\n#c=3\\\nd=4";
        let found = entries(text);
        let expected = [(4, "a", "1"), (5, "b", "2"), (7, "d", "4")];
        assert_eq!(
            found,
            expected.map(|(line, k, v)| (line, k.to_owned(), v.to_owned()))
        );
    }

    #[test]
    fn a_backslash_at_the_end_continues_the_line_without_its_leading_blanks() {
        assert_eq!(
            one("k = a,\\\n    b,\\\r\n\tc"),
            ("k".into(), "a,b,c".into())
        );
        assert_eq!(one("k = a\\\n#b"), ("k".into(), "a#b".into()));
        assert_eq!(one("ke\\\n  y=v"), ("key".into(), "v".into()));
        assert_eq!(
            one("k=v\\"),
            ("k".into(), "v".into()),
            "at the end of the file"
        );
    }

    #[test]
    fn an_even_number_of_backslashes_does_not_continue() {
        let expected = [
            (1, "k".to_owned(), "a\\".to_owned()),
            (2, "b".to_owned(), String::new()),
        ];
        assert_eq!(entries("k=a\\\\\nb"), expected);
    }

    #[test]
    fn a_blank_line_ends_a_continuation() {
        let expected = [
            (1, "k".to_owned(), "a".to_owned()),
            (3, "b".to_owned(), "c".to_owned()),
        ];
        assert_eq!(entries("k=a\\\n\nb=c"), expected);
    }

    #[test]
    fn escapes_stand_for_their_characters() {
        assert_eq!(
            one(r"a\=b\:c\ d=\t\n\r\f\\\q"),
            ("a=b:c d".into(), "\t\n\r\u{c}\\q".into())
        );
        assert_eq!(
            one(r"k=\u0041\ud83d\ude00"),
            ("k".into(), "A\u{1f600}".into())
        );
        assert_eq!(
            one(r"dir=C\:\\zk\\data"),
            ("dir".into(), r"C:\zk\data".into())
        );
    }

    #[test]
    fn bytes_are_latin_1_and_reported() {
        let found = parse(b"k=\xe9").unwrap();
        assert_eq!(
            found.first().map(|p| (p.value.as_str(), p.has_latin1)),
            Some(("\u{e9}", true))
        );
    }

    #[test]
    fn a_malformed_unicode_escape_names_its_line() {
        for text in [r"k=\u12", r"k=\u12g4", r"k=\ud83d", r"\u00=v"] {
            assert_eq!(
                parse(format!("#\n{text}").as_bytes()),
                Err(BadEscape { line: 2 }),
                "{text}"
            );
        }
    }

    fn without_b(text: &str) -> String {
        let kept = retain(text.as_bytes(), |key| key != "b").unwrap();
        String::from_utf8(kept).unwrap()
    }

    #[test]
    fn entries_are_taken_out_and_all_else_stays() {
        let text = "# b=1\r\na = 1 \n\nb = 2,\\\n   3\r\n!b\nc\\u003d=\\t\nb:4";
        assert_eq!(without_b(text), "# b=1\r\na = 1 \n\n!b\nc\\u003d=\\t\n");
        assert_eq!(without_b("a=1"), "a=1\n");
        assert_eq!(without_b("b=1"), "");
    }

    #[test]
    fn a_line_reads_as_what_it_was_made_of() {
        let value = r"/zk \ é/\u0041 😀";
        assert_eq!(one(&line("k", value)), ("k".into(), value.into()));
    }

    /// Writes an entry as `Properties.store` does.
    fn store(key: &str, value: &str) -> String {
        let mut text = String::new();
        for (part, is_key) in [(key, true), (value, false)] {
            for (index, unit) in part.encode_utf16().enumerate() {
                match char::from_u32(u32::from(unit)) {
                    Some(c @ ('\\' | '=' | ':' | '#' | '!')) => text.extend(['\\', c]),
                    Some(' ') if is_key || index == 0 => text.push_str("\\ "),
                    Some(c @ ' '..='~') => text.push(c),
                    _ => write!(text, "\\u{unit:04x}").unwrap(),
                }
            }
            text.push(if is_key { '=' } else { '\n' });
        }
        text
    }

    proptest! {
        #[test]
        fn what_store_writes_is_read_back(
            pairs in prop::collection::vec((".{1,20}", ".{0,40}"), 0..8),
        ) {
            let text: String = pairs.iter().map(|(key, value)| store(key, value)).collect();
            let expected: Vec<_> =
                (1..).zip(pairs).map(|(line, (key, value))| (line, key, value)).collect();
            prop_assert_eq!(entries(&text), expected);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn special_characters_in_any_order_are_read_or_refused(text in r"[\\=: \n\r#!ua1]{0,60}") {
            let lines = u32::try_from(natural_lines(text.as_bytes()).count()).unwrap();
            for property in parse(text.as_bytes()).unwrap_or_default() {
                prop_assert!((1..=lines).contains(&property.line));
            }
        }
    }
}
