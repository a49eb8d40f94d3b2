//! Sealing of stored values: envelope encryption with a key outside the database.
//!
//! Each value has a random data key of its own; the data key is sealed under the [`SealingKey`]. Both
//! layers are AES-256-GCM and bind the [`Place`] of the value, so a sealed text opens only in the row and
//! column that it was sealed for. The text is
//!
//! ```text
//! lw1.<key id>.<nonce, sealed data key, tag>.<nonce, sealed value, tag>
//! ```
//!
//! with the last two in base64url. The key id names the sealing key, so that keys rotate: seal under the
//! current one, open under any that is configured.

use std::fmt;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use lw_core::{Entropy, Secret};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use zeroize::Zeroizing;

use crate::CryptoError;

const VERSION: &str = "lw1";
const KEY_LEN: usize = 32;
/// What every derivation begins with, so that it is of this program and this version.
const INFO: &[u8] = b"langwatch v1 ";

/// Where a sealed value stands. Bound in, never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The column.
    pub column: &'a str,
    /// The id of the row.
    pub row_id: &'a str,
}

/// The key that everything stored is sealed under, and that unset secrets derive from.
#[derive(Clone)]
pub struct SealingKey {
    bytes: Zeroizing<[u8; KEY_LEN]>,
}

impl SealingKey {
    /// Reads 64 hex characters of either case.
    ///
    /// # Errors
    /// The text is anything else.
    pub fn parse(hex: &Secret) -> Result<Self, CryptoError> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        if hex.len() != KEY_LEN * 2 {
            return Err(CryptoError::MalformedKey);
        }
        HEXLOWER_PERMISSIVE
            .decode_mut(hex.expose().as_bytes(), bytes.as_mut_slice())
            .map_err(|_| CryptoError::MalformedKey)?;
        Ok(Self { bytes })
    }

    /// A new random key, and its hex form to be kept outside the database.
    pub fn generate(entropy: &dyn Entropy) -> (Self, Secret) {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        entropy.fill(bytes.as_mut_slice());
        let hex = Secret::new(HEXLOWER.encode(bytes.as_slice()));
        (Self { bytes }, hex)
    }

    /// Another secret that follows from this one (HKDF-SHA256), as 64 hex characters. Different labels
    /// give unrelated secrets.
    #[must_use]
    pub fn derive(&self, label: &str) -> Secret {
        Secret::new(HEXLOWER.encode(self.expand("derive", label).as_slice()))
    }

    /// The public name of the key, which sealed texts carry.
    fn id(&self) -> String {
        let bytes = self.expand("key id", "");
        HEXLOWER.encode(bytes.get(..8).unwrap_or_default())
    }

    fn expand(&self, purpose: &str, label: &str) -> Zeroizing<[u8; KEY_LEN]> {
        // HKDF-SHA256 (RFC 5869) without salt, for one block of output. Written out because one block
        // cannot fail, and a key that could quietly be empty is worse than four lines.
        let extract = hmac::Key::new(hmac::HMAC_SHA256, &[0; KEY_LEN]);
        let prk = hmac::sign(&extract, self.bytes.as_slice());
        let mut expand = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, prk.as_ref()));
        for part in [INFO, purpose.as_bytes(), b"\0", label.as_bytes(), &[1]] {
            expand.update(part);
        }
        let mut out = Zeroizing::new([0; KEY_LEN]);
        for (slot, byte) in out.iter_mut().zip(expand.sign().as_ref()) {
            *slot = *byte;
        }
        out
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(..)")
    }
}

/// A sealing key made ready for use, with its public name.
struct Kek {
    id: String,
    key: LessSafeKey,
}

impl Kek {
    fn new(key: &SealingKey) -> Option<Self> {
        let bytes = key.expand("seal", "");
        Some(Self {
            id: key.id(),
            key: aes(bytes.as_slice()).ok()?,
        })
    }
}

/// Seals and opens stored values.
pub struct Sealer {
    current: Option<Kek>,
    previous: Vec<Kek>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keks().map(|kek| &kek.id))
            .finish()
    }
}

impl Sealer {
    /// A sealer that seals under `current` and opens what was sealed under it or under `previous` ones.
    #[must_use]
    pub fn new(current: &SealingKey, previous: &[SealingKey]) -> Self {
        Self {
            current: Kek::new(current),
            previous: previous.iter().filter_map(Kek::new).collect(),
        }
    }

    fn keks(&self) -> impl Iterator<Item = &Kek> {
        self.current.iter().chain(&self.previous)
    }

