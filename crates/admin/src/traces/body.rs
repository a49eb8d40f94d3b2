//! What callers send to search traces, read and checked (management-api 25.1).
//!
//! What this version cannot do is refused by name: a filter that is dropped silently would show traces
//! that nobody asked for. Start at [`Search`].

use data_encoding::BASE64URL_NOPAD;
use lw_core::{Error, RequestId, TraceId, UnixMicros};
use serde_json::{Map, Value, json};

use super::view::Form;
use crate::input::{BODY, Fields, Given, Problems, QUERY, whole_number};

/// The most traces of a page, and what a page holds when nobody says.
const PAGE: usize = 1_000;
/// The most trace ids that can be named.
const IDS: usize = 100;

/// Where a page ended.
pub(crate) type Scroll = (UnixMicros, RequestId);

/// A search.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Search {
    pub(super) from: UnixMicros,
    pub(super) to: UnixMicros,
    pub(super) query: Option<String>,
    pub(super) error: Option<bool>,
    /// Whether the filters leave nothing (an origin that we do not have).
    pub(super) nothing: bool,
    pub(super) ids: Option<Vec<TraceId>>,
    pub(super) page_size: usize,
    pub(super) scroll: Option<Scroll>,
    pub(super) form: Form,
    pub(super) include_spans: bool,
}

/// The shape of a search in the API description.
pub(crate) fn schema() -> Value {
    use crate::schemas::{any_object, boolean, input, list, one_of, or_null, text, text_of};
    let date = || json!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string" }] });
    input(
        &[("startDate", date()), ("endDate", date())],
        &[
            ("query", or_null(text_of(0, 1_000))),
            ("filters", or_null(any_object())),
            ("negateFilters", or_null(boolean())),
            ("traceIds", or_null(list(text()))),
            (
                "pageSize",
                or_null(json!({ "type": "integer", "minimum": 1 })),
            ),
            ("scrollId", or_null(text_of(0, 500))),
            ("format", or_null(one_of(&["json", "digest"]))),
            ("llmMode", or_null(boolean())),
            ("includeSpans", or_null(boolean())),
        ],
    )
}

impl Search {
    /// Reads a body.
    ///
    /// # Errors
    /// `validation_error` with every problem.
    pub(crate) fn read(body: &Map<String, Value>) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body, "");
        let from = date(&fields, "startDate", &mut problems);
        let to = date(&fields, "endDate", &mut problems);
        let query = fields.trimmed("query", 0..=1_000, &mut problems).value();
        let negate = fields
            .boolean(&["negateFilters"], &mut problems)
            .value()
            .unwrap_or(false);
        let (error, nothing) = filters(&fields, negate, &mut problems);
        let ids = ids(&fields, &mut problems);
        let size = match fields.whole(&["pageSize"], 1..=u64::MAX, &mut problems) {
            Given::Value(size) => usize::try_from(size).unwrap_or(PAGE).min(PAGE),
            Given::Absent | Given::Null => PAGE,
        };
        let scroll = match fields.text("scrollId", 0..=500, &mut problems).value() {
            Some(text) if !text.is_empty() => read_scroll(&text).or_else(|| {
                problems.add(
                    "scrollId",
                    "invalid_value",
                    "must come from an earlier answer",
                );
                None
            }),
            Some(_) | None => None,
        };
        let _only_zero = fields.whole(&["pageOffset"], 0..=0, &mut problems);
        let llm = fields
            .boolean(&["llmMode"], &mut problems)
            .value()
            .unwrap_or(false);
        let form = fields
            .choice(&["format"], &["json", "digest"], &mut problems)
            .value();
        let form = if llm || form == Some("digest") {
            Form::Digest
        } else {
            Form::Json
        };
        let include_spans = fields.boolean(&["includeSpans"], &mut problems).value();
        let _either = fields.choice(&["dateField"], &["occurred", "updated"], &mut problems);
        let _newest = fields.choice(&["sortDirection"], &["desc"], &mut problems);
        for name in ["select", "from", "groupBy", "sortBy"] {
            let unset = |value: &Value| {
                value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value == ""
            };
            if fields.raw(&[name]).is_some_and(|(_, value)| !unset(value)) {
                problems.add(name, "not_available", "is not available in this version");
            }
        }
        if ids.is_some() && query.as_deref().is_some_and(|text| !text.is_empty()) {
            problems.add(
                "traceIds",
                "invalid_value",
                "cannot be combined with `query`",
            );
        }
        problems.finish()?;
        Ok(Self {
            from: from.unwrap_or_default(),
            to: to.unwrap_or_default(),
            query: query.filter(|text| !text.is_empty()),
            error,
            nothing,
            ids,
            page_size: size,
            scroll,
            form,
            include_spans: include_spans.unwrap_or(false),
        })
    }
}

/// `?format` and `?llmMode` of a read.
///
/// # Errors
/// `validation_error` at `query`.
pub(crate) fn form(format: Option<&str>, llm_mode: Option<&str>) -> Result<Form, Error> {
    let mut problems = Problems::of(QUERY);
    if !matches!(format, None | Some("json" | "digest")) {
        problems.add("format", "invalid_value", "must be one of json, digest");
    }
    if !matches!(llm_mode, None | Some("true" | "false" | "1" | "0")) {
        problems.add("llmMode", "invalid_value", "must be true or false");
    }
    problems.finish()?;
    let digest = format == Some("digest") || matches!(llm_mode, Some("true" | "1"));
    Ok(if digest { Form::Digest } else { Form::Json })
}

