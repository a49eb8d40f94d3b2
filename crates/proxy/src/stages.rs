//! What is decided about a request before a provider is dialled, in order (data-plane 8).
//!
//! Each stage takes what the one before returned, so a wrong order does not compile. Nothing here does
//! I/O but the lookup of a key that is not held. Start at [`authenticate`].

use std::sync::Arc;

use http::HeaderMap;
use http::uri::PathAndQuery;
use lw_core::{Code, Error, NanoUsd};
use lw_crypto::digest;
use lw_engine::price::HoldBound;
use lw_engine::resolve::{Resolved, resolve};
use lw_store::rows::KeyStatus;
use lw_wire::Surface;
use lw_wire::envelope::Envelope;
use lw_wire::splice::{NativeEdits, Pieces, add_absent, native};

use crate::bundle::Bundle;
use crate::call::{Call, Dispatch, Funding, HIDDEN_INPUT_TOKENS};
use crate::custody;
use crate::foreign::{Exchange, dialect_of};
use crate::headers::presented_key;
use crate::inbound::{Addressed, unreadable};
use crate::lane::{Lane, LaneKind, Operation, Way};
use crate::signs::Signs;
use crate::worker::Gateway;

/// The longest key that is looked at, bytes (data-plane 5.1).
const KEY_BYTES: usize = 256;
/// The context window that is assumed when nobody knows it, tokens.
const ASSUMED_WINDOW: u64 = 1_000_000;

/// Finds the key and checks that it may be used now. Fails closed.
pub(crate) async fn authenticate(
    gateway: &Gateway,
    headers: &HeaderMap,
) -> Result<Arc<Bundle>, Error> {
    let presented = presented_key(headers).ok_or_else(|| {
        Error::new(Code::InvalidApiKey, "no virtual key was sent").tip(
            "Send it as `Authorization: Bearer <key>`, `x-api-key`, `api-key`, `x-goog-api-key` or \
             `xi-api-key`.",
        )
    })?;
    if presented.len() > KEY_BYTES || !presented.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::new(
            Code::InvalidApiKey,
            "the virtual key is malformed",
        ));
    }
    let digest = digest(presented);
    gateway.metrics.key_lookups.inc();
    let bundle = match gateway.keys.held(digest) {
        Some(bundle) => {
            gateway.metrics.key_hits.inc();
            bundle
        }
        None => gateway.keys.look_up(presented, &gateway.peppers).await?,
    };
    let now = gateway.clock.now();
    if bundle.grace_until.is_some_and(|until| until <= now) {
        return Err(
            Error::new(Code::InvalidApiKey, "the virtual key is not known here")
                .because("the secret before the last rotation, past its grace"),
        );
    }
    match bundle.status {
        KeyStatus::Revoked => {
            return Err(
                Error::new(Code::VirtualKeyRevoked, "the virtual key was revoked")
                    .tip("Ask an administrator for another key."),
            );
        }
        KeyStatus::Disabled => {
            return Err(
                Error::new(Code::VirtualKeyDisabled, "the virtual key is disabled")
                    .tip("An administrator can enable it again."),
            );
        }
        KeyStatus::Active => {}
    }
    if bundle.expires_at.is_some_and(|until| until <= now) {
        return Err(Error::new(
            Code::VirtualKeyExpired,
            "the virtual key is past its expiry date",
        )
        .tip("Extend the date or create another key."));
    }
    Ok(bundle)
}

/// What a provider is about to be asked.
pub(crate) struct Target {
    /// Index into the bundle's lanes.
    pub(crate) lane: usize,
    /// Where, below the row's base.
    pub(crate) path: PathAndQuery,
    /// The body to send.
    pub(crate) body: Pieces,
    /// What becomes of the answer.
    pub(crate) exchange: Exchange,
}

/// A request whose provider was chosen.
pub(crate) enum Planned {
    /// The provider speaks the caller's dialect: this is what it is sent, and whether it may name something
    /// that is kept there and has to be the project's.
    Ready(Target, bool),
    /// It has to be written in another form first.
    Foreign(Foreign),
}

/// What is left to be written for a provider that does not take the body as it is.
pub(crate) struct Foreign {
    /// Index into the bundle's lanes.
    pub(crate) lane: usize,
    /// How the lane serves the surface.
    pub(crate) way: Way,
    /// The model as it was resolved.
    pub(crate) name: String,
    /// The model as it is sent.
    pub(crate) model: String,
}

