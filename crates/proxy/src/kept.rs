//! What Gemini keeps: cached contents, and the metadata of files (data-plane 2.1, providers 8.2).
//!
//! Passed on to the provider as it comes, without a bill; but on a provider that several projects share, a
//! project finds only what its own requests made ([`crate::custody`]). What is made is recorded before the
//! caller hears of it, and a list shows only what is its project's. Rate limits, rules and guardrails
//! of requests hold as for any call. Uploads go to another address of Google's and batches run where nobody sees their cost: neither is
//! served. Start at [`call`].

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{ALLOW, CONTENT_ENCODING, HeaderValue};
use http::request::Parts;
use http::{Method, Response, Version};
use hyper::body::Incoming;
use lw_core::{BodyForm, Code, Error};
use lw_engine::resolve::resolve;
use lw_wire::Surface;
use lw_wire::envelope::Envelope;
use lw_wire::splice::{NativeEdits, Pieces, native};
use lw_wire::tap::{MOST_HELD, Tap};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answered::{provider_error, reply_head, whole};
use crate::attempt::{CallerHead, attempt};
use crate::bundle::Bundle;
use crate::call::{Call, Dispatch, Ending, micros};
use crate::custody;
use crate::edge::discard;
use crate::foreign::{Exchange, body_of};
use crate::gate::{Skipped, enter};
use crate::inbound::{Inbound, check_length, read, unreadable};
use crate::lane::Lane;
use crate::refusal::{lost, refuse};
use crate::reply::{Reply, ReplyBody};
use crate::stages::{authenticate, permitted};
use crate::worker::Worker;
use crate::{guarded, limit, policy};

