//! What callers send about a budget, read and checked in itself (management-api 9.3).
//!
//! Whatever needs the store (does that team exist?) is asked in [`super::target`] and
//! [`super::service`]. Start at [`NewBudget`] and [`BudgetPatch`].

use std::collections::BTreeMap;

use lw_core::{Error, NanoUsd, UnixMicros};
use lw_engine::period::Window;
use lw_store::rows::{Enforcement, OnBreach};
use serde_json::{Map, Value};

use super::target::Named;
use crate::input::{BODY, Fields, Given, Problems, never_null};
use crate::{keys, money};

/// The longest description.
pub(super) const DESCRIPTION: usize = 2_000;
/// The longest name of a time zone.
pub(super) const TIMEZONE: usize = 64;
/// The longest id or slug that is looked up.
pub(super) const ID: usize = 256;

/// The body of a create.
#[derive(Debug, Clone)]
pub(super) struct NewBudget {
    pub(super) target: Named,
    pub(super) provider_key: Option<String>,
    pub(super) window: Window,
    pub(super) cycle_anchor_at: Option<UnixMicros>,
    pub(super) allow_unreachable: bool,
    pub(super) name: String,
    pub(super) limit: NanoUsd,
    /// What can be changed later too.
    pub(super) rest: BudgetPatch,
}

/// The body of an update: what is absent stays.
#[derive(Debug, Clone)]
pub(super) struct BudgetPatch {
    pub(super) name: Option<String>,
    pub(super) description: Given<String>,
    pub(super) limit: Option<NanoUsd>,
    pub(super) on_breach: Option<OnBreach>,
    pub(super) enforcement: Option<Enforcement>,
    pub(super) timezone: Given<String>,
    pub(super) external_id: Given<String>,
    pub(super) metadata: Option<BTreeMap<String, String>>,
}

impl NewBudget {
    /// Reads a body.
    ///
    /// # Errors
    /// `validation_error` with every problem.
    pub(super) fn read(body: &Map<String, Value>) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body, "");
        for name in ["scope", "name", "window", "limit_usd"] {
            if fields.raw(&[name]).is_none() {
                problems.add(name, "required", "is required");
            }
        }
        let target = match fields.object(&["scope"], &mut problems) {
            Given::Value(scope) => target(&scope, &mut problems),
            other => {
                never_null(other, "scope".into(), &mut problems);
                None
            }
        };
        let words = Window::ALL.iter().map(|window| window.as_str());
        let words: Vec<&'static str> = words.collect();
        let window = fields.choice(&["window"], &words, &mut problems);
        let window = never_null(window, "window".into(), &mut problems).and_then(Window::parse);
        let rest = BudgetPatch::common(&fields, &mut problems);
        let provider_key = fields.trimmed("provider_key", 1..=ID, &mut problems);
        let cycle_anchor_at = fields.time("cycle_anchor_at", &mut problems);
        let allowed = fields.boolean(&["allow_unreachable"], &mut problems);
        let allowed = never_null(allowed, "allow_unreachable".into(), &mut problems);
        problems.finish()?;
        let (Some(target), Some(window), Some(name), Some(limit)) =
            (target, window, rest.name.clone(), rest.limit)
        else {
            // Whatever is missing is among the problems.
            return Err(Error::new(
                lw_core::Code::InternalError,
                "a budget was read in part",
            ));
        };
        Ok(Self {
            target,
            provider_key: provider_key.value(),
            window,
            cycle_anchor_at: cycle_anchor_at.value(),
            allow_unreachable: allowed.unwrap_or(false),
            name,
            limit,
            rest,
        })
    }
}

impl BudgetPatch {
    /// Reads a body. What cannot be changed is passed over.
    ///
    /// # Errors
    /// `validation_error` with every problem.
    pub(super) fn read(body: &Map<String, Value>) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let patch = Self::common(&Fields::new(body, ""), &mut problems);
        problems.finish()?;
        Ok(patch)
    }

    /// The fields that create and update share.
    fn common(fields: &Fields<'_>, problems: &mut Problems) -> Self {
        let name = fields.trimmed("name", 1..=128, problems);
        let description = fields.text("description", 0..=DESCRIPTION, problems);
        let limit = money::limit(fields, "limit_usd", problems);
        let on_breach = fields.choice(&["on_breach"], &["block", "warn"], problems);
        let enforcement = fields.choice(&["enforcement"], &["strict", "soft"], problems);
        let timezone = fields.trimmed("timezone", 1..=TIMEZONE, problems);
        let external_id = fields.trimmed("external_id", 1..=128, problems);
        let metadata = keys::metadata(fields, problems);
        let on_breach = never_null(on_breach, "on_breach".into(), problems);
        let enforcement = never_null(enforcement, "enforcement".into(), problems);
        Self {
            name: never_null(name, "name".into(), problems),
            description,
            limit: never_null(limit, "limit_usd".into(), problems),
            on_breach: on_breach.map(|word| match word {
                "warn" => OnBreach::Warn,
                _ => OnBreach::Block,
            }),
            enforcement: enforcement.map(|word| match word {
                "soft" => Enforcement::Soft,
                _ => Enforcement::Strict,
            }),
            timezone,
            external_id,
            metadata: never_null(metadata, "metadata".into(), problems),
        }
    }
}

/// What `scope` names: `{kind, …_id}`.
fn target(scope: &Fields<'_>, problems: &mut Problems) -> Option<Named> {
    let kinds = [
        "organization",
        "team",
        "project",
        "virtual_key",
        "principal",
        "group",
        "attributed_user",
    ];
    let kind = scope.choice(&["kind"], &kinds, problems);
    if scope
        .raw(&["kind"])
        .is_none_or(|(_, value)| value.is_null())
    {
        problems.add(scope.path("kind"), "required", "is required");
    }
    let mut one = |field: &'static str| {
        let missing = scope.raw(&[field]).is_none_or(|(_, value)| value.is_null());
        if missing {
            problems.add(scope.path(field), "required", "is required");
        }
        scope.trimmed(field, 1..=ID, problems).value()
    };
    Some(match kind.value()? {
        "organization" => Named::Organization(one("organization_id")?),
        "team" => Named::Team(one("team_id")?),
        "project" => Named::Project(one("project_id")?),
        "virtual_key" => Named::VirtualKey(one("virtual_key_id")?),
        "principal" => Named::Principal(one("principal_user_id")?),
        "group" => Named::Group(one("group_id")?),
        _ => anchor(scope, problems)?,
    })
}

/// The one anchor of a template.
fn anchor(scope: &Fields<'_>, problems: &mut Problems) -> Option<Named> {
    let mut given = |field: &'static str| {
        let sent = scope
            .raw(&[field])
            .is_some_and(|(_, value)| !value.is_null());
        (sent, scope.trimmed(field, 1..=ID, problems).value())
    };
    let (key, project) = (given("anchor_virtual_key_id"), given("anchor_project_id"));
    match (key, project) {
        ((true, key), (false, _)) => Some(Named::EndUsersOfKey(key?)),
        ((false, _), (true, project)) => Some(Named::EndUsersOfProject(project?)),
        _ => {
            let text = "must name exactly one of anchor_virtual_key_id, anchor_project_id";
            problems.add("scope", "invalid_value", text);
            None
        }
    }
}
