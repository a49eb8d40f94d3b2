//! The audit log over HTTP (management-api 14, domain 19): who changed what, newest first, as JSON pages or
//! as CSV.
//!
//! Rows are written by [`crate::write`] with everything secret left out; what stands here only shows them.
//! In a project's context only the rows of that project are there. Both forms are bounded and say where they
//! go on, the CSV in `X-Next-Cursor`. Must never write. Start at [`list`].

use http::Method;
use http::header::ACCEPT;
use lw_core::{Code, Error, ProjectId, UnixMicros};
use lw_store::config::{AuditFilter, AuditRow, Cursor, Page, ScopeKind};
use lw_store::rows::Scope;
use serde_json::{Number, Value, json};

use crate::caller::Caller;
use crate::edge::Family::Gateway;
use crate::edge::stored;
use crate::input::{Problems, QUERY};
use crate::page::{cursor, invalid_cursor, keyset, number, read_cursor, write_cursor};
use crate::permission::AuditLogView;
use crate::routes::{Param, Route};
use crate::schemas::{Named, object, or_null, page, text, text_of, time};
use crate::serve::{Answer, Call};

/// The most rows of a CSV.
const MOST: usize = 10_000;
/// Rows that the store is asked for at a time.
const CHUNK: usize = 500;
/// The most bytes of a JSON cell of a CSV.
const CELL: usize = 4 * 1024;
/// The longest filter.
const FILTER: usize = 256;
/// The largest whole number that every JSON reader keeps.
const EXACT: u64 = (1 << 53) - 1;

/// The columns of the CSV, which are the members of a row.
const COLUMNS: [&str; 14] = [
    "id",
    "created_at",
    "user_id",
    "project_id",
    "action",
    "target_kind",
    "target_id",
    "before",
    "after",
    "args",
    "metadata",
    "error",
    "ip_address",
    "user_agent",
];

/// The rows of the table.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new::<AuditLogView>(Gateway, Method::GET, "/api/gateway/v1/audit-log", list)
            .named(
                "getApiGatewayV1AuditLog",
                "Who changed what, newest first; as CSV with `Accept: text/csv`",
            )
            .query(params())
            .headers(vec![Param {
                name: "Accept",
                about: "`text/csv` asks for comma-separated values: at most 10 000 rows, JSON cells cut \
                        at 4 KiB. `X-Next-Cursor` of the answer says where to go on.",
                schema: text(),
            }])
            .answers(200, page("AuditRow"))
            .refuses(&[Code::InvalidCursor]),
    ]
}

/// The shapes of the API description.
pub(crate) fn schemas() -> Vec<Named> {
    let anything = || json!({});
    let row = object(
        &[
            ("id", text()),
            ("created_at", time()),
            ("user_id", or_null(text())),
            ("project_id", or_null(text())),
            ("action", text()),
            ("target_kind", or_null(text())),
            ("target_id", or_null(text())),
            ("before", anything()),
            ("after", anything()),
            ("args", anything()),
            ("metadata", anything()),
            ("error", or_null(text())),
            ("ip_address", or_null(text())),
            ("user_agent", or_null(text())),
        ],
        &[],
    );
    vec![("AuditRow", row)]
}

fn params() -> Vec<Param> {
    let filter = |name, about| Param {
        name,
        about,
        schema: text_of(0, 256),
    };
    vec![
        Param {
            name: "limit",
            about: "Rows of the answer: 50 when left out and at most 200; as CSV 10 000 and at most as many.",
            schema: json!({ "type": "integer", "minimum": 1, "maximum": MOST }),
        },
        Param {
            name: "cursor",
            about: "The `next_cursor` of the page before.",
            schema: text_of(0, 500),
        },
        filter(
            "from",
            "From this instant on: ISO 8601 or epoch milliseconds.",
        ),
        filter("to", "Before this instant: ISO 8601 or epoch milliseconds."),
        filter(
            "action",
            "Only this action; a text that ends in `.` is the beginning of several.",
        ),
        filter(
            "target_kind",
            "Only this kind of target, such as `virtual_key`.",
        ),
        filter("target_id", "Only the target with this id."),
        filter("user_id", "Only what this person or service did."),
        filter(
            "project_id",
            "Only the rows of this project, by id or slug.",
        ),
    ]
}

