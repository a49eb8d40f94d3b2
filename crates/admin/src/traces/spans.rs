//! The spans of a gateway request, derived from its record (observability 2 to 6).
//!
//! The request's own span carries the attributes of observability 4; below it stands one span for each
//! candidate that was tried or skipped. Unknown is absent, never zero. Start at [`of`].

use lw_store::trace::{Attempt, CacheControl, Governance, TraceRecord, Violated};
use serde_json::{Map, Value, json};

use super::guardrails;
use super::view::{Said, dollars, end_us, error_of};

/// The spans of one request: its own, then its attempts.
pub(crate) fn of(said: &Said<'_>) -> Vec<Value> {
    let mut spans = vec![request(said)];
    let mut before: Option<&Attempt> = None;
    for (place, attempt) in said.record.facts.attempts.iter().enumerate() {
        spans.push(tried(said.record, place, attempt, before));
        before = Some(attempt);
    }
    spans
}

fn request(said: &Said<'_>) -> Value {
    let record = said.record;
    let facts = &record.facts;
    let first_byte = facts.first_byte_us.and_then(|us| i64::try_from(us).ok());
    let messages = |value: &Option<Value>| {
        value
            .as_ref()
            .map(|value| json!({ "type": "chat_messages", "value": value }))
    };
    let metrics = facts.usage.as_ref().map(|usage| {
        json!({
            "prompt_tokens": usage.input.saturating_add(usage.input_audio),
            "completion_tokens": usage.completion(),
            "reasoning_tokens": usage.reasoning,
            "cache_read_input_tokens": usage.cache_read,
            "cache_creation_input_tokens": usage.cache_write(),
            "cost": facts.cost.map(dollars),
            "tokens_estimated": facts.cost_estimated,
        })
    });
    json!({
        "span_id": record.span_id,
        "parent_id": record.parent_span_id,
        "trace_id": record.trace_id,
        "type": "llm",
        "name": name(record),
        "kind": "CLIENT",
        "status": status(record.error, record.http_status == 499),
        "model": qualified_model(record),
        "vendor": facts.provider,
        "timestamps": {
            "started_at": record.started_at.millis(),
            "first_token_at":
                first_byte.map(|us| record.started_at.plus_micros(us).millis()),
            "finished_at": end_us(record).div_euclid(1_000),
        },
        "input": messages(&said.input),
        "output": messages(&said.output),
        "metrics": metrics,
        "error": record.error.then(|| error_of(record)),
        "decisions": record.facts.decisions,
        "attributes": attributes(record),
    })
}

fn tried(record: &TraceRecord, place: usize, attempt: &Attempt, before: Option<&Attempt>) -> Value {
    let Attempt {
        span_id,
        start_us,
        duration_us,
        provider,
        model_provider_id,
        model,
        outcome,
        status: upstream,
        server,
        circuit,
    } = attempt;
    let at = |us: &u64| {
        record
            .started_at
            .plus_micros(i64::try_from(*us).unwrap_or(i64::MAX))
    };
    let failed = !attempt.won();
    let left = outcome == "context_done";
    let mut bag = Bag::default();
    bag.put("langwatch.fallback.attempt", place);
    bag.maybe("langwatch.fallback.reason", before.map(reason));
    bag.put("langwatch.fallback.outcome", outcome.as_str());
    bag.put("gen_ai.provider.name", provider.as_str());
    bag.put("gen_ai.request.model", qualified(Some(provider), model));
    bag.put("langwatch.model_provider_id", model_provider_id.as_str());
    bag.maybe("langwatch.upstream.status_code", *upstream);
    bag.maybe(
        "server.address",
        Some(server.as_str()).filter(|server| !server.is_empty()),
    );
    bag.maybe(
        "langwatch.provider.circuit",
        circuit_of(attempt, circuit.as_deref()),
    );
    json!({
        "span_id": span_id,
        "parent_id": record.span_id,
        "trace_id": record.trace_id,
        "type": "span",
        "name": "lw_gateway.attempt",
        "kind": "CLIENT",
        "status": status(failed, left),
        "model": qualified(Some(provider), model),
        "vendor": provider,
        "timestamps": {
            "started_at": at(start_us).millis(),
            "finished_at": at(&start_us.saturating_add(*duration_us)).millis(),
        },
        "error": failed.then(|| json!({
            "has_error": true, "type": outcome, "message": outcome, "stacktrace": [],
        })),
        "attributes": bag.0,
    })
}

