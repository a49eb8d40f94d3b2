//! What a request needs before the mock can answer it: JSON, a model, input, a known deployment.
//!
//! What vendors refuse beyond that is in `strict`. Start at [`validated`].

use http::Method;

use crate::directive::Directive;
use crate::json::Obj;
use crate::reply::Refusal;
use crate::request::Ask;
use crate::serve::Call;
use crate::strict;
use crate::target::{Dialect, Route, Shelf, Vendor};

/// What the vendor checks, unless the directive makes the request irrelevant.
pub(crate) fn validated(
    call: &Call<'_>,
    ask: Result<Ask, serde_json::Error>,
    directive: &Directive,
) -> Result<Ask, Refusal> {
    let target = call.target;
    if directive.forced() {
        return Ok(placed(call, ask.unwrap_or_default()));
    }
    match target.route {
        Route::Models | Route::Model(_) | Route::Identity(_) => return Ok(Ask::default()),
        Route::Kept(_, id) if id.is_some() || call.head.method != Method::POST => {
            return Ok(Ask::default());
        }
        Route::WrongMethod => return Err(wrong_method(call)),
        Route::Root | Route::Unknown => return Err(not_found(call)),
        _ => {}
    }
    azure(call)?;
    let ask = ask.map_err(|error| unreadable(call, &error))?;
    cloud_body(call, &ask)?;
    let ask = placed(call, ask);
    if ask.model.is_none() && !matches!(target.route, Route::Kept(..)) {
        return Err(missing(target.dialect, "model"));
    }
    if target.route == Route::Messages && ask.max_tokens.is_none() {
        return Err(missing(target.dialect, "max_tokens"));
    }
    let needed = match target.route {
        Route::Chat | Route::Messages | Route::CountTokens | Route::Converse => Some("messages"),
        Route::Embeddings => Some("input"),
        Route::Titan => Some("inputText"),
        Route::Cohere => Some("texts"),
        Route::Predict => Some("instances"),
        Route::GeminiEmbed { batch: false } => Some("content"),
        Route::GeminiEmbed { batch: true } => Some("requests"),
        _ => None,
    };
    if let Some(field) = needed.filter(|_| !ask.has_input) {
        return Err(missing(target.dialect, field));
    }
    strict::check(call)?;
    if let Some(previous) = &ask.previous
        && target.route == Route::Responses
        && call.shared.record
        && !call.shared.remembers(previous)
    {
        let message = format!("Previous response with id '{previous}' not found.");
        return Err(Refusal::bad_request(target.dialect, message)
            .param("previous_response_id")
            .code(Some("previous_response_not_found")));
    }
    Ok(ask)
}

/// What the path says wins over what the body says.
fn placed(call: &Call<'_>, mut ask: Ask) -> Ask {
    if let Some(model) = &call.target.model {
        ask.model = Some(model.clone());
    }
    if let Some(stream) = call.target.stream {
        ask.stream = stream;
    }
    ask
}

fn missing(dialect: Dialect, field: &'static str) -> Refusal {
    match dialect {
        Dialect::Anthropic => Refusal::bad_request(dialect, format!("{field}: Field required")),
        Dialect::OpenAi => {
            Refusal::bad_request(dialect, format!("Missing required parameter: '{field}'."))
                .param(field)
                .code(Some("missing_required_parameter"))
        }
        Dialect::Gemini => {
            Refusal::bad_request(dialect, format!("* {field}: {field} is not specified"))
        }
        Dialect::Bedrock => Refusal::bad_request(
            dialect,
            format!(
                "Malformed input request: #: required key [{field}] not found, please reformat your input and try again."
            ),
        ),
    }
}

fn wrong_method(call: &Call<'_>) -> Refusal {
    let (method, path) = (&call.head.method, call.head.uri.path());
    let message = format!("Not allowed to {method} on {path}.");
    Refusal::new(call.target.dialect, 405, message)
}

fn not_found(call: &Call<'_>) -> Refusal {
    let (method, path) = (&call.head.method, call.head.uri.path());
    let message = match (call.target.vendor, call.target.dialect) {
        (Vendor::Azure, _) => return Refusal::azure(404, "404", "Resource not found"),
        (_, Dialect::OpenAi) => format!("Invalid URL ({method} {path})"),
        (_, Dialect::Anthropic) => String::from("Not found"),
        (_, Dialect::Gemini) => format!("The requested URL {path} was not found on this server."),
        (_, Dialect::Bedrock) => {
            return Refusal::aws(404, "UnknownOperationException", "Unknown operation");
        }
    };
    Refusal::new(call.target.dialect, 404, message).code(None)
}

