//! Requests whose provider does not take the caller's body as it is: translated, or edited for another
//! cloud (providers 13 to 19).
//!
//! Native lanes never come here. Must never drop anything silently: what was left out goes into
//! [`Dispatch::dropped`](crate::call::Dispatch). Start at [`outgoing`].

use bytes::Bytes;
use lw_core::{Code, Error};
use lw_engine::cache_rule::CacheMode;
use lw_translate::messages::Door;
use lw_translate::models::Family;
use lw_translate::{Caller, Dialect, Outgoing, Problem, Target as For};
use lw_wire::Surface;
use lw_wire::splice::{Edits, Pieces, add_absent};

use crate::bundle::Bundle;
use crate::call::Call;
use crate::lane::{Lane, LaneKind, Operation, Way};
use crate::stages::{Step, Target};
use crate::{caching, counting, fetch, vectors};

/// What becomes of a provider's answer.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// It is passed on as it comes.
    Native,
    /// The same, from another cloud than the one whose dialect it is: the caller's query string is not for it.
    Near,
    /// Its frames are taken out of the cloud's own framing; what is inside is passed on.
    Unframed,
    /// It is written in the caller's dialect.
    Translated(Box<Translation>),
    /// Vectors, gathered from one or several calls.
    Vectors(Box<vectors::Gathering>),
    /// A number of tokens.
    Counted(counting::Counting),
    /// One of several calls of ours: somebody else reads the answer.
    Part,
}

impl Exchange {
    /// Whether the provider's bytes are what the caller gets.
    pub(crate) const fn is_native(&self) -> bool {
        matches!(self, Self::Native | Self::Near)
    }

    /// Whether the caller's query string is the provider's to read. Google refuses parameters that it does
    /// not know, such as the `beta` of coding tools.
    pub(crate) const fn takes_query(&self) -> bool {
        matches!(self, Self::Native)
    }
}

/// How an answer is translated.
#[derive(Debug)]
pub(crate) struct Translation {
    /// The provider's dialect.
    pub(crate) from: Dialect,
    /// The caller's.
    pub(crate) to: Dialect,
    /// Frames of AWS around it.
    pub(crate) framed: Framed,
    /// What the writer knows of the request.
    pub(crate) caller: Caller,
    /// What `anthropic-beta` must have.
    pub(crate) betas: Vec<String>,
}

/// The cloud's framing around a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framed {
    /// None: server-sent events.
    No,
    /// AWS frames with events of Converse.
    Converse,
    /// AWS frames with events of Anthropic in base64.
    Invoke,
}

/// The dialect of a caller on a surface that is a conversation.
pub(crate) const fn dialect_of(surface: Surface) -> Dialect {
    match surface {
        Surface::Responses => Dialect::Responses,
        Surface::Messages | Surface::CountTokens => Dialect::Messages,
        Surface::Generate | Surface::GeminiCount | Surface::GeminiEmbed | Surface::GeminiFiles => {
            Dialect::Gemini
        }
        Surface::Chat | Surface::Embeddings => Dialect::Chat,
    }
}

/// Writes the request for its provider. May fetch what the provider cannot fetch itself.
///
/// # Errors
/// The caller's body is not usable, or has something that the provider cannot be given.
pub(crate) async fn outgoing(
    call: &mut Call,
    bundle: &Bundle,
    surface: Surface,
    step: &Step,
    betas: Vec<String>,
) -> Result<Target, Error> {
    let Some(lane) = bundle.lanes.get(step.lane) else {
        return Err(Error::new(Code::InternalError, "the request was lost").because("no lane"));
    };
    match step.way {
        Way::Embeddings => vectors::outgoing(call, lane, surface, step),
        Way::Count => counting::outgoing(call, lane, surface, step).await,
        Way::Claude => near_native(call, lane, step, &betas),
        Way::Translated(to) => translated(call, lane, surface, step, to).await,
        Way::TranslatedClaude => translated(call, lane, surface, step, Dialect::Messages).await,
        Way::Native => Err(Error::new(Code::InternalError, "the request was lost")
            .because("a native lane came to be translated")),
    }
}

/// The version that Claude's body names on another cloud.
const fn anthropic_version(kind: LaneKind) -> &'static str {
    match kind {
        LaneKind::Bedrock => "bedrock-2023-05-31",
        _ => "vertex-2023-10-16",
    }
}

/// The caller's body.
pub(crate) fn body_of(call: &Call) -> Bytes {
    call.inbound
        .as_ref()
        .map(|inbound| inbound.body.clone())
        .unwrap_or_default()
}

/// The caller's body with its prompt-cache directives as `mode` wants them.
fn cache_edited(call: &Call, lane: &Lane, surface: Surface, mode: CacheMode) -> Bytes {
    let body = body_of(call);
    let edits = caching::edits(mode, surface, lane, &body);
    if edits.is_empty() {
        return body;
    }
    edits.apply(&body).into_inner().concat().into()
}

fn streams(call: &Call) -> bool {
    call.inbound.as_ref().is_some_and(|inbound| inbound.stream)
}

/// Claude on another cloud, called in its own dialect: a few edits, no translation.
fn near_native(call: &Call, lane: &Lane, step: &Step, betas: &[String]) -> Result<Target, Error> {
    let stream = streams(call);
    let mut body = cache_edited(call, lane, Surface::Messages, call.cache.mode);
    if let Some(cuts) = lw_translate::seals::foreign(Dialect::Messages, &body) {
        body = cuts.apply(&body).into_inner().concat().into();
    }
    let body = edited_claude(lane.kind, &body, betas)?;
    Ok(Target {
        path: lane.path(Operation::Messages { stream }, &step.model)?,
        body: with_extras(lane, body),
        exchange: match lane.kind {
            LaneKind::Bedrock if stream => Exchange::Unframed,
            _ => Exchange::Near,
        },
    })
}

