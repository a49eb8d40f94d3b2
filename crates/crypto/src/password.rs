//! Passwords of people: Argon2id, in PHC form.
//!
//! Slow on purpose. Must never run on a data thread.

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use lw_core::{Entropy, Secret};

use crate::CryptoError;

// One of the equivalent settings of OWASP's password storage cheat sheet. The smaller memory is chosen so
// that a sign-in does not double the memory of an idle gateway.
const MEMORY_KIB: u32 = 9 * 1024;
const PASSES: u32 = 4;
const LANES: u32 = 1;

/// The hash to store for a password.
///
/// # Errors
/// The password is longer than the algorithm takes (4 GiB).
pub fn hash(password: &Secret, entropy: &dyn Entropy) -> Result<String, CryptoError> {
    let mut salt = [0; 16];
    entropy.fill(&mut salt);
    hash_with(password, &salt)
}

/// Whether `hash` was made from `password`. A text that is not a hash verifies nothing.
#[must_use]
pub fn verify(password: &Secret, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.expose().as_bytes(), &hash)
            .is_ok()
    })
}

/// Takes the time of [`verify`], for an account that does not exist or has no password, so that the time
/// of the answer does not tell.
pub fn verify_nothing(password: &Secret) {
    // What comes out does not matter, only how long it takes.
    let _ = hash_with(password, &[0; 16]);
}

fn hash_with(password: &Secret, salt: &[u8; 16]) -> Result<String, CryptoError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| CryptoError::Failed)?;
    let salt = SaltString::encode_b64(salt).map_err(|_| CryptoError::Failed)?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(password.expose().as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|_| CryptoError::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lw_core::SystemEntropy;

    #[test]
    fn a_password_verifies_against_its_own_hash_only() {
        let password = Secret::new("correct horse battery staple");
        let stored = hash(&password, &SystemEntropy).expect("hashes");
        assert!(
            stored.starts_with("$argon2id$v=19$m=9216,t=4,p=1$"),
            "{stored}"
        );
        assert!(verify(&password, &stored));
        assert!(!verify(&Secret::new("wrong"), &stored));
        assert_ne!(stored, hash(&password, &SystemEntropy).expect("hashes"));
        verify_nothing(&password);
    }

    #[test]
    fn a_text_that_is_not_a_hash_verifies_nothing() {
        let password = Secret::new("");
        for text in [
            "",
            "$argon2id$",
            "plain",
            "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ",
        ] {
            assert!(!verify(&password, text), "{text}");
        }
    }
}
