//! From the JSON of a Google credential to something that can fetch tokens.
//!
//! The parser's own words never leave this file: they may quote a key. Start at [`read`].

use std::collections::BTreeMap;

use lw_core::Secret;
use serde::Deserialize;

use super::external::{External, ExternalSource, Format};
use super::impersonation::Impersonation;
use super::service_account::ServiceAccount;
use super::{Author, AuthorizedUser, Base, StoredCredential, TOKEN_ENDPOINT};
use crate::error::{Cloud, CloudError};

const TOKEN_URI: &str =
    "`token_uri` must be https under googleapis.com, or be allowed by the operator";
const TOKEN_URL: &str =
    "`token_url` must be https under googleapis.com, or be allowed by the operator";
const IMPERSONATION_URL: &str = "`service_account_impersonation_url` must be https under googleapis.com, or be allowed by the operator";

/// Every field that one of the kinds has. What a kind needs is asked for by name below, so that the
/// error can say which one is missing.
#[derive(Deserialize)]
struct Document {
    r#type: Option<String>,
    project_id: Option<String>,
    quota_project_id: Option<String>,
    token_uri: Option<String>,
    // service_account
    private_key_id: Option<String>,
    private_key: Option<String>,
    client_email: Option<String>,
    // authorized_user; the first two also external_account
    client_id: Option<String>,
    client_secret: Option<String>,
    refresh_token: Option<String>,
    // external_account
    audience: Option<String>,
    subject_token_type: Option<String>,
    token_url: Option<String>,
    credential_source: Option<SourceDocument>,
    workforce_pool_user_project: Option<String>,
    // impersonation
    service_account_impersonation_url: Option<String>,
    service_account_impersonation: Option<Lifetime>,
    delegates: Option<Vec<String>>,
    source_credentials: Option<Box<Document>>,
}

#[derive(Deserialize)]
struct Lifetime {
    token_lifetime_seconds: Option<u32>,
}

#[derive(Deserialize)]
struct SourceDocument {
    file: Option<String>,
    url: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    format: Option<FormatDocument>,
}

#[derive(Deserialize)]
struct FormatDocument {
    r#type: Option<String>,
    subject_token_field_name: Option<String>,
}

/// Reads a credential that `author` wrote.
pub(super) fn read(json: &[u8], author: &Author<'_>) -> Result<StoredCredential, CloudError> {
    let document: Document = serde_json::from_slice(json)
        .map_err(|_| invalid("it is not the JSON of a Google credential"))?;
    credential(document, author)
}

fn credential(document: Document, author: &Author<'_>) -> Result<StoredCredential, CloudError> {
    let project_id = document
        .project_id
        .clone()
        .or_else(|| document.quota_project_id.clone());
    let (base, impersonation) = match document.r#type.as_deref() {
        Some("service_account") => (service_account(document, author)?, None),
        Some("authorized_user") => (authorized_user(document, author)?, None),
        Some("external_account") => external(document, author)?,
        Some("impersonated_service_account") => return impersonated(document, author),
        Some(_) => {
            return Err(invalid(
                "its `type` is none of service_account, authorized_user, external_account and \
                 impersonated_service_account",
            ));
        }
        None => return Err(invalid("its `type` is missing")),
    };
    Ok(StoredCredential {
        base,
        impersonation,
        project_id,
    })
}

fn service_account(document: Document, author: &Author<'_>) -> Result<Base, CloudError> {
    let endpoint = document.token_uri.as_deref().unwrap_or(TOKEN_ENDPOINT);
    let account = ServiceAccount::new(
        needed(document.client_email, "its `client_email` is missing")?,
        document.private_key_id.filter(|id| !id.is_empty()),
        &Secret::new(needed(
            document.private_key,
            "its `private_key` is missing",
        )?),
        author.endpoint(endpoint, TOKEN_URI)?,
    )?;
    Ok(Base::ServiceAccount(account))
}

