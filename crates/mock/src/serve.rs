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

use crate::auth::{authenticate, credential};
use crate::body::{Account, MockBody};
use crate::check::validated;
use crate::clock::now_ms;
use crate::conn::{Handle, Kill, Split};
use crate::control;
use crate::directive::{Candidate, Directive, inline};
use crate::generate::{Made, error_body, generate, raw};
use crate::record::{Truth, key_digest};
use crate::reply::{JSON, Refusal, error_headers, error_message, head, request_id};
use crate::request::Ask;
use crate::sigv4;
use crate::state::Shared;
use crate::target::{Route, Target, argument};

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
    pub(crate) shared: &'a Shared,
    pub(crate) target: &'a Target<'a>,
    /// The number in its ids.
    pub(crate) n: u64,
    pub(crate) request_id: String,
    /// The credential; of a signed request, its access key.
    pub(crate) key: Option<String>,
    pub(crate) started_at: u64,
    pub(crate) head: &'a Parts,
    pub(crate) body: &'a Bytes,
    request_seq: u64,
}

impl Call<'_> {
    /// Seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.started_at / 1_000
    }

    /// An argument of the query.
    pub(crate) fn argument(&self, name: &str) -> Option<String> {
        argument(self.head.uri.query().unwrap_or_default(), name)
    }
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
        let host = parts.headers.get("host");
        let place = control::Place {
            path,
            query,
            host: host.and_then(|host| host.to_str().ok()).unwrap_or_default(),
        };
        let (status, json) = control::answer(shared, &parts.method, &place, &body);
        return plain(status, json, &handle);
    }
    shared.counts.requests.fetch_add(1, Ordering::Relaxed);
    let too_large = body.is_none();
    let body = body.unwrap_or_default();
    let query = parts.uri.query().unwrap_or_default();
    let target = Target::of(&parts.method, path, query, &parts.headers);
    let key = credential(&target, &parts.headers, query);
    let request_seq = if shared.record {
        shared.records.saw(&parts, &target, key.as_deref(), &body)
    } else {
        0
    };
    let n = shared.next_id();
    let call = Call {
        shared,
        target: &target,
        n,
        request_id: request_id(n),
        key,
        started_at: now_ms(),
        request_seq,
        head: &parts,
        body: &body,
    };
    if too_large {
        return refuse(
            &call,
            &Refusal::new(target.dialect, 413, "Request exceeds the maximum size"),
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
    let route = call.target.route;
    if route == Route::Root {
        let response = Response::new(MockBody::whole(Bytes::new(), Arc::clone(handle)));
        return Ok(response);
    }
    authenticate(call)?;
    // With its query, which decides how some streams are framed.
    let path = call.head.uri.path_and_query();
    let path = path.map_or("/", |path| path.as_str());
    let bench = !shared.record && route.generates() && !shared.has_scripts();
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

    let mut account = route.generates().then(|| {
        let truth = shared.record.then(|| truth(call, &ask));
        Account::open(shared, handle, truth)
    });
    before_head(&directive, handle, account.as_mut())
        .await
        .map_err(Failure::Gone)?;

    let made = if let Some(text) = &directive.body_raw {
        raw(call, text, ask.stream, &directive)
    } else if directive.fails() {
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
        model: call
            .target
            .model
            .as_deref()
            .or_else(|| ask.and_then(|ask| ask.model.as_deref())),
        body,
        api_key: call.key.as_deref(),
    };
    if let Some(found) = shared.scripted(&candidate) {
        return Ok(Some(found));
    }
    let found = match call.head.headers.get("x-mock") {
        Some(value) => Directive::from_json(value.to_str().unwrap_or_default()).map(Some),
        None => inline(body),
    };
    found.map_err(|error| {
        Refusal::bad_request(call.target.dialect, format!("mock directive: {error}"))
    })
}

fn truth(call: &Call<'_>, ask: &Ask) -> Truth {
    let target = call.target;
    Truth {
        request_seq: call.request_seq,
        path: call.head.uri.path().to_owned(),
        dialect: target.dialect.name().to_owned(),
        vendor: target.vendor.name().to_owned(),
        deployment: target.deployment.clone(),
        api_version: target.api_version.clone(),
        region: region(call),
        credential: call.key.as_deref().map(key_digest),
        model: ask.model.clone().unwrap_or_default(),
        stream: ask.stream,
        user: ask.user.clone(),
        started_at: call.started_at,
        ..Truth::default()
    }
}

/// The region that the path names, or the signature's scope.
fn region(call: &Call<'_>) -> Option<String> {
    call.target.region.clone().or_else(|| {
        let signed = call.head.headers.get("authorization")?.to_str().ok()?;
        Some(sigv4::Claim::read(signed)?.region.to_owned())
    })
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
        headers: own,
        ..
    } = made;
    let mut body = MockBody::new(chunks, ending, gap, Arc::clone(handle), account);
    if let Some(len) = has_len {
        body = body.with_len(len);
    }
    let response = head(call.target, status, &call.request_id, content_type);
    let response = response.body(body.settle_if_empty());
    let mut response = response.map_err(|error| Failure::Gone(io::Error::other(error)))?;
    let headers = response.headers_mut();
    if events {
        headers.insert("cache-control", HeaderValue::from_static("no-cache"));
    }
    for (name, value) in own {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
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
    let body = refusal.body(call.target.dialect, &call.request_id);
    let mut head = head(call.target, refusal.status, &call.request_id, JSON);
    if let Some((name, value)) = error_headers(call, refusal) {
        head = head.header(name, value);
    }
    head.body(MockBody::whole(body, Arc::clone(handle)))
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