    /// Seals `plaintext` for one place.
    ///
    /// # Errors
    /// The cipher refused; nothing was sealed.
    pub fn seal(
        &self,
        plaintext: &[u8],
        place: Place<'_>,
        entropy: &dyn Entropy,
    ) -> Result<String, CryptoError> {
        let kek = self.current.as_ref().ok_or(CryptoError::Failed)?;
        let mut data_key = Zeroizing::new([0; KEY_LEN]);
        entropy.fill(data_key.as_mut_slice());
        let wrapped = encrypt(
            &kek.key,
            data_key.as_slice(),
            &bound(&kek.id, "key", place),
            entropy,
        )?;
        let body = encrypt(
            &aes(data_key.as_slice())?,
            plaintext,
            &bound(&kek.id, "value", place),
            entropy,
        )?;
        let (wrapped, body) = (
            BASE64URL_NOPAD.encode(&wrapped),
            BASE64URL_NOPAD.encode(&body),
        );
        Ok(format!("{VERSION}.{}.{wrapped}.{body}", kek.id))
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// The text is damaged, was sealed for another place, or under a key that is not at hand.
    pub fn open(&self, sealed: &str, place: Place<'_>) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let mut parts = sealed.split('.');
        let (Some(VERSION), Some(id), Some(wrapped), Some(body), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(CryptoError::MalformedSealed);
        };
        if id.len() != 16 || !id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(CryptoError::MalformedSealed);
        }
        let kek = self
            .keks()
            .find(|kek| kek.id == id)
            .ok_or_else(|| CryptoError::UnknownKey {
                key_id: id.to_owned(),
            })?;
        let data_key = decrypt(&kek.key, wrapped, &bound(id, "key", place))?;
        let data_key = aes(&data_key).map_err(|_| CryptoError::NotAuthentic)?;
        decrypt(&data_key, body, &bound(id, "value", place))
    }
}

fn aes(key: &[u8]) -> Result<LessSafeKey, CryptoError> {
    UnboundKey::new(&AES_256_GCM, key)
        .map(LessSafeKey::new)
        .map_err(|_| CryptoError::Failed)
}

/// The associated data: each part behind its length, so that no two places read alike.
fn bound(key_id: &str, layer: &str, place: Place<'_>) -> Vec<u8> {
    let Place {
        table,
        column,
        row_id,
    } = place;
    let mut out = Vec::new();
    for part in [VERSION, key_id, layer, table, column, row_id] {
        out.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        out.extend_from_slice(part.as_bytes());
    }
    out
}

/// Nonce, ciphertext, tag.
fn encrypt(
    key: &LessSafeKey,
    plaintext: &[u8],
    bound: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, CryptoError> {
    let mut nonce = [0; NONCE_LEN];
    entropy.fill(&mut nonce);
    // A buffer of its own that never grows: growing would leave plaintext behind.
    let mut text = Vec::with_capacity(plaintext.len() + AES_256_GCM.tag_len());
    text.extend_from_slice(plaintext);
    key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(bound),
        &mut text,
    )
    .map_err(|_| CryptoError::Failed)?;
    let mut out = Vec::with_capacity(NONCE_LEN + text.len());
    out.extend_from_slice(&nonce);
    out.append(&mut text);
    Ok(out)
}

