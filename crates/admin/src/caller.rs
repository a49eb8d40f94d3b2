//! Who calls: reads the credential of a request and finds out what it may do (domain 5.3 to 5.5).
//!
//! The outcome is a [`Permit`], which only this module can make and which every service function asks
//! for. Fails closed: whatever is missing, malformed, unknown, expired or revoked is 401, a store that
//! cannot be asked is 503, and neither says which part of a credential was wrong.
//!
//! For now every API key is an organization administrator's service key, so each permission is granted
//! in the key's own organization and nowhere else. Role bindings (domain 4) belong into [`authorize`].
//!
//! Must never log a token or put one into an error. Start at [`authorize`].

use std::marker::PhantomData;
use std::net::IpAddr;

use data_encoding::BASE64;
use http::{HeaderMap, header};
use lw_core::{ApiKeyId, Code, Error, Secret, UnixMicros};
use lw_store::config::ScopeKind;
use lw_store::rows::{ApiKey, Organization, Project, Scope};

use crate::Admin;
use crate::edge::{Family, stored};
use crate::permission::Permission;

/// How often `lastUsedAt` of an API key moves at most: one minute.
const TOUCH_EVERY_US: i64 = 60_000_000;

/// What a credential stands for.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The tenant; nothing outside of it exists for this caller.
    pub(crate) organization: Organization,
    /// The project that the request named, or `None` in organization context (C-4).
    pub(crate) project: Option<Project>,
    /// Where the call came from, when the listener tells.
    pub(crate) ip: Option<IpAddr>,
    /// What the caller says it is, cut to what an audit row should hold.
    pub(crate) user_agent: Option<String>,
    api_key: ApiKeyId,
    last_used_at: Option<UnixMicros>,
}

/// Proof that the caller may do `P` in its organization.
#[derive(Debug)]
pub(crate) struct Permit<P> {
    caller: Caller,
    permission: PhantomData<fn() -> P>,
}

impl<P> std::ops::Deref for Permit<P> {
    type Target = Caller;
    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl Caller {
    /// The name that the audit log knows the caller by (domain 19): the key has no owner.
    pub(crate) fn actor(&self) -> String {
        match &self.project {
            Some(project) => format!("svc_{}", project.id),
            None => format!("svc_{}", self.organization.id),
        }
    }

    /// The API key that was presented.
    pub(crate) const fn api_key(&self) -> &ApiKeyId {
        &self.api_key
    }

    /// Whether something with these scopes is to be seen from the caller's context (domain 4.7).
    pub(crate) fn sees(&self, scopes: &[Scope]) -> bool {
        let Some(project) = &self.project else {
            return true;
        };
        scopes.iter().any(|scope| match scope {
            Scope::Organization(id) => *id == self.organization.id,
            Scope::Team(id) => *id == project.team_id,
            Scope::Project(id) => *id == project.id,
        })
    }
}

/// Checks the credential and the permission of a request.
///
/// # Errors
/// `missing_credentials`, `invalid_credentials`, `project_not_found`, or the store failed.
pub(crate) fn authorize<P: Permission>(
    admin: &Admin,
    family: Family,
    headers: &HeaderMap,
    ip: Option<IpAddr>,
) -> Result<Permit<P>, Error> {
    let Presented { token, project } = presented(headers).ok_or_else(|| {
        Error::new(
            Code::MissingCredentials,
            "No credentials. Send an API key as `Authorization: Bearer <key>`, as \
             `Authorization: Basic base64(<project id>:<key>)`, or as `X-Auth-Token: <key>`.",
        )
    })?;
    let key = api_key(admin, &token)?;
    let organization = admin
        .store
        .organization(&key.organization_id)
        .map_err(stored)?
        .ok_or_else(invalid_credentials)?;
    let project = match project.filter(|_| family.has_project_context()) {
        Some(name) => Some(live_project(admin, &organization, &name)?),
        None => None,
    };
    let user_agent = headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .map(|text| text.chars().take(256).collect());
    let ApiKey {
        id: api_key,
        last_used_at,
        ..
    } = key;
    let caller = Caller {
        organization,
        project,
        ip,
        user_agent,
        api_key,
        last_used_at,
    };
    Ok(Permit {
        caller,
        permission: PhantomData,
    })
}

/// Remembers that the caller's key served a call, at most once a minute. Fails open: the call itself
/// has succeeded.
pub(crate) fn touch(admin: &Admin, caller: &Caller) {
    let now = admin.clock.now();
    let due = caller
        .last_used_at
        .is_none_or(|at| at.plus_micros(TOUCH_EVERY_US) <= now);
    if !due {
        return;
    }
    if let Err(error) = admin.store.touch_api_key(&caller.api_key, now) {
        tracing::warn!(%error, api_key = %caller.api_key, "the last use of an API key was not kept");
    }
}

/// A credential as it stood in the headers.
struct Presented {
    token: Secret,
    project: Option<String>,
}

/// The first credential that can be read (domain 5.3).
fn presented(headers: &HeaderMap) -> Option<Presented> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let named = || {
        text("x-project-id")
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
    };
    let authorization = text(header::AUTHORIZATION.as_str()).and_then(|value| {
        let (scheme, rest) = value.split_once(' ')?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("basic") {
            let decoded = String::from_utf8(BASE64.decode(rest.as_bytes()).ok()?).ok()?;
            let (project, token) = decoded.split_once(':')?;
            let project = if project.is_empty() {
                named()
            } else {
                Some(project.to_owned())
            };
            (!token.is_empty()).then(|| Presented {
                token: Secret::new(token),
                project,
            })
        } else if scheme.eq_ignore_ascii_case("bearer") {
            (!rest.is_empty()).then(|| Presented {
                token: Secret::new(rest),
                project: named(),
            })
        } else {
            None
        }
    });
    authorization.or_else(|| {
        let token = text("x-auth-token").filter(|token| !token.is_empty())?;
        Some(Presented {
            token: Secret::new(token),
            project: named(),
        })
    })
}

