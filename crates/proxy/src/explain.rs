//! What would become of a request, without asking a provider: the decisions of the way of a request, in its
//! order, each with what it was decided on.
//!
//! Uses the same stages as a request does, on a key that is compiled for the question. Must never reserve
//! money, take from a rate limit, run a guardrail or dial anybody. It reads the store, so it must not run on
//! a data thread. Start at [`explain`].

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use lw_core::{Code, Error, NanoUsd, OrganizationId, UnixMicros, VirtualKeyId};
use lw_engine::breaker::State;
use lw_engine::limit::{Ceilings, Standing, estimate};
use lw_engine::resolve::ModelSource;
use lw_governor::books::Account;
use lw_governor::limits::Subject;
use lw_wire::envelope::Envelope;

use crate::bundle::{Bundle, compile};
use crate::governed::Template;
use crate::inbound::{Addressed, Inbound, unreadable};
use crate::stages::{self, Demand, Step as Candidate};
use crate::worker::Gateway;
use crate::{attribution, budget, caching, edge, policy};

/// A request that nobody sends.
#[derive(Debug, Clone)]
pub struct Question {
    /// Path and query of a POST.
    pub path: String,
    /// Headers, names in lower case, none of them a credential.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: String,
}

/// What a decision came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The request goes on.
    Pass,
    /// It ends here.
    Refuse,
    /// The check does not apply, or a candidate is left out.
    Skip,
    /// It goes on, but somebody should look.
    Warn,
    /// A fact.
    Info,
}

/// One decision.
#[derive(Debug, Clone)]
pub struct Step {
    /// The stage of data-plane 8.
    pub stage: &'static str,
    /// What it came to.
    pub verdict: Verdict,
    /// One sentence.
    pub detail: String,
}

/// A provider that would be asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its type.
    pub provider: &'static str,
    /// Its row.
    pub model_provider_id: lw_core::ModelProviderId,
    /// The model as it would be sent.
    pub model: String,
    /// What should be known of it.
    pub note: Option<String>,
}

/// Every decision about a request.
#[derive(Debug, Clone, Default)]
pub struct Explained {
    /// In their order; the last one is the refusal, if there is one.
    pub steps: Vec<Step>,
    /// Who would be asked.
    pub asked: Vec<Asked>,
    /// Why nobody would.
    pub refusal: Option<Error>,
}

impl Explained {
    fn note(&mut self, stage: &'static str, verdict: Verdict, detail: impl Into<String>) {
        let detail = detail.into();
        self.steps.push(Step {
            stage,
            verdict,
            detail,
        });
    }

    fn refused(mut self, stage: &'static str, error: Error) -> Self {
        self.note(stage, Verdict::Refuse, error.message());
        self.asked.clear();
        self.refusal = Some(error);
        self
    }
}

/// Explains a request with the key `id`.
///
/// # Errors
/// There is no such key, or it cannot be read.
pub fn explain(
    gateway: &Gateway,
    organization: &OrganizationId,
    id: &VirtualKeyId,
    question: &Question,
) -> Result<Explained, Error> {
    let lookups = &gateway.lookups;
    let unavailable = |cause: &dyn std::fmt::Display| {
        Error::new(
            Code::AuthUpstreamUnavailable,
            "the virtual key could not be read; try again",
        )
        .because(cause)
    };
    let record = lookups.source.key_by_id(organization, id);
    let record = record.map_err(|error| unavailable(&error))?;
    let record =
        record.ok_or_else(|| Error::new(Code::VirtualKeyNotFound, "Virtual key not found."))?;
    let name = record.key.name.clone();
    let bundle = compile(record, &lookups.compiler, &lookups.shelf, &lookups.live);
    let bundle = std::sync::Arc::new(bundle.map_err(|error| unavailable(&error))?);
    let mut explained = Explained::default();
    let now = gateway.clock.now();
    if let Err(error) = stages::usable(&bundle, now) {
        return Ok(explained.refused("authentication", error));
    }
    explained.note(
        "authentication",
        Verdict::Pass,
        format!(
            "the key `{name}` ({}…) files into the project {}",
            bundle.display_prefix, bundle.project_id
        ),
    );
    Ok(decide(gateway, &bundle, question, explained, now))
}