fn authorized_user(document: Document, author: &Author<'_>) -> Result<Base, CloudError> {
    let endpoint = document.token_uri.as_deref().unwrap_or(TOKEN_ENDPOINT);
    let secret = |text, why| needed(text, why).map(Secret::new);
    Ok(Base::AuthorizedUser(AuthorizedUser {
        endpoint: author.endpoint(endpoint, TOKEN_URI)?,
        client_id: needed(document.client_id, "its `client_id` is missing")?,
        client_secret: secret(document.client_secret, "its `client_secret` is missing")?,
        refresh_token: secret(document.refresh_token, "its `refresh_token` is missing")?,
    }))
}

fn external(
    document: Document,
    author: &Author<'_>,
) -> Result<(Base, Option<Impersonation>), CloudError> {
    let token_url = needed(document.token_url, "its `token_url` is missing")?;
    let source = document
        .credential_source
        .ok_or(invalid("its `credential_source` is missing"))?;
    let impersonation = match document.service_account_impersonation_url {
        None => None,
        Some(url) => {
            let lifetime = document
                .service_account_impersonation
                .and_then(|lifetime| lifetime.token_lifetime_seconds);
            let url = author.endpoint(&url, IMPERSONATION_URL)?;
            Some(Impersonation::new(url, Vec::new(), lifetime))
        }
    };
    let external = External {
        audience: needed(document.audience, "its `audience` is missing")?,
        subject_token_type: needed(
            document.subject_token_type,
            "its `subject_token_type` is missing",
        )?,
        endpoint: author.endpoint(&token_url, TOKEN_URL)?,
        source: external_source(source, author)?,
        client: document
            .client_id
            .zip(document.client_secret.map(Secret::new)),
        user_project: document.workforce_pool_user_project,
    };
    Ok((Base::External(external), impersonation))
}

fn external_source(
    source: SourceDocument,
    author: &Author<'_>,
) -> Result<ExternalSource, CloudError> {
    let SourceDocument {
        file,
        url,
        headers,
        format,
    } = source;
    let format = match format {
        None => Format::Text,
        Some(format) => match format.r#type.as_deref() {
            None | Some("text") => Format::Text,
            Some("json") => Format::Json {
                field: needed(
                    format.subject_token_field_name,
                    "its `subject_token_field_name` is missing",
                )?,
            },
            Some(_) => {
                return Err(invalid(
                    "its subject token's format is neither text nor json",
                ));
            }
        },
    };
    match (file, url) {
        (Some(path), None) if author.may_name_files() => Ok(ExternalSource::File { path, format }),
        (Some(_), None) => Err(invalid(
            "it names a file of the gateway's machine, which the operator does not allow \
             (LW_GATEWAY_ALLOW_AMBIENT_CLOUD_IDENTITY)",
        )),
        (None, Some(url)) => {
            let headers = headers.unwrap_or_default();
            ExternalSource::address(&url, headers, format, author)
        }
        (None, None) | (Some(_), Some(_)) => Err(invalid(
            "its `credential_source` must be a file or an address; programs, certificates and AWS are \
             not supported",
        )),
    }
}

fn impersonated(document: Document, author: &Author<'_>) -> Result<StoredCredential, CloudError> {
    let url = needed(
        document.service_account_impersonation_url,
        "its `service_account_impersonation_url` is missing",
    )?;
    let url = author.endpoint(&url, IMPERSONATION_URL)?;
    let source = document
        .source_credentials
        .ok_or(invalid("its `source_credentials` is missing"))?;
    if source.r#type.as_deref() == Some("impersonated_service_account") {
        return Err(invalid(
            "its `source_credentials` is an impersonation again",
        ));
    }
    let source = credential(*source, author)?;
    if source.impersonation.is_some() {
        return Err(invalid(
            "its `source_credentials` is an impersonation again",
        ));
    }
    Ok(StoredCredential {
        base: source.base,
        impersonation: Some(Impersonation::new(
            url,
            document.delegates.unwrap_or_default(),
            None,
        )),
        project_id: document
            .quota_project_id
            .or(document.project_id)
            .or(source.project_id),
    })
}

fn needed(value: Option<String>, why: &'static str) -> Result<String, CloudError> {
    value
        .filter(|text| !text.trim().is_empty())
        .ok_or(invalid(why))
}

const fn invalid(why: &'static str) -> CloudError {
    Cloud::Google.invalid(why)
}
