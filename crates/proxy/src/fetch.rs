//! Images and documents that a provider cannot fetch itself, fetched for it (providers 15.1, data-plane 23).
//!
//! Every address passes the guard, redirects are not followed, size, time and type are bounded. Start at
//! [`all`].

use std::time::Duration;

use bytes::BytesMut;
use data_encoding::BASE64;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::uri::PathAndQuery;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use lw_core::{Code, Error};
use lw_upstream::{Endpoint, RequestBody, Timeouts, UpstreamError};
use tokio::time::timeout;

use crate::worker::Worker;

/// The largest file, bytes.
const LARGEST: usize = 20 * 1024 * 1024;
/// How long one may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How many are fetched at a time for one request.
const AT_ONCE: usize = 4;
/// How many one request may name.
const MOST: usize = 20;

/// A file that was fetched.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// Where it was.
    pub(crate) url: String,
    /// What the server says it is.
    pub(crate) media_type: String,
    /// Its bytes, in base64.
    pub(crate) base64: String,
}

/// Fetches all of `urls`.
///
/// # Errors
/// One of them cannot be had: the caller is told which and why.
pub(crate) async fn all(worker: &Worker, urls: Vec<String>) -> Result<Vec<Fetched>, Error> {
    if urls.len() > MOST {
        return Err(Error::new(
            Code::BadRequest,
            format!(
                "the request names {} files by address; at most {MOST} are fetched",
                urls.len()
            ),
        ));
    }
    let fetching = urls.into_iter().map(|url| async move {
        match timeout(LIMIT, one(worker, &url)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(refused(&url, "it did not come within 10 s")),
        }
    });
    stream::iter(fetching).buffered(AT_ONCE).try_collect().await
}

fn refused(url: &str, why: &str) -> Error {
    // Addresses may carry signatures: only host and path are repeated.
    let shown = url.split(['?', '#']).next().unwrap_or_default();
    let shown: String = shown.chars().take(200).collect();
    Error::new(
        Code::BadRequest,
        format!("the file at `{shown}` cannot be used: {why}"),
    )
    .tip("Send it inside the body, in base64.")
}

async fn one(worker: &Worker, url: &str) -> Result<Fetched, Error> {
    let parsed = url::Url::parse(url)
        .map_err(|error| refused(url, &format!("it is not a URL ({error})")))?;
    let mut base = parsed.clone();
    base.set_query(None);
    base.set_fragment(None);
    let endpoint =
        Endpoint::parse(base.as_str()).map_err(|error| refused(url, &error.to_string()))?;
    let target = parsed.query().map_or_else(
        || parsed.path().to_owned(),
        |query| format!("{}?{query}", parsed.path()),
    );
    let path =
        PathAndQuery::try_from(target).map_err(|_| refused(url, "its path is not usable"))?;
    let mut request = Request::new(RequestBody::default());
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, worker.gateway.user_agent.clone());
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let timeouts = Timeouts {
        connect: LIMIT,
        tls: LIMIT,
        head: LIMIT,
        idle: LIMIT,
        total: LIMIT,
    };
    let sent = worker
        .pool
        .send(&endpoint, &path, request, &timeouts, &mut false)
        .await
        .map_err(|error| match error {
            UpstreamError::Refused(why) => refused(url, &why.to_string()),
            other => refused(url, &format!("its server cannot be reached ({other})")),
        })?;
    let (parts, mut body) = sent.response.into_parts();
    if !parts.status.is_success() {
        return Err(refused(
            url,
            &format!("its server answered {}", parts.status.as_u16()),
        ));
    }
    let said = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = said.and_then(usable).ok_or_else(|| {
        refused(
            url,
            "it is neither a PNG, JPEG, GIF or WebP image nor a PDF",
        )
    })?;
    let mut bytes = BytesMut::new();
    let mut permit = worker.gateway.bytes.take(0);
    while let Some(frame) = body.frame().await {
        let data = frame
            .map_err(|_| refused(url, "its server broke off"))?
            .into_data()
            .unwrap_or_default();
        let room = permit
            .as_mut()
            .is_some_and(|permit| permit.grow(data.len()));
        if bytes.len() + data.len() > LARGEST || !room {
            return Err(refused(url, "it is larger than 20 MiB"));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Fetched {
        url: url.to_owned(),
        media_type: media_type.to_owned(),
        base64: BASE64.encode(&bytes),
    })
}

/// The type without its parameters, when it is one that a model reads.
fn usable(content_type: &str) -> Option<&'static str> {
    const USABLE: [&str; 6] = [
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "application/pdf",
        "text/plain",
    ];
    let bare = content_type.split(';').next().unwrap_or_default().trim();
    let bare = if bare.eq_ignore_ascii_case("image/jpg") {
        "image/jpeg"
    } else {
        bare
    };
    USABLE
        .into_iter()
        .find(|one| one.eq_ignore_ascii_case(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_model_reads_is_used() {
        assert_eq!(usable("image/PNG; charset=binary"), Some("image/png"));
        assert_eq!(usable("image/jpg"), Some("image/jpeg"));
        assert_eq!(usable("text/html"), None);
    }

    #[test]
    fn a_refusal_does_not_repeat_a_signature() {
        let error = refused("https://h/x.png?X-Amz-Signature=abc", "no");
        assert!(!error.message().contains("abc"), "{}", error.message());
    }
}
