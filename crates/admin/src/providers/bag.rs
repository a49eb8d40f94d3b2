//! The credential bag of a provider row, opened, changed, sealed.
//!
//! The only file of the control plane that looks inside a stored credential. What leaves it is either
//! sealed (for the store) or masked (for callers and the audit log); a value never enters a message, and
//! the types here have no `Debug` that shows one. Start at [`Bag`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use lw_core::{Error, Secret};
use lw_store::rows::ModelProvider;
use serde_json::{Map, Value};

use super::kind::{Holds, Kind};
use super::sealing::{KEYS, open, seal};
use super::value::{Policy, check};
use crate::Admin;
use crate::input::{Fields, Problems};

/// What stands for a secret on read, and keeps it on write.
pub(crate) const PLACEHOLDER: &str = "HAS_KEY\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}";

/// What keeps a secret that is not there.
pub(super) const NOTHING_TO_KEEP: &str =
    "there is no stored value that the placeholder could stand for";

/// The most fields of a bag: kinds that nobody knows name their own.
const MOST: usize = 32;

/// What a caller wants a credential bag to hold: a value, nothing, or what it holds already.
#[derive(Debug, Clone)]
pub(crate) struct BagPatch {
    route: Route,
    wishes: Vec<(Cow<'static, str>, Wish)>,
}

/// The route that a bag was sent to, which decides how its field is written and how strict we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// By id: `custom_keys`, an empty text is a mistake, and what a kind needs must be there.
    ById,
    /// The official one: `customKeys`. An empty text deletes. Its command line can send one key only: the
    /// rest may follow later.
    Official,
}

impl Route {
    /// The field of the body.
    pub(crate) const fn member(self) -> &'static str {
        match self {
            Self::ById => "custom_keys",
            Self::Official => "customKeys",
        }
    }
}

#[derive(Debug, Clone)]
enum Wish {
    Keep,
    Drop,
    Set(Secret),
}

impl BagPatch {
    /// The fields that are sent with a value.
    pub(crate) fn sent(&self) -> Vec<String> {
        self.wishes
            .iter()
            .filter(|(_, wish)| matches!(wish, Wish::Set(_)))
            .map(|(name, _)| name.clone().into_owned())
            .collect()
    }

    /// Leaves the bag as it is.
    pub(crate) const fn nothing(route: Route) -> Self {
        Self {
            route,
            wishes: Vec::new(),
        }
    }

    /// Reads the fields of a bag for a kind. Unknown ones are refused by name.
    pub(crate) fn read(
        kind: &Kind,
        route: Route,
        fields: &Fields<'_>,
        policy: Policy<'_>,
        problems: &mut Problems,
    ) -> Self {
        let mut wishes: Vec<(Cow<'static, str>, Wish)> = Vec::new();
        let blank_drops = route == Route::Official;
        if fields.map().len() > MOST {
            problems.add(
                route.member(),
                "too_big",
                format!("must hold at most {MOST} keys"),
            );
        }
        for (name, value) in fields.map().iter().take(MOST) {
            let path = fields.path(name);
            let Some(field) = kind.field(name) else {
                let text = format!("is not a key of `{}`: {}", kind.name(), kind.fields());
                problems.add(path, "unrecognized_key", text);
                continue;
            };
            let wish = match value {
                Value::Null => Wish::Drop,
                Value::String(text) if text == PLACEHOLDER => Wish::Keep,
                Value::String(text) if blank_drops && text.trim().is_empty() => Wish::Drop,
                Value::String(text) => {
                    let text = text.trim();
                    if let Err(message) = check(text, field.holds, policy) {
                        problems.add(path, "invalid_value", message);
                        continue;
                    }
                    Wish::Set(Secret::new(text))
                }
                Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    problems.add(path, "invalid_type", "must be a string or null");
                    continue;
                }
            };
            if wishes.iter().any(|(known, _)| *known == field.name) {
                let text = format!(
                    "means `{}`, which was sent too: send one of them",
                    field.name
                );
                problems.add(path, "invalid_value", text);
                continue;
            }
            wishes.push((field.name, wish));
        }
        Self { route, wishes }
    }

    /// Whether a value is brought along, rather than kept or deleted.
    pub(crate) fn brings_a_value(&self) -> bool {
        self.wishes
            .iter()
            .any(|(_, wish)| matches!(wish, Wish::Set(_)))
    }
}

/// An opened credential bag.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bag(BTreeMap<String, Secret>);

impl Bag {
    /// Opens the bag of a stored row.
    ///
    /// # Errors
    /// `internal_error`: the sealing key is another one, or the row was altered.
    pub(crate) fn open(admin: &Admin, row: &ModelProvider) -> Result<Self, Error> {
        let map: BTreeMap<String, String> = open(admin, &row.sealed_keys, KEYS, row.id.as_str())?;
        Ok(Self(
            map.into_iter()
                .map(|(name, value)| (name, Secret::new(value)))
                .collect(),
        ))
    }

