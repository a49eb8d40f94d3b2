//! Why a request was served as it was, or refused: the record on its trace (management-api 28.4 explains
//! requests in the same words).
//!
//! Data threads keep compact facts ([`Notes`], and what the stages leave in the call anyway). The texts are
//! written here, on the traces thread. A request of a key without any policy leaves two: how its model was
//! read, and the attempt that answered. Must never show what callers may not see: a credential, the log's
//! text of an error, a pattern of an allow-list. Start at [`Seen::decisions`].

mod attempts;
mod stage;

#[cfg(test)]
mod tests;

use lw_core::{Error, NanoUsd, UnixMicros};
use lw_engine::cache_rule::{self, CacheMode, CacheSource};
use lw_engine::limit::{Ceilings, Standing};
use lw_engine::resolve::ModelSource;
use lw_engine::rules::{self, Dimension, Rules};
use lw_governor::books::{self, Account};
use lw_store::trace::{CacheControl, Decision, Governance, Violated};

pub(crate) use self::stage::Stage;
use crate::budget::Checked;
use crate::bundle::Bundle;
use crate::call::{Dispatch, Tried};
use crate::guarded;
use crate::guardrail::Direction;
use crate::inbound::Inbound;

/// What the stages note of a request beyond what it needs itself.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// What was left of the key's ceilings, the request counted; `None` when it has none.
    pub(crate) standing: Option<Standing>,
    /// Candidates that the walk had.
    pub(crate) candidates: usize,
}

/// What a decision came to, as `lw_store::trace::Decision` spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The request went on.
    Pass,
    /// It ended here.
    Refuse,
    /// A candidate was left out.
    Skip,
    /// It went on, but somebody should look.
    Warn,
    /// A fact.
    Info,
}

impl Verdict {
    /// The word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Refuse => "refuse",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Info => "info",
        }
    }
}

/// What is known of a request when it is over.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// Its key.
    pub(crate) bundle: &'a Bundle,
    /// What its body said.
    pub(crate) inbound: &'a Inbound,
    /// What is done about the provider's prompt cache.
    pub(crate) cache: &'a cache_rule::Decision,
    /// Its budgets before the walk.
    pub(crate) checked: &'a Checked,
    /// What guardrails did.
    pub(crate) guardrails: &'a guarded::Facts,
    /// What else the stages noted.
    pub(crate) notes: &'a Notes,
    /// Attempts and passed-over candidates before the last one.
    pub(crate) tried: &'a [Tried],
    /// The last attempt, and the microseconds that it took.
    pub(crate) last: Option<(&'a Dispatch, u64)>,
    /// The error of ours that ended it.
    pub(crate) refusal: Option<&'a Error>,
    /// `langwatch.status`.
    pub(crate) word: &'a str,
    /// When it ended.
    pub(crate) ended: UnixMicros,
}

