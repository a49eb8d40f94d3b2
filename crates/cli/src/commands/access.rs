//! Roles, scopes and permissions as flags, and as the API spells them.
//!
//! The organization families spell enums in upper case. People may write them in any case.

use clap::{Args, ValueEnum};

use super::virtual_key_view::field;
use crate::error::CliError;
use crate::json::Json;
use crate::style::Style;
use crate::table::clean;

/// What a binding grants.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Role {
    Admin,
    Member,
    Viewer,
    Custom,
}

/// What a person is in a team; a custom role needs a binding.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum TeamRole {
    Admin,
    Member,
    Viewer,
}

/// What a person is in the organization.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum OrganizationRole {
    Admin,
    Member,
    External,
}

/// Where a binding holds.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum ScopeType {
    #[value(alias = "org")]
    Organization,
    Team,
    Project,
}

/// The value as the organization families spell it.
pub(crate) fn upper<T: ValueEnum>(value: &T) -> Json {
    let name = value.to_possible_value();
    let name = name.map(|value| value.get_name().to_ascii_uppercase());
    name.unwrap_or_default().into()
}

/// A role at a scope.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Binding {
    role: Role,
    scope_type: ScopeType,
    scope_id: String,
    custom_role_id: Option<String>,
}

/// `ROLE:SCOPETYPE:scopeId` in any case, and behind `CUSTOM` optionally `:customRoleId`. The scope
/// id may be a slug: the server knows.
pub(crate) fn parse_binding(text: &str) -> Result<Binding, String> {
    let mut parts = text.split(':').map(str::trim);
    let mut next = || parts.next().unwrap_or_default();
    let (role, scope_type, scope_id, custom) = (next(), next(), next(), next());
    if !next().is_empty() || scope_id.is_empty() {
        return Err("expected ROLE:SCOPETYPE:scopeId, such as MEMBER:TEAM:web".to_owned());
    }
    let role = Role::from_str(role, true).map_err(|_| {
        format!("unknown role \"{role}\": expected ADMIN, MEMBER, VIEWER or CUSTOM")
    })?;
    let scope_type = ScopeType::from_str(scope_type, true).map_err(|_| {
        format!("unknown scope type \"{scope_type}\": expected ORGANIZATION, TEAM or PROJECT")
    })?;
    let custom_role_id = (!custom.is_empty()).then(|| custom.to_owned());
    if custom_role_id.is_some() && role != Role::Custom {
        return Err("only CUSTOM takes the id of a custom role".to_owned());
    }
    Ok(Binding {
        role,
        scope_type,
        scope_id: scope_id.to_owned(),
        custom_role_id,
    })
}

impl Binding {
    pub(crate) fn is_custom(&self) -> bool {
        self.role == Role::Custom
    }

    pub(crate) fn custom_role_id(&self) -> Option<&str> {
        self.custom_role_id.as_deref()
    }

    pub(crate) fn to_json(&self) -> Json {
        let Self {
            role,
            scope_type,
            scope_id,
            custom_role_id,
        } = self;
        let mut body = Json::object([("role", upper(role))]);
        if let Some(id) = custom_role_id {
            body.set("customRoleId", id.as_str().into());
        }
        body.set("scopeType", upper(scope_type));
        body.set("scopeId", scope_id.as_str().into());
        body
    }
}

/// The bindings as the body of a request takes them.
pub(crate) fn bindings_json(bindings: &[Binding]) -> Json {
    let items: Vec<Json> = bindings.iter().map(Binding::to_json).collect();
    items.into()
}

/// The flags that describe one binding.
#[derive(Args, Debug)]
pub(crate) struct BindingFlags {
    #[command(flatten)]
    role: RoleFlags,

    /// Where it holds
    #[arg(long, value_name = "TYPE", ignore_case = true)]
    scope_type: ScopeType,

    /// Id or slug of the organization, team or project
    #[arg(long, value_name = "ID")]
    scope_id: String,
}

/// A role, and which one when it is a custom one.
#[derive(Args, Debug)]
pub(crate) struct RoleFlags {
    /// What it grants
    #[arg(long, ignore_case = true)]
    role: Role,

