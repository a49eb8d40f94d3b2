//! Reads the server: only GET, only what the files or the export need.

use std::collections::BTreeSet;

use ureq::http::Method;

use super::shape::Kind;
use super::tree::Node;
use super::value;
use super::world::{Entry, Listing, What, World};
use crate::client::{Headers, Request};
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;

const PAGE: usize = 200;
/// A list that needs more pages than this is not ending.
const MOST_PAGES: usize = 5_000;

/// What to read.
#[derive(Debug, Default)]
pub(super) struct Wants {
    /// What the command is about: it fails when one of these cannot be read.
    pub(super) kinds: BTreeSet<Kind>,
    /// What those refer to.
    pub(super) referred: BTreeSet<Kind>,
    pub(super) users: bool,
    pub(super) groups: bool,
}

impl Wants {
    /// What an entry of each kind may refer to.
    fn refers_to(kind: Kind) -> &'static [Kind] {
        match kind {
            Kind::Provider | Kind::Guardrail => &[],
            Kind::Policy => &[Kind::Provider],
            Kind::CacheRule => &[Kind::Key],
            Kind::Key => &[Kind::Provider, Kind::Policy, Kind::Guardrail],
            Kind::Budget => &[Kind::Key, Kind::Provider],
        }
    }

    /// For these entries of files.
    pub(super) fn of<'a>(entries: impl Iterator<Item = (Kind, &'a Node)>) -> Self {
        let mut wants = Self::default();
        for (kind, node) in entries {
            let mentions = |words: &[&str], prefix: &str| {
                node.mentions(&|text: &str| words.contains(&text) || text.starts_with(prefix))
            };
            wants.kinds.insert(kind);
            for target in Self::refers_to(kind) {
                let named = match target {
                    Kind::Guardrail => node.mentions(&|text: &str| text.starts_with("guardrail")),
                    Kind::Key if kind == Kind::CacheRule => {
                        mentions(&["vk_id", "vk", "virtual_key"], "virtual_key:")
                    }
                    _ => true,
                };
                if named {
                    wants.referred.insert(*target);
                }
            }
            let principal = [
                "principal_user_id",
                "principal_user",
                "principal_id",
                "principal",
            ];
            wants.users |= mentions(&principal, "principal:");
            wants.groups |= mentions(&["group_id", "group"], "group:");
        }
        wants
    }

    /// For an export of these kinds.
    pub(super) fn all(kinds: &[Kind]) -> Self {
        let kinds: BTreeSet<Kind> = kinds.iter().copied().collect();
        let referred = kinds.iter().flat_map(|kind| Self::refers_to(*kind));
        let people = kinds.iter().any(|kind| *kind >= Kind::CacheRule);
        Self {
            referred: referred.copied().collect(),
            users: people,
            groups: kinds.contains(&Kind::Budget),
            kinds,
        }
    }
}

/// Reads what is wanted. `tolerant` is for an export: what may not be seen is not there.
pub(super) fn world(
    context: &mut Context<'_>,
    wants: &Wants,
    tolerant: bool,
) -> Result<World, CliError> {
    let mut world = World::default();
    places(context, &mut world)?;
    if wants.users {
        let listing = users(context)?;
        world.insert(What::User, listing);
    }
    if wants.groups {
        let rows = pages(context, "read the groups", "/api/groups")?;
        world.insert(What::Group, listing(rows, &["slug", "name"]));
    }
    for kind in Kind::ALL {
        let own = wants.kinds.contains(&kind);
        if !own && !wants.referred.contains(&kind) {
            continue;
        }
        let request = Request::new(Method::GET, headers(kind), kind.path());
        let rows = match context.send_all(action(kind), request) {
            Ok(rows) => Ok(rows),
            Err(error) => match refusal(&error) {
                Some(reason) if tolerant || !own => Err(reason),
                _ => return Err(error),
            },
        };
        let listing = match rows {
            Ok(rows) => things(kind, rows, &mut world),
            Err(reason) => Listing {
                entries: Vec::new(),
                closed: Some(reason),
            },
        };
        world.insert(What::Of(kind), listing);
    }
    Ok(world)
}

/// How the credential travels for a kind.
pub(super) fn headers(kind: Kind) -> Headers {
    match kind {
        Kind::Key | Kind::Budget => Headers::Gateway,
        Kind::Provider | Kind::Guardrail | Kind::Policy | Kind::CacheRule => Headers::Project,
    }
}

fn action(kind: Kind) -> &'static str {
    match kind {
        Kind::Provider => "read the model providers",
        Kind::Guardrail => "read the guardrails",
        Kind::Policy => "read the routing policies",
        Kind::CacheRule => "read the cache rules",
        Kind::Key => "read the virtual keys",
        Kind::Budget => "read the budgets",
    }
}

/// Why a list may not be seen; `None` for every other failure.
fn refusal(error: &CliError) -> Option<String> {
    let CliError::Call { failure, .. } = error else {
        return None;
    };
    let status = failure.status?;
    let said = match status {
        401 | 403 => "this credential may not list them",
        404 => "this server does not list them",
        _ => return None,
    };
    Some(format!("{said} ({status} {})", failure.code))
}

