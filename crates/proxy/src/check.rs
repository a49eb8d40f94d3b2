//! Does a stored provider work? One call that lists its models, with its own credentials, over a connection
//! of its own: what an administrator asks for after saving a key (management-api 12.2, `test`).
//!
//! Must never answer with a credential: what the provider says is quoted with ours taken out. Start at
//! [`ProviderCheck::run`].

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use lw_core::Clock;
use lw_store::rows::ModelProvider;
use lw_upstream::{AddressGuard, Pool, RequestBody, Timeouts, UpstreamBody};
use rustls::ClientConfig;
use serde_json::Value;
use tokio::time::timeout;

use crate::access;
use crate::lane::compile::{Compiler, compile_lane};
use crate::lane::{Lane, LaneKind, Operation};
use crate::models::list_headers;

/// How long a provider may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How much of an error is read.
const READ: usize = 64 * 1024;
/// How much of an error is quoted, in characters.
const QUOTED: usize = 300;

/// What a check needs.
pub struct ProviderCheck {
    /// Which addresses may be dialled.
    pub guard: Arc<AddressGuard>,
    /// How TLS is spoken.
    pub tls: Arc<ClientConfig>,
    /// What makes a lane of a row.
    pub compiler: Compiler,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// What we say we are.
    pub user_agent: HeaderValue,
}

impl ProviderCheck {
    /// Asks the provider for its models.
    ///
    /// # Errors
    /// Why it does not work, in words for an administrator.
    pub async fn run(&self, row: &ModelProvider) -> Result<(), String> {
        let lane = compile_lane(row, &self.compiler)
            .map_err(|error| {
                tracing::error!(%error, model_provider = %row.id, "a provider cannot be checked");
                "The stored credentials cannot be opened; store them again.".to_owned()
            })?
            .ok_or_else(|| {
                format!(
                    "Providers of kind `{}` can be stored; this version does not call them yet.",
                    row.provider
                )
            })?;
        match timeout(LIMIT, self.ask(&lane)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!(
                "The provider did not answer within {} s.",
                LIMIT.as_secs()
            )),
        }
    }

    async fn ask(&self, lane: &Lane) -> Result<(), String> {
        let endpoint = lane
            .endpoint
            .as_ref()
            .map_err(|error| format!("The base URL cannot be used: {error}."))?;
        let pool = Pool::new(self.guard.clone(), self.tls.clone());
        let outside = access::outside(self.clock.clone(), self.tls.clone(), pool.clone());
        let timeouts = Timeouts {
            connect: LIMIT,
            tls: LIMIT,
            head: LIMIT,
            idle: LIMIT,
            total: LIMIT,
        };
        let Question { method, path, body } = lane.question()?;
        let body: Vec<Bytes> = body.into_iter().collect();
        let mut headers = list_headers(lane, &self.user_agent);
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        access::authorise(
            &outside,
            lane,
            endpoint,
            &method,
            &path,
            &mut headers,
            &body,
        )
        .await
        .map_err(|error| format!("The credentials cannot be used: {}.", error.message()))?;
        let mut request = Request::new(RequestBody::new(body));
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        let sent = pool
            .send(endpoint, &path, request, &timeouts, &mut false)
            .await
            .map_err(|error| {
                format!("{} cannot be reached: {}.", endpoint.host(), error.chain())
            })?;
        let status = sent.response.status();
        if status.is_success() {
            return Ok(());
        }
        let said = lane.secrets.take_out(read(sent.response.into_body()).await);
        let said = quoted(&said);
        Err(match status.as_u16() {
            401 | 403 => format!("The provider refused the credentials ({status}).{said}"),
            // The question names a model that nobody has: whoever says so has let us in.
            400 | 404 if lane.kind == LaneKind::Bedrock => return Ok(()),
            404 => format!(
                "The provider has nothing at {}{} ({status}): check the base URL.{said}",
                endpoint.origin(),
                path.path()
            ),
            _ => format!("The provider answered {status}.{said}"),
        })
    }
}

/// What a provider is asked to see whether it works. It costs nothing.
struct Question {
    method: Method,
    path: PathAndQuery,
    body: Option<Bytes>,
}

impl Lane {
    fn question(&self) -> Result<Question, String> {
        let ask = |operation, model, body: &'static str| {
            let path = self
                .path(operation, model)
                .map_err(|error| error.message().to_owned())?;
            Ok(Question {
                method: Method::POST,
                path,
                body: Some(Bytes::from_static(body.as_bytes())),
            })
        };
        match self.kind {
            LaneKind::Vertex => ask(
                Operation::Gemini("countTokens"),
                "gemini-2.5-flash",
                r#"{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}"#,
            ),
            LaneKind::Bedrock => ask(
                Operation::Converse { stream: false },
                "langwatch.connection-test",
                r#"{"messages":[{"role":"user","content":[{"text":"Hello"}]}]}"#,
            ),
            LaneKind::Azure => Ok(Question {
                method: Method::GET,
                path: self.azure_models()?,
                body: None,
            }),
            _ => {
                let path = self
                    .models_path()
                    .cloned()
                    .ok_or_else(|| "The provider has nothing to ask for.".to_owned())?;
                Ok(Question {
                    method: Method::GET,
                    path,
                    body: None,
                })
            }
        }
    }
}

async fn read(mut body: UpstreamBody) -> Bytes {
    let mut bytes = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else {
            continue;
        };
        bytes.extend_from_slice(&data);
        if bytes.len() > READ {
            break;
        }
    }
    bytes.freeze()
}

/// What the provider said, as a sentence of ours: `error.message`, or the text itself.
fn quoted(body: &[u8]) -> String {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let message = json.as_ref().and_then(|json| {
        let error = json.get("error").unwrap_or(json);
        let text = error.get("message").or(Some(error))?;
        text.as_str().map(str::to_owned)
    });
    let text = message.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(QUOTED)
        .collect();
    if text.trim().is_empty() {
        String::new()
    } else {
        format!(" It said: {}", text.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn what_the_provider_said_is_quoted_in_one_line() {
        for (body, expected) in [
            (
                &br#"{"error":{"message":"Incorrect API key"}}"#[..],
                " It said: Incorrect API key",
            ),
            (br#"{"error":"nope"}"#, " It said: nope"),
            (b"<h1>gone</h1>\r\n", " It said: <h1>gone</h1>"),
            (b"", ""),
        ] {
            assert_eq!(quoted(body), expected);
        }
        assert!(quoted(&[b'a'; 9_000]).len() < 400);
    }
}
