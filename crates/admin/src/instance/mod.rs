//! Organizations, made and listed by whoever runs the installation (management-api 21, domain 5.5).
//!
//! The credential is the instance key and nothing else; while none is set, the family does not exist. An
//! organization, its teams and projects and its administrator's key are one transaction, so nothing has to
//! be cleaned up. Must never show the instance key, or anything inside of an organization. Start at
//! [`InstanceOperator`] and [`provision`].

use std::net::IpAddr;

use http::{HeaderMap, Method, header};
use lw_core::{Code, Error, OrganizationId, UnixMicros};
use lw_store::StoreError;
use lw_store::config::{AuditRow, Change, Tenant, Write};
use lw_store::rows::{BoundRole, Organization, PermissionMode, Scope};
use serde_json::{Map, Value, json};

use crate::Admin;
use crate::api_keys::{Draft, Minted};
use crate::caller::At;
use crate::credential::invalid_credentials;
use crate::edge::Family::{self, Instance};
use crate::edge::stored;
use crate::input::{BODY, Fields, Problems, required};
use crate::routes::Route;
use crate::schemas::{Named, input, list, named, object, or_null, text, text_of, time};
use crate::serve::{Answer, Asked, Warrant};
use crate::slug;
use crate::stamp;
use crate::tenant::new_tenant;
use crate::write::{Tried, commit, until_fresh};

/// The name that the audit log knows the operator by.
const OPERATOR: &str = "instance-admin";
/// What the permission of these routes is called.
const PERMISSION: &str = "instance";

/// Proof that the caller runs the installation.
#[derive(Debug)]
pub(crate) struct InstanceOperator {
    ip: Option<IpAddr>,
    user_agent: Option<String>,
}

