//! Authorising a call to a provider: keys, tokens that are fetched, signatures (providers 3 to 9).
//!
//! Also the world as the credentials of the clouds see it: their small requests go through the same guarded
//! connections as everything else. Must never log or answer with a credential. Start at [`authorise`].

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt as _;
use lw_cloud::sigv4::{self, BodyHash};
use lw_cloud::{
    AwsCredentials, Background, Bearer, CloudError, Env, FileFailure, HttpFailure, Outside, Reach,
    TokenHttp,
};
use lw_core::{Clock, Code, Error, Secret};
use lw_upstream::{AddressGuard, Endpoint, Pool, RequestBody, Timeouts, UpstreamError};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout};

use crate::lane::{Access, AwsAccess, Lane};
use crate::redact::Secrets;

/// How long one request for a token may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The largest answer to one.
const LARGEST: usize = 64 * 1024;
/// The largest credential file.
const LARGEST_FILE: u64 = 1024 * 1024;

/// What authorised a call: to be told how it went, and to be taken out of what the provider echoes.
#[derive(Debug, Default)]
pub(crate) enum Authorised {
    /// Nothing beyond what the row holds itself.
    #[default]
    Plainly,
    /// One of several keys.
    ByKey(usize),
    /// A token.
    ByToken(Arc<Bearer>),
    /// Keys that were fetched.
    BySignature(Arc<AwsCredentials>),
}

impl Authorised {
    /// `bytes` without what was fetched for this call. The row's own secrets are the lane's to take out.
    pub(crate) fn take_out(&self, bytes: Bytes) -> Bytes {
        let secrets = match self {
            Self::Plainly | Self::ByKey(_) => return bytes,
            Self::ByToken(bearer) => Secrets::new([bearer.token().expose()]),
            Self::BySignature(keys) => Secrets::new(keys.secrets().map(Secret::expose)),
        };
        secrets.take_out(bytes)
    }
}

/// Puts the credential on a request that is complete but for it.
///
/// # Errors
/// No token could be had, or the request cannot be signed.
pub(crate) async fn authorise(
    outside: &Outside,
    lane: &Lane,
    endpoint: &Endpoint,
    method: &Method,
    path: &PathAndQuery,
    headers: &mut HeaderMap,
    body: &[Bytes],
) -> Result<Authorised, Error> {
    match &lane.access {
        Access::Open => Ok(Authorised::Plainly),
        Access::Keys(keys) => match keys.pick(Instant::now()) {
            Some((at, (name, value))) => {
                headers.insert(name.clone(), value.clone());
                Ok(Authorised::ByKey(at))
            }
            None => Ok(Authorised::Plainly),
        },
        Access::Token(token) => {
            // Boxed: most calls wait for no token.
            let bearer = Box::pin(token.get(outside))
                .await
                .map_err(|error| no_token(lane, &error))?;
            headers.insert(AUTHORIZATION, bearer.header().clone());
            Ok(Authorised::ByToken(bearer))
        }
        Access::Signature(access) => {
            let held: Arc<AwsCredentials>;
            let (credentials, authorised) = match access {
                AwsAccess::Stored(credentials) => (credentials, Authorised::Plainly),
                AwsAccess::Fetched(token) => {
                    held = Box::pin(token.get(outside))
                        .await
                        .map_err(|error| no_token(lane, &error))?;
                    (&*held, Authorised::BySignature(held.clone()))
                }
            };
            let content_type = headers
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .unwrap_or("application/json");
            let signed_headers = [("content-type", content_type)];
            let request = sigv4::Request {
                method: method.as_str(),
                host: endpoint.authority(),
                path_and_query: path.as_str(),
                headers: &signed_headers,
                body: BodyHash::of(body.iter().map(|piece| &piece[..])),
            };
            let scope = sigv4::Scope {
                region: lane.region(),
                service: sigv4::BEDROCK,
            };
            let now = outside.now();
            let signed = sigv4::sign(credentials, scope, request, now).map_err(|error| {
                Error::new(
                    Code::ProviderError,
                    "the request to the provider cannot be signed",
                )
                .because(error)
            })?;
            signed.put_on(headers);
            Ok(authorised)
        }
    }
}

/// Tells what authorised a call how the provider took it.
pub(crate) fn answered(outside: &Outside, lane: &Lane, authorised: &Authorised, status: u16) {
    match (&lane.access, authorised, status) {
        (Access::Keys(keys), Authorised::ByKey(at), 429) => keys.refused(*at, Instant::now()),
        (Access::Token(token), Authorised::ByToken(bearer), 401) => {
            token.invalidate(bearer, outside.now());
        }
        _ => {}
    }
}

