//! The shapes that the API description names: the vocabulary that rows are described with, and the list of
//! every resource's shapes.
//!
//! JSON Schema 2020-12, as OpenAPI 3.1 has it. Must never be looser than what is answered: tests check
//! every answer against it. Start at [`all`].

use serde_json::{Map, Value, json};

use crate::routes::Param;
use crate::{
    api_keys, audit, bindings, budgets, cache_rules, explain, groups, guardrails, instance, keys,
    me, organization, policies, prices, projects, providers, requests, roles, teams, traces,
};

/// Every named shape.
pub(crate) fn all() -> Map<String, Value> {
    let mut out = Map::new();
    let modules = [
        common(),
        bindings::schemas(),
        organization::schemas(),
        teams::schemas(),
        projects::schemas(),
        groups::schemas(),
        roles::schemas(),
        api_keys::schemas(),
        instance::schemas(),
        me::schemas(),
        keys::schemas(),
        explain::schemas(),
        budgets::schemas(),
        providers::schemas(),
        requests::schemas(),
        traces::schemas(),
        policies::schemas(),
        cache_rules::schemas(),
        guardrails::schemas(),
        prices::schemas(),
        audit::schemas(),
    ];
    for (name, schema) in modules.into_iter().flatten() {
        out.insert(name.to_owned(), schema);
    }
    out
}

