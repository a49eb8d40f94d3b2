//! Asks the gateway whether it takes a virtual key, before a tool finds out in its own words.
//!
//! One `GET /v1/models`. Only a clear no stops a tool: a gateway that is busy, slow or away may be
//! back when the tool calls. Start at [`ask`].

use std::time::Duration;

use ureq::http::Method;

use crate::client::{Client, Headers, Request, SendError};
use crate::environment::Environment;
use crate::error::CliError;
use crate::failure::Failure;
use crate::json::Json;
use crate::tool_key::Source;

/// A person waits. The gateway may be asking providers for their models.
const PATIENCE: Duration = Duration::from_secs(8);

/// What the gateway says of a key.
pub(super) enum Verdict {
    /// It takes it. The models that the key reaches, as far as the gateway names them.
    Models(Vec<String>),
    /// It could not be asked, and why.
    Unknown(String),
    /// It refuses.
    Refused(Box<Failure>),
}

/// One call. Nothing is retried.
///
/// # Errors
/// The key cannot travel in a header.
pub(super) fn ask(env: &Environment, gateway: &str, key: &str) -> Result<Verdict, CliError> {
    let client = Client::new(env, gateway.to_owned(), key.to_owned(), None)?;
    let request = Request::new(Method::GET, Headers::Organization, "/v1/models").within(PATIENCE);
    let reply = match client.send(&request) {
        Ok(reply) => reply,
        Err(SendError::Network(cause)) => return Ok(Verdict::Unknown(cause)),
        Err(SendError::Usage(error)) => return Err(error),
    };
    let status = reply.status;
    let body = match reply.text() {
        Ok(body) => body,
        Err(cause) => return Ok(Verdict::Unknown(cause)),
    };
    Ok(match status {
        200..300 => Verdict::Models(models(&body)),
        408 | 429 | 500.. => Verdict::Unknown(format!("it answered {status}")),
        404 => {
            let message = format!("{gateway} is no gateway: it has no /v1/models");
            let mut failure = Failure::local("not_a_gateway", message);
            failure.status = Some(status);
            Verdict::Refused(Box::new(failure))
        }
        _ => Verdict::Refused(Box::new(Failure::from_response(status, None, &body))),
    })
}

/// What to do about a refusal.
pub(super) fn remedy(failure: &Failure, source: Source) -> String {
    match (failure.status, source) {
        (Some(404), _) => {
            "Set LANGWATCH_GATEWAY_URL to the address of the gateway, without /v1.".to_owned()
        }
        (Some(401 | 403), Source::Given) => "Check LANGWATCH_VIRTUAL_KEY or --virtual-key; \
             `langwatch virtual-keys list` shows the keys and their status."
            .to_owned(),
        (Some(401 | 403), Source::Kept) => {
            "The kept key is no longer good: pass --mint to have a new one created.".to_owned()
        }
        _ => "`langwatch virtual-keys list` shows the keys and their status.".to_owned(),
    }
}

fn models(body: &str) -> Vec<String> {
    let list = Json::parse(body).unwrap_or(Json::Null);
    let rows = list.get("data").map(Json::items).unwrap_or_default();
    rows.iter()
        .filter_map(|row| row.text("id").map(str::to_owned))
        .collect()
}
