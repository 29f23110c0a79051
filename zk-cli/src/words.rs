//! Splitting a line of the shell into words.

/// Splits at white space. Text between `"` or `'` at the start of a word is one word, without the
/// quotes; there is no escape, as in zkCli.
pub(crate) fn split(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, after) = quoted(rest, first)
            .unwrap_or_else(|| rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())));
        words.push(word);
        rest = after.trim_start();
    }
    words
}

fn quoted(text: &str, quote: char) -> Option<(&str, &str)> {
    if !matches!(quote, '"' | '\'') {
        return None;
    }
    text.get(1..)?.split_once(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_words_together() {
        for (line, words) in [
            ("", &[][..]),
            ("  ls   /a ", &["ls", "/a"]),
            (
                "set /a 'b  c' \"d\" e'f",
                &["set", "/a", "b  c", "d", "e'f"],
            ),
            ("create /a ''", &["create", "/a", ""]),
            ("create /a 'b c", &["create", "/a", "'b", "c"]),
        ] {
            assert_eq!(split(line), words, "{line:?}");
        }
    }
}