impl Warrant for InstanceOperator {
    fn check(
        admin: &Admin,
        _: Family,
        _: At,
        headers: &HeaderMap,
        ip: Option<IpAddr>,
    ) -> Result<Self, Error> {
        let Some(key) = &admin.instance_key else {
            return Err(Error::new(Code::NotFound, "There is no such route."));
        };
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let presented = text(header::AUTHORIZATION)
            .and_then(|value| value.trim().split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .filter(|token| !token.is_empty());
        let Some(token) = presented else {
            return Err(Error::new(
                Code::MissingCredentials,
                "No credentials. Send the instance administrator key as `Authorization: Bearer <key>`.",
            ));
        };
        if !key.same_as(token) {
            return Err(invalid_credentials());
        }
        Ok(Self {
            ip,
            user_agent: text(header::USER_AGENT).map(|text| text.chars().take(256).collect()),
        })
    }

    fn meter(&self) -> &str {
        OPERATOR
    }

    fn served(&self, _: &Admin) {}
}

/// The rows of the table.
pub(crate) fn routes() -> Vec<Route> {
    let base = "/api/organizations";
    let route = |method, path: String, handler| {
        let permission = PERMISSION.to_owned();
        Route::of::<InstanceOperator>(Instance, At::Context, method, path, permission, handler)
            .refuses(&[Code::NotFound])
    };
    vec![
        route(Method::GET, base.to_owned(), list_all)
            .named(
                "listOrganizations",
                "List the organizations of the installation",
            )
            .answers(
                200,
                object(
                    &[("organizations", list(named("ProvisionedOrganization")))],
                    &[],
                ),
            ),
        route(Method::POST, base.to_owned(), provision)
            .named(
                "provisionOrganization",
                "Create an organization; its administrator's key is shown once",
            )
            .body(named("NewOrganization"))
            .answers(201, named("Provisioned"))
            .refuses(&[Code::SlugConflict]),
        route(Method::GET, format!("{base}/{{id}}"), get)
            .named(
                "getProvisionedOrganization",
                "Read one organization of the installation",
            )
            .answers(
                200,
                object(&[("organization", named("ProvisionedOrganization"))], &[]),
            )
            .refuses(&[Code::OrganizationNotFound]),
    ]
}

/// The shapes of the API description.
pub(crate) fn schemas() -> Vec<Named> {
    let short = || object(&[("id", text()), ("name", text()), ("slug", text())], &[]);
    vec![
        (
            "ProvisionedOrganization",
            object(
                &[
                    ("id", text()),
                    ("name", text()),
                    ("slug", text()),
                    ("createdAt", time()),
                    ("updatedAt", time()),
                ],
                &[],
            ),
        ),
        (
            "NewOrganization",
            input(
                &[("name", text_of(1, 255))],
                &[
                    ("slug", or_null(text_of(1, 63))),
                    ("adminApiKeyName", or_null(text_of(1, 100))),
                ],
            ),
        ),
        (
            "Provisioned",
            object(
                &[
                    ("organization", short()),
                    ("team", short()),
                    (
                        "adminApiKey",
                        object(&[("id", text()), ("token", text())], &[]),
                    ),
                ],
                &[],
            ),
        ),
    ]
}

/// `GET /organizations`: oldest first.
fn list_all(call: &Asked<InstanceOperator>) -> Result<Answer, Error> {
    let all = call.admin().store.organizations().map_err(stored)?;
    let rows: Vec<Value> = all.iter().map(shown).collect();
    Ok(Answer::ok(json!({ "organizations": rows })))
}

/// `GET /organizations/:id`: by id or slug.
fn get(call: &Asked<InstanceOperator>) -> Result<Answer, Error> {
    let store = &call.admin().store;
    let by_id = match OrganizationId::parse(call.id()) {
        Ok(id) => store.organization(&id).map_err(stored)?,
        Err(_) => None,
    };
    let found = match by_id {
        Some(row) => Some(row),
        None => store.organization_by_slug(call.id()).map_err(stored)?,
    };
    let row = found.ok_or_else(|| {
        Error::new(Code::OrganizationNotFound, "Organization not found.")
            .tip("List them: `langwatch organizations list`.")
    })?;
    Ok(Answer::ok(json!({ "organization": shown(&row) })))
}

/// `POST /organizations`.
fn provision(call: &Asked<InstanceOperator>) -> Result<Answer, Error> {
    let wish = Wish::read(&call.object()?)?;
    let admin = call.admin();
    until_fresh(
        || {
            let now = admin.clock.now();
            let slug = wish.free_slug(admin)?;
            let (entropy, pepper) = (admin.entropy.as_ref(), &admin.credential_pepper);
            let tenant = new_tenant(&wish.name, &slug, now, entropy, pepper, &admin.sealer)
                .map_err(|error| {
                    let text = "a project key could not be sealed";
                    Error::new(Code::InternalError, text).because(error)
                })?;
            let organization = &tenant.organization;
            let draft = Draft {
                organization: organization.id.clone(),
                name: wish.key_name.clone(),
                description: None,
                owner: None,
                maker: None,
                mode: PermissionMode::All,
                expires_at: None,
                permissions: Vec::new(),
                bindings: vec![(
                    BoundRole::Admin,
                    Scope::Organization(organization.id.clone()),
                )],
            };
            let key = draft.mint(now, entropy, pepper);
            let mut writes = vec![Write::InsertOrganization(&tenant)];
            writes.extend(key.writes());
            let change = audited(call, &tenant, &key, now);
            match commit(admin, &writes, &change) {
                Ok(_) => Ok(Tried::Done(made(&tenant, &key))),
                // Somebody else was faster: another one is looked for, unless this one was asked for.
                Err(StoreError::Conflict { field: "slug" }) => Ok(Tried::Stale),
                Err(error) => Err(stored(error)),
            }
        },
        stamp::conflict,
    )
}

fn made(tenant: &Tenant, key: &Minted) -> Answer {
    let (organization, team) = (&tenant.organization, &tenant.default_team);
    Answer::created(json!({
        "organization": {
            "id": organization.id,
            "name": organization.name,
            "slug": organization.slug,
        },
        "team": { "id": team.id, "name": team.name, "slug": team.slug },
        "adminApiKey": { "id": key.key.id, "token": key.token.expose() },
    }))
}

/// The row of the audit log. The operator is no member of any organization, so this one is made by hand.
fn audited(
    call: &Asked<InstanceOperator>,
    tenant: &Tenant,
    key: &Minted,
    now: UnixMicros,
) -> Change {
    let InstanceOperator { ip, user_agent } = &call.permit;
    let organization = &tenant.organization;
    let ulid = lw_core::id::ulid(now, call.admin().entropy.as_ref());
    let row = AuditRow {
        id: format!("audit_{ulid}"),
        created_at: now,
        user_id: Some(OPERATOR.to_owned()),
        organization_id: Some(organization.id.clone()),
        project_id: None,
        action: "management.organization.provision".to_owned(),
        target_kind: None,
        target_id: Some(organization.id.to_string()),
        before: None,
        after: Some(shown(organization).to_string()),
        args: Some(json!({ "admin_api_key_id": key.key.id }).to_string()),
        metadata: None,
        error: None,
        ip_address: ip.map(|ip| ip.to_string()),
        user_agent: user_agent.clone(),
    };
    Change {
        audit: vec![row],
        ..Change::default()
    }
}

/// The body of a create.
#[derive(Debug)]
struct Wish {
    name: String,
    slug: Option<String>,
    key_name: String,
}

impl Wish {
    fn read(body: &Map<String, Value>) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body, "");
        let name = fields.trimmed("name", 1..=255, &mut problems);
        let name = required(name, &fields, "name", &mut problems).unwrap_or_default();
        let slug = fields
            .trimmed("slug", 1..=slug::MOST, &mut problems)
            .value();
        if slug.as_ref().is_some_and(|slug| !slug::is_fine(slug)) {
            let text = "must be lower-case letters and digits with single hyphens between them";
            problems.add("slug", "invalid_value", text);
        }
        let key_name = fields
            .trimmed("adminApiKeyName", 1..=100, &mut problems)
            .value();
        problems.finish()?;
        Ok(Self {
            name,
            slug,
            key_name: key_name.unwrap_or_else(|| "Administrator key".to_owned()),
        })
    }

    /// The slug that was asked for, or one from the name that is free now.
    fn free_slug(&self, admin: &Admin) -> Result<String, Error> {
        let store = &admin.store;
        let Some(slug) = &self.slug else {
            let all = store.organizations().map_err(stored)?;
            let taken = all.iter().map(|row| row.slug.as_str());
            return Ok(slug::free(&self.name, "organization", taken));
        };
        if store.organization_by_slug(slug).map_err(stored)?.is_some() {
            let message = "Another organization has this slug.";
            return Err(Error::new(Code::SlugConflict, message)
                .with("slug", slug.clone())
                .tip("Choose another slug, or leave it out to have one made from the name."));
        }
        Ok(slug.clone())
    }
}

fn shown(row: &Organization) -> Value {
    let Organization {
        id,
        name,
        slug,
        settings: _,
        created_at,
        updated_at,
    } = row;
    json!({
        "id": id,
        "name": name,
        "slug": slug,
        "createdAt": created_at.to_rfc3339(),
        "updatedAt": updated_at.to_rfc3339(),
    })
}
