//! One call to the server: address, headers, bytes out, bytes in.
//!
//! Knows nothing of commands. It does not follow redirects, because the credential travels in a
//! header that would follow too, and it does not retry: that is the caller's decision.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use data_encoding::BASE64;
use ureq::http::{HeaderValue, Method, Request as HttpRequest, Response};
use ureq::{Agent, AsSendBody, Body, Proxy};
use url::Url;
use url::form_urlencoded::Serializer;

use crate::credentials::{TokenKind, is_loopback};
use crate::environment::Environment;
use crate::error::CliError;
use crate::json::Json;

const TIMEOUT: Duration = Duration::from_secs(30);

/// The whole of an export that is printed while it arrives. It begins within [`TIMEOUT`].
const STREAM_TIMEOUT: Duration = Duration::from_secs(600);

/// No answer of the API comes near it; a stray server's might.
const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;

/// How the credential travels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Headers {
    /// Virtual keys and budgets: bearer, and `X-Project-Id` when a project is known.
    Gateway,
    /// Project resources: basic with a project, else bearer and `X-Auth-Token`.
    Project,
    /// Organization resources: bearer only.
    Organization,
    /// No credential: the call itself carries what it needs.
    Anonymous,
}

/// What to ask for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: Method,
    path: String,
    headers: Headers,
    query: Vec<(&'static str, String)>,
    body: Option<Json>,
    idempotency_key: Option<String>,
    /// The type of an answer that is read while it arrives; `None` is JSON, read at once.
    streamed: Option<&'static str>,
    /// Time for the whole call, when it is not the usual.
    within: Option<Duration>,
}

impl Request {
    pub(crate) fn new(method: Method, headers: Headers, path: impl Into<String>) -> Self {
        let path = path.into();
        Self {
            method,
            path,
            headers,
            query: Vec::new(),
            body: None,
            idempotency_key: None,
            streamed: None,
            within: None,
        }
    }

    #[must_use]
    pub(crate) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.query.retain(|(known, _)| *known != name);
            self.query.push((name, value.to_string()));
        }
        self
    }

    #[must_use]
    pub(crate) fn body(mut self, body: Json) -> Self {
        self.body = Some(body);
        self
    }

    #[must_use]
    pub(crate) fn idempotency_key(mut self, key: Option<&str>) -> Self {
        self.idempotency_key = key.map(str::to_owned);
        self
    }

    /// Asks for an answer of this type, to be read while it arrives.
    #[must_use]
    pub(crate) fn accept(mut self, media_type: &'static str) -> Self {
        self.streamed = Some(media_type);
        self
    }

    /// Gives up after this time.
    #[must_use]
    pub(crate) fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }

    fn target(&self, endpoint: &str) -> String {
        if self.query.is_empty() {
            return format!("{endpoint}{}", self.path);
        }
        let query = Serializer::new(String::new())
            .extend_pairs(&self.query)
            .finish();
        format!("{endpoint}{}?{query}", self.path)
    }
}

/// The head of an answer, whatever its status, and the body to read.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    /// The recorded answer of an earlier call with the same idempotency key.
    pub(crate) replayed: bool,
    body: Body,
}

impl Reply {
    /// The whole body, or why it broke off.
    pub(crate) fn text(mut self) -> Result<String, String> {
        let body = self.body.with_config().limit(MAX_ANSWER_BYTES);
        let bytes = body.read_to_vec().map_err(|error| cause(&error))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The body as it arrives, of any length.
    pub(crate) fn reader(self) -> impl BufRead {
        BufReader::new(self.body.into_reader())
    }
}

/// The call did not lead to an answer.
pub(crate) enum SendError {
    Network(String),
    Usage(CliError),
}

/// A connection to one server as one caller.
pub(crate) struct Client {
    agent: Agent,
    endpoint: String,
    token: String,
    project: Option<String>,
}

impl Client {
    pub(crate) fn new(
        env: &Environment,
        endpoint: String,
        token: String,
        project: Option<String>,
    ) -> Result<Self, CliError> {
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy_for(env, &endpoint)?)
            .user_agent(concat!("langwatch-cli/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            agent: config.new_agent(),
            endpoint,
            token,
            project,
        })
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(crate) fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }

