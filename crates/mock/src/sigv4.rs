//! Checks a request that AWS's signature version 4 signs.
//!
//! The request is signed again, as it was received, with the secret that belongs to its access key,
//! by AWS's own implementation; the two signatures have to be equal. Start at [`verify`].

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use http::request::Parts;

use crate::accounts::{Accounts, AwsSecret};
use crate::clock::unix_secs;
use crate::reply::Refusal;

/// How far the caller's clock may be off, in seconds.
const SKEW: u64 = 300;
const SERVICE: &str = "bedrock";

/// What the `authorization` header says.
pub(crate) struct Claim<'a> {
    pub(crate) access_key: &'a str,
    date: &'a str,
    pub(crate) region: &'a str,
    service: &'a str,
    signed: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Claim<'a> {
    /// `None` when it is not of this scheme, or not whole.
    pub(crate) fn read(authorization: &'a str) -> Option<Self> {
        let fields = authorization.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let field = |name: &str| {
            let mut each = fields.split(',').map(str::trim);
            each.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
        };
        let mut scope = field("Credential")?.split('/');
        let claim = Self {
            access_key: scope.next()?,
            date: scope.next()?,
            region: scope.next()?,
            service: scope.next()?,
            signed: field("SignedHeaders")?.split(';').collect(),
            signature: field("Signature")?,
        };
        (scope.next()? == "aws4_request" && scope.next().is_none()).then_some(claim)
    }
}

/// Whether the signature is right, and of this time, service and region.
pub(crate) fn verify(
    accounts: &Accounts,
    head: &Parts,
    body: &[u8],
    now: u64,
) -> Result<(), Refusal> {
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let incomplete =
        |message: &str| Refusal::aws(403, "IncompleteSignatureException", message.to_owned());
    let wrong = |message: String| Refusal::aws(403, "InvalidSignatureException", message);
    let claim = header("authorization")
        .and_then(Claim::read)
        .ok_or_else(|| incomplete("The Authorization header is not a whole signature."))?;
    let date = header("x-amz-date")
        .ok_or_else(|| incomplete("Authorization requires the 'X-Amz-Date' header."))?;
    let at = unix_secs(date).ok_or_else(|| incomplete("Date must be in ISO-8601 basic format."))?;
    if !date.starts_with(claim.date) {
        return Err(wrong(String::from(
            "The date of the credential scope is not that of the request.",
        )));
    }
    if at.abs_diff(now) > SKEW {
        return Err(wrong(format!(
            "Signature not yet current or expired: {date}"
        )));
    }
    if claim.service != SERVICE {
        let service = claim.service;
        return Err(wrong(format!(
            "Credential should be scoped to correct service: '{SERVICE}', not '{service}'."
        )));
    }
    let unknown = || {
        Refusal::aws(
            403,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        )
    };
    let secret = accounts.aws(claim.access_key).ok_or_else(unknown)?;
    let session = header("x-amz-security-token");
    if secret.session_token.as_deref() != session {
        return Err(unknown());
    }
    if secret.expires_at.is_some_and(|until| now >= until) {
        return Err(Refusal::aws(
            403,
            "ExpiredTokenException",
            "The security token included in the request is expired",
        ));
    }
    let wanted = secret.region.as_deref().unwrap_or(claim.region);
    if claim.region != wanted || claim.region.is_empty() {
        return Err(wrong(format!(
            "Credential should be scoped to a valid region: '{wanted}'."
        )));
    }
    let must = ["host", "x-amz-date", "x-amz-security-token"];
    let must = must
        .iter()
        .filter(|name| **name != "x-amz-security-token" || session.is_some());
    for name in must {
        if !claim.signed.contains(name) {
            return Err(wrong(format!("'{name}' must be a signed header.")));
        }
    }
    let ours = signature(&claim, &secret, head, body, at)
        .ok_or_else(|| incomplete("The request cannot be signed as it was received."))?;
    if ours == claim.signature {
        return Ok(());
    }
    Err(wrong(String::from(
        "The request signature we calculated does not match the signature you provided. Check your \
         AWS Secret Access Key and signing method.",
    )))
}

/// The signature that the request should have.
fn signature(
    claim: &Claim<'_>,
    secret: &AwsSecret,
    head: &Parts,
    body: &[u8],
    at: u64,
) -> Option<String> {
    const HASH: &str = "x-amz-content-sha256";
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let mut settings = SigningSettings::default();
    // Whatever the caller signed is signed again, and nothing is left out by name.
    settings.excluded_headers = Some(Vec::new());
    if claim.signed.contains(&HASH) {
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    let credentials = Credentials::new(
        claim.access_key,
        &secret.secret_key,
        secret.session_token.clone(),
        None,
        "mock",
    );
    let identity: Identity = credentials.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(claim.region)
        .name(SERVICE)
        .time(UNIX_EPOCH + Duration::from_secs(at))
        .settings(settings)
        .build()
        .ok()?;
    // These the signer adds by itself.
    const ADDED: [&str; 3] = ["x-amz-date", "x-amz-security-token", HASH];
    let mut headers = Vec::new();
    for name in &claim.signed {
        if !ADDED.contains(name) {
            headers.push((*name, header(name)?));
        }
    }
    let payload = match header(HASH) {
        Some("UNSIGNED-PAYLOAD") => SignableBody::UnsignedPayload,
        _ => SignableBody::Bytes(body),
    };
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let host = header("host").or_else(|| head.uri.authority().map(|host| host.as_str()))?;
    let uri = format!("http://{host}{target}");
    let request =
        SignableRequest::new(head.method.as_str(), uri, headers.into_iter(), payload).ok()?;
    let (_, signature) = sign(request, &params.into()).ok()?.into_parts();
    Some(signature)
}
