//! Ids of tool calls, for providers that allow few characters in them (Anthropic, Converse).
//!
//! A call and its result carry the same id, perhaps in different requests, so the same id must always
//! become the same one. Must never map two ids to one: what was cut off lives on in a hash.

use std::borrow::Cow;

/// The longest id that is taken.
const MOST: usize = 64;

/// Hex digits of the hash, and the underscore before them.
const TAIL: usize = 17;

/// The id as it is when it fits `^[a-zA-Z0-9_-]{1,64}$`, else its usable characters and a hash of the
/// whole.
#[must_use]
pub fn sanitised(id: &str) -> Cow<'_, str> {
    let usable = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if (1..=MOST).contains(&id.len()) && id.chars().all(usable) {
        return Cow::Borrowed(id);
    }
    let kept: String = id
        .chars()
        .map(|c| if usable(c) { c } else { '_' })
        .take(MOST - TAIL)
        .collect();
    Cow::Owned(format!("{kept}_{:016x}", hash(id)))
}

/// FNV-1a, 64 bits: the same on every machine and in every version.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fitting_id_stays_and_another_keeps_its_beginning() {
        let longest = "a".repeat(64);
        for id in ["call_1", "toolu_01A-b", longest.as_str()] {
            assert_eq!(sanitised(id), id);
        }
        assert_eq!(sanitised(""), "_cbf29ce484222325");
        assert_eq!(sanitised("a"), "a");
        assert!(sanitised("functions.get_weather:0").starts_with("functions_get_weather_0_"));
        assert_ne!(sanitised("a.b"), sanitised("a:b"));
    }

    proptest! {
        #[test]
        fn every_id_becomes_a_legal_one_and_always_the_same(id in "\\PC{0,90}") {
            let made = sanitised(&id);
            prop_assert!((1..=64).contains(&made.len()));
            prop_assert!(made.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
            prop_assert_eq!(&made, &sanitised(&id));
            prop_assert_eq!(sanitised(&made), made.clone(), "it is not changed again");
        }
    }
}
