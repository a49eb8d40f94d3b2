//! Seals that providers put on thinking, and how they travel in a dialect of another vendor.
//!
//! A provider takes thinking back only with its own seal, unchanged. A caller of another dialect keeps it
//! in that dialect's field, so it has to say whose it is: `lw1.<origin>.<value>`, and, when it is all there is
//! of the thinking, `lw1.<origin>.redacted.<value>`. In the dialect of the vendor itself it stands bare.
//! Start at [`Signature::write_marked`] and [`Signature::read_marked`].

/// Marks a seal that hides the thinking itself (Anthropic `redacted_thinking`): not every dialect has a word
/// for it. No seal has a full stop in it.
const REDACTED: &str = "redacted.";

/// Stands between the id of an item of OpenAI's and its seal; neither has one in it.
const ITEM: char = ':';

/// Whose seal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Anthropic, on any cloud.
    Anthropic,
    /// OpenAI (`encrypted_content`).
    OpenAi,
    /// Google (`thoughtSignature`).
    Google,
    /// Another vendor behind Bedrock.
    Bedrock,
}

impl Origin {
    const ALL: [Self; 4] = [Self::Anthropic, Self::OpenAi, Self::Google, Self::Bedrock];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
            Self::Google => "google",
            Self::Bedrock => "bedrock",
        }
    }
}

/// A seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Whose it is.
    pub origin: Origin,
    /// The text, as the provider gave it; OpenAI's may have the id of its item before it
    /// ([`Signature::of_item`]).
    pub value: String,
}

impl Signature {
    /// The seal of a vendor.
    #[must_use]
    pub fn new(origin: Origin, value: impl Into<String>) -> Self {
        Self {
            origin,
            value: value.into(),
        }
    }

    /// OpenAI's seal on the item with this id. OpenAI takes a seal back only under the id that it had, which
    /// no other dialect has a field for, so it travels with the seal: `<id>:<sealed>`.
    #[must_use]
    pub fn of_item(id: Option<&str>, sealed: &str) -> Self {
        match id.filter(|id| !id.is_empty() && !id.contains(ITEM)) {
            Some(id) => Self::new(Origin::OpenAi, format!("{id}{ITEM}{sealed}")),
            None => Self::new(Origin::OpenAi, sealed),
        }
    }

    /// The id of the item that it is on, when it has one, and the bare seal.
    #[must_use]
    pub fn item(&self) -> (Option<&str>, &str) {
        match self.value.split_once(ITEM) {
            Some((id, sealed)) if self.origin == Origin::OpenAi => (Some(id), sealed),
            _ => (None, &self.value),
        }
    }

    /// From a field of the dialect whose own vendor is `home`.
    #[must_use]
    pub fn read(text: &str, home: Origin) -> Self {
        Self::read_marked(text, home).0
    }

    /// From a field of the dialect whose own vendor is `home`, and whether it is marked as all there is of
    /// the thinking.
    #[must_use]
    pub fn read_marked(text: &str, home: Origin) -> (Self, bool) {
        let tagged = text
            .strip_prefix("lw1.")
            .and_then(|rest| rest.split_once('.'))
            .and_then(|(word, value)| {
                let origin = Origin::ALL.into_iter().find(|one| one.as_str() == word)?;
                Some(match value.strip_prefix(REDACTED) {
                    Some(value) => (Self::new(origin, value), true),
                    None => (Self::new(origin, value), false),
                })
            });
        tagged.unwrap_or_else(|| (Self::new(home, text), false))
    }

    /// For a field of the dialect whose own vendor is `home`.
    #[must_use]
    pub fn write(&self, home: Origin) -> String {
        self.write_marked(home, false)
    }

    /// For a field of the dialect whose own vendor is `home`; `redacted`: it is all there is of the thinking.
    /// A bare one has no mark, because its own dialect has words for that.
    #[must_use]
    pub fn write_marked(&self, home: Origin, redacted: bool) -> String {
        if self.origin == home {
            return self.value.clone();
        }
        let mark = if redacted { REDACTED } else { "" };
        format!("lw1.{}.{mark}{}", self.origin.as_str(), self.value)
    }

    /// The bare value for a provider of that vendor; `None` for a foreign one, which would be refused.
    #[must_use]
    pub fn for_provider(&self, vendor: Origin) -> Option<&str> {
        (self.origin == vendor).then_some(self.value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_survives_a_foreign_dialect_and_comes_home_unchanged() {
        let seal = Signature::new(Origin::OpenAi, "gAAAA.b_c==");
        let foreign = seal.write(Origin::Anthropic);
        assert_eq!(foreign, "lw1.openai.gAAAA.b_c==");
        let back = Signature::read(&foreign, Origin::Anthropic);
        assert_eq!(back, seal);
        assert_eq!(back.for_provider(Origin::OpenAi), Some("gAAAA.b_c=="));
        assert_eq!(back.for_provider(Origin::Anthropic), None);
        assert_eq!(
            Signature::read("EqQB", Origin::Anthropic).origin,
            Origin::Anthropic
        );
        assert_eq!(
            Signature::read("lw1.unknown.x", Origin::Google).value,
            "lw1.unknown.x"
        );
    }

    #[test]
    fn a_mark_travels_with_a_foreign_seal() {
        let seal = Signature::new(Origin::Anthropic, "EvAF");
        let foreign = seal.write_marked(Origin::OpenAi, true);
        assert_eq!(foreign, "lw1.anthropic.redacted.EvAF");
        for home in [Origin::OpenAi, Origin::Google, Origin::Anthropic] {
            assert_eq!(Signature::read_marked(&foreign, home), (seal.clone(), true));
            assert_eq!(Signature::read(&foreign, home), seal);
        }
        assert_eq!(seal.write_marked(Origin::Anthropic, true), "EvAF");
    }

    #[test]
    fn the_id_of_an_item_travels_with_its_seal() {
        let seal = Signature::of_item(Some("rs_1"), "gAAA==");
        assert_eq!(seal.item(), (Some("rs_1"), "gAAA=="));
        let back = Signature::read(&seal.write(Origin::Anthropic), Origin::Anthropic);
        assert_eq!(back.item(), (Some("rs_1"), "gAAA=="));
        for nameless in [None, Some("")] {
            assert_eq!(
                Signature::of_item(nameless, "gAAA==").item(),
                (None, "gAAA==")
            );
        }
        assert_eq!(Signature::new(Origin::Google, "a:b").item(), (None, "a:b"));
    }
}
