//! The shapes of `check-request`.

use serde_json::{Value, json};

use super::Verdict;
use super::question::{END_USER_CHARS, LONGEST, MOST};
use crate::schemas::{
    Named, boolean, list, list_of, map_of, object, one_of, or_null, text, text_of, whole,
};

/// The named shapes.
pub(crate) fn schemas() -> Vec<Named> {
    vec![("RequestQuestion", question()), ("RequestCheck", check())]
}

/// What is sent: `body`, or the parts that make one.
fn question() -> Value {
    let long = LONGEST as u64;
    let names = || or_null(list_of(text_of(1, long), MOST as u64));
    let body = json!({
        "description": "The whole body of the request. An object is explained byte for byte as it \
                        stands here; a string is the body's text, which need not be JSON. Without it, \
                        a body is made of the other fields.",
        "anyOf": [{ "type": "object" }, { "type": "string" }, { "type": "null" }],
    });
    object(
        &[],
        &[
            ("endpoint", text_of(1, long)),
            ("model", or_null(text_of(1, long))),
            ("headers", or_null(map_of(text()))),
            ("tools", names()),
            ("mcp", names()),
            ("urls", names()),
            ("end_user_id", or_null(text_of(1, END_USER_CHARS as u64))),
            ("stream", or_null(boolean())),
            (
                "max_output_tokens",
                or_null(json!({ "type": "integer", "minimum": 1, "maximum": i64::MAX })),
            ),
            ("body", body),
        ],
    )
}

fn check() -> Value {
    let step = object(
        &[
            ("stage", text()),
            ("outcome", one_of(&Verdict::NAMES)),
            ("detail", text()),
        ],
        &[],
    );
    let candidate = object(
        &[
            ("provider", text()),
            ("model_provider_id", text()),
            ("model", text()),
            ("note", or_null(text())),
        ],
        &[],
    );
    let refusal = object(
        &[("code", text()), ("status", whole()), ("message", text())],
        &[],
    );
    object(
        &[
            ("steps", list(step)),
            ("would_dispatch", list(candidate)),
            ("refusal", or_null(refusal)),
        ],
        &[],
    )
}
