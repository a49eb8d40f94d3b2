//! `whoami`: who the commands act as.

use clap::Args;
use ureq::http::Method;

use super::bare;
use super::virtual_key_view::optional;
use crate::client::{Headers, Request};
use crate::context::Context;
use crate::credentials::TokenKind;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;
use crate::table::details;

/// The flags of `whoami`.
#[derive(Args, Debug)]
pub struct WhoamiArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

pub(crate) fn whoami(context: &mut Context<'_>) -> Result<(), CliError> {
    let credential = context.credential()?;
    let kind = TokenKind::of(&credential.token);
    let (organization, own_project) = reach(context, kind)?;
    let client = context.client()?;
    let project = match own_project {
        // A project key is its project, whatever else is set.
        Some(project) => project,
        None => client.project().into(),
    };
    let mut result = Json::object([
        ("organization", organization),
        ("endpoint", client.endpoint().into()),
        (
            "credential",
            Json::object([
                ("kind", kind.name().into()),
                ("source", credential.source.name().into()),
            ]),
        ),
        ("project", project),
    ]);
    let user = context.config.get("user");
    if let Some(user) = user.filter(|user| !user.fields().is_empty()) {
        result.set("user", user.clone());
    }
    context.show(result, |result, style| {
        let user = result.get("user").and_then(|user| optional(user, "email"));
        let rows = [
            ("User", user),
            ("Organization", Some(organization_text(result))),
            ("Endpoint", optional(result, "endpoint")),
            ("Credential", credential_text(result)),
            ("Project", project_text(result)),
        ];
        details(style, 0, &rows)
    })
}

/// The organization, as far as the key may see it, and the project that the key itself is.
fn reach(context: &mut Context<'_>, kind: TokenKind) -> Result<(Json, Option<Json>), CliError> {
    let action = "identify the caller";
    let request = Request::new(Method::GET, Headers::Organization, "/api/organization");
    match context.send(action, &request) {
        Ok(answer) => {
            let organization = picked(&bare(answer, "organization"));
            Ok((organization, None))
        }
        // A project key is nobody to the organization; what it opens is its own project.
        Err(CliError::Call { failure, .. })
            if failure.is_wrong_class() || (failure.status == Some(401) && !kind.is_api_key()) =>
        {
            let request = Request::new(Method::GET, Headers::Project, "/api/me/project");
            let project = bare(context.send(action, &request)?, "project");
            Ok((Json::Null, Some(picked(&project))))
        }
        // The key is good, but its permissions do not reach that far.
        Err(CliError::Call { failure, .. }) if failure.status == Some(403) => {
            Ok((Json::Null, None))
        }
        Err(error) => Err(error),
    }
}

fn picked(answer: &Json) -> Json {
    Json::object(["id", "name", "slug"].map(|field| (field, answer.get(field).cloned().into())))
}

/// `Acme (acme)`.
fn named(value: &Json) -> Option<String> {
    let name = optional(value, "name").or_else(|| optional(value, "id"))?;
    let slug = optional(value, "slug").map(|slug| format!(" ({slug})"));
    Some(name + slug.as_deref().unwrap_or_default())
}

fn organization_text(result: &Json) -> String {
    let organization = result.get("organization").and_then(named);
    organization.unwrap_or_else(|| "not visible to this key".to_owned())
}

fn credential_text(result: &Json) -> Option<String> {
    let credential = result.get("credential")?;
    let kind = optional(credential, "kind")?.replace('_', " ");
    Some(format!("{kind} (from {})", optional(credential, "source")?))
}

fn project_text(result: &Json) -> Option<String> {
    result
        .get("project")
        .and_then(named)
        .or_else(|| optional(result, "project"))
}
