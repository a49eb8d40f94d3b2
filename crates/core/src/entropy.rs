//! Randomness as an argument, so that tests can choose it.
//!
//! Must never be a weak generator: ids and secrets come from here.

use rand::RngCore as _;

/// A source of random bytes that is good enough for secrets.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `out` with random bytes.
    fn fill(&self, out: &mut [u8]);
}

/// The thread-local ChaCha generator of `rand`, seeded and re-seeded by the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) {
        rand::rng().fill_bytes(out);
    }
}
