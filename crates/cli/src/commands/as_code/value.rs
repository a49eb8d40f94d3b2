//! Values of the API in the words of a file, and back.
//!
//! Two walks over the same shapes, [`from_api`] and [`to_api`], and the one spelling that amounts,
//! times, words and tags have in both.

use jiff::Timestamp;

use super::compare::filled;
use super::shape::{Field, Kind, Object, Shape};
use super::world::{What, World};
use crate::json::Json;

const TAG_CHARS: usize = 128;
const MOST_TAGS: usize = 32;

fn empty() -> Json {
    Json::Object(Vec::new())
}

pub(super) fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Array(items) => items.is_empty(),
        Json::Object(fields) => fields.is_empty(),
        Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    }
}

/// A reference to a secret, as a file writes it.
pub(super) fn from_env(name: &str) -> Json {
    Json::object([("from_env", name.into())])
}

/// Whether the value is such a reference.
pub(super) fn is_reference(value: &Json) -> bool {
    value.text("from_env").is_some() || value.text("from_file").is_some()
}

/// Whether the server hides what is stored.
pub(super) fn is_masked(value: &Json) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.starts_with("HAS_KEY") || text.contains('\u{2022}'))
}

/// Whether a credential field is a setting that may be seen: an address, a region, a version.
pub(super) fn is_setting(name: &str) -> bool {
    const SETTINGS: [&str; 8] = [
        "REGION",
        "LOCATION",
        "ENDPOINT",
        "URL",
        "HOST",
        "VERSION",
        "PROJECT",
        "ACCOUNT_ID",
    ];
    const SECRETS: [&str; 6] = ["KEY", "SECRET", "TOKEN", "CREDENTIAL", "PASS", "JSON"];
    let name = name.to_ascii_uppercase();
    let holds = |words: &[&str]| words.iter().any(|word| name.contains(word));
    holds(&SETTINGS) && !holds(&SECRETS)
}

/// The variable that an export names for a secret.
pub(super) fn variable_name(text: &str) -> String {
    let upper = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    let name: String = text.chars().map(upper).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{name}")
    } else {
        name
    }
}

/// Decimal text without superfluous zeros; `None` when it is no amount above zero.
pub(super) fn money(text: &str) -> Option<String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 6 || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if fraction.is_empty() {
        whole.to_owned()
    } else {
        format!("{whole}.{fraction}")
    })
}

/// UTC with milliseconds.
pub(super) fn time(text: &str) -> Option<String> {
    let ms = crate::args::parse_instant(text).ok()?;
    let at = Timestamp::from_millisecond(ms).ok()?;
    Some(format!("{at:.3}"))
}

/// The server's treatment of tags.
pub(super) fn tags(tags: impl Iterator<Item = String>) -> Json {
    let mut kept: Vec<Json> = Vec::new();
    for tag in tags {
        let tag: String = tag.trim().chars().take(TAG_CHARS).collect();
        let tag = Json::from(tag);
        if tag.as_str() != Some("") && !kept.contains(&tag) && kept.len() < MOST_TAGS {
            kept.push(tag);
        }
    }
    Json::Array(kept)
}

/// In a fixed order, without repetitions.
pub(super) fn set(mut items: Vec<Json>) -> Json {
    items.sort_by_key(Json::compact);
    items.dedup();
    Json::Array(items)
}

/// A word in the spelling of the API.
pub(super) fn word(text: &str, other: &[(&str, &str)]) -> String {
    let text = text.trim().to_ascii_lowercase();
    let known = other.iter().find(|(spelling, _)| *spelling == text);
    known.map_or(text, |(_, word)| (*word).to_owned())
}

/// `org:…` and so on.
pub(super) fn scope_label(world: &World, kind: &str, id: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    match kind.as_str() {
        "organization" => format!("org:{}", world.label_of_id(What::Organization, id)),
        "team" => format!("team:{}", world.label_of_id(What::Team, id)),
        "project" => format!("project:{}", world.label_of_id(What::Project, id)),
        _ => format!("{kind}:{id}"),
    }
}