/// Epoch milliseconds or ISO; required.
fn date(fields: &Fields<'_>, name: &'static str, problems: &mut Problems) -> Option<UnixMicros> {
    let read = match fields.raw(&[name]) {
        None | Some((_, Value::Null)) => {
            problems.add(
                name,
                "required",
                "is required: epoch milliseconds or an ISO date-time",
            );
            return None;
        }
        Some((_, Value::String(text))) => text
            .trim()
            .parse()
            .ok()
            .map(UnixMicros::from_millis)
            .or_else(|| UnixMicros::parse_rfc3339(text))
            .or_else(|| UnixMicros::parse_rfc3339(&format!("{}T00:00:00Z", text.trim()))),
        Some((_, value)) => whole_number(value).map(UnixMicros::from_millis),
    };
    if read.is_none() {
        problems.add(
            name,
            "invalid_value",
            "must be epoch milliseconds or an ISO date-time",
        );
    }
    read
}

/// `filters`: which outcome is wanted, and whether anything can match at all.
fn filters(fields: &Fields<'_>, negate: bool, problems: &mut Problems) -> (Option<bool>, bool) {
    let Given::Value(filters) = fields.object(&["filters"], problems) else {
        return (None, false);
    };
    let (mut error, mut nothing) = (None, false);
    for (name, values) in filters.map() {
        let path = filters.path(name);
        let texts: Option<Vec<&str>> = match values {
            Value::Null => continue,
            Value::Array(list) if list.is_empty() => continue,
            Value::Array(list) => list.iter().map(Value::as_str).collect(),
            Value::String(text) => Some(vec![text]),
            Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        };
        let Some(texts) = texts else {
            problems.add(path, "invalid_type", "must be a list of strings");
            continue;
        };
        match name.as_str() {
            "traces.error" => match texts.as_slice() {
                ["true"] => error = Some(!negate),
                ["false"] => error = Some(negate),
                ["true", "false"] | ["false", "true"] => nothing = negate,
                _ => problems.add(path, "invalid_value", "must hold true or false"),
            },
            // Everything that is stored here went through the gateway.
            "traces.origin" => nothing |= texts.contains(&"gateway") == negate,
            _ => {
                let text = "is not available in this version: use traces.error or traces.origin";
                problems.add(path, "not_available", text);
            }
        }
    }
    (error, nothing)
}

fn ids(fields: &Fields<'_>, problems: &mut Problems) -> Option<Vec<TraceId>> {
    let texts = fields.texts(&["traceIds"], 1..=64, problems).value()?;
    if texts.is_empty() {
        return None;
    }
    if texts.len() > IDS {
        problems.add(
            "traceIds",
            "too_big",
            format!("must name at most {IDS} traces"),
        );
    }
    // An id that cannot be one names a trace that does not exist.
    Some(
        texts
            .iter()
            .take(IDS)
            .filter_map(|text| TraceId::parse(text))
            .collect(),
    )
}

/// The opaque form of where a page ended.
pub(crate) fn write_scroll((at, id): Scroll) -> String {
    BASE64URL_NOPAD.encode(format!("{}\0{id}", at.0).as_bytes())
}

fn read_scroll(text: &str) -> Option<Scroll> {
    let text = String::from_utf8(BASE64URL_NOPAD.decode(text.as_bytes()).ok()?).ok()?;
    let (at, id) = text.split_once('\0')?;
    Some((UnixMicros(at.parse().ok()?), RequestId::parse(id)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> Result<Search, Error> {
        Search::read(body.as_object().expect("an object"))
    }

    #[test]
    fn dates_are_millis_or_iso() {
        for (start, end) in [
            (json!(1_782_864_000_000_i64), json!("2026-07-02T00:00:00Z")),
            (json!("1782864000000"), json!("2026-07-02")),
        ] {
            let search = read(&json!({ "startDate": start, "endDate": end })).expect("fine");
            assert_eq!(search.from.to_rfc3339(), "2026-07-01T00:00:00.000Z");
            assert_eq!(search.to.to_rfc3339(), "2026-07-02T00:00:00.000Z");
        }
    }

    #[test]
    fn filters_that_are_not_there_yet_are_refused_by_name() {
        let base = json!({ "startDate": 1, "endDate": 2 });
        let with = |filters: Value| {
            let mut body = base.clone();
            body["filters"] = filters;
            read(&body)
        };
        assert_eq!(
            with(json!({ "traces.error": ["true"] }))
                .expect("fine")
                .error,
            Some(true)
        );
        assert!(
            !with(json!({ "traces.origin": ["gateway"] }))
                .expect("fine")
                .nothing
        );
        assert!(
            with(json!({ "traces.origin": ["sdk"] }))
                .expect("fine")
                .nothing
        );
        let refused = with(json!({ "spans.model": ["x"] })).expect_err("refused");
        assert!(
            refused.message().starts_with("filters.spans.model"),
            "{}",
            refused.message()
        );
    }

    #[test]
    fn a_scroll_id_reads_back() {
        let id = RequestId::from_bytes([7; 15]);
        let scroll = (UnixMicros(5), id);
        assert_eq!(read_scroll(&write_scroll(scroll)), Some(scroll));
        assert_eq!(read_scroll("???"), None);
    }
}