/// The surface of all of this.
const SURFACE: Surface = Surface::GeminiFiles;
/// The largest answer; a page of a list is far below.
const LARGEST: usize = 8 * 1024 * 1024;
/// The longest id, bytes.
const LONGEST: usize = 256;

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked<'a> {
    Caches,
    /// By its full name, such as `cachedContents/abc`.
    Cache(&'a str),
    Files,
    File(&'a str),
    /// The address that files are sent to.
    Upload,
    Nothing,
}

impl<'a> Asked<'a> {
    fn of(path: &'a str) -> Self {
        let Some(name) = path.strip_prefix("/v1beta/") else {
            return Self::Upload;
        };
        let (shelf, id) = name.split_once('/').unwrap_or((name, ""));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let named = !id.is_empty() && id.len() <= LONGEST && id.bytes().all(plain);
        match (shelf, named) {
            ("cachedContents", true) => Self::Cache(name),
            ("files", true) => Self::File(name),
            ("cachedContents", false) if name == shelf => Self::Caches,
            ("files", false) if name == shelf => Self::Files,
            _ => Self::Nothing,
        }
    }

    /// The methods that are served; `None` when nothing is.
    fn methods(self, method: &Method) -> Option<(&'static [Method], &'static str)> {
        const LISTED: &[Method] = &[Method::GET];
        const MADE: &[Method] = &[Method::GET, Method::POST];
        const CHANGED: &[Method] = &[Method::GET, Method::PATCH, Method::DELETE];
        const TAKEN: &[Method] = &[Method::GET, Method::DELETE];
        match self {
            Self::Caches => Some((MADE, "GET, POST")),
            Self::Cache(_) => Some((CHANGED, "GET, PATCH, DELETE")),
            // The metadata of a file is sent where its bytes are.
            Self::Files if *method == Method::POST => None,
            Self::Files => Some((LISTED, "GET")),
            Self::File(_) => Some((TAKEN, "GET, DELETE")),
            Self::Upload | Self::Nothing => None,
        }
    }
}

/// Answers a request for what Gemini keeps.
pub(crate) async fn call(worker: Arc<Worker>, parts: Parts, body: Incoming) -> Reply {
    let mut call = Call::new(
        worker,
        parts.method.clone(),
        SURFACE.path(),
        Some(SURFACE),
        &parts.headers,
    );
    let asked = Asked::of(parts.uri.path());
    let mut body = Some(body);
    let mut allowed = None;
    let served = match asked.methods(&parts.method) {
        Some((methods, _)) if methods.contains(&parts.method) => {
            serve(&mut call, asked, &parts, &mut body).await
        }
        Some((_, names)) => {
            allowed = Some(HeaderValue::from_static(names));
            let text = format!("this takes {names}, not {}", parts.method);
            Err(Error::new(Code::MethodNotAllowed, text))
        }
        None => Err(not_served(asked, &parts.method)),
    };
    match served {
        Ok(reply) => reply,
        Err(error) => {
            if let (Some(body), true) = (body, error.code() != Code::PayloadTooLarge) {
                discard(&parts.headers, body).await;
            }
            let mut reply = refuse(&mut call, error);
            if let Some(allowed) = allowed {
                reply.headers_mut().insert(ALLOW, allowed);
            }
            reply
        }
    }
}

fn not_served(asked: Asked<'_>, method: &Method) -> Error {
    if asked == Asked::Upload || *method == Method::POST {
        return Error::new(
            Code::NotFound,
            "files are not uploaded through this gateway: send their content inline, as `inlineData`",
        );
    }
    Error::new(Code::NotFound, "there is nothing of this name")
}

/// What the provider is asked.
struct Plan {
    /// Index into the bundle's lanes.
    lane: usize,
    /// The name below `/v1beta/`.
    name: String,
    /// The model that the body names, as it is sent; empty for none.
    model: String,
    body: Pieces,
}

async fn serve(
    call: &mut Call,
    asked: Asked<'_>,
    parts: &Parts,
    body: &mut Option<Incoming>,
) -> Result<Reply, Error> {
    let gateway = call.worker.gateway.clone();
    check_length(&parts.headers, gateway.settings.max_body_bytes)?;
    let bundle = authenticate(&gateway, &parts.headers).await?;
    call.bundle = Some(bundle.clone());
    if let (Method::POST | Method::PATCH, Some(body)) = (parts.method.clone(), body.take()) {
        let (body, permit) = read(&gateway, &parts.headers, body).await?;
        call.inbound = Some(Inbound::new(body, permit));
    }
    let body = body_of(call);
    let counted = (body.len() as u64, None);
    call.grant = limit::take(&gateway, &bundle.governed.key, counted)?;
    if !body.is_empty() {
        policy::body(&bundle, SURFACE, &body).await?;
    }
    let mut plan = plan_of(call, &bundle, asked, &parts.method).await?;
    let guarded = !body.is_empty() && guarded::checks_requests(&bundle);
    if guarded && guarded::request(call, &bundle).boxed().await? {
        // The texts are others now.
        plan = plan_of(call, &bundle, asked, &parts.method).await?;
    }
    let lane = lane_at(&bundle, plan.lane)?;
    let guarded = lane.guards(&bundle.project_id);
    if guarded && !plan.body.is_empty() {
        // What is kept may refer to what else is kept.
        custody::check(call, lane, &body_of(call)).await?;
    }
    let path = lane.kept_path(&plan.name)?;
    call.dispatch = Some(Dispatch::new(plan.lane, plan.model, &*gateway.entropy));
    pass_gate(call, &bundle, plan.lane, counted)?;
    let head = CallerHead {
        method: parts.method.clone(),
        query: parts.uri.query().map(str::to_owned),
        http1: parts.version <= Version::HTTP_11,
        headers: parts.headers.clone(),
    };
    let answer = attempt(call, path, plan.body, &Exchange::Native, &head).await?;
    let (answer, body) = answer.into_parts();
    let mut reply_head = reply_head(call, &answer.headers, true, SURFACE);
    let encoding = answer.headers.get(CONTENT_ENCODING);
    if let Some(encoding) = encoding {
        reply_head.insert(CONTENT_ENCODING, encoding.clone());
    }
    let body = if answer.status.is_success() {
        let body = whole(call, body, LARGEST, "an answer").await?;
        let body = match asked {
            _ if !guarded => body,
            Asked::Caches if parts.method == Method::POST => {
                record(call, &bundle, lane, &body).await?;
                body
            }
            Asked::Caches | Asked::Files => own_of(call, &bundle, lane, &body).await?,
            _ => body,
        };
        call.bytes_out = body.len() as u64;
        call.first_byte_us = Some(micros(call.start));
        let _ = call.end(&Ending::Complete, None);
        body
    } else {
        let (body, name) = provider_error(call, body).await?;
        call.bytes_out = body.len() as u64;
        call.first_byte_us = Some(micros(call.start));
        let mut tap = Tap::new(BodyForm::Opaque, MOST_HELD);
        tap.push(&body);
        let _ = call.end(&Ending::ProviderRefused(name), Some(&mut tap));
        body
    };
    let mut reply = Response::new(ReplyBody::whole(vec![body]));
    *reply.status_mut() = answer.status;
    *reply.headers_mut() = reply_head;
    Ok(reply)
}

/// Asks circuit and rate limit of the provider. There is no other to go on to.
fn pass_gate(
    call: &mut Call,
    bundle: &Bundle,
    index: usize,
    counted: (u64, Option<u64>),
) -> Result<(), Error> {
    let gateway = call.worker.gateway.clone();
    let kind = lane_at(bundle, index)?.kind.as_str();
    let governed = bundle.governed.lanes.get(index);
    let governed = governed.ok_or_else(|| lost("no governance"))?;
    let entered = enter(
        &gateway.limits,
        governed,
        kind,
        gateway.clock.now(),
        counted,
    );
    match entered {
        Ok(pass) => {
            if let Some(dispatch) = call.dispatch.as_mut() {
                dispatch.circuit = pass.circuit();
            }
            call.pass = pass;
            Ok(())
        }
        Err(Skipped { outcome, error }) => {
            call.pass_over(outcome, &error);
            Err(error)
        }
    }
}

fn lane_at(bundle: &Bundle, index: usize) -> Result<&Lane, Error> {
    let lane = bundle.lanes.get(index).map(|lane| &**lane);
    lane.ok_or_else(|| lost("no lane"))
}

/// The lanes that keep things, in the key's order.
fn keepers(bundle: &Bundle) -> impl Iterator<Item = (usize, &Lane)> {
    let lanes = bundle.lanes.iter().map(|lane| &**lane).enumerate();
    lanes.filter(|(_, lane)| lane.serves(SURFACE))
}

async fn plan_of(
    call: &mut Call,
    bundle: &Bundle,
    asked: Asked<'_>,
    method: &Method,
) -> Result<Plan, Error> {
    let first = keepers(bundle).next().map(|(index, _)| index);
    let first = first.ok_or_else(|| no_keeper(bundle))?;
    let plain = |lane: usize, name: &str| Plan {
        lane,
        name: name.to_owned(),
        model: String::new(),
        body: Pieces::whole(body_of(call)),
    };
    match asked {
        Asked::Caches if *method == Method::POST => creation(call, bundle),
        Asked::Caches => Ok(plain(first, "cachedContents")),
        Asked::Files => Ok(plain(first, "files")),
        Asked::Cache(name) | Asked::File(name) => {
            Ok(plain(holder(call, bundle, name).await?, name))
        }
        Asked::Upload | Asked::Nothing => Err(not_served(asked, method)),
    }
}

fn no_keeper(bundle: &Bundle) -> Error {
    if bundle.lanes.is_empty() {
        return Error::new(
            Code::NoProviderConfigured,
            "the virtual key reaches no model provider",
        )
        .tip(
            "Add one under Settings → Model Providers, or with `langwatch model-provider create`.",
        );
    }
    Error::new(
        Code::ModelNotAllowed,
        "this is kept by Gemini, and the virtual key reaches no provider of the type `gemini`",
    )
    .with("reason", "model_provider_not_bound")
}

/// The provider that has `name`: where the project made it; else one that asks no questions.
async fn holder(call: &Call, bundle: &Bundle, name: &str) -> Result<usize, Error> {
    let mut open = None;
    for (index, lane) in keepers(bundle) {
        if !lane.guards(&bundle.project_id) {
            open = open.or(Some(index));
            continue;
        }
        let custody = &call.worker.gateway.custody;
        let asked = custody.owned(&lane.id, &bundle.project_id, vec![name.to_owned()]);
        if asked.await?.contains(&true) {
            return Ok(index);
        }
    }
    open.ok_or_else(|| custody::not_found("name", name))
}

/// What makes a cached content: the model in the body is placed and allowed like that of any call.
fn creation(call: &mut Call, bundle: &Bundle) -> Result<Plan, Error> {
    let body = body_of(call);
    let envelope = Envelope::read(&body).map_err(|error| unreadable(&error))?;
    if let Some(inbound) = call.inbound.as_mut() {
        inbound.note(&envelope);
    }
    let named = envelope.model.as_ref().map(|(model, _)| model.as_ref());
    let named = named.map(|model| model.strip_prefix("models/").unwrap_or(model));
    let sent = named.filter(|model| !model.is_empty()).ok_or_else(|| {
        Error::new(
            Code::MissingModel,
            "the body names no model: set the top-level field `model`",
        )
        .at("model")
        .with("request_type", SURFACE.request_type())
    })?;
    let serves = |index: usize| keepers(bundle).any(|(keeper, _)| keeper == index);
    let mut resolved = resolve(&bundle.reach, sent, SURFACE.path(), serves)?;
    permitted(bundle, &mut resolved)?;
    if let Some(inbound) = call.inbound.as_mut() {
        inbound.source = Some(resolved.source);
    }
    let lane = resolved.candidates.first().copied().unwrap_or_default();
    let facts = bundle
        .reach
        .lanes
        .get(lane)
        .ok_or_else(|| no_keeper(bundle))?;
    let model = lane_at(bundle, lane)?.sent_model(facts, &resolved.model);
    let full = format!("models/{}", model.strip_prefix("models/").unwrap_or(model));
    let edits = NativeEdits {
        model: Some(&full),
        include_usage: false,
        rename_max_tokens: false,
    };
    Ok(Plan {
        lane,
        name: "cachedContents".to_owned(),
        model: model.to_owned(),
        body: native(&body, &envelope, edits).apply(&body),
    })
}

/// Records what was made, before the caller hears of it.
async fn record(call: &Call, bundle: &Bundle, lane: &Lane, body: &[u8]) -> Result<(), Error> {
    let name = name_of(body).ok_or_else(unreadable_answer)?;
    let gateway = &call.worker.gateway;
    let kept = gateway
        .custody
        .keep(&lane.id, &bundle.project_id, name, gateway.clock.now());
    kept.await
}

/// The name that an object of Google's gives itself.
fn name_of(json: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let named: Named = serde_json::from_slice(json).ok()?;
    Some(named.name).filter(|name| !name.is_empty())
}

fn unreadable_answer() -> Error {
    Error::new(
        Code::ProviderError,
        "the provider's answer cannot be understood",
    )
}

/// A page of a list. Only these members are shown to a project that shares the provider.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow)]
    cached_contents: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    files: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    next_page_token: Option<&'a RawValue>,
}