/// What a budget counts, from the two fields of an answer.
pub(super) fn budget_scope(world: &World, kind: &str, id: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    let key = |id| world.label_of_id(What::Of(Kind::Key), id);
    match kind.as_str() {
        "virtual_key" => format!("virtual_key:{}", key(id)),
        "principal" => format!("principal:{}", world.label_of_id(What::User, id)),
        "group" => format!("group:{}", world.label_of_id(What::Group, id)),
        "attributed_user" => {
            let mut keys = world.entries(What::Of(Kind::Key)).iter();
            if keys.any(|entry| entry.id.as_deref() == Some(id)) || id.starts_with("vk_") {
                format!("attributed_user:virtual_key:{}", key(id))
            } else {
                format!("attributed_user:{}", scope_label(world, "project", id))
            }
        }
        _ => scope_label(world, &kind, id),
    }
}

/// A value of an answer as a file would write it.
pub(super) fn from_api(shape: &Shape, value: &Json, world: &World) -> Json {
    let label = |what| match value.as_str() {
        Some(id) => world.label_of_id(what, id).into(),
        None => value.clone(),
    };
    match shape {
        Shape::Nullable(_) if value.is_null() => Json::Null,
        Shape::Blankable(_) if is_empty(value) => Json::Null,
        Shape::Nullable(inner) | Shape::Blankable(inner) | Shape::Some(inner) => {
            from_api(inner, value, world)
        }
        Shape::List(inner) | Shape::Set(inner) => {
            let items = value.items().iter();
            let items = items.map(|item| from_api(inner, item, world)).collect();
            match shape {
                Shape::Set(_) => set(items),
                _ => Json::Array(items),
            }
        }
        Shape::OneOf(_, other) => value
            .as_str()
            .map_or_else(|| value.clone(), |text| word(text, other).into()),
        Shape::Money => money(&value.display()).map_or_else(|| value.clone(), Json::from),
        Shape::Time => value
            .as_str()
            .and_then(time)
            .map_or_else(|| value.clone(), Json::from),
        Shape::Tags => tags(value.items().iter().map(Json::display)),
        Shape::Object(object) => object_from_api(object, value, world),
        Shape::Ref(kind) => label(What::Of(*kind)),
        Shape::Project => label(What::Project),
        Shape::User => label(What::User),
        Shape::Scope => {
            let kind = value.text("scope_type").unwrap_or_default();
            scope_label(world, kind, value.text("scope_id").unwrap_or_default()).into()
        }
        Shape::CustomKeys => map_values(value, |name, value| {
            if is_masked(value) || !is_setting(name) {
                from_env(&variable_name(name))
            } else {
                value.clone()
            }
        }),
        Shape::Headers => {
            let headers = value.items().iter().map(|header| {
                let name = header.text("key").unwrap_or_default();
                Json::object([
                    ("key", name.into()),
                    ("value", from_env(&variable_name(name))),
                ])
            });
            Json::Array(headers.collect())
        }
        Shape::EvaluatorSettings => {
            let mut settings = value.clone();
            if let Some(headers) = settings.get("headers") {
                let headers = map_values(headers, |name, _| from_env(&variable_name(name)));
                settings.set("headers", headers);
            }
            settings
        }
        Shape::ModelMap => map_values(value, |_, targets| {
            map_names(targets, |name| {
                let label = world.label_of_id(What::Of(Kind::Provider), name);
                if label == name {
                    label
                } else {
                    world.map_target(&label)
                }
            })
        }),
        Shape::Text(_)
        | Shape::Handle(_)
        | Shape::Flag
        | Shape::Whole(..)
        | Shape::Fraction(..)
        | Shape::Texts(_)
        | Shape::Any
        | Shape::AnyMap
        | Shape::BudgetScope => value.clone(),
    }
}

