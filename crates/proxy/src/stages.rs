//! What is decided about a request before a provider is dialled, in order (data-plane 8).
//!
//! Each stage takes what the one before returned, so a wrong order does not compile. Nothing here does
//! I/O but the lookup of a key that is not held. Start at [`authenticate`].

use std::sync::Arc;

use futures_util::FutureExt as _;
use http::HeaderMap;
use http::uri::PathAndQuery;
use lw_core::{Code, Entropy, Error, NanoUsd, UnixMicros};
use lw_crypto::digest;
use lw_engine::price::HoldBound;
use lw_engine::resolve::{ModelSource, Resolved, resolve};
use lw_engine::route::{Candidate, Mode, chain};
use lw_store::rows::KeyStatus;
use lw_wire::Surface;
use lw_wire::envelope::Envelope;
use lw_wire::splice::{NativeEdits, Pieces, add_absent, native};

use crate::budget::Checked;
use crate::bundle::Bundle;
use crate::call::{Call, Dispatch, Funding, HIDDEN_INPUT_TOKENS};
use crate::foreign::{self, Exchange, dialect_of};
use crate::headers::presented_key;
use crate::inbound::{Addressed, Inbound, unreadable};
use crate::lane::{Lane, LaneKind, Operation, Way};
use crate::refusal::lost;
use crate::signs::Signs;
use crate::worker::Gateway;
use crate::{caching, custody, limit, policy};

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
    usable(&bundle, now)?;
    Ok(bundle)
}

/// Whether a key may be used now.
///
/// # Errors
/// It is revoked, disabled or past its date.
pub(crate) fn usable(bundle: &Bundle, now: UnixMicros) -> Result<(), Error> {
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
    Ok(())
}

/// What a provider is about to be asked.
pub(crate) struct Target {
    /// Where, below the row's base.
    pub(crate) path: PathAndQuery,
    /// The body to send.
    pub(crate) body: Pieces,
    /// What becomes of the answer.
    pub(crate) exchange: Exchange,
}

/// A candidate of which the body is not written yet.
#[derive(Debug)]
pub(crate) struct Step {
    /// Index into the bundle's lanes.
    pub(crate) lane: usize,
    /// How the lane serves the surface.
    pub(crate) way: Way,
    /// The model as it was resolved, or what stands for it.
    pub(crate) name: String,
    /// The model as it is sent.
    pub(crate) model: String,
    /// Whether it is another model than the caller's name resolved to.
    pub(crate) substituted: bool,
}

/// A request that was decided on: who may serve it, in order.
pub(crate) struct Plan {
    /// The candidates; never empty.
    pub(crate) steps: Vec<Step>,
    /// What bounds the cost of an attempt.
    pub(crate) demand: Demand,
}

impl Demand {
    /// What the limiter counts: characters of the request, about as many as bytes, and the cap on output.
    pub(crate) fn counted(&self) -> (u64, Option<u64>) {
        let characters = self.bytes.saturating_sub(HIDDEN_INPUT_TOKENS);
        (characters, self.output_cap.filter(|cap| *cap > 0))
    }
}

impl Plan {
    /// Takes out the candidates whose own budgets are spent, and all but the first where nothing else is
    /// considered (data-plane 13.1).
    ///
    /// # Errors
    /// Nobody is left.
    pub(crate) fn narrow(&mut self, bundle: &Bundle, checked: &Checked) -> Result<(), Error> {
        if !checked.spent.is_empty() {
            let refusal = |step: &Step| {
                let lane = bundle.lanes.get(step.lane)?;
                checked.refusal_of(&lane.id)
            };
            let first = self.steps.iter().find_map(refusal).cloned();
            self.steps.retain(|step| refusal(step).is_none());
            if let (true, Some(error)) = (self.steps.is_empty(), first) {
                return Err(error);
            }
        }
        if bundle.routing.mode == Mode::First {
            self.steps.truncate(1);
        }
        Ok(())
    }

    /// A call to the first candidate.
    pub(crate) fn first(&self, entropy: &dyn Entropy) -> Option<Dispatch> {
        let step = self.steps.first()?;
        Some(Dispatch::to(step, entropy))
    }
}

