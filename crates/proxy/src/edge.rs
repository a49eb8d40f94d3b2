//! The HTTP edge: routes, panics, and the headers of every answer. Knows nothing about money or models.
//!
//! Start at [`handle`].

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, EXPECT, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use lw_core::error::{Correlation, Dialect, render};
use lw_core::{Code, Error};
use lw_wire::Surface;
use percent_encoding::percent_decode_str;
use tokio::time::timeout;

use crate::attempt::CallerHead;
use crate::budget::{accounts_of, precheck};
use crate::call::{Call, Ending, Stamp};
use crate::connection::ConnState;
use crate::inbound::{Addressed, Inbound, check_length, read};
use crate::refusal::refuse;
use crate::reply::{Reply, ReplyBody};
use crate::stages::{Plan, authenticate, plan};
use crate::walk::walk;
use crate::worker::Worker;
use crate::{caching, foreign, guarded, headers, kept, models, ops, policy, stages};

/// Bytes of a refused request that are read and thrown away.
const DISCARD_BYTES: usize = 4 * 1024 * 1024;
/// Time for that.
const DISCARD_FOR: Duration = Duration::from_millis(500);

/// What a path and method ask for.
enum Route<'a> {
    Model(Surface),
    /// A method of Gemini with a model in the path, as it stands there.
    Addressed(Surface, &'a str, &'a str),
    /// What is kept at Gemini: the path below `/v1beta`.
    Kept,
    /// With the name of one, and whether in the form of Gemini.
    Models(Option<&'a str>, bool),
    Operational,
    WrongMethod(&'static str),
    Unknown,
}

fn route<'a>(method: &Method, path: &'a str) -> Route<'a> {
    let surface = match path {
        "/v1/chat/completions" => Some(Surface::Chat),
        "/v1/messages" => Some(Surface::Messages),
        "/v1/messages/count_tokens" => Some(Surface::CountTokens),
        "/v1/responses" => Some(Surface::Responses),
        "/v1/embeddings" => Some(Surface::Embeddings),
        _ => None,
    };
    if let Some(surface) = surface {
        return if method == Method::POST {
            Route::Model(surface)
        } else {
            Route::WrongMethod("POST")
        };
    }
    if let Some((surface, model, name)) = gemini(path) {
        return if method == Method::POST {
            Route::Addressed(surface, model, name)
        } else {
            Route::WrongMethod("POST")
        };
    }
    if [
        "/v1beta/cachedContents",
        "/v1beta/files",
        "/upload/v1beta/files",
    ]
    .iter()
    .any(|kept| {
        path.strip_prefix(kept)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }) {
        return Route::Kept;
    }
    let in_gemini = path.strip_prefix("/v1beta/models");
    let models = match path.strip_prefix("/v1/models").or(in_gemini) {
        Some("" | "/") => Some(None),
        Some(rest) => rest.strip_prefix('/').map(Some),
        None => None,
    };
    if let Some(wanted) = models {
        return if method == Method::GET {
            Route::Models(wanted, in_gemini.is_some())
        } else {
            Route::WrongMethod("GET")
        };
    }
    match ops::methods(path) {
        Some(methods) if methods.contains(method) => Route::Operational,
        Some(_) => Route::WrongMethod("GET, HEAD"),
        None => Route::Unknown,
    }
}

/// The surface that a POST of `path` goes to, with model and method where they stand in the path.
pub(crate) fn surface(path: &str) -> Option<(Surface, Option<(&str, &str)>)> {
    match route(&Method::POST, path) {
        Route::Model(surface) => Some((surface, None)),
        Route::Addressed(surface, model, method) => Some((surface, Some((model, method)))),
        _ => None,
    }
}

/// The methods of Gemini that are served, with the surface that each belongs to. Model and method share
/// the last segment (clients.md).
fn gemini(path: &str) -> Option<(Surface, &str, &str)> {
    let rest = path
        .strip_prefix("/v1beta/models/")
        .or_else(|| path.strip_prefix("/v1/models/"))?;
    let (model, method) = rest.rsplit_once(':')?;
    let surface = match method {
        "generateContent" | "streamGenerateContent" => Surface::Generate,
        "countTokens" => Surface::GeminiCount,
        "embedContent" | "batchEmbedContents" => Surface::GeminiEmbed,
        _ => return None,
    };
    Some((surface, model, method))
}

/// Answers one request. Never fails and never panics. The future is boxed, so that an open stream does
/// not keep the memory of the stages that led to it.
pub(crate) fn handle(
    worker: Arc<Worker>,
    connection: Arc<ConnState>,
    request: Request<Incoming>,
) -> BoxFuture<'static, Result<Reply, Infallible>> {
    async move {
        let answering = connection.arrived(request.version() == Version::HTTP_2);
        let answered = AssertUnwindSafe(answer(worker, request))
            .catch_unwind()
            .await;
        let reply = answered.unwrap_or_else(|_| {
            tracing::error!("panic_recovered");
            error_body(
                &Error::new(Code::InternalError, "the gateway failed"),
                Dialect::OpenAi,
            )
        });
        Ok(reply.map(|body| body.on(answering)))
    }
    .boxed()
}