/// `GET /audit-log`.
pub(crate) fn list(call: &Call<AuditLogView>) -> Result<Answer, Error> {
    let csv = wants_csv(call);
    let mut problems = Problems::of(QUERY);
    let (usual, most) = if csv { (MOST, MOST) } else { (50, 200) };
    let limit = number(call, "limit", usual, most, &mut problems);
    let after = cursor(call, &mut problems);
    let filter = filter(call, &mut problems)?;
    problems.finish()?;
    let after = match after {
        Some(text) => Some(read_cursor(text).ok_or_else(invalid_cursor)?),
        None => None,
    };
    let page = match filter {
        Some(filter) => read(call, &filter, limit, after)?,
        None => Page {
            rows: Vec::new(),
            next: None,
        },
    };
    if csv {
        let next = page.next.as_ref().map(write_cursor);
        return Ok(Answer::csv(table(&page.rows)).goes_on(next));
    }
    let data: Vec<Value> = page.rows.iter().map(shown).collect();
    Ok(Answer::ok(keyset(&data, page.next.as_ref())))
}

/// Whether `Accept` names CSV and does not weigh it with nothing.
fn wants_csv(call: &Call<AuditLogView>) -> bool {
    let accept = call.header(ACCEPT.as_str());
    let accept = accept.and_then(|value| value.to_str().ok());
    accept.unwrap_or_default().split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts
            .next()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("text/csv"));
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        named && weight.is_none_or(|text| text.parse().is_ok_and(|weight: f32| weight > 0.0))
    })
}

/// What the query asks for; `None` when nothing can match.
fn filter(
    call: &Call<AuditLogView>,
    problems: &mut Problems,
) -> Result<Option<AuditFilter>, Error> {
    let named = |name: &'static str, problems: &mut Problems| {
        let text = call
            .query(name)
            .map(str::trim)
            .filter(|text| !text.is_empty())?;
        if text.chars().count() > FILTER {
            let text = format!("must be at most {FILTER} characters long");
            problems.add(name, "too_big", text);
        }
        Some(text.to_owned())
    };
    let instant = |name: &'static str, problems: &mut Problems| {
        let text = named(name, problems)?;
        let at = read_instant(&text);
        if at.is_none() {
            let text = "must be an ISO 8601 date-time or epoch milliseconds";
            problems.add(name, "invalid_value", text);
        }
        at
    };
    let mut filter = AuditFilter {
        from: instant("from", problems),
        to: instant("to", problems),
        action: named("action", problems),
        target_kind: named("target_kind", problems),
        target_id: named("target_id", problems),
        user_id: named("user_id", problems),
        project_id: call
            .permit
            .project
            .as_ref()
            .map(|project| project.id.clone()),
    };
    let Some(name) = named("project_id", problems) else {
        return Ok(Some(filter));
    };
    let wanted = project(call, &name)?;
    let seen = wanted.is_some()
        && filter
            .project_id
            .as_ref()
            .is_none_or(|own| Some(own) == wanted.as_ref());
    filter.project_id = wanted;
    Ok(seen.then_some(filter))
}

/// A project by id or slug. An archived one is found by its id: its history stays.
fn project(call: &Call<AuditLogView>, name: &str) -> Result<Option<ProjectId>, Error> {
    let caller: &Caller = &call.permit;
    let found = call
        .admin()
        .store
        .resolve_scope(&caller.organization.id, ScopeKind::Project, name)
        .map_err(stored)?;
    Ok(match found {
        Some(Scope::Project(id)) => Some(id),
        Some(Scope::Organization(_) | Scope::Team(_)) | None => ProjectId::parse(name).ok(),
    })
}

/// Epoch milliseconds, a date, or an ISO date-time.
fn read_instant(text: &str) -> Option<UnixMicros> {
    if let Ok(millis) = text.parse::<i64>() {
        return millis.checked_mul(1_000).map(UnixMicros);
    }
    UnixMicros::parse_rfc3339(text)
        .or_else(|| UnixMicros::parse_rfc3339(&format!("{text}T00:00:00Z")))
}

/// Reads up to `limit` rows, some at a time.
fn read(
    call: &Call<AuditLogView>,
    filter: &AuditFilter,
    limit: usize,
    after: Option<Cursor>,
) -> Result<Page<AuditRow>, Error> {
    let mut out = Page {
        rows: Vec::new(),
        next: after,
    };
    while out.rows.len() < limit {
        let most = CHUNK.min(limit - out.rows.len());
        let organization = &call.permit.organization.id;
        let page = call
            .admin()
            .store
            .audit(organization, filter, most, out.next.as_ref())
            .map_err(stored)?;
        out.rows.extend(page.rows);
        out.next = page.next;
        if out.next.is_none() {
            break;
        }
    }
    Ok(out)
}