/// The page with the project's own entries, each as the provider wrote it.
async fn own_of(call: &Call, bundle: &Bundle, lane: &Lane, body: &[u8]) -> Result<Bytes, Error> {
    let Page {
        cached_contents,
        files,
        next_page_token,
    } = serde_json::from_slice(body).map_err(|error| unreadable_answer().because(error))?;
    let mut members = Vec::new();
    for (key, entries) in [("cachedContents", cached_contents), ("files", files)] {
        let Some(entries) = entries else { continue };
        let name = |entry: &&RawValue| name_of(entry.get().as_bytes()).unwrap_or_default();
        let names = entries.iter().map(name).collect();
        let custody = &call.worker.gateway.custody;
        let owned = custody.owned(&lane.id, &bundle.project_id, names).await?;
        let own: Vec<&str> = entries
            .iter()
            .zip(owned)
            .filter(|(_, owned)| *owned)
            .map(|(entry, _)| entry.get())
            .collect();
        if !own.is_empty() {
            members.push(format!("\"{key}\":[{}]", own.join(",")));
        }
    }
    members.extend(next_page_token.map(|token| format!("\"nextPageToken\":{token}")));
    Ok(Bytes::from(format!("{{{}}}", members.join(","))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_one_thing_or_nothing() {
        for (path, asked) in [
            ("/v1beta/cachedContents", Asked::Caches),
            (
                "/v1beta/cachedContents/a-1",
                Asked::Cache("cachedContents/a-1"),
            ),
            ("/v1beta/files", Asked::Files),
            ("/v1beta/files/a_1", Asked::File("files/a_1")),
            ("/upload/v1beta/files", Asked::Upload),
            ("/v1beta/files/", Asked::Nothing),
            ("/v1beta/files/a/b", Asked::Nothing),
            ("/v1beta/files/..", Asked::Nothing),
            ("/v1beta/files/%2e%2e", Asked::Nothing),
            ("/v1beta/files/a:download", Asked::Nothing),
        ] {
            assert_eq!(Asked::of(path), asked, "{path}");
        }
    }

    #[test]
    fn each_thing_takes_its_methods_and_no_upload() {
        let serves = |path, method: Method| {
            let methods = Asked::of(path).methods(&method);
            methods.map(|(methods, _)| methods.contains(&method))
        };
        assert_eq!(serves("/v1beta/cachedContents", Method::POST), Some(true));
        assert_eq!(
            serves("/v1beta/cachedContents", Method::DELETE),
            Some(false)
        );
        assert_eq!(
            serves("/v1beta/cachedContents/a", Method::PATCH),
            Some(true)
        );
        assert_eq!(serves("/v1beta/files/a", Method::PATCH), Some(false));
        assert_eq!(serves("/v1beta/files", Method::POST), None);
        assert_eq!(serves("/upload/v1beta/files", Method::POST), None);
        let error = not_served(Asked::Files, &Method::POST);
        assert!(error.message().contains("inlineData"), "{error}");
    }
}