/// The live API key behind a token.
fn api_key(admin: &Admin, token: &Secret) -> Result<ApiKey, Error> {
    let parsed = lw_crypto::api_key::parse(token.expose()).ok_or_else(invalid_credentials)?;
    let key = admin
        .store
        .api_key_by_lookup_id(&parsed.lookup_id)
        .map_err(stored)?
        .ok_or_else(invalid_credentials)?;
    let now = admin.clock.now();
    let same = admin
        .credential_pepper
        .verify(parsed.secret.expose(), &key.hashed_secret);
    let live = key.revoked_at.is_none() && key.expires_at.is_none_or(|at| at > now);
    if same && live {
        Ok(key)
    } else {
        Err(invalid_credentials())
    }
}

fn invalid_credentials() -> Error {
    Error::new(
        Code::InvalidCredentials,
        "The credentials are not valid, have expired or were revoked.",
    )
}

/// A project that a request named by id or slug. Foreign, archived and unknown ones answer alike.
fn live_project(admin: &Admin, organization: &Organization, name: &str) -> Result<Project, Error> {
    let unknown = || Error::new(Code::ProjectNotFound, "Project not found.");
    let scope = admin
        .store
        .resolve_scope(&organization.id, ScopeKind::Project, name)
        .map_err(stored)?;
    let Some(Scope::Project(id)) = scope else {
        return Err(unknown());
    };
    admin
        .store
        .project(&organization.id, &id)
        .map_err(stored)?
        .ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(pairs: &[(&'static str, &str)]) -> Option<(String, Option<String>)> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).expect("a header value"));
        }
        presented(&headers).map(|found| (found.token.expose().to_owned(), found.project))
    }

    fn found(token: &str, project: Option<&str>) -> Option<(String, Option<String>)> {
        Some((token.to_owned(), project.map(str::to_owned)))
    }

    #[test]
    fn the_first_credential_that_can_be_read_wins() {
        let basic = format!("Basic {}", BASE64.encode(b"proj_1:tok"));
        for (headers, expected) in [
            (vec![], None),
            (
                vec![("authorization", basic.as_str())],
                found("tok", Some("proj_1")),
            ),
            (
                vec![("authorization", basic.as_str()), ("x-auth-token", "other")],
                found("tok", Some("proj_1")),
            ),
            (
                vec![("authorization", "Basic !!!"), ("x-auth-token", "other")],
                found("other", None),
            ),
            (
                vec![("authorization", "bearer tok"), ("x-project-id", "p")],
                found("tok", Some("p")),
            ),
            (
                vec![("authorization", "Bearer "), ("x-auth-token", "other")],
                found("other", None),
            ),
            (
                vec![("authorization", "Bearer tok"), ("x-auth-token", "other")],
                found("tok", None),
            ),
            (
                vec![("x-auth-token", "other"), ("x-project-id", "p")],
                found("other", Some("p")),
            ),
            (vec![("authorization", "Digest x")], None),
        ] {
            assert_eq!(read(&headers), expected, "{headers:?}");
        }
    }
}