impl Seen<'_> {
    /// The decisions in their order; the last one is the refusal if there is one.
    pub(crate) fn decisions(&self) -> Vec<Decision> {
        let mut out = Vec::with_capacity(2);
        let stopped = self.stopped_at();
        let passed = |stage: Stage| stopped.is_none_or(|stopped| stage < stopped);
        if passed(Stage::RateLimit) {
            self.limits(&mut out);
        }
        for stage in [Stage::PolicyTools, Stage::PolicyMcp, Stage::PolicyUrls] {
            if passed(stage) {
                self.rules(stage, &mut out);
            }
        }
        if passed(Stage::Model) {
            self.model(&mut out);
        }
        if passed(Stage::PolicyModels) {
            self.rules(Stage::PolicyModels, &mut out);
        }
        if passed(Stage::Cache) {
            self.cache(&mut out);
        }
        self.budgets(passed(Stage::Budget), &mut out);
        let asked = self.last.is_some() || !self.tried.is_empty();
        if passed(Stage::Guardrail) || asked {
            self.guardrails(Direction::Request, &mut out);
        }
        self.attempts(&mut out);
        if asked {
            self.guardrails(Direction::Response, &mut out);
            self.guardrails(Direction::StreamChunk, &mut out);
        }
        if let (Some(error), Some(stage)) = (self.refusal, stopped) {
            tell(&mut out, stage, Verdict::Refuse, self.refused(error));
        }
        out
    }

    /// Where the gateway ended the request.
    fn stopped_at(&self) -> Option<Stage> {
        let dispatched = self.last.is_some() || !self.tried.is_empty();
        self.refusal.map(|error| Stage::of(error, dispatched))
    }

    /// What is left of the key's ceilings.
    fn limits(&self, out: &mut Vec<Decision>) {
        let ceilings = &self.bundle.governed.key.ceilings;
        if let Some(standing) = self.notes.standing.filter(|_| !ceilings.is_empty()) {
            tell(
                out,
                Stage::RateLimit,
                Verdict::Pass,
                left(ceilings, &standing),
            );
        }
    }

    /// A kind of rule that had nothing against the request.
    fn rules(&self, stage: Stage, out: &mut Vec<Decision>) {
        let Some(dimension) = stage.dimension() else {
            return;
        };
        if judges(&self.bundle.governed.rules, dimension) {
            let detail = format!("policy_rules.{dimension} has nothing against it");
            tell(out, stage, Verdict::Pass, detail);
        }
    }

    /// How the model's name was read.
    fn model(&self, out: &mut Vec<Decision>) {
        let (Some(sent), Some(source)) = (self.inbound.model.as_deref(), self.inbound.source)
        else {
            return;
        };
        let alias = || self.bundle.reach.aliases.get(sent);
        let detail = match (source, alias()) {
            (ModelSource::Alias, Some(target)) => format!("`{sent}` is an alias of `{target}`"),
            (ModelSource::ExplicitSlash, _) => format!("`{sent}` names its provider"),
            (ModelSource::Alias | ModelSource::Implicit, _) => {
                format!("`{sent}` is asked by its own name")
            }
        };
        tell(out, Stage::Model, Verdict::Info, detail);
    }

    /// What is done about the prompt cache, when anybody said something.
    fn cache(&self, out: &mut Vec<Decision>) {
        let cache_rule::Decision {
            mode,
            source,
            rule_id,
            rule_priority,
            salt: _,
        } = self.cache;
        let why = match (source, rule_id) {
            (CacheSource::Default, _) => return,
            (CacheSource::Header, _) => "the header asks for it".to_owned(),
            (CacheSource::Key, _) => "the key is set so".to_owned(),
            (CacheSource::Rule, id) => format!(
                "by the rule {} of priority {}",
                id.as_deref().unwrap_or_default(),
                rule_priority.unwrap_or_default()
            ),
        };
        let lifetime = match mode {
            CacheMode::Force { ttl: Some(seconds) } => format!(" for {seconds} s"),
            _ => String::new(),
        };
        let detail = format!("`{}`{lifetime}, {why}", mode.as_str());
        tell(out, Stage::Cache, Verdict::Info, detail);
    }

    /// Budgets that are nearly spent, and that the others are not.
    fn budgets(&self, passed: bool, out: &mut Vec<Decision>) {
        for (account, standing) in &self.checked.near {
            let spent = account.provider().filter(|id| self.is_spent(id.as_str()));
            let (verdict, effect) = match spent {
                Some(_) => (Verdict::Skip, "; the provider is left out"),
                None => (Verdict::Warn, ""),
            };
            let detail = format!("{}: {}{effect}", place(account), figures(standing));
            tell(out, Stage::Budget, verdict, detail);
        }
        let governed = &self.bundle.governed;
        let all = governed.accounts.iter().len() + self.checked.of_end_user.len();
        let quiet = all.saturating_sub(self.checked.near.len());
        if passed && quiet > 0 {
            let detail = match quiet {
                1 => "1 budget is spent to less than 80 %".to_owned(),
                more => format!("{more} budgets are spent to less than 80 %"),
            };
            tell(out, Stage::Budget, Verdict::Pass, detail);
        }
    }

    /// What the guardrails of a direction came to, but for a block: that is the refusal.
    fn guardrails(&self, direction: Direction, out: &mut Vec<Decision>) {
        let guarded::Facts {
            fail_open,
            verdicts,
            post_skipped,
            post_flag,
            ..
        } = self.guardrails;
        let subject = direction.subject();
        let failed = fail_open.iter().find(|(at, _)| *at == direction);
        let said = |word: &str| {
            let mut said = verdicts.iter();
            said.any(|(at, verdict)| *at == direction && *verdict == word)
        };
        if let Some((_, reason)) = failed {
            let detail = format!("the {subject} went on although a check failed: {reason}");
            tell(out, Stage::Guardrail, Verdict::Warn, detail);
        }
        if said("modify") {
            let detail = format!("the {subject} was changed");
            tell(out, Stage::Guardrail, Verdict::Info, detail);
        } else if direction == Direction::Request && said("allow") && failed.is_none() {
            let detail = format!("the {subject} may pass");
            tell(out, Stage::Guardrail, Verdict::Pass, detail);
        }
        if direction == Direction::Response {
            if let Some(why) = post_skipped {
                let detail = format!("the {subject} was not checked: {why}");
                tell(out, Stage::Guardrail, Verdict::Skip, detail);
            }
            if let Some(flag) = post_flag {
                let detail = format!("the stream that had gone out would not have passed: {flag}");
                tell(out, Stage::Guardrail, Verdict::Warn, detail);
            }
        }
    }

    fn is_spent(&self, provider: &str) -> bool {
        let mut spent = self.checked.spent.iter();
        spent.any(|(id, _)| id.as_str() == provider)
    }

    /// The text of a refusal, with what is known beyond what the caller was told.
    fn refused(&self, error: &Error) -> String {
        let row = error.code().row();
        let mut text = format!("{} {}: {}", row.status, row.name, error.message());
        if let Some(pattern) = fact(error, "pattern") {
            text.push_str(&format!(" The pattern is `{pattern}`."));
        }
        let budget = fact(error, "budget_id");
        let account = budget.and_then(|id| self.account(id, fact(error, "budget_scope")));
        if let Some(account) = account {
            let figures = figures(&account.standing(self.ended));
            text.push_str(&format!(" ({}: {figures})", account.budget()));
        }
        text
    }

    /// The account of a budget that the request counts toward.
    fn account(&self, budget: &str, scope: Option<&str>) -> Option<&Account> {
        let of_key = self.bundle.governed.accounts.iter();
        let mut all = of_key.chain(&self.checked.of_end_user);
        let found = all.find(|account| {
            account.budget().as_str() == budget && scope.is_none_or(|word| word == account.scope())
        });
        found.map(|account| &**account)
    }

    /// What the attributes of the span are made of.
    pub(crate) fn governance(&self) -> Governance {
        let refusal = |key: &str| fact(self.refusal?, key).map(str::to_owned);
        let held = self.last.iter().map(|(dispatch, _)| *dispatch);
        let held = held.chain(self.tried.iter().map(|tried| &tried.dispatch));
        let budgets = held.filter_map(|dispatch| Some(dispatch.held?.1)).max();
        let warning = self.checked.warning.as_ref();
        Governance {
            policy: self.refusal.and_then(violated),
            policy_broken: self.refusal.and_then(broken),
            rate_limit: self
                .refusal
                .filter(|error| error.status() == 429)
                .and_then(|_| refusal("dimension")),
            cache: cache_control(self.cache),
            budgets: u32::try_from(budgets.unwrap_or_default()).unwrap_or(u32::MAX),
            budget_warnings: warning.and_then(|text| Some(text.to_str().ok()?.to_owned())),
            budget_blocked: refusal("budget_scope")
                .zip(refusal("budget_window"))
                .map(|(scope, window)| format!("{scope}:{window}")),
        }
    }
}