fn unreadable(call: &Call<'_>, error: &serde_json::Error) -> Refusal {
    let dialect = call.target.dialect;
    let message = match dialect {
        Dialect::OpenAi => {
            format!("We could not parse the JSON body of your request. ({error})")
        }
        Dialect::Anthropic => format!("The request body is not valid JSON: {error}"),
        Dialect::Gemini => format!("Invalid JSON payload received. {error}"),
        Dialect::Bedrock => return Refusal::aws(400, "SerializationException", error.to_string()),
    };
    Refusal::bad_request(dialect, message)
}

/// The version that Azure asks for in the query, and the deployments that it has.
fn azure(call: &Call<'_>) -> Result<(), Refusal> {
    let target = call.target;
    let (Vendor::Azure, Some(deployment)) = (target.vendor, &target.deployment) else {
        return Ok(());
    };
    match target.api_version.as_deref() {
        None | Some("") => return Err(Refusal::azure(404, "404", "Resource not found")),
        Some(version) if !is_version(version) => {
            let message =
                "HTTP request failed with status code BadRequest: unsupported API version";
            return Err(Refusal::azure(400, "UnsupportedApiVersion", message));
        }
        Some(_) => {}
    }
    if call.shared.accounts.has_deployment(deployment) {
        return Ok(());
    }
    let message = "The API deployment for this resource does not exist. If you created the \
                   deployment within the last 5 minutes, please wait a moment and try again.";
    Err(Refusal::azure(404, "DeploymentNotFound", message))
}

/// A date, perhaps of a preview.
fn is_version(version: &str) -> bool {
    let date = version.strip_suffix("-preview").unwrap_or(version);
    let mut parts = date.split('-');
    let mut number = |len: usize, most: u32| {
        let part = parts.next().filter(|part| part.len() == len);
        let value = part.and_then(|part| part.parse::<u32>().ok());
        value.is_some_and(|value| (1..=most).contains(&value))
    };
    number(4, 9_999) && number(2, 12) && number(2, 31) && parts.next().is_none()
}

/// Claude on a cloud: the version in the body, the model only in the path.
fn cloud_body(call: &Call<'_>, ask: &Ask) -> Result<(), Refusal> {
    let target = call.target;
    if target.route != Route::Messages || target.vendor == Vendor::Anthropic {
        return Ok(());
    }
    let refused = |message: &str| Refusal::bad_request(target.dialect, message);
    if ask.version.as_deref().is_none_or(str::is_empty) {
        return Err(refused("anthropic_version: Field required"));
    }
    if ask.names_model {
        return Err(refused("model: Extra inputs are not permitted"));
    }
    Ok(())
}

/// The vendor's filter has refused the prompt: an error everywhere but at Gemini.
pub(crate) fn filtered(call: &Call<'_>, reason: &str) -> Option<Refusal> {
    let target = call.target;
    match (target.dialect, target.vendor) {
        (Dialect::OpenAi, Vendor::Azure) => {
            let verdict = |filtered: bool| {
                let severity = if filtered { "high" } else { "safe" };
                Obj::new()
                    .raw("filtered", if filtered { "true" } else { "false" })
                    .str("severity", severity)
                    .end()
            };
            let mut result = Obj::new();
            for category in ["hate", "self_harm", "sexual", "violence"] {
                let verdict = verdict(reason.eq_ignore_ascii_case(category));
                result = result.raw(category, &verdict);
            }
            let inner = Obj::new()
                .str("code", "ResponsibleAIPolicyViolation")
                .raw("content_filter_result", &result.end())
                .end();
            let message = "The response was filtered due to the prompt triggering Azure OpenAI's \
                           content management policy. Please modify your prompt and retry.";
            let refusal = Refusal::bad_request(target.dialect, message)
                .param("prompt")
                .code(Some("content_filter"))
                .details(inner);
            Some(refusal)
        }
        (Dialect::OpenAi, _) => {
            let message = format!("The prompt was refused by the content filter ({reason}).");
            let refusal = Refusal::bad_request(target.dialect, message);
            Some(refusal.code(Some("content_filter")))
        }
        (Dialect::Anthropic | Dialect::Bedrock, _) => {
            let message = format!("Output blocked by content filtering policy ({reason})");
            Some(Refusal::bad_request(target.dialect, message))
        }
        (Dialect::Gemini, _) => None,
    }
}

/// Names what is not there.
pub(crate) fn nothing_kept(shelf: Shelf, id: &str) -> Refusal {
    let name = shelf.name();
    let message =
        format!("You do not have permission to access the {name} {id} or it may not exist.");
    Refusal::new(Dialect::Gemini, 403, message)
}

#[cfg(test)]
mod tests {
    use super::is_version;

    #[test]
    fn an_api_version_is_a_date() {
        for good in ["2024-10-21", "2025-03-01-preview"] {
            assert!(is_version(good), "{good}");
        }
        for bad in [
            "",
            "latest",
            "2024-13-01",
            "2024-1-1",
            "2024-10-21-x",
            "2024-10",
        ] {
            assert!(!is_version(bad), "{bad}");
        }
    }
}
