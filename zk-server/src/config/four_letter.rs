//! The whitelist of four-letter words.

use std::collections::BTreeSet;
use std::fmt;

/// The four-letter words that the client port answers (`FourLetterCommands.java`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FourLetterWords {
    /// Every word is answered.
    allows_all: bool,
    words: BTreeSet<String>,
}

impl FourLetterWords {
    /// Reads words separated by commas; a `*` among them allows all. `srvr` is always allowed,
    /// because `zkServer.sh status` depends on it.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut words: BTreeSet<_> = text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect();
        let allows_all = words.remove("*");
        words.insert("srvr".to_owned());
        Self { allows_all, words }
    }

    /// Whether `word` is answered.
    #[must_use]
    pub fn allows(&self, word: &str) -> bool {
        self.allows_all || self.words.contains(word)
    }

    /// Adds a word.
    pub(super) fn allow(&mut self, word: &str) {
        self.words.insert(word.to_owned());
    }
}

/// The default of `4lw.commands.whitelist`: `srvr` alone.
impl Default for FourLetterWords {
    fn default() -> Self {
        Self::parse("")
    }
}

/// The notation of `4lw.commands.whitelist`.
impl fmt::Display for FourLetterWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.allows_all {
            return f.write_str("*");
        }
        let words: Vec<_> = self.words.iter().map(String::as_str).collect();
        f.write_str(&words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srvr_is_always_allowed() {
        for text in ["", "ruok", " , ruok ,mntr"] {
            let words = FourLetterWords::parse(text);
            assert!(words.allows("srvr"), "{text:?}");
            assert_eq!(words.allows("ruok"), text.contains("ruok"), "{text:?}");
            assert!(!words.allows("dump"), "{text:?}");
        }
    }

    #[test]
    fn a_star_allows_all() {
        let words = FourLetterWords::parse("stat, *");
        assert!(words.allows("wchp"));
        assert_eq!(words.to_string(), "*");
    }
}
