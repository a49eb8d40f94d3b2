//! One request from its head to the head of its answer.
//!
//! The order: read, record, route, authenticate, find the directive, misbehave before the head,
//! answer. Each step is a function below, in that order. Start at [`serve`].

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::Mutex;

use crate::body::{Account, MockBody};
use crate::clock::now_ms;
use crate::conn::{Handle, Kill, Split};
use crate::control;
use crate::directive::{Candidate, Directive, inline};
use crate::generate::{Made, error_body, generate, raw};
use crate::record::Truth;
use crate::reply::{
    Dialect, JSON, Refusal, Route, credential, dialect_of, error_message, head, request_id,
};
use crate::request::Ask;
use crate::state::Shared;

const BODY_CAP: usize = 64 * 1024 * 1024;
/// Answers kept in bench mode, per worker.
const CACHED: usize = 32;

/// What the connections of one thread share.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    /// Bench mode: finished answers by path and body. Such answers repeat their id.
    cache: Mutex<Vec<(String, Bytes, Made)>>,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            cache: Mutex::default(),
        }
    }

    fn cached(&self, path: &str, body: &Bytes) -> Option<Made> {
        let cache = self.cache.lock();
        let found = cache
            .iter()
            .find(|(at, asked, _)| at == path && asked == body);
        found.map(|(_, _, made)| made.clone())
    }

    fn keep(&self, path: &str, body: &Bytes, made: &Made) {
        let mut cache = self.cache.lock();
        if cache.len() >= CACHED {
            cache.clear();
        }
        cache.push((path.to_owned(), body.clone(), made.clone()));
    }
}

/// One request with what is known about it.
pub(crate) struct Call<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) route: Route<'a>,
    /// The number in its ids.
    pub(crate) n: u64,
    pub(crate) request_id: String,
    pub(crate) key: Option<&'a str>,
    pub(crate) started_at: u64,
    request_seq: u64,
    head: &'a Parts,
    body: &'a Bytes,
}

/// Answers a request. An error ends the connection without an answer.
pub(crate) async fn serve(
    worker: Arc<Worker>,
    handle: Arc<Handle>,
    request: Request<Incoming>,
) -> io::Result<Response<MockBody>> {
    let (parts, body) = request.into_parts();
    let shared = &worker.shared;
    let path = parts.uri.path();
    let body = read(body).await?;
    if path.starts_with(control::PREFIX) {
        let query = parts.uri.query().unwrap_or_default();
        let body = body.unwrap_or_default();
        let (status, json) = control::answer(shared, &parts.method, path, query, &body);
        return plain(status, json, &handle);
    }
    shared.counts.requests.fetch_add(1, Ordering::Relaxed);
    let too_large = body.is_none();
    let body = body.unwrap_or_default();
    let request_seq = if shared.record {
        let target = parts
            .uri
            .path_and_query()
            .map_or(path, |target| target.as_str());
        shared
            .records
            .saw(parts.method.as_str(), target, &parts.headers, &body)
    } else {
        0
    };
    let dialect = dialect_of(path, &parts.headers);
    let n = shared.next_id();
    let call = Call {
        dialect,
        route: Route::of(&parts.method, path),
        n,
        request_id: request_id(n),
        key: credential(&parts.headers, dialect),
        started_at: now_ms(),
        request_seq,
        head: &parts,
        body: &body,
    };
    if too_large {
        return refuse(
            &call,
            &Refusal::new(dialect, 413, "Request exceeds the maximum size"),
            &handle,
        );
    }
    match answer(&worker, &handle, &call).await {
        Ok(response) => Ok(response),
        Err(Failure::Refused(refusal)) => refuse(&call, &refusal, &handle),
        Err(Failure::Gone(error)) => Err(error),
    }
}