/// A request's way, from its route to its candidates.
fn decide(
    gateway: &Gateway,
    bundle: &std::sync::Arc<Bundle>,
    question: &Question,
    mut so_far: Explained,
    now: UnixMicros,
) -> Explained {
    let path = question.path.split('?').next().unwrap_or_default();
    let Some((surface, addressed)) = edge::surface(path) else {
        let error = Error::new(
            Code::NotFound,
            format!("there is no route `{path}` for a model"),
        );
        return so_far.refused("route", error);
    };
    let headers = headers(&question.headers);
    let attribution = attribution::read(&headers);
    let body = Bytes::from(question.body.clone());
    let envelope = match Envelope::read(&body) {
        Ok(envelope) => envelope,
        Err(error) => return so_far.refused("body", unreadable(&error)),
    };
    let mut inbound = Inbound::default();
    inbound.addressed = addressed.map(|(model, method)| Addressed {
        model: model.to_owned(),
        method: method.to_owned(),
    });
    inbound.note(&envelope);
    let demand = stages::demand(&body, &envelope, surface);
    let key = &bundle.governed.key;
    so_far = match limited(gateway, &key.subject, &key.ceilings, &demand, now) {
        Limit::None => so_far,
        Limit::Room(text) => noted(so_far, "rate_limit", Verdict::Pass, text),
        Limit::Full(text) => {
            let error = Error::new(Code::KeyRateLimitExceeded, text);
            return so_far.refused("rate_limit", error);
        }
    };
    let asked = match caching::requested(&headers) {
        Ok(asked) => asked,
        Err(error) => return so_far.refused("cache", error),
    };
    if bundle.governed.rules.is_empty() {
        so_far.note("policy", Verdict::Skip, "no policy rules apply to this key");
    } else if let Err(error) = policy::walk(&bundle.governed.rules, surface, &body) {
        return so_far.refused(policy_stage(&error), error);
    } else {
        so_far.note(
            "policy",
            Verdict::Pass,
            "no rule on tools, MCP servers or URLs refuses",
        );
    }
    let placed = match stages::placed(gateway, bundle, &inbound, surface) {
        Ok(placed) => placed,
        Err(error) => return so_far.refused(model_stage(&error), error),
    };
    so_far.note(
        "model",
        Verdict::Pass,
        told_model(&inbound, &placed.model, placed.source),
    );
    let mut plan = stages::Plan {
        steps: placed.steps,
        demand,
    };
    if let Some(step) = plan.steps.first() {
        let kind = bundle
            .lanes
            .get(step.lane)
            .map_or("", |lane| lane.kind.as_str());
        let decision = caching::decide(bundle, asked, &headers, (kind, &step.name), now);
        let by = match &decision.rule_id {
            Some(rule) => format!("the rule {rule}"),
            None => format!("the {}", decision.source.as_str()),
        };
        so_far.note(
            "cache",
            Verdict::Info,
            format!("mode `{}`, decided by {by}", decision.mode.as_str()),
        );
    }
    let end_user = attribution.end_user.as_deref().or(inbound.user.as_deref());
    let own = match read_accounts(gateway, bundle, end_user, now) {
        Ok(own) => own,
        Err(error) => return so_far.refused("budget", error),
    };
    let checked = match budget::precheck(bundle, own, now) {
        Ok(checked) => checked,
        Err(error) => {
            so_far = balances(so_far, bundle.governed.accounts.iter(), now);
            return so_far.refused("budget", error);
        }
    };
    let own = checked.of_end_user.iter();
    so_far = balances(so_far, bundle.governed.accounts.iter().chain(own), now);
    if bundle.governed.accounts.is_empty() && bundle.governed.templates.is_empty() {
        so_far.note("budget", Verdict::Skip, "no budget applies to this key");
    }
    if let Err(error) = plan.narrow(bundle, &checked) {
        return so_far.refused("budget", error);
    }
    candidates(gateway, bundle, &plan, &checked, surface, so_far, now)
}

