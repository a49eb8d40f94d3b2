//! Short names for addresses, made from the names that people choose.
//!
//! Lower-case letters, digits and single hyphens; they never look like an id, which has an underscore.
//! Must never change when the row is renamed: people keep them in scripts. Start at [`free`].

use std::collections::HashSet;

/// The longest slug.
pub(crate) const MOST: usize = 63;
/// How many characters of a name are taken: room is left for a number.
const TAKEN: usize = 48;

/// The slug of a name, or nothing when the name has no letter or digit of ASCII.
fn of(name: &str) -> String {
    let mut slug = String::new();
    for character in name.chars().flat_map(char::to_lowercase) {
        if slug.len() >= TAKEN {
            break;
        }
        if character.is_ascii_alphanumeric() {
            slug.push(character);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// The slug of `name`, or of `fallback` when the name has none, with a number when another row has it.
pub(crate) fn free<'a>(
    name: &str,
    fallback: &str,
    taken: impl IntoIterator<Item = &'a str>,
) -> String {
    let taken: HashSet<&str> = taken.into_iter().collect();
    let slug = of(name);
    let base = if slug.is_empty() {
        fallback.to_owned()
    } else {
        slug
    };
    if !taken.contains(base.as_str()) {
        return base;
    }
    (2_u64..)
        .map(|number| format!("{base}-{number}"))
        .find(|slug| !taken.contains(slug.as_str()))
        .unwrap_or(base)
}

/// Whether a caller may choose this slug.
pub(crate) fn is_fine(slug: &str) -> bool {
    (1..=MOST).contains(&slug.len())
        && slug
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !slug.starts_with('-')
        && !slug.ends_with('-')
        && !slug.contains("--")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_becomes_a_slug_that_is_free() {
        for (name, taken, expected) in [
            ("Acme Corp.", vec![], "acme-corp"),
            ("  -- Web / API -- ", vec![], "web-api"),
            ("web", vec!["web", "web-2"], "web-3"),
            ("日本", vec![], "team"),
            ("日本", vec!["team"], "team-2"),
        ] {
            assert_eq!(free(name, "team", taken), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_slug_is_fine_and_free(name in "\\PC{0,90}", taken in proptest::collection::vec("[a-c]{1,2}", 0..6)) {
            let slug = free(&name, "x", taken.iter().map(String::as_str));
            prop_assert!(is_fine(&slug), "{slug}");
            prop_assert!(!taken.contains(&slug));
        }
    }
}
