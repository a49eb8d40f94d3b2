//! The credential of a request: how it is carried, and whose it is (domain 5).
//!
//! Fails closed: whatever is missing, malformed, unknown, expired or revoked is 401, a store that cannot
//! be asked is 503, and neither says which part of a credential was wrong. Hashes are compared in
//! constant time. Must never log a token or put one into an error. Start at [`identify`].

use data_encoding::BASE64;
use http::{HeaderMap, header};
use lw_core::{Code, Error, Secret};
use lw_store::config::AccessOf;
use lw_store::rows::{Organization, Project};

use crate::Admin;
use crate::edge::{Family, stored};

/// What a request carries.
#[derive(Debug)]
pub(crate) struct Presented {
    /// The token.
    pub(crate) token: Secret,
    /// The project that the request names, by id or slug.
    pub(crate) project: Option<String>,
}

/// Whose a credential is.
#[derive(Debug)]
pub(crate) enum Identity {
    /// A live API key with all that decides what it may do.
    ApiKey(Box<AccessOf>),
    /// The legacy key of a live project.
    Project(Box<(Organization, Project)>),
}

/// Reads the credential of a request; the first form that can be read wins (domain 5.3).
///
/// # Errors
/// `missing_credentials`.
pub(crate) fn presented(headers: &HeaderMap) -> Result<Presented, Error> {
    carried(headers).ok_or_else(|| {
        Error::new(
            Code::MissingCredentials,
            "No credentials. Send an API key as `Authorization: Bearer <key>`, as \
             `Authorization: Basic base64(<project id>:<key>)`, or as `X-Auth-Token: <key>`.",
        )
    })
}

/// Finds out whose `token` is.
///
/// # Errors
/// `invalid_credentials`; `credential_class_mismatch` for a real project key on a family that takes API
/// keys only; or the store failed.
pub(crate) fn identify(admin: &Admin, family: Family, token: &Secret) -> Result<Identity, Error> {
    if let Some(access) = api_key(admin, token)? {
        return Ok(Identity::ApiKey(Box::new(access)));
    }
    // A token of the shape of an API key that misses may still be a project's (domain 5.1).
    let legacy = if token.expose().starts_with("sk-lw-") {
        project_key(admin, token)?
    } else {
        None
    };
    match legacy {
        Some(found) if family.has_project_context() => Ok(Identity::Project(Box::new(found))),
        Some(_) => Err(Error::new(
            Code::CredentialClassMismatch,
            "A project key was presented where an organization API key is needed.",
        )
        .with("required", "organization_api_key")
        .with("presented", "project_api_key")
        .tip("Mint an API key: `langwatch api-keys create --name <name> --binding ADMIN:ORGANIZATION:<slug>`.")),
        None => Err(invalid_credentials()),
    }
}

/// The answer to every credential that cannot be used.
pub(crate) fn invalid_credentials() -> Error {
    Error::new(
        Code::InvalidCredentials,
        "The credentials are not valid, have expired or were revoked.",
    )
}

/// The live API key behind a token; `None` when the token is not one of ours.
fn api_key(admin: &Admin, token: &Secret) -> Result<Option<AccessOf>, Error> {
    let Some(parsed) = lw_crypto::api_key::parse(token.expose()) else {
        return Ok(None);
    };
    let found = admin
        .store
        .access_by_lookup_id(&parsed.lookup_id)
        .map_err(stored)?;
    let Some(access) = found else {
        return Ok(None);
    };
    let now = admin.clock.now();
    let key = &access.key;
    let secret = parsed.secret.expose();
    let mut same = admin.credential_pepper.verify(secret, &key.hashed_secret);
    let older = || {
        let mut previous = admin.previous_credential_peppers.iter();
        // Hashed with an earlier sealing key's pepper, or, still older, without any (domain 22).
        previous.any(|pepper| pepper.verify(secret, &key.hashed_secret))
            || lw_crypto::verify_sha256(secret, &key.hashed_secret)
    };
    if !same && older() {
        let hash = admin.credential_pepper.hash(secret);
        admin.store.rehash_api_key(&key.id, &hash).map_err(stored)?;
        same = true;
    }
    let live = key.revoked_at.is_none() && key.expires_at.is_none_or(|at| at > now);
    if same && live {
        Ok(Some(access))
    } else {
        Err(invalid_credentials())
    }
}

/// The live project that a legacy key belongs to.
fn project_key(admin: &Admin, token: &Secret) -> Result<Option<(Organization, Project)>, Error> {
    let peppers = std::iter::once(&admin.credential_pepper);
    for pepper in peppers.chain(&admin.previous_credential_peppers) {
        let hash = pepper.hash(token.expose());
        let found = admin.store.project_by_key_hash(&hash).map_err(stored)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn carried(headers: &HeaderMap) -> Option<Presented> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let named = || {
        text("x-project-id")
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
    };
    let authorization = text(header::AUTHORIZATION.as_str()).and_then(|value| {
        let (scheme, rest) = value.trim().split_once(' ')?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("basic") {
            let bytes = BASE64.decode(rest.as_bytes()).ok()?;
            let pair = String::from_utf8(bytes).ok()?;
            let (project, token) = pair.split_once(':')?;
            let project = if project.trim().is_empty() {
                named()
            } else {
                Some(project.trim().to_owned())
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

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(pairs: &[(&'static str, &str)]) -> Option<(String, Option<String>)> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).expect("a header value"));
        }
        carried(&headers).map(|found| (found.token.expose().to_owned(), found.project))
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
