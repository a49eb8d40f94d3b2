//! Which server to talk to, as whom, and about which project.
//!
//! Each is the first match of a fixed list; this module is that list.

use url::{Host, Url};

use crate::config_file::ConfigFile;
use crate::environment::{Origin, Variables};
use crate::error::CliError;

/// Where the server of `langwatch serve` listens.
pub(crate) const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:5560";
const LOCAL_GATEWAY: &str = "http://127.0.0.1:5563";
const PUBLIC_GATEWAY: &str = "https://gateway.langwatch.ai";

/// A secret with its origin. Has no `Debug`, so that it cannot end up in one.
#[derive(Clone)]
pub(crate) struct Credential {
    pub(crate) token: String,
    pub(crate) source: CredentialSource,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum CredentialSource {
    Environment,
    DotEnv,
    Session,
}

impl CredentialSource {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::DotEnv => ".env",
            Self::Session => "session",
        }
    }
}

/// What a token is, as far as its shape tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TokenKind {
    ApiKey,
    PersonalToken,
    IngestKey,
    ProjectKey,
    Unknown,
}

impl TokenKind {
    /// API-key-shaped tokens name their project beside them; project keys are their project.
    pub(crate) fn is_api_key(self) -> bool {
        matches!(self, Self::ApiKey | Self::PersonalToken | Self::IngestKey)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::PersonalToken => "personal_token",
            Self::IngestKey => "ingest_key",
            Self::ProjectKey => "project_key",
            Self::Unknown => "unknown",
        }
    }

    pub(crate) fn of(token: &str) -> Self {
        if token.starts_with("lwp_") {
            return Self::ApiKey;
        }
        if token.starts_with("pat-lw-") {
            return Self::PersonalToken;
        }
        if token.starts_with("ik-lw-") {
            return Self::IngestKey;
        }
        let Some(body) = token.strip_prefix("sk-lw-") else {
            return Self::Unknown;
        };
        let alphanumeric = |text: &str, length| {
            text.len() == length && text.chars().all(|c| c.is_ascii_alphanumeric())
        };
        match body.split_once('_') {
            Some((id, secret)) if alphanumeric(id, 16) && alphanumeric(secret, 48) => Self::ApiKey,
            _ => Self::ProjectKey,
        }
    }
}

/// The key: environment, `.env`, stored session.
pub(crate) fn credential(
    variables: &Variables,
    config: &ConfigFile,
) -> Result<Credential, CliError> {
    if let Some((token, origin)) = variables.lookup("LANGWATCH_API_KEY") {
        let source = match origin {
            Origin::Environment => CredentialSource::Environment,
            Origin::DotEnv => CredentialSource::DotEnv,
        };
        return Ok(Credential {
            token: token.to_owned(),
            source,
        });
    }
    config
        .text(&["cli_api_key"])
        .or_else(|| config.text(&["personal_project", "api_key"]))
        .map(|token| Credential {
            token: token.to_owned(),
            source: CredentialSource::Session,
        })
        .ok_or(CliError::NotSignedIn)
}

/// The project: the flag, `LANGWATCH_PROJECT_ID`, and for the session's own key its project.
pub(crate) fn project(
    flag: Option<&str>,
    variables: &Variables,
    config: &ConfigFile,
    source: CredentialSource,
) -> Option<String> {
    let session = || match source {
        CredentialSource::Session => config.text(&["personal_project", "id"]),
        CredentialSource::Environment | CredentialSource::DotEnv => None,
    };
    flag.map(str::trim)
        .filter(|project| !project.is_empty())
        .or_else(|| variables.get("LANGWATCH_PROJECT_ID"))
        .or_else(session)
        .map(str::to_owned)
}

/// The control plane: `LANGWATCH_ENDPOINT`, the configuration, the default.
pub(crate) fn endpoint(variables: &Variables, config: &ConfigFile) -> Result<String, CliError> {
    if let Some(url) = variables.get("LANGWATCH_ENDPOINT") {
        return base_url("LANGWATCH_ENDPOINT", url);
    }
    match config.text(&["control_plane_url"]) {
        Some(url) => base_url("control_plane_url of the configuration", url),
        None => Ok(DEFAULT_ENDPOINT.to_owned()),
    }
}

/// The data plane as it is set: the configuration, then `LANGWATCH_GATEWAY_URL`.
pub(crate) fn set_gateway_url(
    variables: &Variables,
    config: &ConfigFile,
) -> Result<Option<String>, CliError> {
    if let Some(url) = config.text(&["gateway_url"]) {
        return base_url("gateway_url of the configuration", url).map(Some);
    }
    if let Some(url) = variables.get("LANGWATCH_GATEWAY_URL") {
        return base_url("LANGWATCH_GATEWAY_URL", url).map(Some);
    }
    Ok(None)
}

/// The data plane: as it is set, else what fits the endpoint.
pub(crate) fn gateway_url(variables: &Variables, config: &ConfigFile) -> Result<String, CliError> {
    if let Some(url) = set_gateway_url(variables, config)? {
        return Ok(url);
    }
    let endpoint = endpoint(variables, config)?;
    let local = Url::parse(&endpoint).is_ok_and(|url| is_loopback(&url));
    Ok(if local { LOCAL_GATEWAY } else { PUBLIC_GATEWAY }.to_owned())
}

/// An absolute http(s) URL without trailing slashes.
pub(crate) fn base_url(what: &str, text: &str) -> Result<String, CliError> {
    let text = text.trim().trim_end_matches('/');
    let usable = Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if usable {
        Ok(text.to_owned())
    } else {
        Err(CliError::usage(format!(
            "{what} must be an absolute http or https URL, not \"{text}\"."
        )))
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
