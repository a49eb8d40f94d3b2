//! What only the vendor can make: signatures of thoughts and sealed thoughts.
//!
//! Stateless, so that a history survives a restart of the mock: a signature is a keyed hash of the
//! text, a seal carries its text and such a hash. Not secret and not meant to be: it only tells
//! what the mock issued from what was changed on the way. Start at [`sign`] and [`seal`].

use data_encoding::BASE64;
use ring::hmac;

const KEY: &[u8] = b"mock provider, thoughts";
/// What both kinds begin with, so that they look alike in a log.
const PREFIX: &[u8] = &[0x12, 0xa4, 0x01, 0x0a];
const TAG: usize = 32;

/// Proves a thought.
pub(crate) fn sign(text: &str) -> String {
    BASE64.encode(&[PREFIX, tag(text.as_bytes()).as_ref()].concat())
}

/// A text that only the mock can read again.
pub(crate) fn seal(text: &str) -> String {
    let hidden: Vec<u8> = text.bytes().map(|byte| !byte).collect();
    BASE64.encode(&[PREFIX, tag(text.as_bytes()).as_ref(), &hidden].concat())
}

/// The text of a seal that the mock made.
pub(crate) fn opened(sealed: &str) -> Option<String> {
    let bytes = BASE64.decode(sealed.as_bytes()).ok()?;
    let rest = bytes.strip_prefix(PREFIX)?;
    let (proof, hidden) = rest.split_at_checked(TAG)?;
    let text: Vec<u8> = hidden.iter().map(|byte| !byte).collect();
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, KEY), &text, proof).ok()?;
    String::from_utf8(text).ok()
}

/// Whether decoded bytes have the form of a signature. Which text they prove cannot be told.
pub(crate) fn is_signature(bytes: &[u8]) -> bool {
    let rest = bytes.strip_prefix(PREFIX);
    rest.is_some_and(|proof| proof.len() == TAG)
}

fn tag(bytes: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY), bytes)
}

#[cfg(test)]
mod tests {
    use super::{opened, seal, sign};

    #[test]
    fn a_seal_opens_and_a_changed_one_does_not() {
        let sealed = seal("a thought");
        assert_eq!(opened(&sealed).as_deref(), Some("a thought"));
        let mut changed = sealed.into_bytes();
        changed[9] ^= 1;
        let changed = String::from_utf8(changed).expect("text");
        assert_eq!(opened(&changed), None);
        assert_eq!(opened(&sign("a thought")), None);
        assert_ne!(sign("a"), sign("b"));
    }
}
