//! Paths of znodes (`PathUtils.validatePath`, 3.9.5).

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

/// A valid absolute path: `/`, or `/` followed by parts joined by `/`, no part empty, `.` or `..`,
/// and no control, surrogate, private-use or special character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path<'a>(&'a str);

/// Why text is not a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The text is empty.
    #[error("path is empty, expected one that starts with /")]
    Empty,
    /// The text does not start with `/`.
    #[error("path {0:?} does not start with /")]
    Relative(String),
    /// The text ends with `/`.
    #[error("path {0:?} ends with /")]
    TrailingSlash(String),
    /// Two slashes meet.
    #[error("path {0:?} has an empty part")]
    EmptyPart(String),
    /// A part is `.` or `..`.
    #[error("path {0:?} has a relative part")]
    RelativePart(String),
    /// A character may not stand in a path.
    #[error("path {path:?} has the character {character:?} at byte {at}")]
    BadCharacter {
        /// The text.
        path: String,
        /// The first character that is refused.
        character: char,
        /// Its offset in bytes.
        at: usize,
    },
}

impl<'a> Path<'a> {
    /// The root.
    pub const ROOT: Path<'static> = Path("/");

    /// Checks `text`.
    ///
    /// # Errors
    /// [`PathError`], naming the first fault.
    pub fn parse(text: &'a str) -> Result<Self, PathError> {
        let owned = || text.to_owned();
        let Some(relative) = text.strip_prefix('/') else {
            return Err(if text.is_empty() {
                PathError::Empty
            } else {
                PathError::Relative(owned())
            });
        };
        if relative.is_empty() {
            return Ok(Self(text));
        }
        if relative.ends_with('/') {
            return Err(PathError::TrailingSlash(owned()));
        }
        for part in relative.split('/') {
            match part {
                "" => return Err(PathError::EmptyPart(owned())),
                "." | ".." => return Err(PathError::RelativePart(owned())),
                _ => {}
            }
        }
        match text
            .char_indices()
            .find(|&(_, character)| !is_path_character(character))
        {
            Some((at, character)) => Err(PathError::BadCharacter {
                path: owned(),
                character,
                at,
            }),
            None => Ok(Self(text)),
        }
    }

    /// The text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether this is `/`.
    #[must_use]
    pub fn is_root(self) -> bool {
        self.0 == "/"
    }

    /// The path without its last part; `None` for the root.
    #[must_use]
    pub fn parent(self) -> Option<Self> {
        match self.0.rfind('/') {
            Some(0) if self.is_root() => None,
            Some(0) => Some(Path("/")),
            Some(at) => self.0.get(..at).map(Path),
            None => None,
        }
    }

    /// The last part; empty for the root.
    #[must_use]
    pub fn name(self) -> &'a str {
        self.0.rsplit('/').next().unwrap_or("")
    }

    /// The parts from the root down; none for the root.
    pub fn parts(self) -> impl Iterator<Item = &'a str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }

    /// Whether this is `other` or lies below it.
    #[must_use]
    pub fn is_at_or_below(self, other: Path<'_>) -> bool {
        match self.0.strip_prefix(other.0) {
            Some(rest) => other.is_root() || rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Java refuses UTF-16 units, so every character above U+FFFF falls to the surrogate range.
const fn is_path_character(character: char) -> bool {
    !matches!(character,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn valid_paths_are_accepted() {
        for text in [
            "/",
            "/a",
            "/a/b",
            "/a.b",
            "/...",
            "/a/..b",
            "/\u{e9}\u{4e2d}",
            "/a b",
        ] {
            assert_eq!(Path::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn invalid_paths_are_refused() {
        for text in [
            "",
            "a",
            "//",
            "/a/",
            "/a//b",
            "/.",
            "/..",
            "/a/./b",
            "/a/..",
            "/a\0",
            "/\u{1}",
            "/\u{1f}",
            "/\u{7f}",
            "/\u{9f}",
            "/\u{e000}",
            "/\u{f8ff}",
            "/\u{fff0}",
            "/\u{ffff}",
            "/\u{1f600}",
        ] {
            assert!(Path::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn parent_name_and_parts_take_a_path_apart() {
        let path = Path::parse("/a/b/c").unwrap();
        assert_eq!(path.parent().unwrap().as_str(), "/a/b");
        assert_eq!(path.name(), "c");
        assert_eq!(path.parts().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(Path::parse("/a").unwrap().parent(), Some(Path::ROOT));
        assert_eq!(Path::ROOT.parent(), None);
        assert_eq!(Path::ROOT.parts().count(), 0);
    }

    #[test]
    fn below_means_at_a_part_boundary() {
        let below = |a, b| {
            Path::parse(a)
                .unwrap()
                .is_at_or_below(Path::parse(b).unwrap())
        };
        assert!(below("/a/b", "/a") && below("/a", "/a") && below("/a", "/"));
        assert!(!below("/ab", "/a") && !below("/a", "/a/b"));
    }
}
