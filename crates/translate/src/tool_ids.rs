//! Ids of tool calls in the form that Anthropic and Converse take (providers 15.1).

use std::borrow::Cow;

/// Longest id that is taken.
const LONGEST: usize = 64;

/// The id as it is when it fits `^[a-zA-Z0-9_-]{1,64}$`; else its usable characters and a hash of the whole
/// of it, so that one id always becomes the same other one, and two ids do not become one.
#[must_use]
pub fn sanitised(id: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !id.is_empty() && id.len() <= LONGEST && id.chars().all(fits) {
        return Cow::Borrowed(id);
    }
    // Room for an underscore and sixteen digits.
    let mut clean: String = id.chars().filter(|c| fits(*c)).take(LONGEST - 17).collect();
    clean.push_str(&format!("_{:016x}", fnv1a(id.as_bytes())));
    Cow::Owned(clean)
}

/// FNV-1a, 64 bits: stable over versions and machines.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_id_stays_and_a_bad_one_becomes_a_stable_good_one() {
        assert_eq!(sanitised("call_1-A"), "call_1-A");
        assert_eq!(sanitised("call.1"), sanitised("call.1"));
        assert_ne!(sanitised("call.1"), sanitised("call:1"));
        let long = "x".repeat(65);
        for bad in ["", "call.1", "ü", "a b", long.as_str()] {
            let good = sanitised(bad);
            assert!((1..=64).contains(&good.len()), "{good}");
            assert_eq!(sanitised(&good), good, "{bad}");
        }
        // The published vector of the hash.
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