async fn answer(worker: Arc<Worker>, request: Request<Incoming>) -> Reply {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path();
    let route = route(&parts.method, path);
    if matches!(
        route,
        Route::Addressed(..) | Route::Kept | Route::Models(_, true)
    ) {
        headers::take_key_of_query(&mut parts.headers, parts.uri.query());
    }
    match route {
        Route::Model(surface) => model_call(worker, surface, None, parts, body).await,
        Route::Addressed(surface, model, method) => {
            let addressed = Addressed {
                model: percent_decode_str(model).decode_utf8_lossy().into_owned(),
                method: method.to_owned(),
            };
            // Boxed: one copy of this large state in the future is enough.
            model_call(worker, surface, Some(addressed), parts, body)
                .boxed()
                .await
        }
        Route::Kept => kept::call(worker, parts, body).boxed().await,
        Route::Models(wanted, gemini) => {
            // Clients escape the slash of `openai/gpt-4o`.
            let wanted =
                wanted.map(|name| percent_decode_str(name).decode_utf8_lossy().into_owned());
            // Google's SDK asks under either prefix; its key is in a header of its own.
            let gemini = gemini
                || (parts.headers.contains_key(headers::X_GOOG_API_KEY)
                    && !parts.headers.contains_key(AUTHORIZATION));
            // Boxed: asking providers for their lists is rare and its state is large.
            model_list(&worker, &parts.headers, wanted, gemini)
                .boxed()
                .await
        }
        Route::Operational => {
            let mut reply = ops::answer(&worker.gateway, path);
            let call = Call::new(worker, Method::GET, "operational", None, &parts.headers);
            call.stamp().write(reply.headers_mut());
            call.forget();
            reply
        }
        Route::WrongMethod(allowed) => {
            let surface = if path.starts_with("/v1/messages") {
                Some(Surface::Messages)
            } else {
                None
            };
            let error = Error::new(
                Code::MethodNotAllowed,
                format!("`{path}` takes {allowed}, not {}", parts.method),
            );
            let mut call = Call::new(
                worker,
                parts.method.clone(),
                "unmatched",
                surface,
                &parts.headers,
            );
            let mut reply = refuse(&mut call, error);
            discard(&parts.headers, body).await;
            reply
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static(allowed));
            reply
        }
        Route::Unknown => {
            let shown: String = path.chars().take(128).collect();
            let error = Error::new(Code::NotFound, format!("there is no route `{shown}`"))
                .tip("The base URL of OpenAI clients ends in /v1, that of Anthropic clients has no path.");
            let mut call = Call::new(
                worker,
                parts.method.clone(),
                "unmatched",
                None,
                &parts.headers,
            );
            discard(&parts.headers, body).await;
            refuse(&mut call, error)
        }
    }
}

async fn model_list(
    worker: &Arc<Worker>,
    request: &HeaderMap,
    wanted: Option<String>,
    gemini: bool,
) -> Reply {
    let route = if gemini {
        "/v1beta/models"
    } else {
        "/v1/models"
    };
    let mut call = Call::new(worker.clone(), Method::GET, route, None, request);
    let listed = async {
        let bundle = authenticate(&worker.gateway, request).await?;
        let reply = models::answer(worker, &bundle, request, wanted.as_deref(), gemini).await?;
        call.bundle = Some(bundle);
        Ok(reply)
    }
    .await;
    match listed {
        Ok(mut reply) => {
            call.status = 200;
            let _ = call.end(&Ending::Complete, None);
            call.stamp().write(reply.headers_mut());
            reply
        }
        Err(error) => refuse(&mut call, error),
    }
}

async fn model_call(
    worker: Arc<Worker>,
    surface: Surface,
    addressed: Option<Addressed>,
    parts: Parts,
    body: Incoming,
) -> Reply {
    let every = worker.gateway.settings.heartbeat;
    let mut call = Box::new(Call::new(
        worker,
        Method::POST,
        surface.path(),
        Some(surface),
        &parts.headers,
    ));
    let mut body = Some(body);
    let plan = match prepare(&mut call, surface, addressed, &parts.headers, &mut body).await {
        Ok(plan) => plan,
        Err(error) => {
            if let (Some(body), true) = (body, error.code() != Code::PayloadTooLarge) {
                discard(&parts.headers, body).await;
            }
            return refuse(&mut call, error);
        }
    };
    let streaming = call.inbound.as_ref().is_some_and(|inbound| inbound.stream);
    let head = CallerHead {
        method: parts.method,
        query: parts.uri.query().map(str::to_owned),
        http1: parts.version <= Version::HTTP_11,
        headers: parts.headers,
    };
    match every {
        Some(every) if !streaming => {
            // Should the head have to go out early, it names the first candidate.
            call.dispatch = plan.first(&*call.worker.gateway.entropy);
            let stamp = call.stamp();
            let mut pending = walk(call, plan, head).boxed();
            match timeout(every, &mut pending).await {
                Ok(reply) => reply,
                Err(_) => kept_alive(&stamp, ReplyBody::awaited(pending, every)),
            }
        }
        _ => walk(call, plan, head).await,
    }
}