    /// The bag afterwards. Adds a problem for what must be there and is not; `config` are the advanced
    /// settings, some of which stand for fields. What was lacking before is passed over unless the bag or
    /// the settings are `touched`: an incomplete row can be switched off.
    pub(crate) fn patched(
        mut self,
        kind: &Kind,
        patch: BagPatch,
        config: &Map<String, Value>,
        touched: bool,
        problems: &mut Problems,
    ) -> Self {
        let BagPatch { route, wishes } = patch;
        let member = route.member();
        let touched = touched || !wishes.is_empty();
        for (name, wish) in wishes {
            match wish {
                Wish::Keep if self.0.contains_key(&*name) => {}
                Wish::Keep => {
                    problems.add(format!("{member}.{name}"), "invalid_value", NOTHING_TO_KEEP);
                }
                Wish::Drop => {
                    self.0.remove(&*name);
                }
                Wish::Set(value) => {
                    self.0.insert(name.into_owned(), value);
                }
            }
        }
        if self.0.len() > MOST {
            problems.add(member, "too_big", format!("must hold at most {MOST} keys"));
        }
        let complete = match route {
            Route::ById => touched,
            Route::Official => touched && self.0.is_empty(),
        };
        if !complete {
            return self;
        }
        let bag = |name: &str| self.0.contains_key(name);
        let any_api_key = self.0.keys().any(|name| name.ends_with("_API_KEY"));
        let setting = |name: &str| config.get(name).is_some_and(|value| !value.is_null());
        for (name, text) in kind.missing(&bag, any_api_key, &setting) {
            let path = if name.is_empty() {
                member.to_owned()
            } else {
                format!("{member}.{name}")
            };
            problems.add(path, "required", text);
        }
        self
    }

    /// Whether the bag holds a secret beside those that were just `sent`.
    pub(crate) fn keeps_a_secret(&self, kind: &Kind, sent: &[String]) -> bool {
        self.0.keys().any(|name| {
            let holds = kind.field(name).map_or(Holds::Secret, |field| field.holds);
            matches!(holds, Holds::Secret | Holds::Identity) && !sent.contains(name)
        })
    }

    /// Seals the bag for a row.
    ///
    /// # Errors
    /// `internal_error`.
    pub(crate) fn seal(&self, admin: &Admin, row_id: &str) -> Result<String, Error> {
        let map: BTreeMap<&str, &str> = self
            .0
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose()))
            .collect();
        seal(admin, &map, KEYS, row_id)
    }

    /// The bag as callers see it: what is public in clear, everything else masked.
    pub(crate) fn masked(&self, kind: Option<&Kind>) -> Value {
        let shown = |name: &String, value: &Secret| -> Value {
            let holds = kind
                .and_then(|kind| kind.field(name))
                .map_or(Holds::Secret, |field| field.holds);
            match holds {
                Holds::Secret | Holds::Identity => PLACEHOLDER.into(),
                Holds::Address | Holds::Region | Holds::Name => value.expose().into(),
            }
        };
        self.0
            .iter()
            .map(|(name, value)| (name.clone(), shown(name, value)))
            .collect::<Map<_, _>>()
            .into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::kinds::KINDS;
    use super::*;
    use crate::input::BODY;

    /// Reads a bag of one field for a kind, over an empty one.
    fn with(kind: &Kind, name: &str, value: &str) -> (Bag, Result<(), Error>) {
        let body = json!({ name: value });
        let fields = Fields::new(body.as_object().expect("an object"), "custom_keys");
        let mut problems = Problems::of(BODY);
        let allowed = |_: &str| Ok(());
        let patch = BagPatch::read(kind, Route::ById, &fields, &allowed, &mut problems);
        let bag = Bag::default().patched(kind, patch, &Map::new(), true, &mut problems);
        (bag, problems.finish())
    }

    fn any_kind() -> impl Strategy<Value = Kind> {
        let specs: Vec<_> = KINDS.iter().collect();
        let known = proptest::sample::select(specs).prop_map(Kind::Known);
        prop_oneof![known, "[a-z0-9_]{1,64}".prop_map(Kind::Other)]
    }

    proptest! {
        #[test]
        fn what_is_not_public_is_neither_shown_nor_repeated(
            kind in any_kind(),
            name in "[A-Z_]{0,12}(_API_KEY|_SECRET|_TOKEN|_KEY|)",
            value in "[ -~\u{e0}-\u{ff}]{12,40}",
        ) {
            let (bag, said) = with(&kind, &name, &value);
            let public = kind.field(&name).is_some_and(|field| {
                matches!(field.holds, Holds::Address | Holds::Region | Holds::Name)
            });
            let shown = bag.masked(Some(&kind));
            let said = said.map_err(|error| error.message().to_owned());
            let trimmed = value.trim();
            prop_assume!(trimmed.len() > 8);
            prop_assert!(public || !shown.to_string().contains(trimmed));
            prop_assert!(!said.err().unwrap_or_default().contains(trimmed));
            let debugged = format!("{bag:?}");
            prop_assert!(!debugged.contains(trimmed));
        }

        #[test]
        fn a_field_is_stored_under_a_name_that_means_itself(kind in any_kind(), name in "[A-Za-z_-]{1,20}") {
            if let Some(field) = kind.field(&name) {
                prop_assert_eq!(kind.field(&field.name), Some(field.clone()));
            }
        }
    }

    #[test]
    fn the_placeholder_has_its_twenty_four_bullets() {
        assert_eq!(PLACEHOLDER, format!("HAS_KEY{}", "\u{2022}".repeat(24)));
    }
}
