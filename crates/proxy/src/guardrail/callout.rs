//! Asks a service of the customer's own what it says of a request or an answer (domain 15).
//!
//! Dialled like a provider: through the data thread's pool, whose guard judges every address that the name
//! resolves to. A redirect is an answer that cannot be used, like everything that is no decision.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::BodyExt;
use lw_upstream::{Endpoint, RequestBody, Timeouts};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::{Checker, Failure};

/// The largest answer, in bytes.
const LARGEST: usize = 1024 * 1024;
/// The longest reason that is passed on, in characters.
const REASON: usize = 500;

/// Where and how a service is asked.
pub(super) struct Callout {
    endpoint: Endpoint,
    path: PathAndQuery,
    /// Values are marked as sensitive.
    headers: HeaderMap,
    timeout: Duration,
}

/// Shows the server alone: the query and the headers may hold credentials.
impl fmt::Debug for Callout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Callout")
            .field(&self.endpoint.server())
            .finish()
    }
}

/// What a service said.
#[derive(Debug)]
pub(super) enum Decision {
    Allow,
    Block(String),
    Modify(Box<RawValue>),
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    decision: Cow<'a, str>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
    #[serde(default)]
    modified_content: Option<Box<RawValue>>,
}

impl Callout {
    /// Takes a stored address apart.
    ///
    /// # Errors
    /// Why it cannot be used, without the address itself: it may hold a credential.
    pub(super) fn new(url: &str, headers: HeaderMap, timeout: Duration) -> Result<Self, String> {
        let parsed = url::Url::parse(url).map_err(|_error| "the address is no URL".to_owned())?;
        let mut base = parsed.clone();
        base.set_query(None);
        base.set_fragment(None);
        let endpoint = Endpoint::parse(base.as_str()).map_err(|error| error.to_string())?;
        let target = match parsed.query() {
            Some(query) => format!("{}?{query}", parsed.path()),
            None => parsed.path().to_owned(),
        };
        let path = PathAndQuery::try_from(target)
            .map_err(|_error| "the address has an unusable path".to_owned())?;
        Ok(Self {
            endpoint,
            path,
            headers,
            timeout,
        })
    }

    /// What a header is sent as.
    #[cfg(test)]
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Asks once, until `deadline` or as long as the callout itself may take.
    pub(super) async fn ask(
        &self,
        checker: &Checker,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Decision, Failure> {
        let deadline = deadline.min(Instant::now() + self.timeout);
        let asking = self.exchange(checker, body, deadline);
        let answer = timeout_at(deadline, asking)
            .await
            .map_err(|_elapsed| Failure::Timeout)??;
        decision(&answer)
    }

    async fn exchange(
        &self,
        checker: &Checker,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, Failure> {
        let mut request = Request::new(RequestBody::new(vec![body]));
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, checker.user_agent.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.extend(self.headers.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let left = deadline.saturating_duration_since(Instant::now());
        let timeouts = Timeouts {
            connect: left,
            tls: left,
            head: left,
            idle: left,
            total: left,
        };
        let sent = checker
            .pool
            .send(&self.endpoint, &self.path, request, &timeouts, &mut false)
            .await
            .map_err(|error| match error {
                lw_upstream::UpstreamError::Timeout { .. } => Failure::Timeout,
                error => Failure::Unreachable(error.chain()),
            })?;
        let (parts, mut body) = sent.response.into_parts();
        if !parts.status.is_success() {
            let text = format!("status {}", parts.status.as_u16());
            return Err(Failure::BadAnswer(text));
        }
        let mut bytes = BytesMut::new();
        let mut permit = checker.bytes.take(0);
        while let Some(frame) = body.frame().await {
            let data = frame
                .map_err(|_error| Failure::Unreachable("it broke off".to_owned()))?
                .into_data()
                .unwrap_or_default();
            if bytes.len() + data.len() > LARGEST {
                return Err(Failure::BadAnswer("it is larger than 1 MiB".to_owned()));
            }
            if !permit
                .as_mut()
                .is_some_and(|permit| permit.grow(data.len()))
            {
                return Err(Failure::Overloaded);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.freeze())
    }
}

/// Reads an answer. The parser's message could quote it, so it is not repeated.
fn decision(answer: &[u8]) -> Result<Decision, Failure> {
    let bad = |why: &str| Failure::BadAnswer(why.to_owned());
    let Answer {
        decision,
        reason,
        modified_content,
    } = serde_json::from_slice(answer).map_err(|_error| bad("it is no decision"))?;
    match &*decision {
        "allow" => Ok(Decision::Allow),
        "block" => Ok(Decision::Block(shown(
            reason.as_deref().unwrap_or_default(),
        ))),
        "modify" => modified_content
            .filter(|content| content.get().starts_with('{'))
            .map(Decision::Modify)
            .ok_or_else(|| bad("it changes something without `modified_content`")),
        _ => Err(bad("its decision is neither allow nor block nor modify")),
    }
}

/// A reason as callers see it: one bounded line, never empty.
fn shown(reason: &str) -> String {
    let line: String = reason
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .take(REASON)
        .collect();
    match line.trim() {
        "" => "it gave no reason".to_owned(),
        line => line.to_owned(),
    }
}
