//! The bill: what the ledger holds for the usage bodies of every vendor, to the nano-dollar.
//!
//! Every report in [`table`] is said by the mock provider to callers of every surface, through every kind of
//! provider row that speaks the report's dialect, whole and as a stream. The costs in the table are worked
//! out by hand from the rates that stand there; nothing here prices anything. What the ledger says must not
//! depend on who asks in which dialect.

pub(crate) mod lanes;
mod shipped;
mod table;
mod vectors;

use lw_core::NanoUsd;
use lw_mock::MockProvider;
use lw_store::ledger::{Certainty, Entry, EntryKind};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Gateway, Key, eventually, once};
use lanes::{LANES, Lane, SURFACES, Surface};
use table::{Report, Said, TABLE};

/// A gateway with a row of every kind in front of one mock.
pub(crate) struct Stand {
    pub(crate) gateway: Gateway,
    pub(crate) mock: MockProvider,
    pub(crate) key: Key,
    _prices: TempDir,
}

impl Stand {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let prices = folder.path().join("prices.json");
        std::fs::write(&prices, table::prices()).expect("a file");
        let mock = crate::support::provider();
        let gateway = Gateway::builder()
            .env("LW_PRICES_FILE", prices.to_str().expect("a path"))
            .start();
        lanes::connect(&gateway, &mock);
        let key = gateway.create_key();
        // Its token is fetched now, so that no later call of the mock is about something else.
        let ask = Surface::Chat.ask(&key.secret, lanes::WITH_A_TOKEN, false, "Hello?");
        assert_eq!(gateway.call(&ask).status(), 200);
        Self {
            gateway,
            mock,
            key,
            _prices: folder,
        }
    }

    /// Lets the mock say this once to a caller of `surface` and returns the id of the request.
    pub(crate) fn said(
        &self,
        surface: Surface,
        model: &str,
        stream: bool,
        directive: &Value,
    ) -> String {
        once(&self.mock, directive);
        let ask = surface.ask(&self.key.secret, model, stream, "What does this cost?");
        let answer = self.gateway.call(&ask);
        let what = format!("{surface:?} {model} stream={stream} {directive}");
        assert_eq!(answer.status(), 200, "{what}: {}", answer.text());
        answer.request_id()
    }
}

/// One call of the walk, to be looked up in the ledger once all are made.
struct Asked<'a> {
    what: String,
    id: String,
    report: &'a Report,
}