/// Why there is no ordinary answer.
enum Failure {
    Refused(Refusal),
    Gone(io::Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

async fn answer(
    worker: &Worker,
    handle: &Arc<Handle>,
    call: &Call<'_>,
) -> Result<Response<MockBody>, Failure> {
    let shared = &worker.shared;
    if call.route == Route::Root {
        let response = Response::new(MockBody::whole(Bytes::new(), Arc::clone(handle)));
        return Ok(response);
    }
    authenticate(shared, call)?;
    let path = call.head.uri.path();
    let bench = !shared.record && call.route.generates() && !shared.has_scripts();
    let bench = bench && !call.head.headers.contains_key("x-mock");
    if bench && let Some(made) = worker.cached(path, call.body) {
        let account = Account::open(shared, handle, None);
        return respond(call, made, &Directive::default(), handle, Some(account));
    }
    let ask = Ask::read(call.body);
    let found = directive(shared, call, ask.as_ref().ok())?;
    let plain_bench = bench && found.is_none();
    let directive = found.unwrap_or_default();
    let gap = directive.pace_ms.map_or(shared.pace, Duration::from_millis);
    let ask = validated(call, ask, &directive)?;

    let mut account = call.route.generates().then(|| {
        let truth = shared.record.then(|| truth(call, &ask));
        Account::open(shared, handle, truth)
    });
    before_head(&directive, handle, account.as_mut())
        .await
        .map_err(Failure::Gone)?;

    let failing = directive
        .status
        .is_some_and(|status| !(200..300).contains(&status));
    let made = if let Some(text) = &directive.body_raw {
        raw(text, ask.stream, &directive)
    } else if failing || directive.echo_credential_in_error {
        error_body(call, &directive)
    } else {
        generate(call, &ask, &directive, gap)?
    };
    if plain_bench {
        worker.keep(path, call.body, &made);
    }
    if let Some(account) = &account {
        account.update(|truth| {
            truth.status = made.status;
            truth.id.clone_from(&made.id);
            truth.usage.clone_from(&made.usage);
        });
    }
    if !directive.split_bytes.is_empty() || directive.split_every.is_some() {
        handle.split(Split::new(
            directive.split_bytes.clone(),
            directive.split_every,
            gap,
        ));
    }
    respond(call, made, &directive, handle, account)
}

/// The body, or nothing when it is too large.
async fn read(mut body: Incoming) -> io::Result<Option<Bytes>> {
    let mut first = Bytes::new();
    let mut joined: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(io::Error::other)?.into_data() else {
            continue;
        };
        if first.len() + joined.len() + data.len() > BODY_CAP {
            return Ok(None);
        }
        if first.is_empty() && joined.is_empty() {
            first = data;
        } else {
            if joined.is_empty() {
                joined.extend_from_slice(&std::mem::take(&mut first));
            }
            joined.extend_from_slice(&data);
        }
    }
    Ok(Some(if joined.is_empty() {
        first
    } else {
        Bytes::from(joined)
    }))
}

fn authenticate(shared: &Shared, call: &Call<'_>) -> Result<(), Refusal> {
    let message = match (call.key, call.dialect) {
        (Some(key), _) if shared.accepts_key(key) => return Ok(()),
        (Some(_), Dialect::OpenAi) => {
            "Incorrect API key provided: ****. You can find your API key at \
             https://platform.openai.com/account/api-keys."
        }
        (Some(_), Dialect::Anthropic) => "invalid x-api-key",
        (None, Dialect::OpenAi) => {
            "You didn't provide an API key. You need to provide your API key in an Authorization \
             header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
        }
        (None, Dialect::Anthropic) => "x-api-key header is required",
    };
    let refusal = Refusal::new(call.dialect, 401, message);
    Err(if call.key.is_none() {
        refusal.code(None)
    } else {
        refusal
    })
}

/// A script, else the header, else the body.
fn directive(
    shared: &Shared,
    call: &Call<'_>,
    ask: Option<&Ask>,
) -> Result<Option<Directive>, Refusal> {
    let body = std::str::from_utf8(call.body).unwrap_or_default();
    let candidate = Candidate {
        path: call.head.uri.path(),
        method: call.head.method.as_str(),
        model: ask.and_then(|ask| ask.model.as_deref()),
        body,
        api_key: call.key,
    };
    if let Some(found) = shared.scripted(&candidate) {
        return Ok(Some(found));
    }
    let found = match call.head.headers.get("x-mock") {
        Some(value) => Directive::from_json(value.to_str().unwrap_or_default()).map(Some),
        None => inline(body),
    };
    found.map_err(|error| Refusal::bad_request(call.dialect, format!("mock directive: {error}")))
}

/// What the vendor checks, unless the directive makes the request irrelevant.
fn validated(
    call: &Call<'_>,
    ask: Result<Ask, serde_json::Error>,
    directive: &Directive,
) -> Result<Ask, Refusal> {
    let dialect = call.dialect;
    let forced = directive
        .status
        .is_some_and(|status| !(200..300).contains(&status))
        || directive.body_raw.is_some()
        || directive.echo_credential_in_error
        || directive.reset_before_head
        || directive.close_before_head
        || directive.stall_before_head;
    match call.route {
        _ if forced => return Ok(ask.unwrap_or_default()),
        Route::Models | Route::Model(_) => return Ok(Ask::default()),
        Route::WrongMethod => {
            let (method, path) = (&call.head.method, call.head.uri.path());
            let message = format!("Not allowed to {method} on {path}.");
            return Err(Refusal::new(dialect, 405, message));
        }
        Route::Root | Route::Unknown => {
            let (method, path) = (&call.head.method, call.head.uri.path());
            let message = match dialect {
                Dialect::OpenAi => format!("Invalid URL ({method} {path})"),
                Dialect::Anthropic => String::from("Not found"),
            };
            return Err(Refusal::new(dialect, 404, message).code(None));
        }
        Route::Chat
        | Route::Responses
        | Route::Embeddings
        | Route::Messages
        | Route::CountTokens => {}
    }
    let ask = ask.map_err(|error| match dialect {
        Dialect::OpenAi => Refusal::bad_request(
            dialect,
            format!("We could not parse the JSON body of your request. ({error})"),
        ),
        Dialect::Anthropic => Refusal::bad_request(
            dialect,
            format!("The request body is not valid JSON: {error}"),
        ),
    })?;
    let missing = |param: &'static str| match dialect {
        Dialect::Anthropic => Refusal::bad_request(dialect, format!("{param}: Field required")),
        Dialect::OpenAi => {
            Refusal::bad_request(dialect, format!("Missing required parameter: '{param}'."))
                .param(param)
                .code(Some("missing_required_parameter"))
        }
    };
    if ask.model.is_none() {
        return Err(missing("model"));
    }
    if call.route == Route::Messages && ask.max_tokens.is_none() {
        return Err(missing("max_tokens"));
    }
    match call.route {
        Route::Chat | Route::Messages | Route::CountTokens if !ask.has_input => {
            Err(missing("messages"))
        }
        Route::Embeddings if !ask.has_input => Err(missing("input")),
        _ => Ok(ask),
    }
}