/// Reads the body's decisions, places the model, and prices the call: fills `call` with everything that
/// the admission needs.
pub(crate) fn plan(call: &mut Call, bundle: &Bundle, surface: Surface) -> Result<Planned, Error> {
    let Some(inbound) = call.inbound.as_mut() else {
        return Err(Error::new(Code::InternalError, "the request was lost").because("no inbound"));
    };
    let body = inbound.body.clone();
    let envelope = Envelope::read(&body).map_err(|error| unreadable(&error))?;
    inbound.note(&envelope);
    let addressed = inbound.addressed.clone();
    let sent = match &addressed {
        Some(addressed) => Some(addressed.model.as_str()),
        None => envelope.model.as_ref().map(|(model, _)| model.as_ref()),
    };
    let sent = sent
        .filter(|model| !model.is_empty())
        .ok_or_else(|| no_model(surface))?;
    let resolved = place(bundle, sent, surface)?;
    inbound.source = Some(resolved.source);
    let (index, lane, way, model) = choose(bundle, &resolved, surface)?;
    let guarded = lane.guards(&bundle.project_id);
    let signs = look(&body, &envelope, surface, guarded);
    call.funding = Some(fund(
        &call.worker.gateway,
        bundle,
        (lane.kind, priced_model(bundle, index, &resolved)),
        (&body, signs),
        &envelope,
        surface,
    ));
    let entropy = &*call.worker.gateway.entropy;
    let mut dispatch = Dispatch::new(index, model.to_owned(), entropy);
    let planned = if way == Way::Native {
        let edits = native_edits(bundle, lane, surface, model, sent, addressed.is_some());
        dispatch.renamed_max_tokens =
            edits.rename_max_tokens && envelope.legacy_max_tokens.is_some();
        let mut edits = native(&body, &envelope, edits);
        add_absent(&mut edits, &body, &lane.extra_body);
        if surface.is_conversation()
            && let Some(cuts) = lw_translate::seals::foreign(dialect_of(surface), &body)
        {
            edits.extend(cuts);
        }
        let target = Target {
            lane: index,
            path: lane.path(operation(surface, addressed.as_ref()), model)?,
            body: edits.apply(&body),
            exchange: Exchange::Native,
        };
        let refers = guarded && custody::may_refer(surface, envelope.refers, signs);
        Planned::Ready(target, refers)
    } else {
        Planned::Foreign(Foreign {
            lane: index,
            way,
            name: resolved.model.clone().into_owned(),
            model: model.to_owned(),
        })
    };
    call.dispatch = Some(dispatch);
    Ok(planned)
}

/// What a body shows of what has to be known of it.
fn look(body: &[u8], envelope: &Envelope<'_>, surface: Surface, guarded: bool) -> Signs {
    let wanted = match (guarded, envelope.unbounded_input) {
        // Nothing but texts and numbers stands in what becomes vectors.
        _ if surface.is_embeddings() => return Signs::default(),
        (true, _) => Signs::all(),
        (false, true) => return Signs::default(),
        (false, false) => Signs::countable(),
    };
    Signs::of(body, wanted)
}

/// The first candidate that serves the surface with this model. Fallback is not there yet: routing mode
/// `none` uses the first (data-plane 13.1).
fn choose<'a>(
    bundle: &'a Bundle,
    resolved: &'a Resolved<'_>,
    surface: Surface,
) -> Result<(usize, &'a Lane, Way, &'a str), Error> {
    let candidates = resolved.candidates.iter().copied();
    let served = candidates.filter_map(|index| {
        let (lane, facts) = bundle.lanes.get(index).zip(bundle.reach.lanes.get(index))?;
        let model = lane.sent_model(facts, &resolved.model);
        let way = lane.way(surface, &resolved.model)?;
        Some((index, &**lane, way, model))
    });
    served.into_iter().next().ok_or_else(|| {
        Error::new(
            Code::ModelNotAllowed,
            format!(
                "`{}` cannot be asked for this: {}",
                resolved.model,
                surface.path()
            ),
        )
        .with("reason", "model_not_recognized")
        .with("model", &*resolved.model)
    })
}

fn no_model(surface: Surface) -> Error {
    let (text, at) = if surface.is_gemini() {
        (
            "the URL names no model: it stands behind `/models/`",
            "model",
        )
    } else {
        (
            "the body names no model: set the top-level field `model`",
            "model",
        )
    };
    Error::new(Code::MissingModel, text)
        .at(at)
        .with("request_type", surface.request_type())
}