fn object_from_api(object: &Object, value: &Json, world: &World) -> Json {
    let mut out = empty();
    for field in object.fields {
        if let Some(value) = answered(field, value) {
            out.set(field.name, from_api(&field.shape, value, world));
        }
    }
    out
}

/// The field of an answer. Null where nothing may be null is no answer.
pub(super) fn answered<'a>(field: &Field, answer: &'a Json) -> Option<&'a Json> {
    let names = [field.name].into_iter().chain(field.also.iter().copied());
    let mut values = names.filter_map(|name| answer.get(name));
    values.find(|value| {
        !value.is_null() || matches!(field.shape, Shape::Nullable(_) | Shape::Blankable(_))
    })
}

pub(super) fn map_values(value: &Json, edit: impl Fn(&str, &Json) -> Json) -> Json {
    let fields = value.fields().iter();
    Json::Object(fields.map(|(k, v)| (k.clone(), edit(k, v))).collect())
}

fn map_names(value: &Json, edit: impl Fn(&str) -> String) -> Json {
    let fields = value.fields().iter();
    Json::Object(fields.map(|(k, v)| (edit(k), v.clone())).collect())
}

/// A value of a file as the API takes it. `open` gives the secret behind a reference.
pub(super) fn to_api(
    shape: &Shape,
    value: &Json,
    world: &World,
    open: &mut dyn FnMut(&Json) -> Json,
) -> Json {
    let id = |what| match value.as_str() {
        Some(label) => world.id_of_label(what, label).into(),
        None => value.clone(),
    };
    match shape {
        Shape::Nullable(inner) | Shape::Blankable(inner) if !value.is_null() => {
            to_api(inner, value, world, open)
        }
        Shape::Some(inner) => to_api(inner, value, world, open),
        Shape::List(inner) | Shape::Set(inner) => {
            let items = value.items().iter();
            Json::Array(items.map(|item| to_api(inner, item, world, open)).collect())
        }
        Shape::Object(object) => {
            let whole;
            let value = if object.filled {
                whole = filled(object, value);
                &whole
            } else {
                value
            };
            let mut out = empty();
            for (name, value) in value.fields() {
                let field = object.fields.iter().find(|field| field.name == name);
                let Some(field) = field else { continue };
                out.set(name, to_api(&field.shape, value, world, open));
            }
            out
        }
        Shape::Ref(kind) => id(What::Of(*kind)),
        Shape::Project => id(What::Project),
        Shape::User => id(What::User),
        Shape::Scope => {
            let (kind, id) = place(value.as_str().unwrap_or_default(), world);
            Json::object([("scope_type", kind.into()), ("scope_id", id.into())])
        }
        Shape::BudgetScope => budget_scope_to_api(value.as_str().unwrap_or_default(), world),
        Shape::CustomKeys => {
            let mut out = empty();
            for (name, value) in value.fields() {
                let value = if is_reference(value) {
                    open(value)
                } else {
                    value.clone()
                };
                out.set(name, value);
            }
            out
        }
        Shape::Headers => {
            let headers = value.items().iter().map(|header| {
                let mut header = header.clone();
                if let Some(value) = header.get("value").cloned() {
                    header.set("value", open(&value));
                }
                header
            });
            Json::Array(headers.collect())
        }
        Shape::EvaluatorSettings => {
            let mut settings = value.clone();
            if let Some(headers) = value.get("headers") {
                let mut opened = empty();
                for (name, value) in headers.fields() {
                    opened.set(name, open(value));
                }
                settings.set("headers", opened);
            }
            settings
        }
        Shape::ModelMap => map_values(value, |_, targets| {
            map_names(targets, |name| {
                if world.has_provider_kind(name) {
                    name.to_owned()
                } else {
                    world.id_of_label(What::Of(Kind::Provider), name)
                }
            })
        }),
        Shape::Nullable(_)
        | Shape::Blankable(_)
        | Shape::Text(_)
        | Shape::Handle(_)
        | Shape::Flag
        | Shape::Whole(..)
        | Shape::Fraction(..)
        | Shape::OneOf(..)
        | Shape::Money
        | Shape::Time
        | Shape::Texts(_)
        | Shape::Tags
        | Shape::Any
        | Shape::AnyMap => value.clone(),
    }
}