    pub(crate) fn send(&self, request: &Request) -> Result<Reply, SendError> {
        let mut builder = HttpRequest::builder()
            .method(request.method.clone())
            .uri(request.target(&self.endpoint))
            .header("accept", request.streamed.unwrap_or("application/json"));
        for (name, value) in self.credential_headers(request.headers) {
            builder = builder.header(name, sensitive(&value)?);
        }
        if let Some(key) = &request.idempotency_key {
            builder = builder.header("idempotency-key", key.as_str());
        }
        let unusable = |_| {
            SendError::Usage(CliError::usage(
                "The request cannot be formed. Check the ids and header values.",
            ))
        };
        let answer = match &request.body {
            Some(body) => {
                let builder = builder.header("content-type", "application/json");
                self.run(builder.body(body.compact()).map_err(unusable)?, request)
            }
            None => self.run(builder.body(()).map_err(unusable)?, request),
        };
        let answer = answer.map_err(|error| SendError::Network(cause(&error)))?;
        let retry_after = answer.headers().get("retry-after");
        let retry_after = retry_after.and_then(|v| v.to_str().ok()).map(str::to_owned);
        Ok(Reply {
            status: answer.status().as_u16(),
            retry_after,
            replayed: answer.headers().contains_key("x-idempotent-replay"),
            body: answer.into_body(),
        })
    }

    fn run<S: AsSendBody>(
        &self,
        call: HttpRequest<S>,
        request: &Request,
    ) -> Result<Response<Body>, ureq::Error> {
        if request.streamed.is_none() {
            let Some(time) = request.within else {
                return self.agent.run(call);
            };
            let call = self.agent.configure_request(call);
            return self.agent.run(call.timeout_global(Some(time)).build());
        }
        let call = self
            .agent
            .configure_request(call)
            .timeout_global(Some(STREAM_TIMEOUT))
            .timeout_recv_response(Some(TIMEOUT))
            .build();
        self.agent.run(call)
    }

    fn credential_headers(&self, headers: Headers) -> Vec<(&'static str, String)> {
        let token = &self.token;
        let bearer = ("authorization", format!("Bearer {token}"));
        match (headers, &self.project) {
            (Headers::Anonymous, _) => Vec::new(),
            (Headers::Organization, _) | (Headers::Gateway, None) => vec![bearer],
            (Headers::Gateway, Some(project)) => vec![bearer, ("x-project-id", project.clone())],
            (Headers::Project, Some(project)) if TokenKind::of(token).is_api_key() => {
                let pair = BASE64.encode(format!("{project}:{token}").as_bytes());
                vec![("authorization", format!("Basic {pair}"))]
            }
            (Headers::Project, _) => vec![bearer, ("x-auth-token", token.clone())],
        }
    }
}

/// One segment of a path, percent-encoded.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            out.push(char::from(byte));
        } else if byte == b'.' && !matches!(text, "." | "..") {
            out.push('.');
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn sensitive(value: &str) -> Result<HeaderValue, SendError> {
    let unusable = |_| {
        SendError::Usage(CliError::usage(
            "The API key or the project holds characters that a header cannot carry.",
        ))
    };
    let mut value = HeaderValue::from_str(value).map_err(unusable)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The usual proxy variables; never for this machine itself.
fn proxy_for(env: &Environment, endpoint: &str) -> Result<Option<Proxy>, CliError> {
    let Ok(url) = Url::parse(endpoint) else {
        return Ok(None);
    };
    let host = url.host_str().unwrap_or_default();
    let first = |names: &[&'static str]| {
        names.iter().find_map(|name| {
            let value = env.variable(name)?.trim();
            (!value.is_empty()).then_some((*name, value))
        })
    };
    let excluded = first(&["NO_PROXY", "no_proxy"]).is_some_and(|(_, list)| {
        list.split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .any(|entry| {
                let name = entry.trim_start_matches("*.").trim_start_matches('.');
                entry == "*" || host == name || host.ends_with(&format!(".{name}"))
            })
    });
    if excluded || is_loopback(&url) {
        return Ok(None);
    }
    let names: &[&'static str] = match url.scheme() {
        "https" => &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
        _ => &["http_proxy", "ALL_PROXY", "all_proxy"],
    };
    let Some((name, address)) = first(names) else {
        return Ok(None);
    };
    let invalid = |_| CliError::usage(format!("{name} is not a proxy address that can be used."));
    Proxy::new(address).map(Some).map_err(invalid)
}

fn cause(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
        ureq::Error::HostNotFound => "the host name is unknown".to_owned(),
        ureq::Error::Io(io) => io.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::segment;

    #[test]
    fn an_argument_cannot_leave_its_path_segment() {
        assert_eq!(segment("vk_01-a.b~"), "vk_01-a.b~");
        assert_eq!(segment("../x?y#z é"), "..%2Fx%3Fy%23z%20%C3%A9");
        assert_eq!(
            (segment(".."), segment(".")),
            ("%2E%2E".into(), "%2E".into())
        );
    }
}