    /// The custom role; needed by, and only for, --role custom
    #[arg(long, value_name = "ID")]
    custom_role_id: Option<String>,
}

impl RoleFlags {
    /// Adds `role` and `customRoleId` to the body.
    pub(crate) fn add_to(&self, body: &mut Json) -> Result<(), CliError> {
        let Self {
            role,
            custom_role_id,
        } = self;
        body.set("role", upper(role));
        match (role, custom_role_id) {
            (Role::Custom, None) => Err(CliError::usage(
                "--role custom needs --custom-role-id. List them with `langwatch roles list`.",
            )),
            (Role::Custom, Some(id)) => {
                body.set("customRoleId", id.as_str().into());
                Ok(())
            }
            (_, Some(_)) => Err(CliError::usage("--custom-role-id needs --role custom.")),
            (_, None) => Ok(()),
        }
    }
}

impl BindingFlags {
    /// Adds the binding to the body.
    pub(crate) fn add_to(&self, body: &mut Json) -> Result<(), CliError> {
        let Self {
            role,
            scope_type,
            scope_id,
        } = self;
        role.add_to(body)?;
        body.set("scopeType", upper(scope_type));
        body.set("scopeId", scope_id.as_str().into());
        Ok(())
    }
}

/// `resource:action`, two words.
pub(crate) fn parse_permission(text: &str) -> Result<String, String> {
    let text = text.trim();
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    match text.split_once(':') {
        Some((resource, action)) if word(resource) && word(action) => Ok(text.to_owned()),
        _ => Err("expected resource:action, such as virtualKeys:create".to_owned()),
    }
}

/// A binding of an answer, in the form that `--binding` takes.
pub(crate) fn binding_text(binding: &Json) -> String {
    let part = |name| field(binding, name);
    let (role, kind, id) = (part("role"), part("scopeType"), part("scopeId"));
    format!("{role}:{kind}:{id}")
}

/// The bindings of a row, wherever it keeps them.
pub(crate) fn bindings_of(row: &Json, _: Style) -> Option<String> {
    let bindings = ["roleBindings", "bindings"]
        .iter()
        .find_map(|name| row.get(name).filter(|list| !list.items().is_empty()))?;
    let texts: Vec<String> = bindings.items().iter().map(binding_text).collect();
    Some(texts.join(", "))
}

/// The permissions of a row.
pub(crate) fn permissions_of(row: &Json, _: Style) -> Option<String> {
    let permissions = row.get("permissions")?.items();
    let texts: Vec<String> = permissions.iter().map(Json::display).collect();
    (!texts.is_empty()).then(|| clean(&texts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::{parse_binding, parse_permission};

    #[test]
    fn bindings_in_any_case_are_upper_case_on_the_wire() {
        for text in [
            "custom:organization:acme",
            "Custom:ORG: acme",
            "CUSTOM:ORGANIZATION:acme",
        ] {
            assert_eq!(
                parse_binding(text).expect(text).to_json().compact(),
                r#"{"role":"CUSTOM","scopeType":"ORGANIZATION","scopeId":"acme"}"#
            );
        }
        let named = parse_binding("custom:team:web:role_1").expect("a custom role");
        assert_eq!(named.custom_role_id(), Some("role_1"));
        for text in [
            "",
            "ADMIN",
            "ADMIN:TEAM",
            "ADMIN:TEAM:",
            "OWNER:TEAM:x",
            "ADMIN:USER:x",
            "ADMIN:TEAM:x:role_1",
            "CUSTOM:TEAM:x:role_1:y",
        ] {
            parse_binding(text).expect_err(text);
        }
    }

    #[test]
    fn a_permission_is_two_words() {
        assert_eq!(
            parse_permission(" virtualKeys:create ").as_deref(),
            Ok("virtualKeys:create")
        );
        for text in ["virtualKeys", "virtualKeys:", ":view", "a:b:c", "a b:c"] {
            parse_permission(text).expect_err(text);
        }
    }
}
