//! What callers send about a cache rule (management-api 10). Start at [`NewRule`] and [`RulePatch`].

use lw_core::Error;
use serde_json::{Map, Value};

use super::matchers;
use crate::input::{BODY, Fields, Given, Problems, never_null};

/// The longest `ttl`, in seconds: a day.
const LONGEST_TTL: u64 = 86_400;
/// The largest priority.
const HIGHEST: u64 = 1_000;
/// The priority of a rule that names none.
const USUAL: i64 = 100;

/// The body of a create.
#[derive(Debug, Clone)]
pub(super) struct NewRule {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) priority: i64,
    pub(super) enabled: bool,
    /// At least one.
    pub(super) matchers: Value,
    pub(super) action: Value,
}

/// The body of an update: what is absent stays.
#[derive(Debug, Clone)]
pub(super) struct RulePatch {
    pub(super) name: Option<String>,
    pub(super) description: Given<String>,
    pub(super) priority: Option<i64>,
    pub(super) enabled: Option<bool>,
    pub(super) matchers: Option<Value>,
    pub(super) action: Option<Value>,
}

impl NewRule {
    /// Reads a body.
    ///
    /// # Errors
    /// `validation_error` with every problem.
    pub(super) fn read(body: &Map<String, Value>) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body, "");
        for name in ["name", "matchers", "action"] {
            if fields.raw(&[name]).is_none() {
                problems.add(name, "required", "is required");
            }
        }
        let RulePatch {
            name,
            description,
            priority,
            enabled,
            matchers,
            action,
        } = common(&fields, &mut problems);
        let sent = fields
            .raw(&["matchers"])
            .and_then(|(_, sent)| sent.as_object());
        if sent.is_some_and(|sent| sent.values().all(Value::is_null)) {
            let text = "must hold at least one condition: a rule for everything is a key's setting";
            problems.add("matchers", "too_small", text);
        }
        problems.finish()?;
        Ok(Self {
            name: name.unwrap_or_default(),
            description: description.value(),
            priority: priority.unwrap_or(USUAL),
            enabled: enabled.unwrap_or(true),
            matchers: matchers.unwrap_or_default(),
            action: action.unwrap_or_default(),
        })
    }
}

impl RulePatch {
    /// Reads a body.
    ///
    /// # Errors
    /// `validation_error` with every problem.
    pub(super) fn read(body: &Map<String, Value>) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let patch = common(&Fields::new(body, ""), &mut problems);
        problems.finish()?;
        Ok(patch)
    }
}

fn common(fields: &Fields<'_>, problems: &mut Problems) -> RulePatch {
    let name = fields.trimmed("name", 1..=128, problems);
    let priority = fields.whole(&["priority"], 0..=HIGHEST, problems);
    let enabled = fields.boolean(&["enabled"], problems);
    let matchers = fields
        .object(&["matchers"], problems)
        .map(|sent| matchers::read(&sent, problems));
    let action = fields
        .object(&["action"], problems)
        .map(|sent| action(&sent, problems));
    RulePatch {
        name: never_null(name, "name".into(), problems),
        description: fields.text("description", 0..=512, problems),
        priority: never_null(priority, "priority".into(), problems)
            .and_then(|number| i64::try_from(number).ok()),
        enabled: never_null(enabled, "enabled".into(), problems),
        matchers: never_null(matchers, "matchers".into(), problems),
        action: never_null(action, "action".into(), problems),
    }
}

/// `{mode, ttl?, salt?}`; what is null is not kept.
fn action(fields: &Fields<'_>, problems: &mut Problems) -> Value {
    fields.only(&["mode", "ttl", "salt"], problems);
    let mut out = Map::new();
    let missing = fields.raw(&["mode"]).is_none_or(|(_, mode)| mode.is_null());
    if missing {
        problems.add(fields.path("mode"), "required", "is required");
    }
    let words = ["respect", "force", "disable"];
    if let Given::Value(mode) = fields.choice(&["mode"], &words, problems) {
        out.insert("mode".into(), mode.into());
    }
    if let Given::Value(ttl) = fields.whole(&["ttl"], 0..=LONGEST_TTL, problems) {
        out.insert("ttl".into(), ttl.into());
    }
    if let Given::Value(salt) = fields.text("salt", 0..=64, problems) {
        out.insert("salt".into(), salt.into());
    }
    out.into()
}
