//! What guardrails did to a request, for its trace.
//!
//! Gathered on the data thread as it happens, put into words where the trace is written. Never holds a text that
//! was checked. Start at [`Facts`].

use lw_core::GuardrailId;

use crate::guardrail::stream::StreamGuard;
use crate::guardrail::{Checked, Direction, Failure, Outcome, Unavailable};
use crate::metrics::Metrics;

/// What guardrails did to a request.
#[derive(Debug, Default, Clone)]
pub(crate) struct Facts {
    /// What was said, by direction; more than one word for a stream.
    pub(crate) verdicts: Vec<(Direction, &'static str)>,
    /// Directions that passed although a check failed, with why.
    pub(crate) fail_open: Vec<(Direction, &'static str)>,
    /// The direction in which a check took too long.
    timeout: Option<Direction>,
    /// Who changed texts.
    applied: Vec<GuardrailId>,
    /// Who blocked.
    policies: Vec<GuardrailId>,
    /// Why the answer was not checked.
    pub(crate) post_skipped: Option<&'static str>,
    /// What the check of a whole stream says, after it went out.
    pub(crate) post_flag: Option<String>,
    /// Frames of a stream that was checked which had no text.
    frames_skipped: Option<u64>,
}

impl Facts {
    /// What came of a check; counts it as well.
    pub(super) fn note<T>(&mut self, metrics: &Metrics, at: Direction, checked: &Checked<T>) {
        let verdict = checked.verdict();
        metrics.guardrail_verdicts(at.as_str(), verdict, 1);
        self.verdicts.push((at, verdict));
        if let Some((guardrail, failure)) = checked.failed_open.first() {
            let (direction, reason) = (at.as_str(), failure.as_str());
            tracing::warn!(direction, reason, %guardrail, error = %failure, "guardrail_fail_open");
            self.passed(at, reason);
        }
        match &checked.outcome {
            Outcome::Allow => {}
            Outcome::Block(blocked) => self.policies.clone_from(&blocked.policies),
            Outcome::Modify { applied, .. } => self.add_applied(applied),
        }
    }

    /// A check could not be made, and nothing passes without it.
    pub(super) fn failed(&mut self, unavailable: &Unavailable) {
        let Unavailable {
            direction,
            guardrail,
            failure,
        } = unavailable;
        let guardrail = guardrail.as_ref().map_or("", |(id, _)| id.as_str());
        let (word, reason) = (direction.as_str(), failure.as_str());
        tracing::warn!(direction = word, reason, guardrail, error = %failure, "guardrail_fail_closed");
        self.verdicts.push((*direction, "fail_closed"));
        if *failure == Failure::Timeout {
            self.timeout.get_or_insert(*direction);
        }
    }

    /// Why an answer is not checked.
    pub(super) const fn skip(&mut self, why: &'static str) {
        self.post_skipped = Some(why);
    }

    /// What came of the checks of a stream; counts them as well.
    pub(crate) fn stream(&mut self, metrics: &Metrics, guard: &StreamGuard) {
        let facts = guard.facts();
        let direction = Direction::StreamChunk;
        if let Some(reason) = facts.fail_open_reason {
            warn_of_stream(reason, facts.fail_open);
            self.passed(direction, reason);
        }
        for (verdict, count) in [
            ("allow", facts.allowed),
            ("modify", facts.modified),
            ("fail_open", facts.fail_open),
            ("block", u64::from(facts.blocked.is_some())),
        ] {
            metrics.guardrail_verdicts(direction.as_str(), verdict, count);
            if count > 0 {
                self.verdicts.push((direction, verdict));
            }
        }
        self.add_applied(&facts.applied);
        if let Some(blocked) = &facts.blocked {
            self.policies.clone_from(&blocked.policies);
        }
        self.frames_skipped = Some(facts.skipped);
    }

    /// A stream passes as it is, because nobody can read it.
    pub(super) fn stream_unreadable(&mut self, metrics: &Metrics) {
        let direction = Direction::StreamChunk;
        metrics.guardrail_verdicts(direction.as_str(), "fail_open", 1);
        warn_of_stream("unreadable", 1);
        self.verdicts.push((direction, "fail_open"));
        self.passed(direction, "unreadable");
    }

    /// What the check of a stream says that has gone out.
    pub(crate) fn flag(&mut self, flag: Option<String>) {
        self.post_flag = flag;
    }

    fn passed(&mut self, direction: Direction, reason: &'static str) {
        self.fail_open.push((direction, reason));
        if reason == Failure::Timeout.as_str() {
            self.timeout.get_or_insert(direction);
        }
    }

    fn add_applied(&mut self, ids: &[GuardrailId]) {
        for id in ids {
            if !self.applied.contains(id) {
                self.applied.push(id.clone());
            }
        }
    }

    /// In words, as the trace keeps them ([`lw_store::trace::Facts::guardrails`]).
    pub(crate) fn words(self) -> Vec<(String, String)> {
        let Self {
            verdicts,
            fail_open,
            timeout,
            applied,
            policies,
            post_skipped,
            post_flag,
            frames_skipped,
        } = self;
        let mut words: Vec<(String, String)> = Vec::new();
        let mut put = |name: String, value: &str| words.push((name, value.to_owned()));
        for (direction, verdict) in verdicts {
            put(format!("verdict.{}", direction.as_str()), verdict);
        }
        for (direction, reason) in fail_open {
            put(format!("fail_open.{}", direction.as_str()), reason);
        }
        if let Some(direction) = timeout {
            put("timeout".to_owned(), direction.as_str());
        }
        for id in &applied {
            put("applied".to_owned(), id.as_str());
        }
        for id in &policies {
            put("policy".to_owned(), id.as_str());
        }
        if let Some(why) = post_skipped {
            put("post.skipped".to_owned(), why);
        }
        if let Some(flag) = post_flag {
            put("post_flag".to_owned(), &flag);
        }
        if let Some(frames) = frames_skipped {
            put("stream_chunk.skipped".to_owned(), &frames.to_string());
        }
        words
    }
}

/// One line for a stream, however many of its pieces passed.
fn warn_of_stream(reason: &'static str, pieces: u64) {
    let direction = Direction::StreamChunk.as_str();
    tracing::warn!(direction, reason, pieces, "guardrail_fail_open");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_guardrails_did_is_kept_in_words_and_each_changer_once() {
        let metrics = Metrics::default();
        let id = |text: &str| GuardrailId::parse(text).expect("an id");
        let mut facts = Facts::default();
        let modified = |ids: &[&str]| Checked {
            outcome: Outcome::Modify {
                content: (),
                applied: ids.iter().map(|text| id(text)).collect(),
            },
            failed_open: Vec::new(),
        };
        facts.note(
            &metrics,
            Direction::Request,
            &modified(&["guard_1", "guard_2"]),
        );
        facts.note(&metrics, Direction::Response, &modified(&["guard_2"]));
        let passed: Checked<()> = Checked {
            outcome: Outcome::Allow,
            failed_open: vec![
                (id("guard_3"), Failure::Timeout),
                (id("guard_4"), Failure::Overloaded),
            ],
        };
        facts.note(&metrics, Direction::Response, &passed);
        facts.flag(Some("block: g".to_owned()));
        let words = facts.words();
        let words: Vec<String> = words
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            words,
            [
                "verdict.request=modify",
                "verdict.response=modify",
                "verdict.response=fail_open",
                "fail_open.response=timeout",
                "timeout=response",
                "applied=guard_1",
                "applied=guard_2",
                "post_flag=block: g",
            ]
        );
    }
}
