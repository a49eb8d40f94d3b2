//! A trace as callers see it (management-api 25.1): the sum of its gateway requests.
//!
//! Token counts are disjoint, like the span attributes: `prompt_tokens` is fresh input, cache reads and
//! writes stand beside it. What is unknown is null, never zero. Must never call a float money: the cost
//! leaves as the JSON number that its decimal text spells. Start at [`Trace`].

use lw_core::{NanoUsd, TraceId, Usage};
use lw_store::trace::{Captured, TraceRecord};
use serde_json::{Map, Value, json};

use super::{spans, text};

/// How a trace is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Digest,
}

/// A record with its messages read.
#[derive(Debug)]
pub(crate) struct Said<'a> {
    pub(super) record: &'a TraceRecord,
    pub(super) input: Option<Value>,
    pub(super) output: Option<Value>,
}

/// A trace that is being shown.
#[derive(Debug)]
pub(crate) struct Trace<'a> {
    said: Vec<Said<'a>>,
    ui_base_url: &'a str,
}

/// Records of several traces, put together by trace in the order of their first appearance; each
/// trace's records oldest first.
pub(crate) fn grouped(records: Vec<TraceRecord>) -> Vec<Vec<TraceRecord>> {
    let mut order: Vec<TraceId> = Vec::new();
    let mut groups: std::collections::HashMap<TraceId, Vec<TraceRecord>> =
        std::collections::HashMap::new();
    for record in records {
        let id = record.trace_id;
        let group = groups.entry(id).or_default();
        if group.is_empty() {
            order.push(id);
        }
        group.push(record);
    }
    let mut out = Vec::new();
    for id in order {
        if let Some(mut group) = groups.remove(&id) {
            group.sort_by_key(|record| (record.started_at, record.request_id));
            out.push(group);
        }
    }
    out
}

impl<'a> Trace<'a> {
    /// The trace of these records, oldest first.
    pub(crate) fn of(records: &'a [TraceRecord], ui_base_url: &'a str) -> Self {
        let said = records
            .iter()
            .map(|record| Said {
                record,
                input: record.input.as_ref().map(|body| read(body, Side::Input)),
                output: record.output.as_ref().map(|body| read(body, Side::Output)),
            })
            .collect();
        Self { said, ui_base_url }
    }

    /// The trace without spans.
    pub(crate) fn json(&self) -> Value {
        let Some(first) = self.said.first() else {
            return Value::Null;
        };
        json!({
            "trace_id": first.record.trace_id,
            "project_id": first.record.project_id,
            "metadata": self.metadata(),
            "timestamps": self.timestamps(),
            "input": self.input().map(|value| json!({ "value": value })),
            "output": self.output().map(|value| json!({ "value": value })),
            "metrics": self.metrics(),
            "error": self.error(),
            "evaluations": [],
            "platformUrl": self.url(),
        })
    }

    /// The trace with its spans and a tree of them.
    pub(crate) fn json_with_spans(&self) -> Value {
        let mut trace = self.json();
        if let Some(map) = trace.as_object_mut() {
            let all: Vec<Value> = self.said.iter().flat_map(spans::of).collect();
            map.insert("spans".into(), all.into());
            map.insert("ascii_tree".into(), text::tree(&self.said).into());
        }
        trace
    }

    /// The trace as text for a person or a model.
    pub(crate) fn digest(&self) -> Value {
        let Some(first) = self.said.first() else {
            return Value::Null;
        };
        json!({
            "trace_id": first.record.trace_id,
            "formatted_trace": text::digest(&self.said),
            "timestamps": self.timestamps(),
            "metadata": self.metadata(),
            "evaluations": [],
            "platformUrl": self.url(),
        })
    }

    /// A digest inside a list of traces, which carries a little more.
    pub(crate) fn digest_row(&self) -> Value {
        let mut row = self.digest();
        if let Some(map) = row.as_object_mut() {
            map.insert(
                "input".into(),
                self.input().map(|value| json!({ "value": value })).into(),
            );
            map.insert(
                "output".into(),
                self.output().map(|value| json!({ "value": value })).into(),
            );
            map.insert("error".into(), self.error());
        }
        row
    }

    fn url(&self) -> String {
        let id = self
            .said
            .first()
            .map(|said| said.record.trace_id.to_string());
        format!("{}/traces/{}", self.ui_base_url, id.unwrap_or_default())
    }

    /// What was asked first.
    fn input(&self) -> Option<String> {
        self.said
            .iter()
            .find_map(|said| said.input.as_ref())
            .map(lw_wire::capture::preview_of)
    }

    /// What was answered last.
    fn output(&self) -> Option<String> {
        self.said
            .iter()
            .rev()
            .find_map(|said| said.output.as_ref())
            .map(lw_wire::capture::preview_of)
    }

