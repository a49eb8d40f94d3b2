//! What callers send to `check-request`: a whole body, or its parts (management-api 28.4).
//!
//! A body that is given is explained byte for byte. Fields that nobody reads are refused here, unlike
//! elsewhere: a misspelt one would be a question that nobody answers. Must never let a credential through.
//! Start at [`read`].

use http::{HeaderName, HeaderValue};
use lw_core::Error;
use serde_json::{Map, Value};

use super::Question;
use super::parts::{Dialect, Parts, ROUTES, addressed};
use crate::input::{BODY, Fields, Given, MAX_WHOLE, Problems, never_null};

/// Where a request goes that does not say where.
const USUAL: &str = "/v1/chat/completions";
/// Stands in a path for the model that is given beside it.
const PLACE: &str = "{model}";
/// How the gateway is told whom a request is for, whatever its dialect (data-plane 9.1).
const END_USER: &str = "x-langwatch-end-user-id";
/// What carries credentials. The key is known by its id: whoever pastes all headers of a request need not
/// take them out first, and nobody behind us can repeat them.
const CREDENTIALS: [&str; 7] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "xi-api-key",
];
/// The parts that a whole body says itself.
const SAID: [&str; 5] = ["tools", "mcp", "urls", "stream", "max_output_tokens"];
/// The most headers, tools, servers and addresses.
pub(super) const MOST: usize = 100;
/// The longest path, name of a model or a tool, address.
pub(super) const LONGEST: usize = 2048;
/// The longest end user's id, as the gateway keeps it.
pub(super) const END_USER_CHARS: usize = 256;

/// Reads a body; `whole` is the text of its field `body`, as it was sent.
///
/// # Errors
/// `validation_error` with every problem.
pub(crate) fn read(body: &Map<String, Value>, whole: Option<&str>) -> Result<Question, Error> {
    let mut problems = Problems::of(BODY);
    let fields = Fields::new(body, "");
    let mut known = vec!["endpoint", "model", "headers", "end_user_id", "body"];
    known.extend(SAID);
    fields.only(&known, &mut problems);

    let path = fields.text("endpoint", 1..=LONGEST, &mut problems);
    let path = never_null(path, "endpoint".into(), &mut problems).unwrap_or_else(|| USUAL.into());
    if !is_path(&path) {
        let text = "must be a path such as /v1/chat/completions";
        problems.add("endpoint", "invalid_value", text);
    }
    let mut headers = headers(&fields, &mut problems);
    let end_user = fields.text("end_user_id", 1..=END_USER_CHARS, &mut problems);
    if let Some(user) = end_user.value() {
        if HeaderValue::from_str(&user).is_err() {
            let text = "must be text that a header can hold";
            problems.add("end_user_id", "invalid_value", text);
        }
        headers.retain(|(name, _)| name != END_USER);
        headers.push((END_USER.to_owned(), user));
    }
    let model = fields.text("model", 1..=LONGEST, &mut problems).value();
    let (path, body) = match (fields.raw(&["body"]), whole) {
        (Some((_, given)), Some(text)) if !given.is_null() => {
            for name in SAID.iter().filter(|name| fields.raw(&[name]).is_some()) {
                problems.add(*name, "invalid_value", "is said by `body`");
            }
            if model.is_some() && !path.contains(PLACE) {
                problems.add("model", "invalid_value", "is said by `body` or the path");
            }
            if !given.is_object() && !given.is_string() {
                problems.add("body", "invalid_type", "must be an object or a string");
            }
            let filled = placed(&path, model.as_deref(), &mut problems);
            (filled, verbatim(given, text))
        }
        _ => from_parts(&fields, &path, model, &mut problems),
    };
    problems.finish()?;
    Ok(Question {
        path,
        headers,
        body,
    })
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.parse::<http::uri::PathAndQuery>().is_ok()
}