/// The row as JSON.
fn shown(row: &AuditRow) -> Value {
    let AuditRow {
        id,
        created_at,
        user_id,
        organization_id: _,
        project_id,
        action,
        target_kind,
        target_id,
        before,
        after,
        args,
        metadata,
        error,
        ip_address,
        user_agent,
    } = row;
    json!({
        "id": id,
        "created_at": created_at.to_rfc3339(),
        "user_id": user_id,
        "project_id": project_id,
        "action": action,
        "target_kind": target_kind,
        "target_id": target_id,
        "before": value(before.as_deref()),
        "after": value(after.as_deref()),
        "args": value(args.as_deref()),
        "metadata": value(metadata.as_deref()),
        "error": error,
        "ip_address": ip_address,
        "user_agent": user_agent,
    })
}

/// A stored JSON text as a value; what cannot be read is shown as the text that it is.
fn value(text: Option<&str>) -> Value {
    let Some(text) = text else {
        return Value::Null;
    };
    serde_json::from_str(text).map_or_else(|_| text.into(), exact)
}

/// The value with big whole numbers as texts: readers that keep numbers as floats would change them.
fn exact(value: Value) -> Value {
    let big = |number: &Number| {
        number.as_u64().is_some_and(|number| number > EXACT)
            || number
                .as_i64()
                .is_some_and(|number| number.unsigned_abs() > EXACT)
    };
    match value {
        Value::Number(number) if big(&number) => number.to_string().into(),
        Value::Array(list) => list.into_iter().map(exact).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(name, value)| (name, exact(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other,
    }
}

/// The rows as RFC 4180 has them, under a line with the names of the columns.
fn table(rows: &[AuditRow]) -> String {
    let mut out = COLUMNS.join(",");
    out.push_str("\r\n");
    for row in rows {
        let row = shown(row);
        for (place, name) in COLUMNS.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            out.push_str(&cell(row.get(*name).unwrap_or(&Value::Null)));
        }
        out.push_str("\r\n");
    }
    out
}

/// One cell. A text that a spreadsheet would take for a formula gets an apostrophe before it; JSON that is
/// too long is cut and says so.
fn cell(value: &Value) -> String {
    let mut text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    if text.len() > CELL {
        let end = text
            .char_indices()
            .map(|(at, _)| at)
            .take_while(|at| *at <= CELL)
            .last();
        text.truncate(end.unwrap_or_default());
        text.push_str("…[cut]");
    }
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        text.insert(0, '\'');
    }
    if text.contains([',', '"', '\r', '\n']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_cut_and_never_formulas() {
        for (value, text) in [
            (json!(null), ""),
            (json!("plain"), "plain"),
            (json!("a,b"), "\"a,b\""),
            (json!("say \"hi\"\nthere"), "\"say \"\"hi\"\"\nthere\""),
            (json!("=1+1"), "'=1+1"),
            (json!("+1"), "'+1"),
            (json!("-1"), "'-1"),
            (json!("@cmd"), "'@cmd"),
            (json!("\t=1"), "'\t=1"),
            (
                json!("=HYPERLINK(\"x\",\"y\")"),
                "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\"",
            ),
            (json!(-5), "'-5"),
            (json!({ "a": 1 }), "\"{\"\"a\"\":1}\""),
        ] {
            assert_eq!(cell(&value), text, "{value}");
        }
        let long = cell(&json!("é".repeat(CELL)));
        assert!(long.ends_with("…[cut]") && long.len() < CELL + 20);
    }

    #[test]
    fn big_whole_numbers_are_texts() {
        let kept =
            exact(json!({ "a": 9_007_199_254_740_991_u64, "b": [9_007_199_254_740_992_u64] }));
        let expected = json!({ "a": 9_007_199_254_740_991_u64, "b": ["9007199254740992"] });
        assert_eq!(kept, expected);
        assert_eq!(exact(json!(i64::MIN)), json!("-9223372036854775808"));
        assert_eq!(exact(json!(1.5e300)), json!(1.5e300));
    }

    #[test]
    fn instants_are_iso_or_epoch_milliseconds() {
        let at = read_instant("2026-07-01T00:00:00Z").expect("an instant");
        assert_eq!(read_instant("1782864000000"), Some(at));
        assert_eq!(read_instant("2026-07-01"), Some(at));
        for text in ["", "yesterday", "99999999999999999999", "2026-13-01"] {
            assert_eq!(read_instant(text), None, "{text}");
        }
    }
}
