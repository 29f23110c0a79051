//! The words of `SERVER_JVMFLAGS`, the environment variable through which operators hand settings
//! to a JVM.
//!
//! Knows how a shell splits words and which of them are `-D` settings. Does not know any key.

use thiserror::Error;

/// What `SERVER_JVMFLAGS` holds, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct JvmFlags {
    /// The `-Dkey=value` settings; `-Dkey` has the empty value.
    pub(super) properties: Vec<(String, String)>,
    /// Every other word, such as `-Xmx1g`.
    pub(super) options: Vec<String>,
}

/// A quote that is opened and not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a {0} that is never closed")]
pub struct OpenQuote(pub char);

impl JvmFlags {
    /// Splits `text` into words as a POSIX shell does: blanks separate, single quotes keep
    /// everything, double quotes and a bare backslash keep blanks and quotes. Nothing is expanded.
    ///
    /// # Errors
    ///
    /// [`OpenQuote`] where a quote is never closed.
    pub(super) fn parse(text: &str) -> Result<Self, OpenQuote> {
        let mut flags = Self::default();
        for word in words(text)? {
            match word.strip_prefix("-D") {
                Some(setting) => {
                    let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
                    flags.properties.push((key.to_owned(), value.to_owned()));
                }
                None => flags.options.push(word),
            }
        }
        Ok(flags)
    }
}

fn words(text: &str) -> Result<Vec<String>, OpenQuote> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            blank if blank.is_ascii_whitespace() => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(characters.next()),
            quote @ ('"' | '\'') => quoted(&mut characters, quote, word.get_or_insert_default())?,
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Appends what stands before the closing `quote`.
fn quoted(
    characters: &mut impl Iterator<Item = char>,
    quote: char,
    word: &mut String,
) -> Result<(), OpenQuote> {
    while let Some(character) = characters.next() {
        match character {
            _ if character == quote => return Ok(()),
            '\\' if quote == '"' => match characters.next() {
                Some(escaped @ ('"' | '\\' | '$' | '`')) => word.push(escaped),
                other => word.extend(['\\'].into_iter().chain(other)),
            },
            other => word.push(other),
        }
    }
    Err(OpenQuote(quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        let text = r#"-Xmx1g  -Da=1 '-Db=x y' -Dc="p \"q\"" -Dd=a\ b -De -Df=1=2"#;
        let flags = JvmFlags::parse(text).unwrap();
        assert_eq!(flags.options, ["-Xmx1g"]);
        let expected = [
            ("a", "1"),
            ("b", "x y"),
            ("c", "p \"q\""),
            ("d", "a b"),
            ("e", ""),
            ("f", "1=2"),
        ];
        assert_eq!(
            flags.properties,
            expected.map(|(k, v)| (k.to_owned(), v.to_owned()))
        );
    }

    #[test]
    fn blank_text_holds_no_words() {
        assert_eq!(JvmFlags::parse(" \n\t").unwrap(), JvmFlags::default());
    }

    #[test]
    fn an_open_quote_is_an_error() {
        assert_eq!(JvmFlags::parse("-Da='b"), Err(OpenQuote('\'')));
        assert_eq!(
            JvmFlags::parse("\"").unwrap_err().to_string(),
            "a \" that is never closed"
        );
    }
}