/// Adds a decision.
fn tell(out: &mut Vec<Decision>, stage: Stage, verdict: Verdict, detail: String) {
    out.push(Decision {
        stage: stage.as_str().into(),
        outcome: verdict.as_str().into(),
        detail,
    });
}

/// A fact that a refusal tells, when it is a text.
fn fact<'a>(error: &'a Error, key: &str) -> Option<&'a str> {
    error.meta(key).and_then(|value| value.as_str())
}

/// The rule that refuses with this error; `None` for other errors.
pub(crate) fn violated(error: &Error) -> Option<Violated> {
    let dimension = fact(error, "dimension")?;
    let dimension = Dimension::ALL
        .into_iter()
        .find(|one| one.name() == dimension)?;
    let noun = match dimension {
        Dimension::Tools => "tool",
        Dimension::Mcp => "mcp_server",
        Dimension::Urls => "url",
        Dimension::Models => "model",
    };
    Some(Violated {
        kind: dimension.name().to_owned(),
        pattern: fact(error, "pattern").map(str::to_owned),
        value: fact(error, noun)?.to_owned(),
    })
}

/// `<dimension>:<list>` of a rule that refuses because it cannot be enforced.
fn broken(error: &Error) -> Option<String> {
    let is_broken = error.code() == lw_core::Code::PolicyRulesInvalidRegex;
    let (dimension, list) = (fact(error, "dimension")?, fact(error, "list")?);
    is_broken.then(|| format!("{dimension}:{list}"))
}

