//! The kinds of providers that can be stored, and which credential fields each has (domain 6.1).
//!
//! A kind that [`super::kinds`] does not list is stored as it is: whoever runs a newer gateway may need
//! it. Its fields are then told by their names. Must never hold how a kind is spoken to: that is the
//! engine's. Start at [`Kind::parse`].

use std::borrow::Cow;

use super::kinds::KINDS;

/// What a provider is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One of the table.
    Known(&'static Spec),
    /// Any other, by its name.
    Other(String),
}

/// A row of the table of kinds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    /// The name on the wire and in the store.
    pub(super) name: &'static str,
    /// Other names that callers use for it; never stored.
    pub(super) aliases: &'static [&'static str],
    /// What a row is called when nobody names it.
    pub(super) display: &'static str,
    /// The credential fields, the primary one first.
    pub(super) keys: &'static [Key],
    /// What must be there.
    pub(super) needs: &'static [Need],
}

/// One field of a credential bag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    /// The name that is stored.
    pub(super) name: &'static str,
    /// Other names that callers use for it; never stored.
    pub(super) aliases: &'static [&'static str],
    /// What it holds.
    pub(super) holds: Holds,
    /// Settings of the provider config that say the same, and win when both are there (providers 3).
    pub(super) settings: &'static [&'static str],
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// A secret that travels in a header: masked on read.
    Secret,
    /// The JSON of a cloud identity: masked on read, and checked for what it makes the gateway dial.
    Identity,
    /// An address: shown in clear, checked against the address policy.
    Address,
    /// A region, which becomes part of a host name: shown in clear.
    Region,
    /// A project, an account, a version: shown in clear.
    Name,
}

/// What a bag must hold to be of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// This field.
    Key(&'static str),
    /// The first, unless the second is there.
    Unless(&'static str, &'static str),
    /// The first whenever the second is there.
    With(&'static str, &'static str),
}

/// A field that a caller names, under the name that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(super) name: Cow<'static, str>,
    pub(super) holds: Holds,
}

/// What an unknown kind's address is stored under.
const BASE_URL: &str = "BASE_URL";

impl Kind {
    /// Reads a kind or another name of it; `None` when it is not of the form of one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let known = KINDS
            .iter()
            .find(|spec| spec.name == text || spec.aliases.contains(&text));
        if let Some(spec) = known {
            return Some(Self::Known(spec));
        }
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let fine = (1..=64).contains(&text.len()) && text.bytes().all(word);
        fine.then(|| Self::Other(text.to_owned()))
    }

    /// The name on the wire and in the store.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Known(spec) => spec.name,
            Self::Other(name) => name,
        }
    }

    /// What a row is called when nobody names it.
    pub(crate) fn display_name(&self) -> &str {
        match self {
            Self::Known(spec) => spec.display,
            Self::Other(name) => name,
        }
    }

    /// The field that a caller means by `name`; `None` when the kind has none of that name.
    pub(crate) fn field(&self, name: &str) -> Option<Field> {
        match self {
            Self::Known(spec) => {
                let key = spec
                    .keys
                    .iter()
                    .find(|key| key.name == name || key.aliases.contains(&name))?;
                Some(Field {
                    name: Cow::Borrowed(key.name),
                    holds: key.holds,
                })
            }
            Self::Other(_) if name == "base_url" => Some(Field {
                name: Cow::Borrowed(BASE_URL),
                holds: Holds::Address,
            }),
            Self::Other(_) => {
                let word = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
                let fine = (1..=64).contains(&name.len())
                    && name.bytes().all(word)
                    && name.bytes().next().is_some_and(|b| b.is_ascii_uppercase());
                fine.then(|| Field {
                    name: Cow::Owned(name.to_owned()),
                    holds: told_by_name(name),
                })
            }
        }
    }

    /// Whether the kind's hosts are derived from a region; of kinds that nobody knows that is assumed.
    pub(crate) fn has_regions(&self) -> bool {
        match self {
            Self::Known(spec) => spec.keys.iter().any(|key| key.holds == Holds::Region),
            Self::Other(_) => true,
        }
    }

    /// What a refusal says of the fields that the kind has.
    pub(crate) fn fields(&self) -> String {
        match self {
            Self::Known(spec) => {
                let names: Vec<&str> = spec.keys.iter().map(|key| key.name).collect();
                let mut text = format!("use {}", names.join(", "));
                if spec.keys.iter().all(|key| key.holds != Holds::Address) {
                    text.push_str("; another address goes into `provider_config.base_url`");
                }
                text
            }
            Self::Other(_) => "use capital letters, digits and `_`".to_owned(),
        }
    }

    /// What is missing: the name of a field, and the sentence that says so. `bag` tells whether a field
    /// is stored, `setting` whether a setting of the provider config is there.
    pub(crate) fn missing(
        &self,
        bag: &dyn Fn(&str) -> bool,
        any_api_key: bool,
        setting: &dyn Fn(&str) -> bool,
    ) -> Vec<(&'static str, String)> {
        let Self::Known(spec) = self else {
            let addressed = bag(BASE_URL) || setting("base_url");
            let text = "at least one key that ends in `_API_KEY`, or `BASE_URL`, is required";
            return if any_api_key || addressed {
                Vec::new()
            } else {
                vec![("", text.to_owned())]
            };
        };
        let has = |name: &str| {
            let key = spec.keys.iter().find(|key| key.name == name);
            bag(name) || key.is_some_and(|key| key.settings.iter().any(|name| setting(name)))
        };
        let kind = spec.name;
        let wanting = |need: &Need| match *need {
            Need::Key(name) => (!has(name)).then(|| (name, format!("is required for `{kind}`"))),
            Need::Unless(name, other) => (!has(name) && !has(other))
                .then(|| (name, format!("is required for `{kind}` without `{other}`"))),
            Need::With(name, other) => (has(other) && !has(name))
                .then(|| (name, format!("is required together with `{other}`"))),
        };
        spec.needs.iter().filter_map(wanting).collect()
    }

    /// Whether a routing handle of this text would hide a kind (`<kind>/<model>`).
    pub(crate) fn reserves(handle: &str) -> bool {
        KINDS
            .iter()
            .any(|spec| spec.name == handle || spec.aliases.contains(&handle))
            || lw_engine::resolve::provider_type(handle).is_some()
    }
}

