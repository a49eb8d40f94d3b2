//! One request for a credential, and what its answer says.
//!
//! Keeps secrets out of errors: of a refusal only the status and a code pass, and the code only when it
//! looks like one and is no part of what was sent, so that an endpoint that echoes cannot put a secret
//! into our log. Start at [`Ask`].

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use lw_core::{Secret, UnixMicros};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::bearer::Bearer;
use crate::error::{Cloud, CloudError, RefusalCode};
use crate::outside::{Outside, Reach};
use crate::token::Fresh;

/// How long a token is trusted when the answer does not say: short, so that a wrong guess mends itself.
const UNSAID_SECONDS: i64 = 300;
/// No token of these clouds lives longer than a day; what claims more is taken for a week at most.
const LONGEST_SECONDS: i64 = 7 * 24 * 3_600;
/// Longest error code that is repeated to the operator.
const LONGEST_CODE: usize = 64;

/// A request for a credential.
pub(crate) struct Ask {
    cloud: Cloud,
    reach: Reach,
    method: Method,
    url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Ask {
    /// A `GET` of `url`, which is a [`Reach::Guarded`] one until [`Ask::on_the_platform`].
    pub(crate) const fn get(cloud: Cloud, url: Url) -> Self {
        Self {
            cloud,
            reach: Reach::Guarded,
            method: Method::GET,
            url,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// A `PUT` without a body.
    pub(crate) fn put(cloud: Cloud, url: Url) -> Self {
        Self {
            method: Method::PUT,
            ..Self::get(cloud, url)
        }
    }

    /// A `POST` of a form.
    pub(crate) fn form(cloud: Cloud, url: Url, fields: &[(&str, &str)]) -> Self {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        Self::post(cloud, url, "application/x-www-form-urlencoded", body)
    }

    /// A `POST` of JSON.
    pub(crate) fn json(cloud: Cloud, url: Url, body: &Value) -> Self {
        Self::post(cloud, url, "application/json", body.to_string())
    }

    fn post(cloud: Cloud, url: Url, content_type: &'static str, body: String) -> Self {
        Self {
            method: Method::POST,
            headers: vec![(header::CONTENT_TYPE, HeaderValue::from_static(content_type))],
            body: body.into(),
            ..Self::get(cloud, url)
        }
    }

    /// The address is the platform's own (see [`Reach::Platform`]).
    pub(crate) fn on_the_platform(mut self) -> Self {
        self.reach = Reach::Platform;
        self
    }

    /// With a header that may be seen.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With a header that may not. `why` says what is wrong when it cannot stand in a header.
    pub(crate) fn secret(
        self,
        name: HeaderName,
        value: &Secret,
        why: &'static str,
    ) -> Result<Self, CloudError> {
        let cloud = self.cloud;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| cloud.invalid(why))?;
        value.set_sensitive(true);
        Ok(self.header(name, value))
    }

    /// Sends it. Anything but a 2xx is an error.
    pub(crate) async fn send(self, outside: &Outside) -> Result<Reply, CloudError> {
        let Self {
            cloud,
            reach,
            method,
            url,
            headers,
            body,
        } = self;
        let endpoint = url.host_str().unwrap_or("the endpoint").to_owned();
        let uri: http::Uri = url
            .as_str()
            .parse()
            .map_err(|_| cloud.invalid("the address of its token endpoint is not one"))?;
        let mut request = http::Request::new(body.clone());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        request.headers_mut().extend(headers.clone());
        request
            .headers_mut()
            .entry(header::ACCEPT)
            .or_insert(HeaderValue::from_static("application/json"));
        request.extensions_mut().insert(reach);

        let answer = match outside.http.send(request).await {
            Ok(answer) => answer,
            Err(failure) => return Err(CloudError::Transport { endpoint, failure }),
        };
        let (parts, answer) = answer.into_parts();
        if parts.status.is_success() {
            return Ok(Reply {
                cloud,
                endpoint,
                headers: parts.headers,
                body: answer,
            });
        }
        let status = parts.status.as_u16();
        let sent = |code: &str| {
            let within = |bytes: &[u8]| contains(bytes, code.as_bytes());
            within(&body)
                || within(url.as_str().as_bytes())
                || headers.iter().any(|(_, value)| within(value.as_bytes()))
        };
        let code = refusal_code(&answer, sent);
        let hint = hint(cloud, status, code.as_deref());
        Err(CloudError::Refused {
            endpoint,
            status,
            code: RefusalCode(code),
            hint,
        })
    }
}

/// A 2xx answer.
pub(crate) struct Reply {
    cloud: Cloud,
    endpoint: String,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Reply {
    /// The value of a header, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text, trimmed.
    pub(crate) fn text(&self) -> Result<&str, CloudError> {
        let text = std::str::from_utf8(&self.body).map_err(|_| self.unusable("it is not text"))?;
        Ok(text.trim())
    }

    /// The body as JSON of that shape. The parser's own words are dropped: they may quote a token.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, CloudError> {
        serde_json::from_slice(&self.body)
            .map_err(|_| self.unusable("it is not the JSON that the documentation describes"))
    }

    /// The error for an answer that says too little.
    pub(crate) fn unusable(&self, why: &'static str) -> CloudError {
        CloudError::Answer {
            endpoint: self.endpoint.clone(),
            why,
        }
    }

    /// An OAuth token answer: `access_token`, and `expires_in` or `expires_on` as numbers or texts.
    /// `asked_at` is when the request was made: a token's life is counted from there, which errs on the
    /// short side.
    pub(crate) fn bearer(&self, asked_at: UnixMicros) -> Result<Fresh<Bearer>, CloudError> {
        let TokenAnswer {
            access_token,
            expires_in,
            expires_on,
        } = self.json()?;
        let value = Bearer::new(Secret::new(access_token))
            .ok_or_else(|| self.unusable("its access_token is empty or not one"))?;
        let on = || whole(expires_on.as_ref()).map(|at| at.saturating_sub(asked_at.seconds()));
        let seconds = whole(expires_in.as_ref())
            .or_else(on)
            .unwrap_or(UNSAID_SECONDS);
        if seconds <= 0 {
            return Err(CloudError::AlreadyExpired { cloud: self.cloud });
        }
        Ok(Fresh {
            value,
            expires_at: Some(after(asked_at, seconds)),
        })
    }
}

/// `seconds` after `at`, within reason.
pub(crate) fn after(at: UnixMicros, seconds: i64) -> UnixMicros {
    at.plus_micros(seconds.min(LONGEST_SECONDS).saturating_mul(1_000_000))
}

#[derive(serde::Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: Option<Value>,
    expires_on: Option<Value>,
}

/// A count of seconds, which these endpoints write as a number, as a text, and with a fraction.
fn whole(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Number(number) => number.as_i64().or_else(|| leading(&number.to_string())),
        Value::String(text) => leading(text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The whole part of a decimal text.
fn leading(text: &str) -> Option<i64> {
    let text = text.trim();
    text.split_once('.')
        .map_or(text, |(whole, _)| whole)
        .parse()
        .ok()
}

/// The code of a refusal, from the shapes that the three clouds use, if it can be shown.
fn refusal_code(body: &[u8], sent: impl Fn(&str) -> bool) -> Option<String> {
    let shown = |code: &str| presentable(code) && !sent(code);
    let Ok(json) = serde_json::from_slice::<Value>(body) else {
        let text = std::str::from_utf8(body).ok()?;
        return element(text, "Code")
            .filter(|code| shown(code))
            .map(str::to_owned);
    };
    let error = json.get("error");
    let code = error
        .and_then(|error| error.as_str().or_else(|| error.get("status")?.as_str()))
        .or_else(|| json.get("Code")?.as_str())
        .or_else(|| json.get("code")?.as_str())
        .filter(|code| shown(code));
    // Entra's own number says more than the OAuth word.
    let number = json
        .get("error_codes")
        .and_then(|codes| codes.get(0)?.as_u64())
        .map(|number| format!("AADSTS{number}"))
        .filter(|code| shown(code));
    match (code, number) {
        (Some(code), Some(number)) => Some(format!("{code}, {number}")),
        (Some(code), None) => Some(code.to_owned()),
        (None, number) => number,
    }
}

/// Whether a text looks like an error code rather than like anything else.
fn presentable(code: &str) -> bool {
    code.len() <= LONGEST_CODE
        && code.starts_with(|first: char| first.is_ascii_alphabetic())
        && code
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len().max(1))
        .any(|window| window == needle)
}

/// The text of the first `<name>` element, when it holds neither elements nor entities. What these
/// documents are read for (keys, dates, codes) never does.
pub(crate) fn element<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = document.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let text = text.trim();
    (!text.is_empty() && !text.contains(['<', '&'])).then_some(text)
}

/// The token in a file that the platform renews, trimmed.
pub(crate) async fn read_secret(
    outside: &Outside,
    path: &str,
    named_by: &'static str,
    cloud: Cloud,
) -> Result<Secret, CloudError> {
    let bytes = outside
        .env
        .read(path)
        .await
        .map_err(|failure| CloudError::File { named_by, failure })?;
    let text = String::from_utf8(bytes).unwrap_or_default();
    let text = text.trim();
    if text.is_empty() {
        return Err(cloud.invalid("the file that holds its token is empty or not text"));
    }
    Ok(Secret::new(text))
}

/// What usually mends a refusal.
fn hint(cloud: Cloud, status: u16, code: Option<&str>) -> &'static str {
    if status == 429 || status >= 500 {
        return "it is overloaded or failing, and is asked again in a moment";
    }
    let code = code.unwrap_or_default();
    let named = |word: &str| code.starts_with(word);
    match cloud {
        Cloud::Google if named("invalid_grant") => {
            "the key or refresh token was deleted, revoked or has expired, or the clock of the \
             gateway's machine is wrong"
        }
        Cloud::Google if named("PERMISSION_DENIED") => {
            "let the identity create tokens for the service account \
             (role roles/iam.serviceAccountTokenCreator)"
        }
        Cloud::Google if status == 404 => {
            "no service account is attached to the machine, or the one named does not exist"
        }
        Cloud::Google => "check that the credential still exists and may be used",
        Cloud::Azure if named("invalid_client") || named("unauthorized_client") => {
            "check AZURE_TENANT_ID, AZURE_CLIENT_ID and the secret's value, or the federated \
             credential of the application"
        }
        Cloud::Azure if named("invalid_request") || named("identity_not_found") => {
            "check AZURE_TENANT_ID and AZURE_CLIENT_ID, or assign a managed identity to the machine"
        }
        Cloud::Azure => "check the application or managed identity in Entra ID",
        Cloud::Aws if named("ExpiredToken") || named("InvalidIdentityToken") => {
            "check that the platform renews the file that AWS_WEB_IDENTITY_TOKEN_FILE names, and the \
             identity provider of the account"
        }
        Cloud::Aws if named("AccessDenied") => {
            "let the trust policy of the role named by AWS_ROLE_ARN accept this workload"
        }
        Cloud::Aws if status == 404 => "no role is attached to the machine",
        Cloud::Aws => "check the role that the machine or workload may assume",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_shown_only_if_it_looks_like_one_and_was_not_sent() {
        let none = |_: &str| false;
        let code = |body: &str| refusal_code(body.as_bytes(), none);
        assert_eq!(
            code(r#"{"error":"invalid_grant","error_description":"x"}"#).as_deref(),
            Some("invalid_grant")
        );
        assert_eq!(
            code(r#"{"error":"invalid_client","error_codes":[7000215]}"#).as_deref(),
            Some("invalid_client, AADSTS7000215")
        );
        assert_eq!(
            code(r#"{"error":{"code":403,"status":"PERMISSION_DENIED"}}"#).as_deref(),
            Some("PERMISSION_DENIED")
        );
        assert_eq!(
            code("<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>")
                .as_deref(),
            Some("AccessDenied")
        );
        assert_eq!(code(r#"{"error":"two words"}"#), None);
        assert_eq!(code(&format!(r#"{{"error":"{}"}}"#, "a".repeat(65))), None);
        assert_eq!(code("not found"), None);
        assert_eq!(code(""), None);
        let echoed = refusal_code(br#"{"error":"s3cret"}"#, |code| code == "s3cret");
        assert_eq!(echoed, None);
    }

    #[test]
    fn seconds_are_read_as_number_text_or_fraction() {
        let read = |json: &str| whole(Some(&serde_json::from_str(json).expect("json")));
        assert_eq!(read("3599"), Some(3_599));
        assert_eq!(read("3599.9"), Some(3_599));
        assert_eq!(read("\"86400\""), Some(86_400));
        assert_eq!(read("\"soon\""), None);
        assert_eq!(read("null"), None);
    }

    #[test]
    fn elements_hold_plain_text_only() {
        assert_eq!(element("<a><b> x </b></a>", "b"), Some("x"));
        assert_eq!(element("<a><b> x </b></a>", "a"), None);
        assert_eq!(element("<b></b>", "b"), None);
        assert_eq!(element("<b>x&amp;y</b>", "b"), None);
        assert_eq!(element("<b>x", "b"), None);
    }
}