/// What a body says of how much an attempt may cost, whoever serves it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand {
    /// Bytes of the body.
    bytes: u64,
    /// Its bytes do not bound its tokens.
    uncountable: bool,
    /// The caller's own cap on output, for each choice.
    output_cap: Option<u64>,
    /// How many answers are wanted.
    choices: u64,
}

/// Reads what the body says about the request, and reserves it in the key's rate limits. Fills `call` with
/// what the record shows.
///
/// # Errors
/// The body cannot be read, or the key is over a limit.
pub(crate) fn read(call: &mut Call, bundle: &Bundle, surface: Surface) -> Result<Demand, Error> {
    let Some(inbound) = call.inbound.as_mut() else {
        return Err(lost("no inbound"));
    };
    let body = inbound.body.clone();
    let envelope = Envelope::read(&body).map_err(|error| unreadable(&error))?;
    inbound.note(&envelope);
    let demand = demand(&body, &envelope, surface);
    let gateway = &call.worker.gateway;
    call.grant = limit::take(gateway, &bundle.governed.key, demand.counted())?;
    Ok(demand)
}

/// What a body that was changed says of how much an attempt may cost.
///
/// # Errors
/// It cannot be read.
pub(crate) fn measured(call: &Call, surface: Surface) -> Result<Demand, Error> {
    let body = foreign::body_of(call);
    let envelope = Envelope::read(&body).map_err(|error| unreadable(&error))?;
    Ok(demand(&body, &envelope, surface))
}

/// Where a model was placed.
pub(crate) struct Placed {
    /// The model as it was resolved.
    pub(crate) model: String,
    /// How its name was read.
    pub(crate) source: ModelSource,
    /// Who may serve it, in order; never empty.
    pub(crate) steps: Vec<Step>,
}

/// Places the model and says who may serve it.
///
/// # Errors
/// Nobody may: no model, no provider, or a rule or list that refuses.
pub(crate) fn placed(
    gateway: &Gateway,
    bundle: &Bundle,
    inbound: &Inbound,
    surface: Surface,
) -> Result<Placed, Error> {
    let sent = inbound.model.as_deref().filter(|model| !model.is_empty());
    let sent = sent.ok_or_else(|| no_model(surface))?;
    let mut resolved = place(bundle, sent, surface)?;
    permitted(bundle, &mut resolved)?;
    let steps = steps(gateway, bundle, &resolved, surface)?;
    Ok(Placed {
        model: resolved.model.into_owned(),
        source: resolved.source,
        steps,
    })
}

/// [`placed`] for a request, of which the record shows how the name was read.
pub(crate) fn plan(
    call: &mut Call,
    bundle: &Bundle,
    surface: Surface,
    demand: Demand,
) -> Result<Plan, Error> {
    let Some(inbound) = call.inbound.as_mut() else {
        return Err(lost("no inbound"));
    };
    let placed = placed(&call.worker.gateway, bundle, inbound, surface)?;
    inbound.source = Some(placed.source);
    Ok(Plan {
        steps: placed.steps,
        demand,
    })
}

/// Leaves the candidates that the rules on models let serve the resolved model (stage 10).
pub(crate) fn permitted(bundle: &Bundle, resolved: &mut Resolved<'_>) -> Result<(), Error> {
    let rules = &bundle.governed.rules;
    if rules.is_empty() {
        return Ok(());
    }
    let mut refusal = None;
    let model = &resolved.model;
    resolved.candidates.retain(|index| {
        let kind = bundle
            .reach
            .lanes
            .get(*index)
            .map_or("", |facts| &facts.kind);
        let judged = policy::model(rules, kind, model);
        let passes = judged.is_ok();
        refusal = refusal.take().or(judged.err());
        passes
    });
    match refusal {
        Some(error) if resolved.candidates.is_empty() => Err(error),
        _ => Ok(()),
    }
}