/// The edits of a body that goes on in its own dialect.
fn native_edits<'a>(
    bundle: &Bundle,
    lane: &Lane,
    surface: Surface,
    model: &'a str,
    sent: &str,
    addressed: bool,
) -> NativeEdits<'a> {
    NativeEdits {
        model: (model != sent && !addressed).then_some(model),
        include_usage: surface == Surface::Chat,
        rename_max_tokens: bundle.renames_max_tokens
            && surface == Surface::Chat
            && matches!(lane.kind, LaneKind::OpenAi | LaneKind::Azure)
            && ["gpt-5", "o1", "o3", "o4"]
                .iter()
                .any(|family| model.starts_with(family)),
    }
}

/// The provider's operation for a surface of its own dialect.
fn operation(surface: Surface, addressed: Option<&Addressed>) -> Operation<'_> {
    match surface {
        Surface::Chat => Operation::Chat,
        Surface::Responses => Operation::Responses,
        Surface::Embeddings => Operation::Embeddings,
        // Whether it streams stands in the body.
        Surface::Messages => Operation::Messages { stream: false },
        Surface::CountTokens => Operation::CountTokens,
        Surface::Generate | Surface::GeminiCount | Surface::GeminiEmbed | Surface::GeminiFiles => {
            Operation::Gemini(addressed.map_or("generateContent", |at| at.method.as_str()))
        }
    }
}

fn place<'a>(bundle: &'a Bundle, sent: &'a str, surface: Surface) -> Result<Resolved<'a>, Error> {
    resolve(&bundle.reach, sent, surface.path(), |index| {
        bundle
            .lanes
            .get(index)
            .is_some_and(|lane| lane.serves(surface))
    })
}

/// The model that has the price: of a call for a deployment by its own name, the model that it stands for.
fn priced_model<'a>(bundle: &'a Bundle, lane: usize, resolved: &'a Resolved<'_>) -> &'a str {
    let deployments = bundle.reach.lanes.get(lane).map(|facts| &facts.deployments);
    let asked: &str = &resolved.model;
    deployments
        .filter(|deployments| !deployments.contains_key(asked))
        .and_then(|deployments| {
            // The smallest, so that the price does not change from one start to the next.
            let stands_for = |(_, deployment): &(&String, &String)| *deployment == asked;
            deployments
                .iter()
                .filter(stands_for)
                .map(|(model, _)| model)
                .min()
        })
        .map_or(asked, String::as_str)
}

/// The most that the call may cost (data-plane 15): input bounded by the body's bytes and the context
/// window, output by the caller's cap or the model's maximum.
fn fund(
    gateway: &Gateway,
    bundle: &Bundle,
    (kind, model): (LaneKind, &str),
    (body, signs): (&[u8], Signs),
    envelope: &Envelope<'_>,
    surface: Surface,
) -> Funding {
    let snapshot = gateway.snapshot.load();
    let published = snapshot.prices.lookup(kind.as_str(), model);
    let own = bundle.own_prices.as_ref();
    let own = own.and_then(|own| own.lookup(kind.as_str(), model));
    let price = match own {
        Some(own) => Some(Arc::new(own.bounded_by(published.as_deref()))),
        None => published,
    };
    let bytes = (body.len() as u64).saturating_add(HIDDEN_INPUT_TOKENS);
    let window = price.as_ref().and_then(|price| price.context_window);
    let input_most = match surface {
        // The window bounds each input of a batch; a token of text or of a token list is a byte or more.
        Surface::Embeddings | Surface::GeminiEmbed => bytes,
        _ if envelope.unbounded_input || signs.uncountable => window.unwrap_or(ASSUMED_WINDOW),
        _ => window.map_or(bytes, |window| bytes.min(window)),
    };
    let output_cap = match surface {
        surface if surface.is_conversation() => envelope.max_output,
        _ => Some(0),
    };
    let model_most = price.as_ref().and_then(|price| price.max_output);
    let per_choice = match (output_cap, model_most) {
        (Some(cap), Some(most)) => Some(cap.min(most)),
        (cap, most) => cap.or(most),
    };
    let output_most = per_choice.map(|most| most.saturating_mul(envelope.choices));
    let hold = price.as_ref().map_or(NanoUsd::ZERO, |price| {
        price.hold(&HoldBound {
            input_tokens_max: input_most,
            output_tokens_max: output_most,
        })
    });
    Funding {
        price,
        hold,
        input_most,
        output_most,
    }
}