fn things(kind: Kind, rows: Vec<Json>, world: &mut World) -> Listing {
    let mut listing = Listing::default();
    for row in rows {
        let Some(id) = row.text("id").map(str::to_owned) else {
            continue;
        };
        let name = row.text("name").unwrap_or_default().to_owned();
        let second = match kind {
            Kind::Key | Kind::Budget => row.text("external_id").map(str::to_owned),
            Kind::Provider => row.text("routing_handle").map(str::to_owned),
            Kind::Guardrail => row
                .text("project_id")
                .map(|id| format!("{}/{name}", world.label_of_id(What::Project, id))),
            Kind::Policy | Kind::CacheRule => None,
        };
        if kind == Kind::Key {
            if row.text("status") == Some("revoked") {
                world.ended_keys.push((name, second, id));
                continue;
            }
            if row.text("purpose").is_some_and(|purpose| purpose != "user") {
                continue;
            }
        }
        if row.get("archived_at").is_some_and(|at| !at.is_null()) {
            continue;
        }
        listing.entries.push(Entry {
            id: Some(id),
            names: [name].into_iter().chain(second).collect(),
            remote: Some(row),
        });
    }
    listing
}

type Rows = Result<Vec<Json>, String>;

fn places(context: &mut Context<'_>, world: &mut World) -> Result<(), CliError> {
    let request = Request::new(Method::GET, Headers::Organization, "/api/organization");
    let organization = match context.send("read the organization", &request) {
        Ok(row) => Ok(vec![row]),
        Err(error) => Err(refusal(&error).ok_or(error)?),
    };
    world.insert(What::Organization, listing(organization, &["slug"]));
    let teams = pages(context, "read the teams", "/api/teams")?;
    world.insert(What::Team, listing(teams, &["slug"]));
    let projects = pages(context, "read the projects", "/api/projects")?;
    let mut projects = listing(projects, &["slug"]);
    if projects.closed.is_some() {
        // A project's own key knows at least its project.
        let request = Request::new(Method::GET, Headers::Project, "/api/me/project");
        match context.send("read the project", &request) {
            Ok(row) => projects.entries = listing(Ok(vec![row]), &["slug"]).entries,
            Err(error) => {
                refusal(&error).ok_or(error)?;
            }
        }
    }
    world.insert(What::Project, projects);
    Ok(())
}

fn listing(rows: Rows, names: &[&str]) -> Listing {
    let (rows, closed) = match rows {
        Ok(rows) => (rows, None),
        Err(reason) => (Vec::new(), Some(reason)),
    };
    let entries = rows.into_iter().filter_map(|row| {
        let names = names.iter().filter_map(|name| row.text(name));
        Some(Entry {
            id: Some(row.text("id")?.to_owned()),
            names: names.map(str::to_owned).collect(),
            remote: None,
        })
    });
    Listing {
        entries: entries.collect(),
        closed,
    }
}

/// The rows of a page list.
fn pages(
    context: &mut Context<'_>,
    action: &'static str,
    path: &'static str,
) -> Result<Rows, CliError> {
    let mut rows = Vec::new();
    for page in 1..MOST_PAGES {
        let request = Request::new(Method::GET, Headers::Organization, path)
            .query("page", Some(page))
            .query("limit", Some(PAGE));
        let mut answer = match context.send(action, &request) {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(refusal(&error).ok_or(error)?)),
        };
        let Some(Json::Array(data)) = answer.take("data") else {
            break;
        };
        let full = data.len() >= PAGE;
        rows.extend(data);
        let total = answer.at(&["pagination", "total"]).and_then(Json::as_i64);
        let seen = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        if !full || total.is_some_and(|total| seen >= total) {
            break;
        }
    }
    Ok(Ok(rows))
}

/// The members of the organization, by e-mail address.
fn users(context: &mut Context<'_>) -> Result<Listing, CliError> {
    let mut out = Listing::default();
    for page in 0..MOST_PAGES {
        let path = "/api/organization/members";
        let request = Request::new(Method::GET, Headers::Organization, path)
            .query("includeDisabled", Some(true))
            .query("offset", Some(page.saturating_mul(PAGE)))
            .query("limit", Some(PAGE));
        let mut answer = match context.send("read the members", &request) {
            Ok(answer) => answer,
            Err(error) => {
                out.closed = Some(refusal(&error).ok_or(error)?);
                break;
            }
        };
        let Some(Json::Array(members)) = answer.take("members") else {
            break;
        };
        let full = members.len() >= PAGE;
        for member in members {
            let text = |name: &str| {
                let own = member.text(name);
                own.or_else(|| member.at(&["user", name]).and_then(Json::as_str))
            };
            let id = text("userId").or_else(|| text("id"));
            let email = text("email").map(str::to_ascii_lowercase);
            out.entries.push(Entry {
                id: id.map(str::to_owned),
                names: email.into_iter().collect(),
                remote: None,
            });
        }
        if !full {
            break;
        }
    }
    Ok(out)
}

/// The fields of a stored thing in the words of a file.
pub(super) fn stored(kind: Kind, row: &Json, world: &World) -> Json {
    let mut out = Json::Object(Vec::new());
    for field in super::schema::fields(kind) {
        if field.name == "scope" {
            let text = |name| row.text(name).unwrap_or_default();
            let scope = value::budget_scope(world, text("scope_type"), text("scope_id"));
            out.set(field.name, scope.into());
        } else if let Some(answer) = value::answered(field, row) {
            out.set(field.name, value::from_api(&field.shape, answer, world));
        }
    }
    out
}