fn decrypt(key: &LessSafeKey, text: &str, bound: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let bytes = BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map_err(|_| CryptoError::MalformedSealed)?;
    let (nonce, rest) = bytes
        .split_first_chunk()
        .ok_or(CryptoError::MalformedSealed)?;
    let mut out = Zeroizing::new(rest.to_vec());
    let length = key
        .open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(bound),
            out.as_mut_slice(),
        )
        .map_err(|_| CryptoError::NotAuthentic)?
        .len();
    out.truncate(length);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lw_core::SystemEntropy;
    use proptest::prelude::*;

    const HERE: Place<'_> = Place {
        table: "t",
        column: "c",
        row_id: "mp_1",
    };

    fn key() -> SealingKey {
        SealingKey::generate(&SystemEntropy).0
    }

    #[test]
    fn a_key_reads_back_from_its_hex_form_and_shows_nothing() {
        let (key, hex) = SealingKey::generate(&SystemEntropy);
        let again = SealingKey::parse(&hex).expect("parses");
        assert_eq!(key.bytes, again.bytes);
        assert_eq!(format!("{key:?}"), "SealingKey(..)");
        assert!(!format!("{:?}", Sealer::new(&key, &[])).contains(hex.expose()));
    }

    #[test]
    fn anything_but_64_hex_characters_is_not_a_key() {
        for text in [
            "",
            " ",
            "ab",
            &"g".repeat(64),
            &"a".repeat(63),
            &"a".repeat(65),
        ] {
            let parsed = SealingKey::parse(&Secret::new(text));
            assert!(matches!(parsed, Err(CryptoError::MalformedKey)), "{text}");
        }
        assert!(SealingKey::parse(&Secret::new("aB".repeat(32))).is_ok());
    }

    #[test]
    fn derived_secrets_are_fixed_by_key_and_label() {
        let key = SealingKey::parse(&Secret::new("0f".repeat(32))).expect("parses");
        let pepper = key.derive("LW_VIRTUAL_KEY_PEPPER");
        // Changing this value would orphan every stored key hash.
        assert_eq!(
            pepper.expose(),
            "88b4b809a261316d1d19211de3847baf52e7d099cec1c2e0f3ebf5645644a32b"
        );
        assert_ne!(
            pepper.expose(),
            key.derive("LW_GATEWAY_JWT_SECRET").expose()
        );
        assert_ne!(
            pepper.expose(),
            self::key().derive("LW_VIRTUAL_KEY_PEPPER").expose()
        );
    }

    #[test]
    fn derivation_is_the_hkdf_of_the_library() {
        use ring::hkdf;
        let key = key();
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(key.bytes.as_slice());
        let info = [INFO, b"derive", b"\0", b"a label"];
        let mut expected = [0; KEY_LEN];
        prk.expand(&info, hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut expected))
            .expect("one block");
        assert_eq!(key.derive("a label").expose(), HEXLOWER.encode(&expected));
    }

    #[test]
    fn a_value_opens_only_where_it_was_sealed_for() {
        let sealer = Sealer::new(&key(), &[]);
        let sealed = sealer
            .seal(b"sk-secret", HERE, &SystemEntropy)
            .expect("seals");
        assert!(sealed.starts_with("lw1."), "{sealed}");
        assert_eq!(
            sealer.open(&sealed, HERE).expect("opens").as_slice(),
            b"sk-secret"
        );
        for place in [
            Place {
                row_id: "mp_2",
                ..HERE
            },
            Place {
                column: "d",
                ..HERE
            },
            Place { table: "u", ..HERE },
            Place {
                table: "tc",
                column: "",
                ..HERE
            },
        ] {
            assert_eq!(sealer.open(&sealed, place), Err(CryptoError::NotAuthentic));
        }
    }

    #[test]
    fn a_previous_key_still_opens_and_an_unknown_one_is_named() {
        let (old, new) = (key(), key());
        let sealed = Sealer::new(&old, &[])
            .seal(b"v", HERE, &SystemEntropy)
            .expect("seals");
        let both = Sealer::new(&new, std::slice::from_ref(&old));
        assert_eq!(both.open(&sealed, HERE).expect("opens").as_slice(), b"v");
        let again = both.seal(b"v", HERE, &SystemEntropy).expect("seals");
        assert!(again.contains(&new.id()));
        let unknown = Sealer::new(&new, &[]).open(&sealed, HERE);
        assert_eq!(unknown, Err(CryptoError::UnknownKey { key_id: old.id() }));
    }

    #[test]
    fn layers_of_two_values_do_not_mix() {
        let sealer = Sealer::new(&key(), &[]);
        let seal = |text: &[u8]| sealer.seal(text, HERE, &SystemEntropy).expect("seals");
        let (a, b) = (seal(b"a"), seal(b"b"));
        let (head, _) = a.rsplit_once('.').expect("parts");
        let (_, tail) = b.rsplit_once('.').expect("parts");
        let mixed = format!("{head}.{tail}");
        assert_eq!(sealer.open(&mixed, HERE), Err(CryptoError::NotAuthentic));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_sealed_opens(plain in prop::collection::vec(any::<u8>(), 0..200)) {
            let sealer = Sealer::new(&key(), &[]);
            let sealed = sealer.seal(&plain, HERE, &SystemEntropy).expect("seals");
            let opened = sealer.open(&sealed, HERE).expect("opens");
            prop_assert_eq!(opened.as_slice(), plain.as_slice());
        }

        #[test]
        fn every_truncation_and_every_changed_character_is_an_error(
            plain in prop::collection::vec(any::<u8>(), 0..60),
            other in any::<char>(),
        ) {
            let sealer = Sealer::new(&key(), &[]);
            let sealed = sealer.seal(&plain, HERE, &SystemEntropy).expect("seals");
            for (at, before) in sealed.char_indices() {
                prop_assert!(sealer.open(&sealed[..at], HERE).is_err());
                if other != before {
                    let (head, tail) = (&sealed[..at], &sealed[at + 1..]);
                    let replaced = format!("{head}{other}{tail}");
                    prop_assert!(sealer.open(&replaced, HERE).is_err());
                    let inserted = format!("{head}{other}{before}{tail}");
                    prop_assert!(sealer.open(&inserted, HERE).is_err());
                }
            }
        }

        #[test]
        fn any_text_is_safe(text in "(lw1\\.)?\\PC{0,80}") {
            prop_assert!(Sealer::new(&key(), &[]).open(&text, HERE).is_err());
        }
    }
}
