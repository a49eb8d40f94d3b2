//! The form of a virtual key's secret (domain 7.1 and C-2).

use lw_core::{Entropy, Secret, UnixMicros, id};
use zeroize::Zeroizing;

const PREFIX: &str = "vk-lw-";
const BODY_LEN: usize = 26;
const DISPLAY_LEN: usize = 13;

/// A new secret: `vk-lw-` and a ULID, 32 characters.
pub fn mint(now: UnixMicros, entropy: &dyn Entropy) -> Secret {
    let body = Zeroizing::new(id::ulid(now, entropy));
    let mut text = String::with_capacity(PREFIX.len() + BODY_LEN);
    text.push_str(PREFIX);
    text.push_str(&body);
    Secret::new(text)
}

/// Whether a text has the form of a virtual key: `vk-lw-`, perhaps `live_` or `test_`, and exactly 26 of
/// `0-9A-Z`.
#[must_use]
pub fn is_well_formed(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(PREFIX) else {
        return false;
    };
    let body = rest
        .strip_prefix("live_")
        .or_else(|| rest.strip_prefix("test_"))
        .unwrap_or(rest);
    body.len() == BODY_LEN
        && body
            .bytes()
            .all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
}

/// What may be shown of a well-formed secret: its first 13 characters. Empty for what is not well formed.
#[must_use]
pub fn display_prefix(secret: &str) -> &str {
    if is_well_formed(secret) {
        secret.get(..DISPLAY_LEN).unwrap_or_default()
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lw_core::SystemEntropy;
    use proptest::prelude::*;

    #[test]
    fn a_minted_key_is_well_formed_and_new_every_time() {
        let now = UnixMicros::from_millis(1_782_864_000_000);
        let (a, b) = (mint(now, &SystemEntropy), mint(now, &SystemEntropy));
        assert_eq!(a.len(), 32);
        assert!(is_well_formed(a.expose()));
        assert!(!a.same_as(b.expose()));
        assert_eq!(display_prefix(a.expose()), &a.expose()[..13]);
    }

    #[test]
    fn only_the_forms_of_the_specification_are_accepted() {
        let ulid = "01J9Z3NDEKTSV4RRFFQ69G5FAV";
        for text in ["vk-lw-", "vk-lw-live_", "vk-lw-test_"].map(|prefix| format!("{prefix}{ulid}"))
        {
            assert!(is_well_formed(&text), "{text}");
        }
        for text in [
            String::new(),
            ulid.to_owned(),
            format!("vk-lw-prod_{ulid}"),
            format!("vk-lw-live_test_{ulid}"),
            format!("VK-LW-{ulid}"),
            format!(" vk-lw-{ulid}"),
            format!("vk-lw-{ulid}0"),
            format!("vk-lw-{}", &ulid[1..]),
            format!("vk-lw-{}", ulid.to_lowercase()),
        ] {
            assert!(!is_well_formed(&text), "{text}");
            assert_eq!(display_prefix(&text), "", "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_safe(text in "(vk-lw-)?\\PC{0,40}") {
            prop_assert!(display_prefix(&text).len() <= 13);
        }
    }
}