/// `org:acme` as the API's pair.
fn place<'a>(label: &'a str, world: &World) -> (&'a str, String) {
    let (kind, name) = label.split_once(':').unwrap_or(("project", label));
    match kind {
        "org" => ("organization", world.id_of_label(What::Organization, name)),
        "team" => (kind, world.id_of_label(What::Team, name)),
        _ => (kind, world.id_of_label(What::Project, name)),
    }
}

fn budget_scope_to_api(label: &str, world: &World) -> Json {
    let (kind, name) = label.split_once(':').unwrap_or((label, ""));
    let key = |name| world.id_of_label(What::Of(Kind::Key), name);
    let (kind, field, id) = match kind {
        "virtual_key" => (kind, "virtual_key_id", key(name)),
        "principal" => (
            kind,
            "principal_user_id",
            world.id_of_label(What::User, name),
        ),
        "group" => (kind, "group_id", world.id_of_label(What::Group, name)),
        "attributed_user" => match name.split_once(':') {
            Some(("virtual_key", name)) => (kind, "anchor_virtual_key_id", key(name)),
            _ => (kind, "anchor_project_id", place(name, world).1),
        },
        _ => {
            let (kind, id) = place(label, world);
            let field = match kind {
                "organization" => "organization_id",
                "team" => "team_id",
                _ => "project_id",
            };
            (kind, field, id)
        }
    };
    Json::object([("kind", kind.into()), (field, id.into())])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{is_setting, money, tags, time, variable_name};
    use crate::json::Json;

    #[test]
    fn amounts_have_one_spelling() {
        for (text, expected) in [
            ("5000", Some("5000")),
            ("5000.00", Some("5000")),
            ("0.50", Some("0.5")),
            ("007.10", Some("7.1")),
            ("0.000001", Some("0.000001")),
            ("0.0000001", None),
            ("0", None),
            ("-1", None),
            ("1e3", None),
            (".5", None),
        ] {
            assert_eq!(money(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn instants_have_one_spelling() {
        for text in ["2026-12-31", "2026-12-31T02:00:00+02:00"] {
            assert_eq!(time(text).as_deref(), Some("2026-12-31T00:00:00.000Z"));
        }
        assert_eq!(time("soon"), None);
    }

    #[test]
    fn only_addresses_regions_and_versions_are_settings() {
        for name in [
            "AWS_REGION_NAME",
            "OPENAI_BASE_URL",
            "AZURE_OPENAI_ENDPOINT",
        ] {
            assert!(is_setting(name), "{name}");
        }
        for name in [
            "OPENAI_API_KEY",
            "AWS_ACCESS_KEY_ID",
            "AWS_BEARER_TOKEN_BEDROCK",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "VERTEXAI_SERVICE_ACCOUNT_JSON",
            "PROJECT_SECRET",
            "ANYTHING",
        ] {
            assert!(!is_setting(name), "{name}");
        }
    }

    #[test]
    fn variables_are_named_as_shells_want_them() {
        assert_eq!(variable_name("api-key"), "API_KEY");
        assert_eq!(variable_name("1st key"), "_1ST_KEY");
    }

    #[test]
    fn tags_are_kept_as_the_server_keeps_them() {
        let given = [" a ", "", "b", "a"].map(str::to_owned);
        assert_eq!(tags(given.into_iter()).compact(), r#"["a","b"]"#);
    }

    proptest! {
        #[test]
        fn spelling_an_amount_twice_changes_nothing(whole in 0u32.., fraction in 0u32..1_000_000) {
            let text = format!("{whole}.{fraction:06}");
            if let Some(once) = money(&text) {
                prop_assert_eq!(money(&once), Some(once.clone()));
                prop_assert!(Json::from(once).as_str().is_some());
            }
        }
    }
}
