//! Who may do what without an ACL, and how passwords become identities.

use std::fmt;

/// Settings of authentication and authorization.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AuthConfig {
    /// Whether every ACL check passes. A server that does so protects nothing.
    pub skip_acl: bool,
    /// Whether the `digest` scheme exists.
    pub is_digest_enabled: bool,
    /// The hash of `digest` identities.
    pub digest_algorithm: DigestAlgorithm,
    /// The `digest` identity that passes every ACL check, if there is one.
    pub super_digest: Option<SuperDigest>,
    /// One of these schemes must have authenticated a session before its requests are served; empty
    /// for no such rule.
    pub enforced_schemes: Vec<String>,
}

impl AuthConfig {
    /// What the defaults of the key table are written into.
    pub(super) const BLANK: Self = Self {
        skip_acl: false,
        is_digest_enabled: false,
        digest_algorithm: DigestAlgorithm::Sha1,
        super_digest: None,
        enforced_schemes: Vec::new(),
    };
}

/// The hash of `digest` identities, `user:base64(hash(user:password))`
/// (`DigestAuthenticationProvider.java`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DigestAlgorithm {
    /// SHA-1, which every client of Apache ZooKeeper assumes.
    #[default]
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl DigestAlgorithm {
    /// Reads the name that Java's `MessageDigest` gives the hash, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "SHA" | "SHA1" | "SHA-1" => Self::Sha1,
            "SHA-224" => Self::Sha224,
            "SHA-256" => Self::Sha256,
            "SHA-384" => Self::Sha384,
            "SHA-512" => Self::Sha512,
            _ => return None,
        })
    }
}

/// `user:hash` of the super user; its debug output shows the user only.
#[derive(Clone, PartialEq, Eq)]
pub struct SuperDigest(String);

impl SuperDigest {
    /// Accepts `user:hash` with both parts present, without which no login could ever match.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (user, hash) = text.split_once(':')?;
        (!user.is_empty() && !hash.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The `digest` identity that it is compared with.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SuperDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.0.split(':').next().unwrap_or_default();
        write!(f, "SuperDigest({user}:…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_super_digest_needs_both_parts_and_hides_the_hash() {
        let digest = SuperDigest::parse("super:D/InIHSb7yEEbrWz8b9l71RjZJU=").unwrap();
        assert_eq!(format!("{digest:?}"), "SuperDigest(super:…)");
        for text in ["", "super", "super:", ":hash"] {
            assert_eq!(SuperDigest::parse(text), None, "{text}");
        }
    }

    #[test]
    fn hashes_have_javas_names() {
        assert_eq!(DigestAlgorithm::parse("sha1"), Some(DigestAlgorithm::Sha1));
        assert_eq!(
            DigestAlgorithm::parse("SHA-512"),
            Some(DigestAlgorithm::Sha512)
        );
        assert_eq!(DigestAlgorithm::parse("SHA256"), None);
    }
}
