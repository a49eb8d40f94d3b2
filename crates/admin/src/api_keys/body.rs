//! What callers send about an API key, read and checked in itself (management-api 15, domain 5.1).
//!
//! A key is restricted exactly when it has a CUSTOM binding, and exactly then it lists permissions. Whether
//! the caller may give all of it away is the service's question. Start at [`NewKey`] and [`Patch`].

use lw_core::{Code, Error, UnixMicros};
use lw_store::rows::{BoundRole, PermissionMode};
use serde_json::{Map, Value};

use crate::bindings::{Custom, Wish, read_permissions};
use crate::input::{BODY, Fields, Given, Problems, never_null};

/// The words of `keyType`.
pub(super) const TYPES: [&str; 2] = ["personal", "service"];
/// The words of `permissionMode`.
pub(super) const MODES: [&str; 3] = ["all", "readonly", "restricted"];
/// The name that the product gives to its own keys.
const RESERVED: &str = "langy session";
/// The most projects of one service key.
const MOST_PROJECTS: usize = 50;

/// Whose a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A person's: the caller's own, or that of the named one.
    Personal(Option<String>),
    /// The organization's, with ADMIN on each of these projects.
    Service(Vec<String>),
}

/// The body of a create.
#[derive(Debug)]
pub(super) struct NewKey {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) expires_at: Option<UnixMicros>,
    pub(super) mode: PermissionMode,
    pub(super) permissions: Vec<String>,
    pub(super) bindings: Vec<Wish>,
}

/// The body of an update: what is absent stays.
#[derive(Debug)]
pub(super) struct Patch {
    pub(super) name: Option<String>,
    pub(super) description: Given<String>,
    pub(super) expires_at: Given<UnixMicros>,
    pub(super) mode: Option<PermissionMode>,
    pub(super) permissions: Option<Vec<String>>,
    pub(super) bindings: Option<Vec<Wish>>,
}

impl NewKey {
    /// Reads a body.
    ///
    /// # Errors
    /// `validation_error` with every problem, or `api_key_reserved_name`.
    pub(super) fn read(body: &Map<String, Value>, now: UnixMicros) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body, "");
        if fields.raw(&["name"]).is_none() {
            problems.add("name", "required", "is required");
        }
        let Patch {
            name,
            description,
            expires_at,
            mode,
            permissions,
            bindings,
        } = common(&fields, now, &mut problems);
        let service = fields.choice(&["keyType"], &TYPES, &mut problems);
        let service = never_null(service, "keyType".into(), &mut problems) == Some("service");
        let owner = fields.trimmed("assignedToUserId", 1..=128, &mut problems);
        let projects = fields
            .texts(&["projectIds"], 1..=256, &mut problems)
            .value();
        let projects = projects.unwrap_or_default();
        if projects.len() > MOST_PROJECTS {
            let text = format!("must hold at most {MOST_PROJECTS} projects");
            problems.add("projectIds", "too_big", text);
        }
        let unreadable = problems.len();
        let permissions = permissions.unwrap_or_default();
        let bindings = bindings.unwrap_or_default();
        let kind = if service {
            if matches!(owner, Given::Value(_)) {
                let text = "must be left out: a service key belongs to nobody";
                problems.add("assignedToUserId", "invalid_value", text);
            }
            Kind::Service(projects)
        } else {
            if !projects.is_empty() {
                let text = "is for service keys; bind a personal key to ADMIN at PROJECT instead";
                problems.add("projectIds", "invalid_value", text);
            }
            if bindings.is_empty() && unreadable == 0 {
                let text = "must hold at least one binding when the key is personal";
                problems.add("bindings", "required", text);
            }
            Kind::Personal(owner.value())
        };
        let shape = Shape {
            custom: bindings.iter().any(|wish| wish.role == BoundRole::Custom),
            permissions: !permissions.is_empty(),
        };
        let mode = if unreadable == 0 {
            shape.mode(mode, &mut problems)
        } else {
            PermissionMode::All
        };
        problems.finish()?;
        let name = name.unwrap_or_default();
        not_reserved(&name)?;
        Ok(Self {
            kind,
            name,
            description: description.value(),
            expires_at: expires_at.value(),
            mode,
            permissions,
            bindings,
        })
    }
}

impl Patch {
    /// Reads a body.
    ///
    /// # Errors
    /// `validation_error` with every problem, or `api_key_reserved_name`.
    pub(super) fn read(body: &Map<String, Value>, now: UnixMicros) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let patch = common(&Fields::new(body, ""), now, &mut problems);
        problems.finish()?;
        if let Some(name) = &patch.name {
            not_reserved(name)?;
        }
        Ok(patch)
    }
}

/// The fields that create and update share.
fn common(fields: &Fields<'_>, now: UnixMicros, problems: &mut Problems) -> Patch {
    let name = fields.trimmed("name", 1..=100, problems);
    let expires_at = fields.time("expiresAt", problems).and_then(|at| {
        let later = at > now;
        if !later {
            problems.add("expiresAt", "invalid_value", "must lie in the future");
        }
        later.then_some(at)
    });
    let mode = fields.choice(&["permissionMode"], &MODES, problems);
    let permissions = read_permissions(fields, problems);
    let bindings = Wish::read_list(fields, Custom::Private, problems);
    Patch {
        name: never_null(name, "name".into(), problems),
        description: fields.text("description", 0..=500, problems),
        expires_at,
        mode: never_null(mode, "permissionMode".into(), problems).map(mode_of),
        permissions: never_null(permissions, "permissions".into(), problems),
        bindings: never_null(bindings, "bindings".into(), problems),
    }
}

fn mode_of(word: &str) -> PermissionMode {
    match word {
        "readonly" => PermissionMode::Readonly,
        "restricted" => PermissionMode::Restricted,
        _ => PermissionMode::All,
    }
}

/// What decides whether a key is restricted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// It has a CUSTOM binding.
    pub(super) custom: bool,
    /// It lists permissions.
    pub(super) permissions: bool,
}

impl Shape {
    /// The mode of a key of this shape: what was asked for when it fits, what the shape says when nothing
    /// was. What does not fit is a problem.
    pub(super) fn mode(
        self,
        asked: Option<PermissionMode>,
        problems: &mut Problems,
    ) -> PermissionMode {
        let Self {
            custom,
            permissions,
        } = self;
        let restricted = custom || permissions;
        let mode = asked.unwrap_or(if restricted {
            PermissionMode::Restricted
        } else {
            PermissionMode::All
        });
        if mode == PermissionMode::Restricted {
            if !custom {
                let text =
                    "must hold a CUSTOM binding when the key is restricted or lists permissions";
                problems.add("bindings", "required", text);
            }
            if !permissions {
                let text = "must name at least one permission when the key is restricted or has a \
                            CUSTOM binding";
                problems.add("permissions", "required", text);
            }
        } else if restricted {
            let text = "must be restricted when there is a CUSTOM binding or a list of permissions";
            problems.add("permissionMode", "invalid_value", text);
        }
        mode
    }
}

fn not_reserved(name: &str) -> Result<(), Error> {
    if name.to_lowercase() == RESERVED {
        let message = "This name belongs to the product. Choose another one.";
        return Err(Error::new(Code::ApiKeyReservedName, message));
    }
    Ok(())
}