/// Writes what the candidate is to be asked. May look up owners of what is kept at the provider, and fetch
/// what the provider cannot fetch itself.
///
/// # Errors
/// The body cannot be written for this provider, or names what is not the project's.
pub(crate) async fn target(
    call: &mut Call,
    bundle: &Bundle,
    surface: Surface,
    step: &Step,
    betas: impl FnOnce() -> Vec<String>,
) -> Result<Target, Error> {
    let lane = bundle.lanes.get(step.lane).ok_or_else(|| lost("no lane"))?;
    let guarded = lane.guards(&bundle.project_id);
    if step.way == Way::Native {
        let (target, refers) = native_target(call, bundle, lane, surface, step, guarded)?;
        if refers {
            // Boxed: few requests name what is kept at a provider.
            let body = foreign::body_of(call);
            custody::check(call, lane, &body).boxed().await?;
        }
        return Ok(target);
    }
    // Boxed: translating is rarer than passing on, and its state is large.
    let target = foreign::outgoing(call, bundle, surface, step, betas())
        .boxed()
        .await?;
    if guarded {
        custody::check_written(call, lane, &target).boxed().await?;
    }
    Ok(target)
}

/// The body with the few edits of a lane that takes it as it is, and whether it may name something that is
/// kept at the provider.
fn native_target(
    call: &mut Call,
    bundle: &Bundle,
    lane: &Lane,
    surface: Surface,
    step: &Step,
    guarded: bool,
) -> Result<(Target, bool), Error> {
    let Some(inbound) = call.inbound.as_ref() else {
        return Err(lost("no inbound"));
    };
    let body = inbound.body.clone();
    let addressed = inbound.addressed.as_ref();
    let path = lane.path(operation(surface, addressed), &step.model)?;
    let envelope = Envelope::read(&body).map_err(|error| unreadable(&error))?;
    let sent = inbound.model.as_deref().unwrap_or_default();
    let edits = native_edits(
        bundle,
        lane,
        surface,
        &step.model,
        sent,
        addressed.is_some(),
    );
    if let Some(dispatch) = call.dispatch.as_mut() {
        dispatch.renamed_max_tokens =
            edits.rename_max_tokens && envelope.legacy_max_tokens.is_some();
    }
    let mut edits = native(&body, &envelope, edits);
    edits.extend(caching::edits(call.cache.mode, surface, lane, &body));
    add_absent(&mut edits, &body, &lane.extra_body);
    if surface.is_conversation()
        && let Some(cuts) = lw_translate::seals::foreign(dialect_of(surface), &body)
    {
        edits.extend(cuts);
    }
    let refers = guarded && {
        let signs = if surface.is_embeddings() {
            Signs::default()
        } else {
            Signs::of(&body, Signs::all())
        };
        custody::may_refer(surface, envelope.refers, signs)
    };
    let target = Target {
        path,
        body: edits.apply(&body),
        exchange: Exchange::Native,
    };
    Ok((target, refers))
}

/// What bounds the cost of an attempt, as far as the body tells.
pub(crate) fn demand(body: &[u8], envelope: &Envelope<'_>, surface: Surface) -> Demand {
    // Nothing but texts and numbers stands in what becomes vectors.
    let uncountable = !surface.is_embeddings()
        && (envelope.unbounded_input || Signs::of(body, Signs::countable()).uncountable);
    Demand {
        bytes: (body.len() as u64).saturating_add(HIDDEN_INPUT_TOKENS),
        uncountable,
        output_cap: match surface {
            surface if surface.is_conversation() => envelope.max_output,
            _ => Some(0),
        },
        choices: envelope.choices,
    }
}

