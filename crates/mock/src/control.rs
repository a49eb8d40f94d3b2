//! `/_mock/*`: scripts, keys, and what was recorded.
//!
//! Open to everyone who can reach the port, which is why the mock listens on loopback unless told
//! otherwise. Never recorded itself. Start at [`answer`].

use std::collections::HashSet;

use http::Method;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::directive::Script;
use crate::json::Obj;
use crate::state::Shared;

/// Where all of it lives.
pub(crate) const PREFIX: &str = "/_mock/";

/// Status and JSON body.
pub(crate) fn answer(
    shared: &Shared,
    method: &Method,
    path: &str,
    query: &str,
    body: &[u8],
) -> (u16, String) {
    let done = |body: String| (200, body);
    match (
        method.as_str(),
        path.strip_prefix(PREFIX).unwrap_or_default(),
    ) {
        ("GET", "health") => done(Obj::new().str("status", "ok").end()),
        ("GET", "stats") => done(shared.stats_json()),
        ("GET", "requests") => since(query).map_or_else(refused, |since| {
            let seen = shared.records.seen_since(since);
            let last = seen.last().map_or(since, |seen| seen.seq);
            done(page(&seen, last))
        }),
        ("GET", "truth") => since(query).map_or_else(refused, |since| {
            let truth = shared.records.truth_since(since);
            let last = truth.last().map_or(since, |truth| truth.seq);
            done(page(&truth, last))
        }),
        ("POST", "script") => match scripts(body) {
            Ok(more) => {
                let queued = shared.queue(more);
                done(
                    Obj::new()
                        .num("queued", u64::try_from(queued).unwrap_or(u64::MAX))
                        .end(),
                )
            }
            Err(why) => refused(why),
        },
        ("DELETE", "script") => {
            shared.unqueue_all();
            done(Obj::new().num("queued", 0).end())
        }
        ("POST", "keys") => match serde_json::from_slice::<Keys>(body) {
            Ok(Keys { valid }) => {
                let shown = serde_json::to_string(&valid.as_ref().map(HashSet::len));
                shared.restrict_keys(valid);
                done(
                    Obj::new()
                        .raw("valid", shown.as_deref().unwrap_or("null"))
                        .end(),
                )
            }
            Err(error) => refused(error.to_string()),
        },
        ("POST", "reset") => {
            shared.reset();
            done(Obj::new().str("status", "ok").end())
        }
        _ => (404, error(&format!("no such control: {method} {path}"))),
    }
}

/// `null` lifts the restriction; the list replaces the one before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    valid: Option<HashSet<String>>,
}

fn scripts(body: &[u8]) -> Result<Vec<Script>, String> {
    let entries: Vec<&RawValue> =
        serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let read = |(at, raw): (usize, &&RawValue)| {
        Script::from_json(raw.get()).map_err(|error| format!("entry {at}: {error}"))
    };
    entries.iter().enumerate().map(read).collect()
}

fn since(query: &str) -> Result<u64, String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    match pairs.find(|(name, _)| *name == "since") {
        Some((_, value)) => value
            .parse()
            .map_err(|_| String::from("`since` must be a whole number")),
        None => Ok(0),
    }
}

fn page<T: serde::Serialize>(rows: &[T], last: u64) -> String {
    let rows = serde_json::to_string(rows).unwrap_or_else(|_| String::from("[]"));
    Obj::new().raw("data", &rows).num("last_seq", last).end()
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_or_else wants"
)]
fn refused(why: String) -> (u16, String) {
    (400, error(&why))
}

fn error(message: &str) -> String {
    let error = Obj::new()
        .str("type", "mock_control_error")
        .str("message", message)
        .end();
    Obj::new().raw("error", &error).end()
}
