//! The walk in the record: who was asked, who was passed over and why, and what each came to.

use lw_core::NanoUsd;
use lw_governor::books::Amounts;
use lw_store::trace::Decision;

use super::{Seen, Stage, Verdict, tell};
use crate::call::{Dispatch, Tried};

impl Seen<'_> {
    /// The candidates in the order of the walk.
    pub(super) fn attempts(&self, out: &mut Vec<Decision>) {
        let asked = self.tried.len() + usize::from(self.last.is_some());
        let candidates = self.notes.candidates;
        if candidates > 1 {
            let detail = format!("{candidates} candidates, of which {asked} were looked at");
            tell(out, Stage::Candidates, Verdict::Info, detail);
        }
        for tried in self.tried {
            let Tried {
                dispatch,
                duration_us,
                why,
            } = tried;
            let (verdict, detail) = match why {
                Some(why) => {
                    let detail = format!("{}: passed over, {}", self.name(dispatch), why.message());
                    (Verdict::Skip, detail)
                }
                None => (Verdict::Warn, self.came_to(dispatch, *duration_us)),
            };
            tell(out, Stage::Attempt, verdict, detail);
        }
        if let Some((dispatch, duration_us)) = self.last {
            let detail = self.came_to(dispatch, duration_us);
            tell(out, Stage::Attempt, self.verdict(dispatch), detail);
        }
    }

    /// What the last attempt meant for the request.
    fn verdict(&self, dispatch: &Dispatch) -> Verdict {
        match (dispatch.outcome, self.refusal) {
            _ if self.word == "client_disconnected" => Verdict::Info,
            ("success" | "fallback_success", None) if self.word.starts_with("success") => {
                Verdict::Pass
            }
            // What the provider said was passed on: that is the refusal.
            (_, None) => Verdict::Refuse,
            ("success" | "fallback_success", Some(_)) => Verdict::Info,
            // Ours follows.
            (_, Some(_)) => Verdict::Warn,
        }
    }

    /// `openai mp_1 as gpt-5-mini: retryable_5xx, status 503, after 0.200 s`, and what else is worth saying.
    fn came_to(&self, dispatch: &Dispatch, duration_us: u64) -> String {
        let mut text = self.name(dispatch);
        if !dispatch.model.is_empty() {
            text.push_str(" as `");
            text.push_str(&dispatch.model);
            text.push('`');
        }
        if dispatch.substituted {
            text.push_str(" instead of what was asked for");
        }
        text.push_str(": ");
        text.push_str(match self.word {
            "upstream_mid_stream_failure" if self.is_last(dispatch) => "broke off in the middle",
            "client_disconnected" if self.is_last(dispatch) => "the caller left",
            _ => dispatch.outcome,
        });
        if let Some(status) = dispatch.status {
            text.push_str(&format!(", status {status}"));
        }
        text.push_str(&format!(", after {}", seconds(duration_us)));
        if dispatch.circuit == Some("half_open") {
            text.push_str("; it was the probe of a circuit that was open");
        }
        if let Some((amounts, budgets)) = dispatch.held {
            text.push_str(&held(amounts, budgets));
        }
        text
    }

    fn is_last(&self, dispatch: &Dispatch) -> bool {
        let last = self.last.map(|(last, _)| last.span_id);
        last == Some(dispatch.span_id)
    }

    /// `openai mp_1`.
    fn name(&self, dispatch: &Dispatch) -> String {
        match self.bundle.lanes.get(dispatch.lane) {
            Some(lane) => format!("{} {}", lane.kind.as_str(), lane.id),
            None => "a provider".to_owned(),
        }
    }
}

/// What budgets held for the attempt: some hold the most that it may cost, others what is usual.
fn held(amounts: Amounts, budgets: usize) -> String {
    let Amounts { strict, soft } = amounts;
    let noun = if budgets == 1 { "budget" } else { "budgets" };
    if strict == NanoUsd::ZERO {
        return format!("; {budgets} {noun} counted it without holding anything");
    }
    if soft == strict {
        return format!("; {budgets} {noun} held ${strict}");
    }
    format!("; {budgets} {noun} held ${strict}, or ${soft} where they are kept softly")
}

/// `1.240 s`.
fn seconds(us: u64) -> String {
    format!("{}.{:03} s", us / 1_000_000, us / 1_000 % 1_000)
}