#[test]
fn the_ledger_equals_the_cost_worked_out_by_hand() {
    let stand = Stand::start();
    let mut asked = Vec::new();
    for report in &TABLE {
        let mut said = 0;
        for (lane, surface) in pairs() {
            if lane.speaks(surface) != report.dialect {
                continue;
            }
            for stream in [false, true] {
                let Some(directive) = directive(report, lane, stream) else {
                    continue;
                };
                said += 1;
                asked.push(Asked {
                    what: format!(
                        "{} / {} / {surface:?} / stream={stream}",
                        report.name, lane.name
                    ),
                    id: stand.said(surface, lane.model, stream, &directive),
                    report,
                });
            }
        }
        assert!(said > 0, "{} is never said", report.name);
    }
    let book = stand.gateway.book();
    let mut wrong = Vec::new();
    for Asked { what, id, report } in &asked {
        let entry = book.ended(id);
        if let Err(why) = matches(&entry, report) {
            wrong.push(format!("{what}: {why}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} are wrong:\n{}",
        wrong.len(),
        asked.len(),
        wrong.join("\n")
    );
}

fn pairs() -> impl Iterator<Item = (&'static Lane, Surface)> {
    LANES
        .iter()
        .flat_map(|lane| SURFACES.map(|surface| (lane, surface)))
}

/// How the mock is told to say it; `None` where the lane has no such form.
fn directive(report: &Report, lane: &Lane, stream: bool) -> Option<Value> {
    let mut directive = match (&report.said, stream) {
        (Said::Usage(usage), _) => {
            let usage: Box<serde_json::value::RawValue> =
                serde_json::from_str(usage).expect("JSON in the table");
            serde_json::json!({ "usage_raw": usage })
        }
        (Said::Whole(body), false) => serde_json::json!({ "body_raw": body }),
        (Said::Stream(body), true) if !lane.framed => serde_json::json!({
            "body_raw": body, "content_type": "text/event-stream",
        }),
        (Said::Whole(_) | Said::Stream(_), _) => return None,
    };
    if let Some((name, value)) = report.header {
        directive["headers"] = serde_json::json!({ name: value });
    }
    Some(directive)
}

fn matches(entry: &Entry, report: &Report) -> Result<(), String> {
    let told = (entry.kind, entry.certainty, entry.priced);
    if told != (EntryKind::Settle, Certainty::Exact, true) {
        return Err(format!("{told:?} {:?}", entry.usage));
    }
    let usage = &entry.usage;
    let classes = [
        usage.input,
        usage.cache_read,
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.output,
        usage.input_audio,
        usage.output_audio,
    ];
    if classes != report.classes {
        return Err(format!("classes {classes:?}, not {:?}", report.classes));
    }
    if entry.amount != NanoUsd(report.nano) {
        return Err(format!("{} nano, not {}", entry.amount.0, report.nano));
    }
    Ok(())
}

#[test]
fn a_report_that_is_missing_or_cannot_be_true_is_an_estimate_and_marked_as_one() {
    let stand = Stand::start();
    let mut asked = Vec::new();
    for (lane, surface) in pairs() {
        for stream in [false, true] {
            for directive in [
                serde_json::json!({ "no_usage": true }),
                serde_json::json!({ "usage_raw": "nonsense" }),
            ] {
                let id = stand.said(surface, lane.model, stream, &directive);
                asked.push((
                    format!("{} {surface:?} stream={stream} {directive}", lane.name),
                    id,
                ));
            }
        }
    }
    let book = stand.gateway.book();
    for (what, id) in &asked {
        let entry = book.ended(id);
        assert_eq!(
            (entry.kind, entry.certainty),
            (EntryKind::Settle, Certainty::Estimated),
            "{what} {entry:#?}"
        );
        assert!(entry.amount > NanoUsd::ZERO, "{what}");
        assert!(entry.amount <= book.hold(id), "{what}");
        // Nobody is charged for a thousand tokens when a dozen words were said.
        assert!(entry.usage.output > 0 && entry.usage.output < 400, "{what}");
    }
}

#[test]
fn a_bad_report_in_the_middle_of_a_stream_leaves_nothing_of_the_good_one() {
    let stand = Stand::start();
    for (dialect, body) in table::SPOILED {
        let speaks =
            |(lane, surface): &(&Lane, Surface)| lane.speaks(*surface) == dialect && !lane.framed;
        for (lane, surface) in pairs().filter(speaks) {
            let directive = serde_json::json!({
                "body_raw": body, "content_type": "text/event-stream",
            });
            let id = stand.said(surface, lane.model, true, &directive);
            let entry = stand.gateway.book().ended(&id);
            assert_eq!(
                entry.certainty,
                Certainty::Estimated,
                "{} {surface:?} {entry:#?}",
                lane.name
            );
        }
    }
}

#[test]
fn a_model_without_a_price_costs_nothing_and_says_that_it_has_none() {
    let stand = Stand::start();
    let directive = serde_json::json!({ "usage": {"prompt_tokens": 1_000, "output_tokens": 500} });
    for (surface, model) in [
        (Surface::Chat, "custom/nobodys-model"),
        (Surface::Messages, "custom/nobodys-model"),
        (Surface::Chat, "openai/gpt-of-tomorrow"),
        (Surface::Messages, "anthropic/claude-of-tomorrow"),
    ] {
        let id = stand.said(surface, model, false, &directive);
        let entry = stand.gateway.book().ended(&id);
        assert_eq!(
            (entry.amount, entry.priced),
            (NanoUsd::ZERO, false),
            "{model}"
        );
        assert_eq!((entry.usage.input, entry.usage.output), (1_000, 500));
    }
}

#[test]
fn the_callers_of_one_answer_see_the_same_numbers_as_the_ledger() {
    let stand = Stand::start();
    let directive = serde_json::json!({ "usage": {
        "prompt_tokens": 900, "cached_tokens": 300, "output_tokens": 70,
    }});
    for (surface, prompt, completion) in [
        (
            Surface::Chat,
            "/usage/prompt_tokens",
            "/usage/completion_tokens",
        ),
        (
            Surface::Responses,
            "/usage/input_tokens",
            "/usage/output_tokens",
        ),
        (
            Surface::Generate,
            "/usageMetadata/promptTokenCount",
            "/usageMetadata/candidatesTokenCount",
        ),
    ] {
        for lane in &LANES {
            once(&stand.mock, &directive);
            let ask = surface.ask(&stand.key.secret, lane.model, false, "Numbers?");
            let answer = stand.gateway.call(&ask);
            let shown = answer.json();
            let number = |pointer: &str| shown.pointer(pointer).and_then(Value::as_u64);
            let entry = eventually("the request is in the ledger", || {
                let entries = stand.gateway.book().entries(&answer.request_id());
                entries
                    .into_iter()
                    .find(|entry| entry.kind == EntryKind::Settle)
            });
            assert_eq!(
                (number(prompt), number(completion)),
                (Some(entry.usage.prompt()), Some(entry.usage.completion())),
                "{} {surface:?} {shown}",
                lane.name
            );
        }
    }
}
