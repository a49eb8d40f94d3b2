//! Hashes of presented keys: a keyed one to store, a plain one to look up by in memory.
//!
//! Both are fast on purpose: the secrets are long and random. Passwords of people are not, and have
//! [`crate::password`].

use std::fmt;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use lw_core::Secret;
use ring::hmac;
use subtle::ConstantTimeEq as _;

/// The key of the hashes that secrets are stored under.
#[derive(Clone)]
pub struct Pepper(hmac::Key);

impl Pepper {
    /// A pepper from its text.
    #[must_use]
    pub fn new(text: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, text.expose().as_bytes()))
    }

    /// `hex(hmac_sha256(pepper, secret))`, lowercase: what the store keeps (domain 7.1, 22).
    #[must_use]
    pub fn hash(&self, secret: &str) -> String {
        HEXLOWER.encode(hmac::sign(&self.0, secret.as_bytes()).as_ref())
    }

    /// Whether `hash` is [`Self::hash`] of `secret`. Takes the same time wherever they differ.
    #[must_use]
    pub fn verify(&self, secret: &str, hash: &str) -> bool {
        HEXLOWER_PERMISSIVE
            .decode(hash.as_bytes())
            .is_ok_and(|tag| hmac::verify(&self.0, secret.as_bytes(), &tag).is_ok())
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(..)")
    }
}

/// What a presented secret is looked up by in memory, so that caches hold no secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// From its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(..)")
    }
}

/// The SHA-256 of a presented secret.
#[must_use]
pub fn digest(presented: &str) -> KeyDigest {
    let hash = ring::digest::digest(&ring::digest::SHA256, presented.as_bytes());
    let mut bytes = [0; 32];
    for (slot, byte) in bytes.iter_mut().zip(hash.as_ref()) {
        *slot = *byte;
    }
    KeyDigest(bytes)
}

/// Whether `hash` is the plain SHA-256 of `secret` in hex, as older rows keep API keys (domain 22). Takes
/// the same time wherever they differ.
#[must_use]
pub fn verify_sha256(secret: &str, hash: &str) -> bool {
    let digest = digest(secret);
    HEXLOWER_PERMISSIVE
        .decode(hash.as_bytes())
        .is_ok_and(|stored| bool::from(stored.as_slice().ct_eq(digest.as_bytes())))
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_older_hash_is_the_plain_sha256() {
        let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        assert!(super::verify_sha256("secret", hash));
        assert!(!super::verify_sha256("Secret", hash));
        assert!(!super::verify_sha256("secret", "2bb8"));
    }

    use super::*;

    const SECRET: &str = "vk-lw-01J9Z3NDEKTSV4RRFFQ69G5FAV";
    const HASH: &str = "8bd3b6a07de977ada7561b2bab129b78fdafc70f1b92cdc20d5ca3aecd5ad606";

    #[test]
    fn the_vector_of_the_specification_holds() {
        let pepper = Pepper::new(&Secret::new("test-pepper-0123456789abcdef0123"));
        assert_eq!(pepper.hash(SECRET), HASH);
        assert!(pepper.verify(SECRET, HASH));
        assert!(!pepper.verify("vk-lw-01J9Z3NDEKTSV4RRFFQ69G5FAW", HASH));
        for hash in ["", "zz", &HASH[..62], &format!("{HASH}00")] {
            assert!(!pepper.verify(SECRET, hash), "{hash}");
        }
        assert!(!Pepper::new(&Secret::new("another")).verify(SECRET, HASH));
        assert_eq!(format!("{pepper:?}"), "Pepper(..)");
    }

    #[test]
    fn a_digest_is_sha_256_and_shows_nothing() {
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(HEXLOWER.encode(digest("abc").as_bytes()), known);
        assert_eq!(format!("{:?}", digest("abc")), "KeyDigest(..)");
        assert_ne!(digest("abc"), digest("abd"));
    }
}