/// A named shape.
pub(crate) type Named = (&'static str, Value);

fn common() -> Vec<Named> {
    vec![
        (
            "Error",
            object(
                &[(
                    "error",
                    object(
                        &[("type", text()), ("code", text()), ("message", text())],
                        &[
                            ("meta", json!({ "type": "object" })),
                            ("tips", list(text())),
                            ("trace_id", text()),
                            ("span_id", text()),
                        ],
                    ),
                )],
                &[],
            ),
        ),
        (
            "LegacyError",
            json!({
                "type": "object",
                "required": ["error", "message"],
                "properties": { "error": text(), "message": text(), "tips": list(text()) },
            }),
        ),
        (
            "Scope",
            object(
                &[
                    ("scope_type", one_of(&["organization", "team", "project"])),
                    ("scope_id", text()),
                ],
                &[],
            ),
        ),
        (
            "Pagination",
            object(
                &[("page", whole()), ("limit", whole()), ("total", whole())],
                &[],
            ),
        ),
    ]
}

/// A shape that is described elsewhere.
pub(crate) fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An object of fields that are always there and fields that may be; nothing else.
pub(crate) fn object(required: &[(&str, Value)], optional: &[(&str, Value)]) -> Value {
    let names: Vec<&str> = required.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> = required
        .iter()
        .chain(optional)
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    json!({
        "type": "object",
        "required": names,
        "properties": properties,
        "additionalProperties": false,
    })
}

/// What callers send: like [`object`], but unknown fields are passed over.
pub(crate) fn input(required: &[(&str, Value)], optional: &[(&str, Value)]) -> Value {
    let mut schema = object(required, optional);
    if let Some(map) = schema.as_object_mut() {
        map.remove("additionalProperties");
    }
    schema
}

/// An object with one member: the envelope of single resources.
pub(crate) fn wrapped(member: &'static str, name: &str) -> Value {
    object(&[(member, named(name))], &[])
}

/// The answer of a keyset list.
pub(crate) fn page(name: &str) -> Value {
    object(
        &[
            ("data", list(named(name))),
            ("next_cursor", or_null(text())),
        ],
        &[],
    )
}

/// The answer of a numbered list.
pub(crate) fn numbered(name: &str) -> Value {
    object(
        &[
            ("data", list(named(name))),
            ("pagination", named("Pagination")),
        ],
        &[],
    )
}

/// The answer of a list that is walked by offset; its rows are called `rows`.
pub(crate) fn offset_page(rows: &'static str, name: &str) -> Value {
    object(&[(rows, list(named(name))), ("totalCount", whole())], &[])
}

/// A body that says nothing.
pub(crate) fn nothing() -> Value {
    input(&[], &[])
}

/// The answer of a change that has nothing to show.
pub(crate) fn success() -> Value {
    object(&[("success", json!({ "const": true }))], &[])
}

/// At most so many.
pub(crate) fn list_of(of: Value, most: u64) -> Value {
    let mut schema = list(of);
    if let Some(map) = schema.as_object_mut() {
        map.insert("maxItems".into(), most.into());
    }
    schema
}

/// Any text.
pub(crate) fn text() -> Value {
    json!({ "type": "string" })
}

/// A text of so many characters.
pub(crate) fn text_of(least: u64, most: u64) -> Value {
    json!({ "type": "string", "minLength": least, "maxLength": most })
}

/// An ISO 8601 time.
pub(crate) fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

/// A whole number of at least zero.
pub(crate) fn whole() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

/// A whole number.
pub(crate) fn integer() -> Value {
    json!({ "type": "integer" })
}

/// True or false.
pub(crate) fn boolean() -> Value {
    json!({ "type": "boolean" })
}

/// One of a closed set of words.
pub(crate) fn one_of(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

/// A list.
pub(crate) fn list(of: Value) -> Value {
    let mut schema = json!({ "type": "array" });
    if let Some(map) = schema.as_object_mut() {
        map.insert("items".into(), of);
    }
    schema
}

/// A map from texts.
pub(crate) fn map_of(of: Value) -> Value {
    let mut schema = json!({ "type": "object" });
    if let Some(map) = schema.as_object_mut() {
        map.insert("additionalProperties".into(), of);
    }
    schema
}

/// Any object.
pub(crate) fn any_object() -> Value {
    json!({ "type": "object" })
}

/// This or null.
pub(crate) fn or_null(schema: Value) -> Value {
    let either = vec![schema, json!({ "type": "null" })];
    let mut out = json!({});
    if let Some(map) = out.as_object_mut() {
        map.insert("anyOf".into(), either.into());
    }
    out
}

/// The parameters of every keyset list.
pub(crate) fn keyset_params() -> Vec<Param> {
    vec![
        Param {
            name: "limit",
            about: "Rows on a page; 50 when left out.",
            schema: json!({ "type": "integer", "minimum": 1, "maximum": 200 }),
        },
        Param {
            name: "cursor",
            about: "The `next_cursor` of the page before.",
            schema: json!({ "type": "string", "maxLength": 500 }),
        },
    ]
}

/// The parameters of every numbered list.
pub(crate) fn numbered_params() -> Vec<Param> {
    vec![
        Param {
            name: "page",
            about: "Which page; the first is 1.",
            schema: json!({ "type": "integer", "minimum": 1, "maximum": 1_000_000 }),
        },
        Param {
            name: "limit",
            about: "Rows on a page; 50 when left out.",
            schema: json!({ "type": "integer", "minimum": 1, "maximum": 1000 }),
        },
    ]
}

/// The parameters of every list that is walked by offset.
pub(crate) fn offset_params() -> Vec<Param> {
    vec![
        Param {
            name: "offset",
            about: "How many rows to pass over; none when left out.",
            schema: json!({ "type": "integer", "minimum": 0, "maximum": 1_000_000_000 }),
        },
        Param {
            name: "limit",
            about: "Rows in an answer; 50 when left out.",
            schema: json!({ "type": "integer", "minimum": 1, "maximum": 1000 }),
        },
    ]
}

/// `Idempotency-Key`.
pub(crate) fn idempotency_key() -> Param {
    Param {
        name: "Idempotency-Key",
        about: "Repeating the call with the same key and body within 24 hours gives the same answer.",
        schema: text_of(8, 255),
    }
}

/// `If-Match`.
pub(crate) fn if_match() -> Param {
    Param {
        name: "If-Match",
        about: "The ETag of the answer that the change is based on; refused when it is not the newest.",
        schema: json!({ "type": "string", "pattern": r#"^(\*|(W/)?"?[0-9]{1,18}"?)$"# }),
    }
}