/// The circuit as an attempt met it. Older records say it of none but those that were passed over.
fn circuit_of<'a>(attempt: &Attempt, noted: Option<&'a str>) -> Option<&'a str> {
    noted.or((attempt.outcome == "circuit_open").then_some("open"))
}

/// `gen_ai.chat`.
pub(super) fn name(record: &TraceRecord) -> String {
    format!("gen_ai.{}", record.facts.request_type)
}

/// `<provider>/<model>`, unless the provider is unknown or the model says it already.
pub(super) fn qualified_model(record: &TraceRecord) -> Option<String> {
    let facts = &record.facts;
    facts
        .model
        .as_ref()
        .map(|model| qualified(facts.provider.as_deref(), model))
}

fn qualified(provider: Option<&str>, model: &str) -> String {
    match provider {
        Some(provider) if !model.contains('/') => format!("{provider}/{model}"),
        Some(_) | None => model.to_owned(),
    }
}

/// A caller who left is neither a success nor a failure (observability 6).
fn status(error: bool, left: bool) -> Value {
    let code = match (error, left) {
        (_, true) => "UNSET",
        (true, false) => "ERROR",
        (false, false) => "OK",
    };
    json!({ "code": code })
}

/// Why the candidate before was left (observability 5.1).
fn reason(before: &Attempt) -> String {
    match (before.outcome.as_str(), before.status) {
        ("retryable_5xx", Some(status)) => format!("5xx:{status}"),
        ("retryable_5xx", None) => "5xx".to_owned(),
        ("rate_limit", None) => "provider_rate_limit".to_owned(),
        (other, _) => other.to_owned(),
    }
}

/// The attributes of the request's span (observability 4).
fn attributes(record: &TraceRecord) -> Map<String, Value> {
    let facts = &record.facts;
    let mut bag = Bag::default();
    identity(record, &mut bag);
    asked(record, &mut bag);
    answered(record, &mut bag);

    let won = facts.attempts.iter().rfind(|attempt| attempt.won());
    if !facts.attempts.is_empty() {
        let dialled = facts.attempts.iter();
        let dialled = dialled.filter(|attempt| !attempt.is_skipped());
        bag.put("langwatch.fallback.attempts_count", dialled.count());
        let last = facts
            .attempts
            .iter()
            .rev()
            .find_map(|attempt| attempt.status);
        bag.maybe("langwatch.upstream.status_code", last);
    }
    bag.maybe(
        "langwatch.fallback.winning_provider",
        won.map(|attempt| attempt.provider.as_str()),
    );
    let credential = won.map(|attempt| attempt.model_provider_id.as_str());
    bag.maybe("langwatch.fallback.winning_credential", credential);
    let substituted = facts.substituted_model.as_deref().filter(|_| won.is_some());
    bag.maybe("langwatch.fallback.substituted_model", substituted);
    governed(record, &mut bag);
    if facts.streaming {
        bag.maybe("langwatch.stream.chunk_count", facts.chunk_count);
        bag.maybe(
            "langwatch.stream.first_chunk_ms",
            facts.first_byte_us.map(|us| us / 1_000),
        );
        bag.put("langwatch.stream.total_ms", record.duration_us / 1_000);
    }
    let capture = Some(facts.payload_capture.as_str()).filter(|text| !text.is_empty());
    bag.maybe("langwatch.payload_capture", capture);
    for (side, body) in [("input", &record.input), ("output", &record.output)] {
        if body.as_ref().is_some_and(|body| body.truncated) {
            bag.put(&format!("langwatch.{side}_truncated"), true);
        }
    }
    if facts.grace_window {
        bag.put("langwatch.vk.grace_window", true);
    }
    for (name, value) in guardrails::attributes(record) {
        bag.put(name, value);
    }
    bag.maybe("error.type", facts.error_type.as_deref());
    bag.0
}

fn identity(record: &TraceRecord, bag: &mut Bag) {
    let facts = &record.facts;
    bag.put("langwatch.origin", "gateway");
    bag.put("langwatch.project_id", record.project_id.as_str());
    bag.put("langwatch.organization_id", record.organization_id.as_str());
    bag.put("langwatch.virtual_key_id", record.virtual_key_id.as_str());
    bag.put("langwatch.vk_id", record.virtual_key_id.as_str());
    bag.put("langwatch.vk_display_prefix", facts.display_prefix.as_str());
    bag.put(
        "langwatch.gateway_request_id",
        record.request_id.to_string(),
    );
    if !facts.labels.is_empty() {
        bag.put("langwatch.labels", facts.labels.clone());
    }
    bag.maybe("langwatch.end_user_id", facts.end_user_id.as_deref());
    bag.maybe(
        "langwatch.reserved.request_metadata",
        facts.request_metadata.as_deref(),
    );
    let metadata = facts
        .trace_metadata
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok());
    if let Some(Value::Object(map)) = metadata {
        for (key, value) in map {
            let text = match value {
                Value::String(text) => text,
                value => value.to_string(),
            };
            bag.put(&format!("langwatch.metadata.{key}"), text);
        }
    }
    bag.maybe("langwatch.thread_id", facts.thread_id.as_deref());
    bag.maybe("gen_ai.conversation.id", facts.conversation_id.as_deref());
    bag.maybe("langwatch.client.name", facts.client_name.as_deref());
    bag.put("langwatch.endpoint", facts.endpoint.as_str());
}

