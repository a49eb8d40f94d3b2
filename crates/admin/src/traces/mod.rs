//! Traces over HTTP (management-api 25.1, 25.2).
//!
//! A trace is derived when somebody reads it: [`find`] brings the records of gateway requests that the
//! caller may see, [`view`] turns them into the trace, [`spans`] into its spans, [`text`] into something
//! to read in a terminal. Start at [`get`] and [`search`].

mod body;
mod find;
mod guardrails;
mod spans;
mod text;
mod view;

use http::Method;
use lw_core::{Code, Error};
use serde_json::{Value, json};

use self::body::Search;
use self::view::{Form, Trace};
use crate::edge::Family::Project;
use crate::permission::TracesView;
use crate::routes::{Param, Route};
use crate::schemas::{self, Named, one_of, text};
use crate::serve::{Answer, Call};

/// The rows of the table.
pub(crate) fn routes() -> Vec<Route> {
    let form = || {
        vec![
            Param {
                name: "format",
                about: "`json` or `digest`.",
                schema: one_of(&["json", "digest"]),
            },
            Param {
                name: "llmMode",
                about: "`true` is the same as `format=digest`.",
                schema: text(),
            },
        ]
    };
    vec![
        Route::anywhere::<TracesView>(Project, Method::POST, "/api/traces/search", search)
            .named("searchTraces", "Search traces, newest first")
            .body(body::schema())
            .answers(200, schemas::named("TraceSearch")),
        Route::anywhere::<TracesView>(Project, Method::GET, "/api/traces/{id}", get)
            .named(
                "getTrace",
                "Read a trace by its id, a unique prefix of it, or a gateway request id",
            )
            .query(form())
            .answers(200, schemas::named("Trace"))
            .refuses(&[Code::TraceNotFound, Code::TraceAmbiguous]),
    ]
}

/// The shapes of the API description. Traces are open shapes: they hold what applications sent.
pub(crate) fn schemas() -> Vec<Named> {
    vec![
        (
            "Trace",
            json!({ "type": "object", "required": ["trace_id", "timestamps", "metadata"] }),
        ),
        (
            "TraceSearch",
            schemas::object(
                &[
                    ("traces", schemas::list(schemas::named("Trace"))),
                    (
                        "pagination",
                        schemas::object(
                            &[("totalHits", schemas::whole())],
                            &[("scrollId", text())],
                        ),
                    ),
                ],
                &[],
            ),
        ),
    ]
}

/// `GET /api/traces/:traceId`: a full id, a unique prefix, or a gateway request id.
pub(crate) fn get(call: &Call<TracesView>) -> Result<Answer, Error> {
    let form = body::form(call.query("format"), call.query("llmMode"))?;
    let records = find::trace(call.admin(), &call.permit, call.id())?;
    let trace = Trace::of(&records, &call.admin().settings.ui_base_url);
    Ok(Answer::ok(match form {
        Form::Json => trace.json_with_spans(),
        Form::Digest => trace.digest(),
    }))
}

/// `POST /api/traces/search`.
pub(crate) fn search(call: &Call<TracesView>) -> Result<Answer, Error> {
    let wanted = Search::read(&call.object()?)?;
    let found = find::search(call.admin(), &call.permit, &wanted)?;
    let ui = &call.admin().settings.ui_base_url;
    let traces: Vec<Value> = view::grouped(found.records)
        .iter()
        .map(|records| {
            let trace = Trace::of(records, ui);
            match (wanted.form, wanted.include_spans) {
                (Form::Digest, _) => trace.digest_row(),
                (Form::Json, true) => trace.json_with_spans(),
                (Form::Json, false) => trace.json(),
            }
        })
        .collect();
    let mut pagination = json!({ "totalHits": found.total });
    if let (Some(scroll), Some(map)) = (found.scroll, pagination.as_object_mut()) {
        map.insert("scrollId".into(), scroll.into());
    }
    Ok(Answer::ok(
        json!({ "traces": traces, "pagination": pagination }),
    ))
}
