//! The form of a management API key's token (domain 5.1 and C-1).
//!
//! `<prefix><lookup id>_<secret>`: the lookup id, 16 characters, finds the row; the secret, 48
//! characters, is compared with the row's hash by [`crate::Pepper::verify`].

use lw_core::{Entropy, Secret};
use zeroize::Zeroizing;

/// The prefix that is minted.
const MINTED: &str = "sk-lw-";
/// Every prefix that is accepted: standard, ingest-only, older personal, and the guide's alias.
const PREFIXES: [&str; 4] = [MINTED, "ik-lw-", "pat-lw-", "lwp_"];
const LOOKUP_LEN: usize = 16;
const SECRET_LEN: usize = 48;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A new token and its parts.
#[derive(Debug)]
pub struct MintedApiKey {
    /// The whole token, shown once.
    pub token: Secret,
    /// The public part that the row is found by.
    pub lookup_id: String,
    /// The part to store the hash of.
    pub secret: Secret,
}

/// The parts of a presented token.
#[derive(Debug)]
pub struct ApiKeyParts {
    /// The public part that the row is found by.
    pub lookup_id: String,
    /// The part to verify.
    pub secret: Secret,
}

/// A new token.
pub fn mint(entropy: &dyn Entropy) -> MintedApiKey {
    let lookup_id = alphanumeric(LOOKUP_LEN, entropy);
    let secret = Secret::new(alphanumeric(SECRET_LEN, entropy));
    let token = Secret::new(format!("{MINTED}{lookup_id}_{}", secret.expose()));
    MintedApiKey {
        token,
        lookup_id,
        secret,
    }
}

/// A new legacy project key (domain 5.2): `sk-lw-` and 48 alphanumerics. It is looked up by the hash of the
/// whole token.
pub fn mint_legacy(entropy: &dyn Entropy) -> Secret {
    Secret::new(format!("{MINTED}{}", alphanumeric(SECRET_LEN, entropy)))
}

/// Reads a token of any accepted prefix. `None` is not an API key: malformed, or, behind `sk-lw-`, a
/// legacy project key (see [`is_legacy_project_key`]).
#[must_use]
pub fn parse(token: &str) -> Option<ApiKeyParts> {
    let body = PREFIXES
        .into_iter()
        .find_map(|prefix| token.strip_prefix(prefix))?;
    let (lookup_id, secret) = body.split_once('_')?;
    let fine = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    (fine(lookup_id, LOOKUP_LEN) && fine(secret, SECRET_LEN)).then(|| ApiKeyParts {
        lookup_id: lookup_id.to_owned(),
        secret: Secret::new(secret),
    })
}

/// Whether a token can only be a legacy project key: `sk-lw-` and not the form of an API key.
#[must_use]
pub fn is_legacy_project_key(token: &str) -> bool {
    token
        .strip_prefix(MINTED)
        .is_some_and(|body| !body.is_empty())
        && parse(token).is_none()
}

fn alphanumeric(len: usize, entropy: &dyn Entropy) -> String {
    let mut random = Zeroizing::new(vec![0; len * 8]);
    entropy.fill(&mut random);
    random
        .chunks_exact(8)
        .map(|chunk| {
            // 64 bits for each of 62 characters: the remainder is even to one part in 2^58.
            let number = chunk
                .iter()
                .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
            let index = usize::try_from(number % 62).unwrap_or_default();
            char::from(ALPHABET.get(index).copied().unwrap_or(b'0'))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lw_core::SystemEntropy;
    use proptest::prelude::*;

    #[test]
    fn a_minted_key_parses_into_its_parts_under_every_prefix() {
        let minted = mint(&SystemEntropy);
        let body = minted
            .token
            .expose()
            .strip_prefix("sk-lw-")
            .expect("the standard prefix");
        for prefix in ["sk-lw-", "ik-lw-", "pat-lw-", "lwp_"] {
            let parts = parse(&format!("{prefix}{body}")).expect("parses");
            assert_eq!(parts.lookup_id, minted.lookup_id);
            assert!(parts.secret.same_as(minted.secret.expose()));
        }
        assert!(parse(&format!("xk-lw-{body}")).is_none());
        assert!(!format!("{minted:?}").contains(minted.secret.expose()));
    }

    #[test]
    fn a_minted_project_key_is_one_and_no_api_key() {
        let token = mint_legacy(&SystemEntropy);
        assert_eq!(token.len(), 6 + 48);
        assert!(is_legacy_project_key(token.expose()));
        assert!(!token.same_as(mint_legacy(&SystemEntropy).expose()));
    }

    #[test]
    fn other_standard_tokens_are_legacy_project_keys() {
        let (lookup, secret) = ("a".repeat(16), "B".repeat(48));
        for body in [
            secret.clone(),
            format!("{lookup}{secret}"),
            format!("{lookup}_{secret}x"),
            format!("{lookup}_{}-", &secret[1..]),
            format!("{lookup}_{}_", &secret[1..]),
            format!("{}_{secret}", &lookup[1..]),
        ] {
            assert!(parse(&format!("sk-lw-{body}")).is_none(), "{body}");
            assert!(is_legacy_project_key(&format!("sk-lw-{body}")), "{body}");
            for prefix in ["ik-lw-", "pat-lw-", "lwp_"] {
                let token = format!("{prefix}{body}");
                assert!(
                    parse(&token).is_none() && !is_legacy_project_key(&token),
                    "{token}"
                );
            }
        }
        assert!(!is_legacy_project_key(&format!("sk-lw-{lookup}_{secret}")));
        assert!(!is_legacy_project_key("sk-lw-"));
        assert!(!is_legacy_project_key("vk-lw-01J9Z3NDEKTSV4RRFFQ69G5FAV"));
    }

    proptest! {
        #[test]
        fn any_text_is_safe(text in "(sk-lw-|lwp_)?\\PC{0,80}") {
            let _ = (parse(&text).is_some(), is_legacy_project_key(&text));
        }
    }
}