fn no_token(lane: &Lane, error: &CloudError) -> Error {
    let provider = lane.kind.as_str();
    Error::new(
        Code::ProviderError,
        format!("the provider `{provider}` cannot be called: {error}"),
    )
    .with("provider", provider)
}

/// The world as one data thread's credentials see it.
pub(crate) fn outside(clock: Arc<dyn Clock>, tls: Arc<ClientConfig>, pool: Pool) -> Outside {
    let platform = AddressGuard {
        platform: true,
        ..AddressGuard::default()
    };
    Outside {
        http: Arc::new(Connections {
            guarded: pool,
            platform: Pool::new(Arc::new(platform), tls),
        }),
        env: Arc::new(ProcessEnv),
        clock,
        tasks: Arc::new(Tasks),
    }
}

/// Sends requests for tokens.
struct Connections {
    guarded: Pool,
    platform: Pool,
}

impl TokenHttp for Connections {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, HttpFailure>> {
        Box::pin(async move {
            match timeout(LIMIT, self.exchange(request)).await {
                Ok(answer) => answer,
                Err(_) => Err(HttpFailure::TimedOut),
            }
        })
    }
}

impl Connections {
    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpFailure> {
        let pool = match Reach::of(&request) {
            Reach::Guarded => &self.guarded,
            Reach::Platform => &self.platform,
        };
        let (parts, body) = request.into_parts();
        let uri = parts.uri;
        let base = format!(
            "{}://{}",
            uri.scheme_str().unwrap_or("https"),
            uri.authority().map_or("", http::uri::Authority::as_str)
        );
        let endpoint = Endpoint::parse(&base).map_err(|_| HttpFailure::Refused)?;
        let path = uri
            .path_and_query()
            .cloned()
            .unwrap_or_else(|| PathAndQuery::from_static("/"));
        let mut outgoing = Request::new(RequestBody::new(vec![body]));
        *outgoing.method_mut() = parts.method;
        *outgoing.headers_mut() = parts.headers;
        let timeouts = Timeouts {
            connect: LIMIT,
            tls: LIMIT,
            head: LIMIT,
            idle: LIMIT,
            total: LIMIT,
        };
        let sent = pool
            .send(&endpoint, &path, outgoing, &timeouts, &mut false)
            .await
            .map_err(|error| match error {
                UpstreamError::Refused(_) => HttpFailure::Refused,
                UpstreamError::Timeout { .. } => HttpFailure::TimedOut,
                UpstreamError::Broken(_) => HttpFailure::Broken,
                _ => HttpFailure::Unreachable,
            })?;
        let (parts, mut body) = sent.response.into_parts();
        let mut collected = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let data = frame
                .map_err(|_| HttpFailure::Broken)?
                .into_data()
                .unwrap_or_default();
            if collected.len() + data.len() > LARGEST {
                return Err(HttpFailure::TooLarge);
            }
            collected.extend_from_slice(&data);
        }
        Ok(Response::from_parts(parts, collected.freeze()))
    }
}

/// The variables and files of this process.
struct ProcessEnv;

impl Env for ProcessEnv {
    #[expect(
        clippy::disallowed_methods,
        reason = "a cloud hands its credentials to a process in variables of its own, which may change"
    )]
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn read<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Vec<u8>, FileFailure>> {
        let path = path.to_owned();
        Box::pin(async move {
            tokio::task::spawn_blocking(move || read_file(&path))
                .await
                .unwrap_or(Err(FileFailure::Unreadable))
        })
    }
}

fn read_file(path: &str) -> Result<Vec<u8>, FileFailure> {
    use std::io::{ErrorKind, Read as _};
    let failure = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => FileFailure::Missing,
        ErrorKind::PermissionDenied => FileFailure::Denied,
        _ => FileFailure::Unreadable,
    };
    let file = std::fs::File::open(path).map_err(failure)?;
    let mut content = Vec::new();
    file.take(LARGEST_FILE + 1)
        .read_to_end(&mut content)
        .map_err(failure)?;
    if content.len() as u64 > LARGEST_FILE {
        return Err(FileFailure::TooLarge);
    }
    Ok(content)
}

/// Tasks of the event loop that asks.
struct Tasks;

impl Background for Tasks {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }
}
