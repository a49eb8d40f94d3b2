//! Refuses what the vendors refuse, so that a translation that is nearly right fails a test.
//!
//! Which dialects are checked by default is in [`Strictness`]; `POST /_mock/strict` changes it.
//! Tables of members are in [`shape`]'s terms, rules about turns are code. Every message is the
//! mock's own wording of what the vendor says. Never changes a request. Start at [`check`].

mod converse;
mod gemini;
mod messages;
mod openai;
mod shape;

use serde_json::Value;

use crate::reply::Refusal;
use crate::serve::Call;
use crate::target::{Dialect, Route};

/// How much is checked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Strictness {
    /// Gemini, Converse and Messages, but unknown members of Messages pass, and so does everything
    /// in the OpenAI dialects: native lanes are tested with odd bodies.
    #[default]
    Usual,
    /// All dialects, unknown members included.
    All,
    /// Nothing beyond what an answer needs.
    None,
}

/// What the vendor says about the body.
pub(crate) fn check(call: &Call<'_>) -> Result<(), Refusal> {
    let strictness = call.shared.strictness();
    let all = strictness == Strictness::All;
    let checked = match call.target.route {
        Route::Gemini | Route::GeminiCount | Route::Converse | Route::Messages => {
            strictness != Strictness::None
        }
        Route::Chat | Route::Responses => all,
        _ => false,
    };
    if !checked {
        return Ok(());
    }
    // Whether it is JSON at all was asked before.
    let body: Value = serde_json::from_slice(call.body).unwrap_or_default();
    match call.target.route {
        Route::Gemini => gemini::check(call, &body),
        Route::GeminiCount => gemini::check_count(&body),
        Route::Converse => converse::check(call, &body)
            .map_err(|message| Refusal::bad_request(Dialect::Bedrock, message)),
        Route::Messages => messages::check(call, &body, all)
            .map_err(|message| Refusal::bad_request(call.target.dialect, message)),
        Route::Chat => openai::check_chat(&body),
        Route::Responses => openai::check_responses(&body),
        _ => Ok(()),
    }
}

/// The elements of a list member; none when it is absent or no list.
fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}