fn asked(record: &TraceRecord, bag: &mut Bag) {
    let facts = &record.facts;
    bag.put("gen_ai.operation.name", facts.request_type.as_str());
    bag.maybe("gen_ai.provider.name", facts.provider.as_deref());
    bag.maybe("gen_ai.system", facts.provider.as_deref());
    bag.maybe("gen_ai.request.model", qualified_model(record));
    bag.maybe("langwatch.model", facts.model.as_deref());
    bag.maybe("langwatch.provider", facts.provider.as_deref());
    let sent = facts.requested_model.as_deref();
    let spelled = |name: &&str| {
        facts.model.as_deref() == Some(*name) || qualified_model(record).as_deref() == Some(*name)
    };
    bag.maybe(
        "langwatch.requested_model",
        sent.filter(|name| !spelled(name)),
    );
    bag.maybe("langwatch.model_requested", sent);
    bag.maybe("langwatch.model_resolved", facts.model.as_deref());
    bag.maybe("langwatch.model_source", facts.model_source.as_deref());
    bag.put("langwatch.streaming", facts.streaming);
    bag.put("gen_ai.request.stream", facts.streaming);
    for (name, text) in &facts.parameters {
        let name = match name.as_str() {
            "max_completion_tokens" | "max_output_tokens" => "max_tokens",
            "stop" => "stop_sequences",
            other => other,
        };
        let value = match serde_json::from_str(text) {
            Ok(Value::String(one)) if name == "stop_sequences" => json!([one]),
            Ok(value) => value,
            Err(_not_json) => Value::from(text.as_str()),
        };
        bag.put(&format!("gen_ai.request.{name}"), value);
    }
    if !facts.params_dropped.is_empty() {
        bag.put(
            "langwatch.gateway.params_dropped",
            facts.params_dropped.clone(),
        );
    }
    let provider_row = facts.model_provider_id.as_ref().map(|id| id.as_str());
    bag.maybe("langwatch.model_provider_id", provider_row);
    bag.put("http.request.method", "POST");
    bag.put("url.path", facts.endpoint.as_str());
}

fn answered(record: &TraceRecord, bag: &mut Bag) {
    let facts = &record.facts;
    bag.put("http.response.status_code", record.http_status);
    bag.maybe("gen_ai.response.id", facts.response_id.as_deref());
    bag.maybe("gen_ai.response.model", facts.response_model.as_deref());
    if !facts.finish_reasons.is_empty() {
        bag.put(
            "gen_ai.response.finish_reasons",
            facts.finish_reasons.clone(),
        );
    }
    if let Some(usage) = &facts.usage {
        let some = |count: u64| Some(count).filter(|count| *count > 0);
        bag.put("gen_ai.usage.input_tokens", usage.input);
        bag.put("gen_ai.usage.output_tokens", usage.output);
        let total = usage.prompt().saturating_add(usage.completion());
        bag.put("gen_ai.usage.total_tokens", total);
        bag.maybe(
            "gen_ai.usage.cache_read.input_tokens",
            some(usage.cache_read),
        );
        bag.maybe(
            "gen_ai.usage.cache_creation.input_tokens",
            some(usage.cache_write()),
        );
        bag.maybe(
            "gen_ai.usage.cache_creation_1h.input_tokens",
            some(usage.cache_write_1h),
        );
        bag.maybe("gen_ai.usage.input_audio_tokens", some(usage.input_audio));
        bag.maybe("gen_ai.usage.output_audio_tokens", some(usage.output_audio));
        bag.maybe("langwatch.reasoning_tokens", some(usage.reasoning));
        bag.maybe("gen_ai.usage.reasoning_tokens", some(usage.reasoning));
        bag.put("langwatch.usage.input_tokens", usage.input);
        bag.put("langwatch.usage.output_tokens", usage.output);
    }
    bag.maybe("langwatch.cost_usd", facts.cost.map(dollars));
    bag.put("langwatch.duration_ms", record.duration_us / 1_000);
    bag.put("langwatch.status", facts.status.as_str());
}