/// What a field of an unknown kind holds, told by its name. Whatever is in doubt is a secret.
fn told_by_name(name: &str) -> Holds {
    let ends = |tails: &[&str]| tails.iter().any(|tail| name.ends_with(tail));
    if ends(&["BASE_URL", "_ENDPOINT"]) {
        Holds::Address
    } else if ends(&["_REGION", "_LOCATION"]) {
        Holds::Region
    } else if ends(&["_PROJECT", "_API_VERSION"]) {
        Holds::Name
    } else {
        Holds::Secret
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_names_of_kinds_are_one_kind_and_no_two_kinds_share_a_name() {
        for (alias, name) in [
            ("google", "gemini"),
            ("google_gemini", "gemini"),
            ("vertex", "vertex_ai"),
            ("azure_openai", "azure"),
            ("aws_bedrock", "bedrock"),
            ("custom_openai", "custom"),
        ] {
            assert_eq!(Kind::parse(alias).expect(alias).name(), name);
        }
        let mut names: Vec<&str> = KINDS
            .iter()
            .flat_map(|spec| [spec.name].into_iter().chain(spec.aliases.iter().copied()))
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_kind_of_tomorrow_is_a_kind_and_a_sentence_is_none() {
        let other = Kind::parse("acme_ai_2").expect("a kind");
        assert_eq!(
            (other.name(), other.display_name()),
            ("acme_ai_2", "acme_ai_2")
        );
        for text in ["", "Open AI", "open-ai", "é", &"a".repeat(65)] {
            assert_eq!(Kind::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_need_and_every_name_of_a_field_is_of_its_own_kind() {
        for spec in KINDS {
            let mut names: Vec<&str> = spec
                .keys
                .iter()
                .flat_map(|key| [key.name].into_iter().chain(key.aliases.iter().copied()))
                .collect();
            let stored = |name: &str| spec.keys.iter().any(|key| key.name == name);
            for need in spec.needs {
                let fine = match need {
                    Need::Key(name) => stored(name),
                    Need::Unless(name, other) | Need::With(name, other) => {
                        stored(name) && stored(other)
                    }
                };
                assert!(fine, "{}: {need:?}", spec.name);
            }
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{}", spec.name);
        }
    }

    #[test]
    fn the_fields_of_an_unknown_kind_are_secret_unless_their_names_say_otherwise() {
        let kind = Kind::parse("acme").expect("a kind");
        let holds = |name: &str| kind.field(name).map(|field| field.holds);
        assert_eq!(holds("ACME_API_KEY"), Some(Holds::Secret));
        assert_eq!(holds("ACME_TOKEN"), Some(Holds::Secret));
        assert_eq!(holds("ACME_BASE_URL"), Some(Holds::Address));
        assert_eq!(holds("ACME_REGION"), Some(Holds::Region));
        assert_eq!(holds("acme_key"), None);
        assert_eq!(holds("_X"), None);
        let base = kind.field("base_url").expect("a field");
        assert_eq!(base, kind.field("BASE_URL").expect("a field"));
    }
}
