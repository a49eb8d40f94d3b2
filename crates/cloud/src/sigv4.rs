//! Signatures of AWS requests, version 4, by the vendor's crate.
//!
//! Everything that is signed must reach AWS as it was signed: the path as it stands on the wire, the
//! host, each header in [`Request::headers`], the body. The canonical path is the path of the wire
//! encoded once more, so a model id that the path writes as `anthropic.claude-v1%3A0` is signed as
//! `anthropic.claude-v1%253A0`; [`encode_model_id`] makes the former. The body is hashed piece by piece
//! and never copied.
//!
//! A signature takes about 8 µs besides the hash of the body. The vendor derives the signing key anew
//! for each, which is a fifth of that; it has no way in for a key that was derived before, and a
//! canonical request of our own beside the vendor's would cost more in mistakes than it saves.
//!
//! Start at [`sign`].

use std::time::{Duration, UNIX_EPOCH};

use aws_sigv4::http_request::{self, SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use lw_core::UnixMicros;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::digest::{Context, SHA256};

use crate::aws::AwsCredentials;

/// The name under which Bedrock's signatures are made, for the runtime too.
pub const BEDROCK: &str = "bedrock";
/// The last second of the year 9999, which is the last that the signature's date can write.
const LAST_SECOND: u64 = 253_402_300_799;
/// What stays as it is in one segment of a path.
const SEGMENT: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// `id` as one segment of a path: `:` becomes `%3A`, and `/` of an ARN `%2F`.
#[must_use]
pub fn encode_model_id(id: &str) -> String {
    // These two would be folded away with the segment before them, by the signature and by proxies.
    if id == "." || id == ".." {
        return id.replace('.', "%2E");
    }
    utf8_percent_encode(id, &SEGMENT).to_string()
}

/// SHA-256 of a body, in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyHash(String);

impl BodyHash {
    /// Of a body that is the pieces one after the other.
    #[must_use]
    pub fn of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Context::new(&SHA256);
        for piece in pieces {
            hash.update(piece);
        }
        Self(HEXLOWER.encode(hash.finish().as_ref()))
    }
}

/// What is signed.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The value of `Host`: with the port unless it is the scheme's own.
    pub host: &'a str,
    /// Path and query as they stand on the wire: encoded once.
    pub path_and_query: &'a str,
    /// Headers to sign, which must reach AWS unchanged; `content-type` at least. Without `host`,
    /// `authorization` and any `x-amz-*` that [`Signed`] holds.
    pub headers: &'a [(&'a str, &'a str)],
    /// Hash of the body.
    pub body: BodyHash,
}

/// The region and service that a signature is for.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The row's region, whatever host the request goes to.
    pub region: &'a str,
    /// [`BEDROCK`], mostly.
    pub service: &'a str,
}

/// The headers that a signature adds. Those that hold a secret are marked sensitive.
#[derive(Debug, Clone)]
pub struct Signed {
    /// `authorization`
    pub authorization: HeaderValue,
    /// `x-amz-date`
    pub date: HeaderValue,
    /// `x-amz-security-token`, for temporary credentials.
    pub security_token: Option<HeaderValue>,
}

/// The header of [`Signed::date`].
pub const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
/// The header of [`Signed::security_token`].
pub const X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

impl Signed {
    /// Puts them on a request, over what is there under these names.
    pub fn put_on(self, headers: &mut HeaderMap) {
        let Self {
            authorization,
            date,
            security_token,
        } = self;
        headers.insert(header::AUTHORIZATION, authorization);
        headers.insert(X_AMZ_DATE, date);
        headers.remove(X_AMZ_SECURITY_TOKEN);
        if let Some(token) = security_token {
            headers.insert(X_AMZ_SECURITY_TOKEN, token);
        }
    }
}

/// Why a request cannot be signed. Holds nothing of the request or the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The host, the path or a header is not one.
    #[error("a request with this address or these headers cannot be signed")]
    Request,
    /// The time is before 1970 or after 9999.
    #[error("the clock shows a time that a signature cannot hold")]
    Time,
}

/// Signs `request` at the time `at`, to the second.
///
/// # Errors
/// See [`SignError`].
pub fn sign(
    credentials: &AwsCredentials,
    scope: Scope<'_>,
    request: Request<'_>,
    at: UnixMicros,
) -> Result<Signed, SignError> {
    let Request {
        method,
        host,
        path_and_query,
        headers,
        body,
    } = request;
    let Scope { region, service } = scope;
    let seconds = u64::try_from(at.seconds()).map_err(|_| SignError::Time)?;
    if seconds > LAST_SECOND {
        return Err(SignError::Time);
    }
    let params = v4::SigningParams::builder()
        .identity(credentials.identity())
        .region(region)
        .name(service)
        .time(UNIX_EPOCH + Duration::from_secs(seconds))
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| SignError::Request)?
        .into();
    let headers = headers.iter().copied().chain([("host", host)]);
    let signable = SignableRequest::new(
        method,
        format!("https://{host}{path_and_query}"),
        headers,
        SignableBody::Precomputed(body.0),
    )
    .map_err(|_| SignError::Request)?;
    let (instructions, _) = http_request::sign(signable, &params)
        .map_err(|_| SignError::Request)?
        .into_parts();

    let (mut authorization, mut date, mut security_token) = (None, None, None);
    let (added, _) = instructions.into_parts();
    for header in added {
        let mut value = HeaderValue::from_str(header.value()).map_err(|_| SignError::Request)?;
        match header.name() {
            "authorization" => {
                value.set_sensitive(true);
                authorization = Some(value);
            }
            "x-amz-date" => date = Some(value),
            "x-amz-security-token" => {
                value.set_sensitive(true);
                security_token = Some(value);
            }
            _ => {}
        }
    }
    Ok(Signed {
        authorization: authorization.ok_or(SignError::Request)?,
        date: date.ok_or(SignError::Request)?,
        security_token,
    })
}

#[cfg(test)]
mod tests;