/// Rules, limits, budgets, circuits and the prompt cache (observability 4.4).
fn governed(record: &TraceRecord, bag: &mut Bag) {
    let facts = &record.facts;
    let Governance {
        policy,
        policy_broken,
        rate_limit,
        cache,
        budgets,
        budget_warnings,
        budget_blocked,
    } = &facts.governance;
    if let Some(Violated {
        kind,
        pattern,
        value,
    }) = policy
    {
        let pattern = pattern.as_deref().unwrap_or_default();
        bag.put("langwatch.policy.violation", format!("{kind}:{pattern}"));
        bag.put("langwatch.policy.value", value.as_str());
        bag.put("langwatch.policy.blocked", kind.as_str());
    }
    bag.maybe("langwatch.policy.broken", policy_broken.as_deref());
    bag.maybe("langwatch.ratelimit.dimension", rate_limit.as_deref());
    let decision = match (budget_blocked, budget_warnings) {
        (Some(_), _) => Some("blocked"),
        (None, Some(_)) => Some("soft_warn"),
        (None, None) => (*budgets > 0).then_some("allowed"),
    };
    bag.maybe("langwatch.budget.decision", decision);
    bag.maybe("langwatch.budget.breached_scope", budget_blocked.as_deref());
    bag.maybe("langwatch.budget.warnings", budget_warnings.as_deref());
    guarded(&facts.guardrails, bag);
    // What stood in the way comes before what did not.
    let circuits = facts.attempts.iter();
    let mut circuits =
        circuits.filter_map(|attempt| circuit_of(attempt, attempt.circuit.as_deref()));
    bag.maybe(
        "langwatch.provider.circuit",
        circuits.find(|circuit| *circuit != "closed"),
    );
    if facts.attempts.is_empty() {
        return;
    }
    let mode = cache.as_ref().map_or("respect", |cache| &*cache.mode);
    bag.put("langwatch.cache.mode_applied", mode.to_ascii_uppercase());
    if let Some(CacheControl {
        mode: _,
        source: _,
        rule_id,
        rule_priority,
    }) = cache
    {
        bag.maybe("langwatch.cache.rule_id", rule_id.as_deref());
        bag.maybe("langwatch.cache.rule_priority", *rule_priority);
    }
    if let Some(usage) = facts.usage.as_ref().filter(|_| !record.error) {
        let outcome = match mode {
            "disable" => "bypass",
            _ if usage.cache_read > 0 => "hit",
            "force" => "force",
            _ => "miss",
        };
        bag.put("langwatch.cache.outcome", outcome);
    }
}

/// What guardrails did (observability 4.4).
fn guarded(facts: &[(String, String)], bag: &mut Bag) {
    let of = |name: &str| {
        let own = facts.iter().find(|(fact, _)| fact == name);
        own.map(|(_, word)| word.as_str())
    };
    let directions = ["request", "response", "stream_chunk"];
    let in_any = |kind: &str, word: &str| {
        let name = |direction: &&str| of(&format!("{kind}.{direction}")) == Some(word);
        directions.into_iter().find(name)
    };
    let open = directions.into_iter().find_map(|direction| {
        let reason = of(&format!("fail_open.{direction}"))?;
        Some((direction, reason))
    });
    let worst = ["block", "modify"];
    let worst = worst
        .into_iter()
        .find(|word| in_any("verdict", word).is_some());
    let worst = worst.or(open.map(|_| "fail_open"));
    bag.maybe("langwatch.guardrail.verdict", worst);
    if let Some((direction, _)) = open {
        bag.put("langwatch.guardrail.fail_open", true);
        bag.put("langwatch.guardrail.direction", direction);
    }
    bag.maybe(
        "langwatch.guardrail.timeout",
        in_any("fail_open", "timeout"),
    );
    bag.maybe(
        "langwatch.guardrail.stream_chunk_fail_open",
        of("fail_open.stream_chunk"),
    );
    bag.maybe("langwatch.guardrail.post.verdict", of("verdict.response"));
    bag.maybe("langwatch.guardrail.post.skipped", of("post.skipped"));
    bag.maybe("langwatch.guardrail.post_flag", of("post_flag"));
}

/// Attributes that are being gathered.
#[derive(Debug, Default)]
struct Bag(Map<String, Value>);

impl Bag {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    fn maybe(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }
}