fn cache_control(decision: &cache_rule::Decision) -> Option<CacheControl> {
    let cache_rule::Decision {
        mode,
        source,
        rule_id,
        rule_priority,
        salt: _,
    } = decision;
    (*source != CacheSource::Default).then(|| CacheControl {
        mode: mode.as_str().into(),
        source: source.as_str().into(),
        rule_id: rule_id.as_deref().map(str::to_owned),
        rule_priority: *rule_priority,
    })
}

/// Whether there are rules about `dimension`, none of them broken.
fn judges(rules: &Rules, dimension: Dimension) -> bool {
    let stage = match dimension {
        Dimension::Tools | Dimension::Mcp | Dimension::Urls => rules::Stage::Body,
        Dimension::Models => rules::Stage::Models,
    };
    matches!(rules.stage(stage), Ok(Some(judge)) if judge.has(dimension))
}

/// `59 of 60 requests and 39000 of 40000 tokens are left, 1 of 5 is under way`.
fn left(ceilings: &Ceilings, standing: &Standing) -> String {
    let Standing {
        requests,
        tokens,
        open,
    } = standing;
    let gauge = |gauge: &Option<lw_engine::limit::Gauge>, noun: &str| {
        let gauge = gauge.as_ref()?;
        Some(format!(
            "{} of {} {noun} left",
            gauge.remaining, gauge.limit
        ))
    };
    let places = ceilings.concurrent.filter(|most| *most > 0);
    let parts = [
        gauge(requests, "requests"),
        gauge(tokens, "tokens"),
        places.map(|most| format!("{open} of {most} at the same time")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(", ")
}

/// `the month budget of the team budget_1`, as refusals call it, with its id.
fn place(account: &Account) -> String {
    format!(
        "the {} budget {} of the {}",
        account.window(),
        account.budget(),
        account.scope()
    )
}

/// `91 %, $4.55 spent and $0.1 held of $5`.
fn figures(standing: &books::Standing) -> String {
    let books::Standing {
        limit,
        spent,
        reserved,
        percent,
    } = standing;
    let held = if *reserved == NanoUsd::ZERO {
        String::new()
    } else {
        format!(" and ${reserved} held")
    };
    format!("{percent} %, ${spent} spent{held} of ${limit}")
}
