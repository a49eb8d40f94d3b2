//! The shapes of guardrails in the API description (management-api 14, domain 15). Start at [`schemas`].

use serde_json::{Value, json};

use super::callout::{ADDRESS, LONGEST};
use super::evaluator::{ENTRIES, KINDS, SLUGS, WORD};
use super::headers::{HEADERS, VALUE};
use crate::schemas::{
    Named, any_object, boolean, input, list, map_of, named, object, one_of, or_null, text, text_of,
    time, whole,
};

/// Every shape.
pub(crate) fn schemas() -> Vec<Named> {
    vec![
        ("Guardrail", guardrail()),
        (
            "WrittenGuardrail",
            object(
                &[("guardrail", named("Guardrail"))],
                &[("warnings", list(text()))],
            ),
        ),
        ("NewGuardrail", new()),
        ("GuardrailPatch", patch()),
        ("GuardrailEvaluator", evaluator()),
    ]
}

fn guardrail() -> Value {
    let evaluator = object(&[("slug", one_of(&SLUGS)), ("settings", any_object())], &[]);
    object(
        &[
            ("id", text()),
            ("organization_id", text()),
            ("project_id", text()),
            ("name", text()),
            ("description", or_null(text())),
            ("direction", direction()),
            ("failure_mode", failure_mode()),
            ("evaluator_id", text()),
            ("evaluator", evaluator),
            ("archived_at", or_null(time())),
            ("created_at", time()),
            ("updated_at", time()),
        ],
        &[],
    )
}

fn direction() -> Value {
    one_of(&["pre", "post", "stream_chunk"])
}

fn failure_mode() -> Value {
    one_of(&["fail_closed", "fail_open"])
}

/// One shape for each evaluator, told apart by its slug.
fn evaluator() -> Value {
    let texts = |longest: usize| {
        json!({
            "type": "array", "minItems": 1, "maxItems": ENTRIES,
            "items": { "type": "string", "minLength": 1, "maxLength": longest },
        })
    };
    let callout = object(
        &[(
            "url",
            json!({ "type": "string", "format": "uri", "maxLength": ADDRESS }),
        )],
        &[
            (
                "headers",
                or_null(json!({
                    "type": "object", "maxProperties": HEADERS,
                    "additionalProperties": { "type": "string", "minLength": 1, "maxLength": VALUE },
                })),
            ),
            (
                "timeout_ms",
                or_null(json!({ "type": "integer", "minimum": 1, "maximum": LONGEST })),
            ),
        ],
    );
    let kinds = json!({ "type": "array", "minItems": 1, "items": one_of(&KINDS) });
    let settings = [
        (
            "regex",
            object(
                &[("patterns", texts(65_536))],
                &[("match", or_null(one_of(&["any", "all", "none"])))],
            ),
        ),
        (
            "keyword-list",
            object(
                &[("words", texts(WORD))],
                &[
                    ("case_sensitive", or_null(boolean())),
                    ("whole_word", or_null(boolean())),
                ],
            ),
        ),
        (
            "pii-check",
            object(
                &[("kinds", kinds)],
                &[("action", or_null(one_of(&["block", "redact"])))],
            ),
        ),
        ("json-schema", object(&[("schema", map_of(json!({})))], &[])),
        (
            "length",
            object(
                &[],
                &[
                    ("min_chars", or_null(whole())),
                    ("max_chars", or_null(whole())),
                ],
            ),
        ),
        ("http-callout", callout),
    ];
    let shapes = settings
        .map(|(slug, settings)| object(&[("slug", one_of(&[slug])), ("settings", settings)], &[]));
    json!({ "oneOf": shapes })
}

fn new() -> Value {
    input(
        &[
            ("name", text_of(1, 128)),
            ("direction", direction()),
            ("evaluator", named("GuardrailEvaluator")),
        ],
        &[
            ("project_id", text_of(1, 256)),
            ("description", or_null(text_of(0, 2000))),
            ("failure_mode", failure_mode()),
        ],
    )
}

fn patch() -> Value {
    input(
        &[],
        &[
            ("name", text_of(1, 128)),
            ("project_id", text_of(1, 256)),
            ("description", or_null(text_of(0, 2000))),
            ("direction", direction()),
            ("failure_mode", failure_mode()),
            ("evaluator", named("GuardrailEvaluator")),
        ],
    )
}