/// A body is explained as it was sent. One that is given as a text is the text itself, so that it can be
/// asked what becomes of a body that is not JSON.
fn verbatim(given: &Value, text: &str) -> String {
    match given {
        Value::String(inner) => inner.clone(),
        _ => text.to_owned(),
    }
}

/// The path with the model in its place.
fn placed(path: &str, model: Option<&str>, problems: &mut Problems) -> String {
    if !path.contains(PLACE) {
        return path.to_owned();
    }
    let Some(model) = model else {
        problems.add(
            "model",
            "required",
            "is required where the path has {model}",
        );
        return path.to_owned();
    };
    let filled = path.replace(PLACE, model);
    if model.contains(['?', '#']) || !is_path(&filled) {
        problems.add("model", "invalid_value", "cannot stand in a path");
    }
    filled
}

/// Path and body of a request of which only parts are given.
fn from_parts(
    fields: &Fields<'_>,
    path: &str,
    model: Option<String>,
    problems: &mut Problems,
) -> (String, String) {
    let path = placed(path, model.as_deref(), problems);
    let route = path.split('?').next().unwrap_or_default();
    let Some(dialect) = Dialect::of(route) else {
        let text = format!("takes a whole `body` only: parts can be given for {ROUTES}");
        problems.add("endpoint", "invalid_value", text);
        return (path, String::new());
    };
    let in_path = addressed(route).map(|(model, _)| model.to_owned());
    if in_path.is_some() && model.is_some() && in_path != model {
        problems.add("model", "invalid_value", "is another one than in the path");
    }
    let mut list = |name: &'static str, taken: bool| {
        let given = fields.texts(&[name], 1..=LONGEST, problems).value();
        let given = given.unwrap_or_default();
        if given.len() > MOST {
            let text = format!("must have at most {MOST} entries");
            problems.add(name, "invalid_length", text);
        }
        if !taken && !given.is_empty() {
            problems.add(name, "invalid_value", "is nothing that this endpoint takes");
        }
        given
    };
    let tools = list("tools", dialect.takes_tools());
    let mcp = list("mcp", dialect.takes_tools());
    let urls = list("urls", true);
    let stream = fields.boolean(&["stream"], problems).value() == Some(true);
    if stream && !dialect.takes_stream() {
        let text = match dialect {
            Dialect::Gemini(_) => "is said by the path: streamGenerateContent",
            _ => "is nothing that this endpoint takes",
        };
        problems.add("stream", "invalid_value", text);
    }
    let limit = fields.whole(&["max_output_tokens"], 1..=MAX_WHOLE, problems);
    let max_output_tokens = limit.value();
    if max_output_tokens.is_some() && !dialect.takes_limit() {
        let text = "is nothing that this endpoint takes";
        problems.add("max_output_tokens", "invalid_value", text);
    }
    let parts = Parts {
        model: in_path.or(model),
        tools,
        mcp,
        urls,
        stream,
        max_output_tokens,
    };
    let body = parts.body(dialect).to_string();
    (path, body)
}

/// The headers, without credentials.
fn headers(fields: &Fields<'_>, problems: &mut Problems) -> Vec<(String, String)> {
    let Given::Value(given) = fields.object(&["headers"], problems) else {
        return Vec::new();
    };
    if given.map().len() > MOST {
        let text = format!("must have at most {MOST} entries");
        problems.add("headers", "invalid_length", text);
        return Vec::new();
    }
    let mut headers = Vec::new();
    for (name, value) in given.map() {
        let path = given.path(name);
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            problems.add(path, "invalid_value", "is not the name of a header");
            continue;
        };
        let Some(value) = value.as_str() else {
            problems.add(path, "invalid_type", "must be a string");
            continue;
        };
        if HeaderValue::from_str(value).is_err() {
            problems.add(path, "invalid_value", "must be text that a header can hold");
        } else if !CREDENTIALS.contains(&name.as_str()) {
            headers.push((name.as_str().to_owned(), value.to_owned()));
        }
    }
    headers
}
