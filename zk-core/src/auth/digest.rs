//! The scheme `digest`: `user:password`, kept as `user:hash` (`DigestAuthenticationProvider`).

use alloc::format;
use alloc::string::String;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use sha2::{Sha224, Sha256, Sha384, Sha512};

use crate::DigestAlgorithm;

/// The identity that `user:password` proves. Bytes that are no UTF-8 read as U+FFFD, as in Java.
pub(super) fn identity(algorithm: DigestAlgorithm, auth: &[u8]) -> String {
    let text = String::from_utf8_lossy(auth);
    let user = text.split(':').next().unwrap_or_default();
    format!("{user}:{}", hash(algorithm, text.as_bytes()))
}

fn hash(algorithm: DigestAlgorithm, text: &[u8]) -> String {
    match algorithm {
        DigestAlgorithm::Sha1 => STANDARD.encode(Sha1::digest(text)),
        DigestAlgorithm::Sha224 => STANDARD.encode(Sha224::digest(text)),
        DigestAlgorithm::Sha256 => STANDARD.encode(Sha256::digest(text)),
        DigestAlgorithm::Sha384 => STANDARD.encode(Sha384::digest(text)),
        DigestAlgorithm::Sha512 => STANDARD.encode(Sha512::digest(text)),
    }
}

/// Whether an id of an ACL has two parts. Java's `split` drops empty parts at the end.
pub(super) fn is_valid(id: &str) -> bool {
    let trimmed = id.trim_end_matches(':');
    trimmed.split(':').count() == 2
}

/// Replaces the hash by `x`.
pub(super) fn mask(id: &mut String) {
    if let Some(colon) = id.find(':') {
        id.truncate(colon);
        id.push_str(":x");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_gives_its_own_hash() {
        let id = |algorithm| identity(algorithm, b"a:b");
        assert_eq!(id(DigestAlgorithm::Sha1), "a:3OptnM09ILoVSfbZtd3mB0IViII=");
        for (algorithm, length) in [
            (DigestAlgorithm::Sha224, 40),
            (DigestAlgorithm::Sha256, 44),
            (DigestAlgorithm::Sha384, 64),
            (DigestAlgorithm::Sha512, 88),
        ] {
            assert_eq!(id(algorithm).len(), 2 + length, "{algorithm:?}");
        }
    }

    #[test]
    fn an_id_has_two_parts() {
        assert!(is_valid("a:b") && is_valid(":b") && is_valid("a:b:"));
        for id in ["", ":", "a", "a:", "a:b:c"] {
            assert!(!is_valid(id), "{id}");
        }
    }
}
