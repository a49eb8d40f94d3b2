//! Service tiers in the words of an answer's dialect (providers 16).
//!
//! Vendors call the usual tier by different names, and the models of the official clients take only their
//! own. What a provider said stays as it is in what is told about the call ([`crate::stream::Seen`]), because
//! prices hang on it.

/// OpenAI's word; `None` for a tier that it has no word for.
pub(crate) fn openai(tier: &str) -> Option<&'static str> {
    const WORDS: [&str; 6] = ["auto", "default", "flex", "scale", "priority", "fast"];
    match tier {
        "standard" => Some("default"),
        tier => WORDS.into_iter().find(|word| *word == tier),
    }
}

/// Anthropic's word; `None` for a tier that it has no word for.
pub(crate) fn anthropic(tier: &str) -> Option<&'static str> {
    match tier {
        "default" | "standard" => Some("standard"),
        "priority" => Some("priority"),
        "batch" => Some("batch"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_tier_has_two_names_and_unknown_ones_are_left_out() {
        assert_eq!(openai("standard"), Some("default"));
        assert_eq!(anthropic("default"), Some("standard"));
        assert_eq!(openai("flex"), Some("flex"));
        assert_eq!(anthropic("flex"), None);
        assert_eq!(openai("ON_DEMAND_PRIORITY"), None);
    }
}