fn edited_claude(kind: LaneKind, body: &[u8], betas: &[String]) -> Result<Vec<u8>, Error> {
    let door = match kind {
        LaneKind::Bedrock => Door::BedrockInvoke,
        _ => Door::Vertex,
    };
    lw_translate::messages::near_native(body, door, anthropic_version(kind), betas)
        .map_err(|problem| refusal(&problem))
}

async fn translated(
    call: &mut Call,
    lane: &Lane,
    surface: Surface,
    step: &Step,
    to: Dialect,
) -> Result<Target, Error> {
    let from = dialect_of(surface);
    let claude = to == Dialect::Messages || Family::of(&step.model).is_claude();
    let cache = caching::written(call.cache.mode, to, claude);
    let body = match from {
        Dialect::Messages => cache_edited(call, lane, surface, cache),
        _ => body_of(call),
    };
    let mut request =
        lw_translate::read_request(from, &body).map_err(|problem| refusal(&problem))?;
    request.cache_wish = caching::wish(cache, from, &body);
    let stream = streams(call);
    request.stream = stream;
    inlined(call, &mut request, to).await?;
    let mut caller = Caller::of(&request);
    let target = For {
        provider: lane.kind.as_str(),
        model: &step.model,
        name: &step.name,
        max_output: max_output(call),
    };
    let Outgoing {
        body,
        dropped,
        betas,
        json_tool,
    } = lw_translate::write_request(to, request, &target).map_err(|problem| refusal(&problem))?;
    caller.json_tool = json_tool;
    caller.dropped.clone_from(&dropped);
    caller.model = shown_model(call, &step.name);
    caller.request_hex = String::from_utf8_lossy(&call.request_id.to_ascii())
        .trim_start_matches("req_")
        .to_owned();
    caller.created = u64::try_from(call.worker.gateway.clock.now().seconds()).unwrap_or(0);
    if let Some(dispatch) = call.dispatch.as_mut() {
        dispatch.dropped = dropped;
    }
    let (operation, body) = match (to, step.way) {
        (Dialect::Messages, Way::TranslatedClaude) => (
            Operation::Messages { stream },
            edited_claude(lane.kind, &body, &betas)?,
        ),
        (Dialect::Chat, _) => (Operation::Chat, body),
        (Dialect::Responses, _) => (Operation::Responses, body),
        (Dialect::Messages, _) => (Operation::Messages { stream }, body),
        (Dialect::Gemini, _) if stream => {
            (Operation::Gemini("streamGenerateContent?alt=sse"), body)
        }
        (Dialect::Gemini, _) => (Operation::Gemini("generateContent"), body),
        (Dialect::Converse, _) => (Operation::Converse { stream }, body),
    };
    Ok(Target {
        path: lane.path(operation, &step.model)?,
        body: with_extras(lane, body),
        exchange: Exchange::Translated(Box::new(Translation {
            from: to,
            to: from,
            framed: match (lane.kind, to) {
                (LaneKind::Bedrock, Dialect::Messages) => Framed::Invoke,
                (LaneKind::Bedrock, _) => Framed::Converse,
                _ => Framed::No,
            },
            caller,
            betas: if step.way == Way::TranslatedClaude {
                Vec::new()
            } else {
                betas
            },
        })),
    })
}

/// Fetches what a provider of dialect `to` cannot fetch itself and puts it into the request.
///
/// # Errors
/// Something cannot be had.
pub(crate) async fn inlined(
    call: &Call,
    request: &mut lw_translate::ir::Request,
    to: Dialect,
) -> Result<(), Error> {
    let remote = request.remote_sources(to);
    if remote.is_empty() {
        return Ok(());
    }
    for fetched in fetch::all(&call.worker, remote).await? {
        request.inline(&fetched.url, &fetched.media_type, &fetched.base64);
    }
    Ok(())
}

fn max_output(call: &Call) -> Option<u64> {
    call.funding.as_ref()?.price.as_ref()?.max_output
}

/// The model as the answer names it: the caller's own word when that is a plain name (data-plane 12.2).
pub(crate) fn shown_model(call: &Call, resolved: &str) -> String {
    let sent = call
        .inbound
        .as_ref()
        .and_then(|inbound| inbound.model.as_deref())
        .filter(|sent| !sent.contains('/'));
    sent.unwrap_or(resolved).to_owned()
}

/// The body with what the row adds to every body (providers 3, `extra_body`).
pub(crate) fn with_extras(lane: &Lane, body: Vec<u8>) -> Pieces {
    let body = Bytes::from(body);
    let mut edits = Edits::default();
    add_absent(&mut edits, &body, &lane.extra_body);
    edits.apply(&body)
}

/// A translator's refusal as the caller's error.
pub(crate) fn refusal(problem: &Problem) -> Error {
    match problem {
        Problem::Bad { message, param } => {
            let error = Error::new(Code::BadRequest, message.clone());
            if param.is_empty() {
                error
            } else {
                error.at(param.clone())
            }
        }
        Problem::Unsupported { param, message } => {
            Error::new(Code::UnsupportedParameter, message.clone()).at(param.clone())
        }
    }
}
