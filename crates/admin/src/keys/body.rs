//! What callers send about a virtual key, read and checked in itself (management-api 8.3, 8.4).
//!
//! Whatever needs the store (does that scope exist?) is the service's question. Start at [`NewKey`] and
//! [`KeyPatch`].

use std::collections::BTreeMap;

use lw_core::{Error, UnixMicros};
use lw_store::rows::RoutingMode;
use serde_json::{Map, Value};

use super::config::{self, ConfigPatch};
use super::own_budget::Wish;
use crate::input::{BODY, Fields, Given, Problems, never_null};
use crate::scope::{self, Wanted};

/// The body of a create.
#[derive(Debug, Clone)]
pub(crate) struct NewKey {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) principal_user_id: Option<String>,
    pub(super) scopes: Option<Vec<Wanted>>,
    pub(super) trace_project: Option<String>,
    pub(super) routing_mode: Option<RoutingMode>,
    pub(super) routing_policy: Given<String>,
    pub(super) budget: Option<Wish>,
    pub(super) expires_at: Option<UnixMicros>,
    pub(super) config: ConfigPatch,
    pub(super) external_id: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) env: &'static str,
}

/// The body of an update: what is absent stays.
#[derive(Debug)]
pub(crate) struct KeyPatch {
    pub(super) name: Option<String>,
    pub(super) description: Given<String>,
    pub(super) scopes: Option<Vec<Wanted>>,
    pub(super) trace_project: Given<String>,
    pub(super) routing_mode: Option<RoutingMode>,
    pub(super) routing_policy: Given<String>,
    pub(super) budget: Given<Wish>,
    pub(super) expires_at: Given<UnixMicros>,
    pub(super) config: ConfigPatch,
    pub(super) external_id: Given<String>,
    pub(super) metadata: Option<BTreeMap<String, String>>,
}

/// The longest description.
const DESCRIPTION: usize = 2_000;

impl NewKey {
    /// Reads a body.
    ///
    /// # Errors
    /// `validation_error` with every problem.
    pub(crate) fn read(body: &Map<String, Value>) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body, "");
        if fields.raw(&["name"]).is_none() {
            problems.add("name", "required", "is required");
        }
        let patch = common(&fields, &mut problems);
        let _only_user = fields.choice(&["purpose"], &["user"], &mut problems);
        let env = fields
            .choice(&["env"], &["live", "test"], &mut problems)
            .value();
        let principal = fields.trimmed("principal_user_id", 1..=128, &mut problems);
        problems.finish()?;
        let KeyPatch {
            name,
            description,
            scopes,
            trace_project,
            routing_mode,
            routing_policy,
            budget,
            expires_at,
            config,
            external_id,
            metadata,
        } = patch;
        Ok(Self {
            name: name.unwrap_or_default(),
            description: description.value(),
            principal_user_id: principal.value(),
            scopes,
            trace_project: trace_project.value(),
            routing_mode,
            routing_policy,
            budget: budget.value(),
            expires_at: expires_at.value(),
            config,
            external_id: external_id.value(),
            metadata: metadata.unwrap_or_default(),
            env: env.unwrap_or("live"),
        })
    }
}

impl KeyPatch {
    /// Reads a body.
    ///
    /// # Errors
    /// `validation_error` with every problem.
    pub(crate) fn read(body: &Map<String, Value>) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let patch = common(&Fields::new(body, ""), &mut problems);
        problems.finish()?;
        Ok(patch)
    }
}

/// The fields that create and update share.
fn common(fields: &Fields<'_>, problems: &mut Problems) -> KeyPatch {
    let name = fields.trimmed("name", 1..=128, problems);
    let description = fields.text("description", 0..=DESCRIPTION, problems);
    let scopes = scope::read(fields, problems);
    let config = match fields.object(&["config"], problems) {
        Given::Value(map) => config::read(&map, problems),
        Given::Absent => ConfigPatch::default(),
        Given::Null => {
            problems.add("config", "invalid_type", "must not be null");
            ConfigPatch::default()
        }
    };
    let metadata = metadata(fields, problems);
    KeyPatch {
        name: never_null(name, "name".into(), problems),
        description,
        scopes: never_null(scopes, "scopes".into(), problems),
        trace_project: fields.trimmed("trace_project_id", 1..=256, problems),
        routing_mode: mode(fields, problems),
        routing_policy: fields.trimmed("routing_policy_id", 1..=128, problems),
        budget: Wish::read(fields, problems),
        expires_at: fields.time("expires_at", problems),
        config,
        external_id: fields.trimmed("external_id", 1..=128, problems),
        metadata: never_null(metadata, "metadata".into(), problems),
    }
}

fn mode(fields: &Fields<'_>, problems: &mut Problems) -> Option<RoutingMode> {
    let words = ["none", "fallback_all", "policy"];
    let mode = fields.choice(&["routing_mode"], &words, problems);
    let mode = never_null(mode, "routing_mode".into(), problems);
    mode.and_then(RoutingMode::parse)
}

/// The caller's own facts (management-api 7): at most 40 texts of 500 characters.
pub(crate) fn metadata(
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Given<BTreeMap<String, String>> {
    fields.object(&["metadata"], problems).map(|map| {
        if map.map().len() > 40 {
            problems.add("metadata", "too_big", "must hold at most 40 keys");
        }
        let mut out = BTreeMap::new();
        for (key, value) in map.map() {
            if !(1..=64).contains(&key.chars().count()) {
                problems.add(
                    "metadata",
                    "invalid_length",
                    "keys must be 1 to 64 characters long",
                );
                continue;
            }
            match value.as_str() {
                Some(text) if text.chars().count() <= 500 => {
                    out.insert(key.clone(), text.to_owned());
                }
                Some(_) => {
                    let text = "must be at most 500 characters long";
                    problems.add(map.path(key), "invalid_length", text);
                }
                None => problems.add(map.path(key), "invalid_type", "must be a string"),
            }
        }
        out
    })
}

/// The body of a disable: why, if the caller says.
///
/// # Errors
/// `validation_error`.
pub(crate) fn reason(body: &Map<String, Value>) -> Result<Option<String>, Error> {
    let mut problems = Problems::of(BODY);
    let reason = Fields::new(body, "")
        .trimmed("reason", 0..=500, &mut problems)
        .value();
    problems.finish()?;
    Ok(reason.filter(|text| !text.is_empty()))
}
