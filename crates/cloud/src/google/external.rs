//! Workload identity federation: another party's token is exchanged for Google's (RFC 8693).

use std::collections::BTreeMap;

use data_encoding::BASE64;
use http::{HeaderName, header};
use lw_core::Secret;
use serde_json::Value;
use url::Url;

use super::{Author, SCOPE};
use crate::bearer::Bearer;
use crate::error::{Cloud, CloudError};
use crate::exchange::{Ask, read_secret};
use crate::outside::Outside;
use crate::token::Fresh;

const FILE: &str = "`credential_source.file`";
const NOT_A_TOKEN: &str = "the subject token is not where `credential_source.format` says";

/// An identity that another party vouches for.
pub(super) struct External {
    pub(super) audience: String,
    pub(super) subject_token_type: String,
    /// The security token service.
    pub(super) endpoint: Url,
    pub(super) source: ExternalSource,
    /// Id and secret of the OAuth client, where the pool asks for one.
    pub(super) client: Option<(String, Secret)>,
    /// Project that is billed for a workforce pool.
    pub(super) user_project: Option<String>,
}

/// Where the subject token comes from.
pub(super) enum ExternalSource {
    File {
        path: String,
        format: Format,
    },
    Address {
        url: Url,
        headers: Vec<(HeaderName, Secret)>,
        format: Format,
        /// The operator's address may be a metadata service; a tenant's is guarded.
        on_the_platform: bool,
    },
}

/// How the subject token is written.
pub(super) enum Format {
    Text,
    Json { field: String },
}

impl ExternalSource {
    pub(super) fn address(
        url: &str,
        headers: BTreeMap<String, String>,
        format: Format,
        author: &Author<'_>,
    ) -> Result<Self, CloudError> {
        let url = Url::parse(url.trim())
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or(Cloud::Google.invalid("its `credential_source.url` is not an address"))?;
        let header = |(name, value): (String, String)| {
            HeaderName::try_from(name)
                .map(|name| (name, Secret::new(value)))
                .map_err(|_| Cloud::Google.invalid("its `credential_source.headers` are not ones"))
        };
        Ok(Self::Address {
            url,
            headers: headers.into_iter().map(header).collect::<Result<_, _>>()?,
            format,
            on_the_platform: matches!(author, Author::Operator),
        })
    }

    async fn subject_token(&self, outside: &Outside) -> Result<Secret, CloudError> {
        match self {
            Self::File { path, format } => {
                let content = read_secret(outside, path, FILE, Cloud::Google).await?;
                format.find(&content)
            }
            Self::Address {
                url,
                headers,
                format,
                on_the_platform,
            } => {
                let mut ask = Ask::get(Cloud::Google, url.clone());
                if *on_the_platform {
                    ask = ask.on_the_platform();
                }
                for (name, value) in headers {
                    let why = "its `credential_source.headers` are not ones";
                    ask = ask.secret(name.clone(), value, why)?;
                }
                let reply = ask.send(outside).await?;
                format.find(&Secret::new(reply.text()?))
            }
        }
    }
}

impl Format {
    fn find(&self, content: &Secret) -> Result<Secret, CloudError> {
        let token = match self {
            Self::Text => content.clone(),
            Self::Json { field } => {
                let json: Option<Value> = serde_json::from_str(content.expose()).ok();
                let token = json.as_ref().and_then(|json| json.get(field)?.as_str());
                Secret::new(token.unwrap_or_default())
            }
        };
        if token.is_empty() {
            return Err(Cloud::Google.invalid(NOT_A_TOKEN));
        }
        Ok(token)
    }
}

impl External {
    pub(super) async fn token(&self, outside: &Outside) -> Result<Fresh<Bearer>, CloudError> {
        let Self {
            audience,
            subject_token_type,
            endpoint,
            source,
            client,
            user_project,
        } = self;
        let subject = source.subject_token(outside).await?;
        let mut fields = vec![
            (
                "grant_type",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ),
            ("audience", audience),
            ("scope", SCOPE),
            (
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:access_token",
            ),
            ("subject_token", subject.expose()),
            ("subject_token_type", subject_token_type),
        ];
        let options = user_project
            .as_ref()
            .map(|project| serde_json::json!({"userProject": project}).to_string());
        // With a client of its own, the client's project is billed.
        if let (Some(options), None) = (&options, client) {
            fields.push(("options", options));
        }
        let asked_at = outside.now();
        let mut ask = Ask::form(Cloud::Google, endpoint.clone(), &fields);
        if let Some((id, secret)) = client {
            let pair = format!("{id}:{}", secret.expose());
            let basic = Secret::new(format!("Basic {}", BASE64.encode(pair.as_bytes())));
            ask = ask.secret(
                header::AUTHORIZATION,
                &basic,
                "its `client_id` or `client_secret` cannot stand in a header",
            )?;
        }
        ask.send(outside).await?.bearer(asked_at)
    }
}
