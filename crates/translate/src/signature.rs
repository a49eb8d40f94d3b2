//! Seals that providers put on thinking, and how they travel in a dialect of another vendor.
//!
//! A provider takes thinking back only with its own seal, unchanged. A caller of another dialect keeps it
//! in that dialect's field, so it has to say whose it is: `lw1.<origin>.<value>`. In the dialect of the
//! vendor itself it stands bare.

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
    /// The text, as the provider gave it.
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

    /// From a field of the dialect whose own vendor is `home`.
    #[must_use]
    pub fn read(text: &str, home: Origin) -> Self {
        let tagged = text
            .strip_prefix("lw1.")
            .and_then(|rest| rest.split_once('.'))
            .and_then(|(word, value)| {
                let origin = Origin::ALL.into_iter().find(|one| one.as_str() == word)?;
                Some(Self::new(origin, value))
            });
        tagged.unwrap_or_else(|| Self::new(home, text))
    }

    /// For a field of the dialect whose own vendor is `home`.
    #[must_use]
    pub fn write(&self, home: Origin) -> String {
        if self.origin == home {
            self.value.clone()
        } else {
            format!("lw1.{}.{}", self.origin.as_str(), self.value)
        }
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
}
