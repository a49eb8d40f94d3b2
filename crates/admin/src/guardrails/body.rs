//! What callers send about a guardrail (management-api 14). Start at [`NewGuardrail`] and
//! [`GuardrailPatch`].

use lw_core::Error;
use lw_store::rows::{FailureMode, GuardrailDirection};
use serde_json::{Map, Value};

use super::evaluator::{self, Evaluator, Policy};
use crate::input::{BODY, Fields, Given, Problems, never_null};

/// The body of a create.
pub(super) struct NewGuardrail {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) project: Option<String>,
    pub(super) direction: GuardrailDirection,
    pub(super) failure_mode: FailureMode,
    pub(super) evaluator: Evaluator,
}

/// The body of an update: what is absent stays. An evaluator replaces the one before, settings and all.
pub(super) struct GuardrailPatch {
    pub(super) name: Option<String>,
    pub(super) description: Given<String>,
    /// A guardrail never moves: this must be where it is.
    pub(super) project: Option<String>,
    pub(super) direction: Option<GuardrailDirection>,
    pub(super) failure_mode: Option<FailureMode>,
    pub(super) evaluator: Option<Evaluator>,
}

impl NewGuardrail {
    /// Reads a body.
    ///
    /// # Errors
    /// `validation_error` with every problem.
    pub(super) fn read(body: &Map<String, Value>, policy: Policy<'_>) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body, "");
        for name in ["name", "direction", "evaluator"] {
            if fields.raw(&[name]).is_none() {
                problems.add(name, "required", "is required");
            }
        }
        let patch = common(&fields, policy, &mut problems);
        problems.finish()?;
        let GuardrailPatch {
            name,
            description,
            project,
            direction,
            failure_mode,
            evaluator,
        } = patch;
        Ok(Self {
            name: name.unwrap_or_default(),
            description: description.value(),
            project,
            // Without problems these two are there.
            direction: direction.unwrap_or(GuardrailDirection::Pre),
            evaluator: evaluator.unwrap_or_default(),
            failure_mode: failure_mode.unwrap_or(FailureMode::FailClosed),
        })
    }
}

impl GuardrailPatch {
    /// Reads a body.
    ///
    /// # Errors
    /// `validation_error` with every problem.
    pub(super) fn read(body: &Map<String, Value>, policy: Policy<'_>) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let patch = common(&Fields::new(body, ""), policy, &mut problems);
        problems.finish()?;
        Ok(patch)
    }
}

fn common(fields: &Fields<'_>, policy: Policy<'_>, problems: &mut Problems) -> GuardrailPatch {
    let name = fields.trimmed("name", 1..=128, problems);
    let project = fields.trimmed("project_id", 1..=256, problems);
    let directions = ["pre", "post", "stream_chunk"];
    let direction = fields.choice(&["direction"], &directions, problems);
    let modes = ["fail_closed", "fail_open"];
    let failure_mode = fields.choice(&["failure_mode"], &modes, problems);
    let evaluator = fields
        .object(&["evaluator"], problems)
        .and_then(|sent| evaluator::read(&sent, policy, problems));
    GuardrailPatch {
        name: never_null(name, "name".into(), problems),
        description: fields.text("description", 0..=2_000, problems),
        project: never_null(project, "project_id".into(), problems),
        direction: never_null(direction, "direction".into(), problems).map(|word| match word {
            "post" => GuardrailDirection::Post,
            "stream_chunk" => GuardrailDirection::StreamChunk,
            _ => GuardrailDirection::Pre,
        }),
        failure_mode: never_null(failure_mode, "failure_mode".into(), problems).map(|word| {
            match word {
                "fail_open" => FailureMode::FailOpen,
                _ => FailureMode::FailClosed,
            }
        }),
        evaluator: never_null(evaluator, "evaluator".into(), problems),
    }
}