    fn metadata(&self) -> Value {
        let mut out = Map::new();
        // The callers' own facts first, so that they cannot take the place of ours.
        for said in &self.said {
            let facts = &said.record.facts;
            for text in [&facts.trace_metadata, &facts.request_metadata]
                .into_iter()
                .flatten()
            {
                if let Ok(Value::Object(map)) = serde_json::from_str(text) {
                    out.extend(map);
                }
            }
        }
        let fact = |read: fn(&TraceRecord) -> Option<&String>| {
            self.said.iter().find_map(|said| read(said.record)).cloned()
        };
        let customer = out.get("customer_id").cloned().unwrap_or_default();
        let mut labels: Vec<&String> = Vec::new();
        for label in self.said.iter().flat_map(|said| &said.record.facts.labels) {
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        let thread = fact(|record| record.facts.thread_id.as_ref())
            .or_else(|| fact(|record| record.facts.conversation_id.as_ref()));
        let requests: Vec<String> = self
            .said
            .iter()
            .map(|said| said.record.request_id.to_string())
            .collect();
        out.insert(
            "user_id".into(),
            fact(|record| record.facts.end_user_id.as_ref()).into(),
        );
        out.insert("thread_id".into(), thread.into());
        out.insert("customer_id".into(), customer);
        out.insert("labels".into(), json!(labels));
        out.insert(
            "virtual_key_id".into(),
            json!(self.said.first().map(|said| &said.record.virtual_key_id)),
        );
        out.insert("gateway_request_ids".into(), requests.into());
        out.into()
    }

    fn timestamps(&self) -> Value {
        let ended = self.said.iter().map(|said| end_us(said.record)).max();
        let ended = ended.map(|at| at.div_euclid(1_000));
        let started = self.said.iter().map(|said| said.record.started_at).min();
        json!({
            "started_at": started.map(|at| at.millis()),
            // A record is stored right after the last byte.
            "inserted_at": ended,
            "updated_at": ended,
        })
    }

    fn metrics(&self) -> Value {
        let records = || self.said.iter().map(|said| said.record);
        let first = records().find_map(|record| {
            let start = records().map(|record| record.started_at.0).min()?;
            let at = i64::try_from(record.facts.first_byte_us?).ok()?;
            Some(
                record
                    .started_at
                    .0
                    .saturating_add(at)
                    .saturating_sub(start)
                    .div_euclid(1_000),
            )
        });
        let total = records()
            .map(end_us)
            .max()
            .zip(records().map(|record| record.started_at.0).min());
        let known: Vec<&Usage> = records()
            .filter_map(|record| record.facts.usage.as_ref())
            .collect();
        let tokens = |count: fn(&Usage) -> u64| -> Value {
            if known.is_empty() {
                return Value::Null;
            }
            known
                .iter()
                .fold(0_u64, |sum, usage| sum.saturating_add(count(usage)))
                .into()
        };
        let mut costs = records().filter_map(|record| record.facts.cost).peekable();
        let cost = costs.peek().is_some().then(|| costs.sum::<NanoUsd>());
        json!({
            "first_token_ms": first,
            "total_time_ms": total.map(|(end, start)| end.saturating_sub(start).div_euclid(1_000)),
            "prompt_tokens": tokens(|usage| usage.input.saturating_add(usage.input_audio)),
            "completion_tokens": tokens(Usage::completion),
            "reasoning_tokens": tokens(|usage| usage.reasoning),
            "cache_read_input_tokens": tokens(|usage| usage.cache_read),
            "cache_creation_input_tokens": tokens(Usage::cache_write),
            "total_cost": cost.map(dollars),
            "tokens_estimated": records().any(|record| record.facts.cost_estimated),
        })
    }

    fn error(&self) -> Value {
        self.said
            .iter()
            .rev()
            .find(|said| said.record.error)
            .map_or(Value::Null, |said| error_of(said.record))
    }
}

/// The failure of a request.
pub(super) fn error_of(record: &TraceRecord) -> Value {
    let facts = &record.facts;
    let kind = facts.error_type.as_ref().unwrap_or(&facts.status);
    json!({
        "has_error": true,
        "type": kind,
        "message": facts.error_message.as_ref().unwrap_or(kind),
        "stacktrace": [],
    })
}

/// Dollars as a JSON number.
pub(super) fn dollars(amount: NanoUsd) -> Value {
    serde_json::from_str(&amount.to_string()).unwrap_or_default()
}

/// The end of a request, microseconds.
pub(super) fn end_us(record: &TraceRecord) -> i64 {
    record
        .started_at
        .0
        .saturating_add(i64::try_from(record.duration_us).unwrap_or(i64::MAX))
}

#[derive(Clone, Copy)]
enum Side {
    Input,
    Output,
}

fn read(body: &Captured, side: Side) -> Value {
    let joined;
    let bytes: &[u8] = match body.pieces.as_slice() {
        [only] => only,
        pieces => {
            joined = pieces.concat();
            &joined
        }
    };
    match side {
        Side::Input => lw_wire::capture::input_messages(body.form, bytes),
        Side::Output => lw_wire::capture::output_messages(body.form, bytes),
    }
}
