//! What is left out on the way to a provider, and what is refused instead (providers 13).
//!
//! Nothing is left out silently: every name ends in the list that the caller gets
//! (`X-LangWatch-Params-Dropped`). With `drop_tuning_params: false` leaving out becomes refusing. Start at
//! [`Drops`].

use std::collections::BTreeSet;

use crate::ir::Request;
use crate::names::Field;
use crate::{Dialect, Problem, Target};

/// Fields that are consumed or given on by the translators, and never judged (providers 13).
const NEVER_JUDGED: [&str; 10] = [
    "cached_content",
    "safety_settings",
    "labels",
    "speed",
    "inference_geo",
    "container",
    "task_budget",
    "context_management",
    "fallbacks",
    "reasoning_max_tokens",
];

/// The same, of one dialect.
const NEVER_JUDGED_OF: [(Dialect, &str); 2] = [
    (Dialect::Chat, "mcp_servers"),
    (Dialect::Responses, "include"),
];

/// Fields that must not be left out, with the reason and the remedy.
const REFUSED: [(Dialect, &str, &str, &str); 9] = [
    (
        Dialect::Gemini,
        "cached_content",
        "a part of the prompt lies in a cache of Google's",
        "send the whole prompt in `contents`",
    ),
    (
        Dialect::Chat,
        "functions",
        "it is the old form of `tools`",
        "use `tools`",
    ),
    (
        Dialect::Chat,
        "function_call",
        "it is the old form of `tool_choice`",
        "use `tool_choice`",
    ),
    // Only the form `allowed_tools` is left to be judged.
    (
        Dialect::Chat,
        "tool_choice",
        "only OpenAI lets the model choose among some of the tools",
        "offer those tools alone, or choose `auto`, `required` or one function",
    ),
    (
        Dialect::Responses,
        "previous_response_id",
        "the provider keeps no responses",
        "send the whole conversation in `input`",
    ),
    (
        Dialect::Responses,
        "conversation",
        "the provider keeps no conversations",
        "send the whole conversation in `input`",
    ),
    (
        Dialect::Responses,
        "store",
        "the provider keeps no responses",
        "set it to false",
    ),
    (
        Dialect::Responses,
        "background",
        "the provider does not answer in the background",
        "remove it",
    ),
    (
        Dialect::Responses,
        "prompt",
        "the provider keeps no prompts",
        "send the instructions themselves",
    ),
];

/// Gathers what is left out of one request.
#[derive(Debug)]
pub struct Drops {
    from: Dialect,
    lane: String,
    strict: bool,
    names: BTreeSet<String>,
}

impl Drops {
    /// For a request on its way to a provider.
    #[must_use]
    pub fn new(request: &Request, target: &Target<'_>) -> Self {
        Self {
            from: request.from,
            lane: target.lane(),
            strict: !request.drop_tuning,
            names: BTreeSet::new(),
        }
    }

    /// Leaves a parameter out because of `why`.
    ///
    /// # Errors
    /// The caller wants a refusal instead (`drop_tuning_params: false`).
    pub fn leave_out(&mut self, name: &str, why: &str) -> Result<(), Problem> {
        if self.strict {
            return Err(self.refuse(
                name,
                why,
                "remove it, allow dropping (`drop_tuning_params`), or use another model",
            ));
        }
        self.names.insert(name.to_owned());
        Ok(())
    }

    /// [`Self::leave_out`] for a neutral field, by the caller's name for it.
    ///
    /// # Errors
    /// As there.
    pub fn leave_out_field(&mut self, field: Field, why: &str) -> Result<(), Problem> {
        self.leave_out(field.spelled(self.from), why)
    }

    /// Notes a change that is always made, whatever the caller wants about dropping.
    pub fn note(&mut self, field: Field) {
        self.names.insert(field.spelled(self.from).to_owned());
    }

    /// The refusal of a parameter.
    #[must_use]
    pub fn refuse(&self, name: &str, why: &str, remedy: &str) -> Problem {
        Problem::Unsupported {
            param: name.to_owned(),
            message: format!("`{name}` cannot be sent to {}: {why}; {remedy}", self.lane),
        }
    }

    /// The refusal of a neutral field, by the caller's name for it.
    #[must_use]
    pub fn refuse_field(&self, field: Field, why: &str, remedy: &str) -> Problem {
        self.refuse(field.spelled(self.from), why, remedy)
    }

    /// Whether a field of the caller's dialect is never judged.
    #[must_use]
    pub fn is_never_judged(&self, name: &str) -> bool {
        NEVER_JUDGED.contains(&name) || NEVER_JUDGED_OF.contains(&(self.from, name))
    }

    /// The refusal of a field that must not be left out, if it is one.
    #[must_use]
    pub fn refusal_of(&self, name: &str) -> Option<Problem> {
        let (_, _, why, remedy) = REFUSED
            .iter()
            .find(|(from, field, ..)| *from == self.from && *field == name)?;
        Some(self.refuse(name, why, remedy))
    }

    /// Judges what no writer took, in the order of the body.
    ///
    /// # Errors
    /// Something must not be left out.
    pub fn judge_rest(&mut self, request: &mut Request) -> Result<(), Problem> {
        for (name, value) in std::mem::take(&mut request.rest) {
            let harmless = match (name.as_str(), value.get()) {
                // What is asked for is what happens anyway.
                ("n", "1" | "0") | ("store" | "background", "false") => true,
                ("modalities", text) => text.contains("text") && !text.contains("audio"),
                ("truncation", "\"disabled\"") | ("service_tier", "\"auto\"") => true,
                _ => false,
            };
            if harmless {
                continue;
            }
            if let Some(refusal) = self.refusal_of(&name) {
                return Err(refusal);
            }
            if self.is_never_judged(&name) {
                continue;
            }
            self.leave_out(&name, "the provider has nothing like it")?;
        }
        Ok(())
    }

    /// The names, sorted.
    #[must_use]
    pub fn finish(self) -> Vec<String> {
        self.names.into_iter().collect()
    }
}