/// Reads the accounts of an end user here and now: nobody else waits for this thread.
fn read_accounts(
    gateway: &Gateway,
    bundle: &Bundle,
    end_user: Option<&str>,
    now: UnixMicros,
) -> Result<Vec<std::sync::Arc<Account>>, Error> {
    let templates = &bundle.governed.templates;
    let read = |template: &Template| {
        let end_user = end_user.ok_or_else(budget::no_end_user)?;
        template
            .read(&bundle.governed, &*gateway.lookups.source, end_user, now)
            .map_err(|error| {
                let text = "the budget of the end user cannot be read right now; try again";
                Error::new(Code::BudgetUnavailable, text).because(error)
            })
    };
    templates.iter().map(read).collect()
}

/// Asks each candidate's gate without passing it.
fn candidates(
    gateway: &Gateway,
    bundle: &Bundle,
    plan: &stages::Plan,
    checked: &budget::Checked,
    surface: lw_wire::Surface,
    mut so_far: Explained,
    now: UnixMicros,
) -> Explained {
    let mut refusal: Option<Error> = None;
    for step in &plan.steps {
        let (Some(lane), Some(governed)) = (
            bundle.lanes.get(step.lane),
            bundle.governed.lanes.get(step.lane),
        ) else {
            continue;
        };
        let kind = lane.kind.as_str();
        let shown = format!("`{kind}` ({}) with the model `{}`", lane.id, step.model);
        let mut left_out = |error: Error| {
            so_far.note(
                "candidate",
                Verdict::Skip,
                format!("{shown} is passed over: {}", error.message()),
            );
            refusal.get_or_insert(error);
        };
        let state = governed.breaker.state(now);
        if state == State::Open {
            let text = format!("the provider `{kind}` keeps failing and is left alone for a while");
            left_out(Error::new(Code::CircuitOpen, text));
            continue;
        }
        let limit = &governed.limited;
        let room = limited(gateway, &limit.subject, &limit.ceilings, &plan.demand, now);
        if let Limit::Full(text) = room {
            left_out(Error::new(Code::ProviderRateLimitExceeded, text));
            continue;
        }
        if let Err(why) = &lane.endpoint {
            let text = format!("the provider cannot be called: {why}");
            left_out(Error::new(Code::BadRequest, text));
            continue;
        }
        match holds(gateway, bundle, checked, plan, step, surface, now) {
            Err(error) => left_out(error),
            Ok(held) => {
                let mut notes = Vec::new();
                if step.substituted {
                    notes.push("stands in for the model that was asked".to_owned());
                }
                if state == State::HalfOpen {
                    notes.push("its circuit is being probed".to_owned());
                }
                let held = held.map(|held| format!("budgets hold {held} USD for it"));
                so_far.note(
                    "candidate",
                    Verdict::Pass,
                    match &held {
                        Some(held) => format!("{shown} would be asked; {held}"),
                        None => format!("{shown} would be asked"),
                    },
                );
                notes.extend(held);
                so_far.asked.push(Asked {
                    provider: kind,
                    model_provider_id: lane.id.clone(),
                    model: step.model.clone(),
                    note: (!notes.is_empty()).then(|| notes.join("; ")),
                });
            }
        }
    }
    match refusal {
        Some(error) if so_far.asked.is_empty() => so_far.refused("candidates", error),
        _ => so_far,
    }
}

/// What budgets would hold for an attempt; `None` when none applies.
fn holds(
    gateway: &Gateway,
    bundle: &Bundle,
    checked: &budget::Checked,
    plan: &stages::Plan,
    step: &Candidate,
    surface: lw_wire::Surface,
    now: UnixMicros,
) -> Result<Option<NanoUsd>, Error> {
    let (accounts, _) = checked.accounts(bundle, step.lane);
    if accounts.is_empty() || !surface.is_billed() {
        return Ok(None);
    }
    let funding = stages::fund(gateway, bundle, &plan.demand, step, surface);
    let amounts = funding.amounts();
    crate::gate::room(bundle, step, amounts, &accounts, now)?;
    Ok(amounts.map(|amounts| {
        if bundle.governed.soft {
            amounts.soft
        } else {
            amounts.strict
        }
    }))
}