fn truth(call: &Call<'_>, ask: &Ask) -> Truth {
    Truth {
        request_seq: call.request_seq,
        path: call.head.uri.path().to_owned(),
        dialect: call.dialect.name().to_owned(),
        model: ask.model.clone().unwrap_or_default(),
        stream: ask.stream,
        user: ask.user.clone(),
        started_at: call.started_at,
        ..Truth::default()
    }
}

/// Faults and delays that come before the response head.
async fn before_head(
    directive: &Directive,
    handle: &Handle,
    account: Option<&mut Account>,
) -> io::Result<()> {
    if let Some(delay) = directive.delay_head_ms {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    let kill = match (directive.reset_before_head, directive.close_before_head) {
        (true, _) => Kill::Reset,
        (false, true) => Kill::Close,
        (false, false) => {
            if directive.stall_before_head {
                std::future::pending::<()>().await;
            }
            return Ok(());
        }
    };
    if let Some(account) = account {
        account.settle(false);
    }
    // On h2 the error below resets the one stream, and its neighbours live on.
    if !handle.is_h2 {
        handle.kill(kill);
    }
    Err(io::ErrorKind::ConnectionAborted.into())
}

fn respond(
    call: &Call<'_>,
    made: Made,
    directive: &Directive,
    handle: &Arc<Handle>,
    account: Option<Account>,
) -> Result<Response<MockBody>, Failure> {
    let Made {
        status,
        content_type,
        chunks,
        ending,
        gap,
        has_len,
        events,
        ..
    } = made;
    let mut body = MockBody::new(chunks, ending, gap, Arc::clone(handle), account);
    if let Some(len) = has_len {
        body = body.with_len(len);
    }
    let response = head(call.dialect, status, &call.request_id, content_type);
    let response = response.body(body.settle_if_empty());
    let mut response = response.map_err(|error| Failure::Gone(io::Error::other(error)))?;
    let headers = response.headers_mut();
    if events {
        headers.insert("cache-control", HeaderValue::from_static("no-cache"));
    }
    let named = [
        ("retry-after", &directive.retry_after),
        ("content-type", &directive.content_type),
    ];
    let named = named
        .iter()
        .filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    let given = directive
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in named.chain(given) {
        // Checked when the directive was read.
        let pair = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        );
        if let (Ok(name), Ok(value)) = pair {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

fn refuse(
    call: &Call<'_>,
    refusal: &Refusal,
    handle: &Arc<Handle>,
) -> io::Result<Response<MockBody>> {
    let body = refusal.body(call.dialect, &call.request_id);
    head(call.dialect, refusal.status, &call.request_id, JSON)
        .body(MockBody::whole(body, Arc::clone(handle)))
        .map_err(io::Error::other)
}

fn plain(status: u16, json: String, handle: &Arc<Handle>) -> io::Result<Response<MockBody>> {
    let mut response = Response::new(MockBody::whole(json, Arc::clone(handle)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, JSON);
    Ok(response)
}

/// The message of an error that a directive asks for.
pub(crate) fn message_of(directive: &Directive, status: u16) -> String {
    directive
        .error_message
        .clone()
        .unwrap_or_else(|| error_message(status).to_owned())
}