/// The stages before the walk (data-plane 8).
async fn prepare(
    call: &mut Call,
    surface: Surface,
    addressed: Option<Addressed>,
    request: &HeaderMap,
    body: &mut Option<Incoming>,
) -> Result<Plan, Error> {
    let gateway = call.worker.gateway.clone();
    check_length(request, gateway.settings.max_body_bytes)?;
    let bundle = authenticate(&gateway, request).await?;
    call.bundle = Some(bundle.clone());
    let Some(body) = body.take() else {
        return Err(Error::new(Code::InternalError, "the request was lost").because("no body"));
    };
    let (body, permit) = read(&gateway, request, body).await?;
    let mut inbound = Inbound::new(body, permit);
    inbound.addressed = addressed;
    call.inbound = Some(inbound);
    let demand = stages::read(call, &bundle, surface)?;
    call.note_limits();
    let asked = caching::requested(request)?;
    // What few keys have is boxed, so that every request does not carry the room for it.
    if !bundle.governed.rules.is_empty() {
        let body = foreign::body_of(call);
        policy::body(&bundle, surface, &body).boxed().await?;
    }
    let mut plan = plan(call, &bundle, surface, demand)?;
    if let Some(step) = plan.steps.first() {
        let kind = bundle
            .lanes
            .get(step.lane)
            .map_or("", |lane| lane.kind.as_str());
        let now = gateway.clock.now();
        call.cache = caching::decide(&bundle, asked, request, (kind, &step.name), now);
    }
    let of_end_user = if bundle.governed.templates.is_empty() {
        Vec::new()
    } else {
        let end_user = call.end_user().map(str::to_owned);
        accounts_of(&gateway, &bundle, end_user.as_deref())
            .boxed()
            .await?
    };
    call.checked = precheck(&bundle, of_end_user, gateway.clock.now())?;
    if guarded::checks_requests(&bundle) && guarded::request(call, &bundle).boxed().await? {
        // The texts are others now, and with them what the call may cost.
        plan.demand = stages::measured(call, surface)?;
    }
    plan.narrow(&bundle, &call.checked)?;
    call.notes.candidates = plan.steps.len();
    Ok(plan)
}

/// The head of an answer that is not there yet: a status has to be promised, so a later failure stands
/// in the body (data-plane 18).
fn kept_alive(stamp: &Stamp, body: ReplyBody) -> Reply {
    let mut reply = Response::new(body);
    let map = reply.headers_mut();
    map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    map.insert(headers::HEARTBEAT_ACTIVE, HeaderValue::from_static("true"));
    stamp.write(map);
    stamp.write_dispatched(map);
    reply
}

/// Reads what is left of a refused request, within bounds, and keeps none of it. A socket that is closed
/// with unread bytes is reset, and the caller would see that instead of the refusal.
pub(crate) async fn discard(request: &HeaderMap, mut body: Incoming) {
    if request.contains_key(EXPECT) {
        // It waits to be told to go on, and is not (RFC 9110 10.1.1).
        return;
    }
    let mut left = DISCARD_BYTES;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, bytes::Bytes::len);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Whoever sends slower than this gets the refusal on a connection that breaks.
    let _ = timeout(DISCARD_FOR, reading).await;
}

fn error_body(error: &Error, dialect: Dialect) -> Reply {
    let body = render(error, dialect, Correlation::default());
    let mut reply = Response::new(ReplyBody::whole(vec![body.into()]));
    *reply.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_exact() {
        for (method, path, expected) in [
            (Method::POST, "/v1/chat/completions", "model"),
            (Method::GET, "/v1/chat/completions", "wrong"),
            (Method::GET, "/v1/models", "models"),
            (Method::GET, "/v1/models/openai/gpt-4o", "models"),
            (Method::GET, "/v1/modelsx", "unknown"),
            (Method::HEAD, "/", "operational"),
            (Method::POST, "/health", "wrong"),
            (Method::POST, "/v1/chat/completions/", "unknown"),
        ] {
            let found = match route(&method, path) {
                Route::Model(_) | Route::Addressed(..) => "model",
                Route::Kept => "kept",
                Route::Models(..) => "models",
                Route::Operational => "operational",
                Route::WrongMethod(_) => "wrong",
                Route::Unknown => "unknown",
            };
            assert_eq!(found, expected, "{method} {path}");
        }
    }

    /// The size of the future that a function of two arguments returns.
    fn size_of_future<A, B, F>(_: impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    fn size_of_walk<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_futures_of_a_request_stay_small() {
        // They are allocated and moved for every request.
        assert!(
            size_of_future(answer) <= 5_120,
            "{} of which walk {}",
            size_of_future(answer),
            size_of_walk(walk)
        );
        assert!(size_of_walk(walk) <= 3_584, "{}", size_of_walk(walk));
    }
}