enum Limit {
    None,
    Room(String),
    Full(String),
}

fn limited(
    gateway: &Gateway,
    subject: &Subject,
    ceilings: &Ceilings,
    demand: &Demand,
    now: UnixMicros,
) -> Limit {
    if ceilings.is_empty() {
        return Limit::None;
    }
    let standing = gateway.limits.standing(subject, ceilings, now);
    let Standing {
        requests,
        tokens,
        open,
    } = standing;
    let (characters, cap) = demand.counted();
    let needed = estimate(characters, cap, ceilings);
    let mut parts = Vec::new();
    let mut full = false;
    if let Some(gauge) = requests {
        full |= gauge.remaining == 0;
        parts.push(format!(
            "{} of {} requests left",
            gauge.remaining, gauge.limit
        ));
    }
    if let Some(gauge) = tokens {
        full |= gauge.remaining < needed.min(gauge.limit);
        parts.push(format!(
            "{} of {} tokens a minute left, about {needed} needed",
            gauge.remaining, gauge.limit
        ));
    }
    if let Some(most) = ceilings.concurrent.filter(|most| *most > 0) {
        full |= open >= most;
        parts.push(format!(
            "{open} of {most} requests at the same time under way"
        ));
    }
    let text = parts.join(", ");
    if full {
        Limit::Full(text)
    } else {
        Limit::Room(text)
    }
}

fn noted(mut so_far: Explained, stage: &'static str, verdict: Verdict, text: String) -> Explained {
    so_far.note(stage, verdict, text);
    so_far
}

/// What is left of each budget.
fn balances<'a>(
    mut so_far: Explained,
    accounts: impl Iterator<Item = &'a std::sync::Arc<Account>>,
    now: UnixMicros,
) -> Explained {
    for account in accounts {
        let standing = account.standing(now);
        let left = standing.limit - standing.spent - standing.reserved;
        let whose = match account.provider() {
            Some(provider) => format!(" for the provider {provider}"),
            None => String::new(),
        };
        let verdict = if standing.percent >= 80 {
            Verdict::Warn
        } else {
            Verdict::Pass
        };
        so_far.note(
            "budget",
            verdict,
            format!(
                "{} budget {} of the {} {}{whose}: {} of {} USD spent ({} %), {} held, {} left",
                account.window(),
                account.budget(),
                account.scope(),
                account.scope_id(),
                standing.spent,
                standing.limit,
                standing.percent,
                standing.reserved,
                left.max(NanoUsd::ZERO),
            ),
        );
    }
    so_far
}

fn told_model(inbound: &Inbound, model: &str, source: ModelSource) -> String {
    let sent = inbound.model.as_deref().unwrap_or_default();
    match source {
        ModelSource::Alias => format!("the alias `{sent}` stands for `{model}`"),
        ModelSource::ExplicitSlash => {
            format!("`{sent}` names its provider; the model is `{model}`")
        }
        ModelSource::Implicit => format!("`{model}` was placed by its name"),
    }
}

fn policy_stage(error: &Error) -> &'static str {
    let dimension = error.meta("dimension").and_then(|value| value.as_str());
    match dimension {
        Some("tools") => "policy_tools",
        Some("mcp") => "policy_mcp",
        Some("urls") => "policy_urls",
        _ => "policy",
    }
}

fn model_stage(error: &Error) -> &'static str {
    if error.meta("dimension").is_some() {
        "policy_models"
    } else {
        "model"
    }
}

fn headers(given: &[(String, String)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        if let (Ok(name), Ok(value)) = (
            HeaderName::try_from(name.as_str()),
            HeaderValue::try_from(value.as_str()),
        ) {
            headers.append(name, value);
        }
    }
    headers
}