/// The candidates that serve the surface with their model (data-plane 13.1, 13.4).
fn steps(
    gateway: &Gateway,
    bundle: &Bundle,
    resolved: &Resolved<'_>,
    surface: Surface,
) -> Result<Vec<Step>, Error> {
    let chain = chain(
        &bundle.reach,
        &bundle.routing,
        &gateway.equivalents,
        resolved,
        surface.is_conversation(),
        |index| serves(bundle, index, surface),
        |kind, model| policy::model(&bundle.governed.rules, kind, model).is_ok(),
    );
    let step = |candidate: Candidate<'_>| {
        let index = candidate.lane;
        let (lane, facts) = bundle.lanes.get(index).zip(bundle.reach.lanes.get(index))?;
        let way = lane.way(surface, &candidate.model)?;
        Some(Step {
            lane: index,
            way,
            model: lane.sent_model(facts, &candidate.model).to_owned(),
            name: candidate.model.into_owned(),
            substituted: candidate.substituted,
        })
    };
    let steps: Vec<Step> = chain.into_iter().filter_map(step).collect();
    if steps.is_empty() {
        return Err(Error::new(
            Code::ModelNotAllowed,
            format!(
                "`{}` cannot be asked for this: {}",
                resolved.model,
                surface.path()
            ),
        )
        .with("reason", "model_not_recognized")
        .with("model", &*resolved.model));
    }
    Ok(steps)
}

fn serves(bundle: &Bundle, index: usize, surface: Surface) -> bool {
    let lane = bundle.lanes.get(index);
    lane.is_some_and(|lane| lane.serves(surface))
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
        serves(bundle, index, surface)
    })
}

/// The model that has the price: of a call for a deployment by its own name, the model that it stands for.
fn priced_model<'a>(bundle: &'a Bundle, step: &'a Step) -> &'a str {
    let facts = bundle.reach.lanes.get(step.lane);
    let deployments = facts.map(|facts| &facts.deployments);
    let asked: &str = &step.name;
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

/// The most that an attempt may cost (data-plane 15): input bounded by the body's bytes and the context
/// window, output by the caller's cap or the model's maximum.
pub(crate) fn fund(
    gateway: &Gateway,
    bundle: &Bundle,
    demand: &Demand,
    step: &Step,
    surface: Surface,
) -> Funding {
    let kind = bundle
        .lanes
        .get(step.lane)
        .map_or("", |lane| lane.kind.as_str());
    let model = priced_model(bundle, step);
    let snapshot = gateway.snapshot.load();
    let published = snapshot.prices.lookup(kind, model);
    let own = bundle.own_prices.as_ref();
    let own = own.and_then(|own| own.lookup(kind, model));
    let price = match own {
        Some(own) => Some(Arc::new(own.bounded_by(published.as_deref()))),
        None => published,
    };
    let bytes = demand.bytes;
    let window = price.as_ref().and_then(|price| price.context_window);
    let input_most = match surface {
        // The window bounds each input of a batch; a token of text or of a token list is a byte or more.
        Surface::Embeddings | Surface::GeminiEmbed => bytes,
        _ if demand.uncountable => window.unwrap_or(ASSUMED_WINDOW),
        _ => window.map_or(bytes, |window| bytes.min(window)),
    };
    let model_most = price.as_ref().and_then(|price| price.max_output);
    let per_choice = match (demand.output_cap, model_most) {
        (Some(cap), Some(most)) => Some(cap.min(most)),
        (cap, most) => cap.or(most),
    };
    let output_most = per_choice.map(|most| most.saturating_mul(demand.choices));
    let governed = &bundle.governed;
    let budgeted = !governed.accounts.is_empty() || !governed.templates.is_empty();
    let usual_output = gateway.settings.governance.usual_output_tokens;
    let usual_output = usual_output.min(per_choice.unwrap_or(u64::MAX));
    let usual_tokens = (
        input_most.min(bytes.div_ceil(4)),
        usual_output.saturating_mul(demand.choices),
    );
    let usual = price.as_ref().filter(|_| budgeted).map(|price| {
        price.hold(&HoldBound {
            input_tokens_max: usual_tokens.0,
            output_tokens_max: Some(usual_tokens.1),
        })
    });
    let hold = price.as_ref().map_or(NanoUsd::ZERO, |price| {
        price.hold(&HoldBound {
            input_tokens_max: input_most,
            output_tokens_max: output_most,
        })
    });
    Funding {
        price,
        usual: usual.unwrap_or(hold).min(hold),
        usual_tokens,
        hold,
        input_most,
        output_most,
    }
}
