//! Everything cryptographic: sealing at rest, keyed hashes, key formats, passwords.
//!
//! The only crate that imports a cipher or a hash. Ciphers and hashes are `ring`'s; passwords are
//! Argon2id. Randomness is an argument.
//!
//! Must never log, show in `Debug`, or put into an error anything that is secret, and must never panic on
//! what it is given: stored text may be damaged. Start at [`Sealer`] for stored credentials, [`Pepper`]
//! for stored keys, [`virtual_key`] and [`api_key`] for their formats.

pub mod api_key;
mod hash;
pub mod password;
mod seal;
pub mod virtual_key;

pub use hash::{KeyDigest, Pepper, digest, verify_sha256};
pub use seal::{Place, Sealer, SealingKey};
pub use zeroize::Zeroizing;

/// Why a cryptographic operation was refused. Never holds a secret or a part of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// A sealing key is not 64 hex characters.
    #[error("a sealing key must be 64 hex characters")]
    MalformedKey,
    /// A sealed text does not have the form of one: truncated, damaged, or of a newer version.
    #[error("a sealed value is damaged or of an unknown version")]
    MalformedSealed,
    /// A value was sealed under a key that is not at hand.
    #[error("a value is sealed under the key {key_id}, which is not configured")]
    UnknownKey {
        /// The public name of the key.
        key_id: String,
    },
    /// A sealed value was altered, or stands in another place than it was sealed for.
    #[error("a sealed value does not belong where it stands, or was altered")]
    NotAuthentic,
    /// The cipher or the password hash refused to work.
    #[error("a cryptographic operation failed")]
    Failed,
}
