//! Traces over HTTP (management-api 25.1, 25.2).
//!
//! A trace is derived when somebody reads it: [`find`] brings the records of gateway requests that the
//! caller may see, [`view`] turns them into the trace, [`spans`] into its spans, [`text`] into something
//! to read in a terminal. Start at [`get`] and [`search`].

mod body;
mod find;
mod spans;
mod text;
mod view;

use lw_core::Error;
use serde_json::{Value, json};

use self::body::Search;
use self::view::{Form, Trace};
use crate::permission::TracesView;
use crate::serve::{Answer, Call};

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
