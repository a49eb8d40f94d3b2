//! The advanced settings of a provider, `provider_config`: any JSON object, of which some keys mean
//! something to the gateway (providers 3).
//!
//! Those are checked here, because a row with a setting that the gateway cannot read would take every key
//! that reaches it out of service. Settings are stored in clear: extra headers move to where they are
//! sealed, and what has the name of a credential is refused. Start at [`read`].

use http::HeaderName;
use serde_json::{Map, Value};

use super::headers::{Headers, HeadersPatch};
use super::naming;
use super::value::{Policy, address, name, region};
use crate::input::{Fields, Given, Problems};

/// The largest settings, in bytes of JSON.
const LARGEST: usize = 64 * 1024;

/// What was read.
#[derive(Debug)]
pub(super) struct Settings {
    /// The settings as they are stored: a JSON object.
    pub(super) text: String,
    /// The extra headers that stood among them.
    pub(super) headers: Option<HeadersPatch>,
}

/// Reads `provider_config`.
pub(super) fn read(
    fields: &Fields<'_>,
    policy: Policy<'_>,
    problems: &mut Problems,
) -> Given<Settings> {
    fields.object(&["provider_config"], problems).map(|given| {
        let mut map = given.map().clone();
        // Null means absent to the gateway.
        map.retain(|name, value| !value.is_null() || expected(name).is_none());
        let headers = map
            .remove("extra_headers")
            .map(|headers| Headers::of_setting(&given.path("extra_headers"), &headers, problems));
        for (name, value) in &map {
            let Some(is) = expected(name) else { continue };
            if let Err(message) = is.check(value, policy) {
                problems.add(given.path(name), "invalid_value", message);
            }
        }
        naming::refuse("provider_config", &map, problems);
        let text = Value::Object(map).to_string();
        if text.len() > LARGEST {
            let message = format!("must be at most {LARGEST} bytes of JSON");
            problems.add("provider_config", "too_big", message);
        }
        Settings { text, headers }
    })
}

/// The settings of a row as a map; empty for none and for what cannot be read.
pub(super) fn stored(text: Option<&str>) -> Map<String, Value> {
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// What a setting makes the gateway dial, if it is one of those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dials {
    /// The provider.
    Provider,
    /// Whoever issues its tokens.
    Issuer,
    /// A host of the provider that the region is part of.
    Region,
}

/// What a setting of this name makes the gateway dial.
pub(super) fn dials(setting: &str) -> Option<Dials> {
    use Expected as E;
    match expected(setting)? {
        E::Address if setting == "token_uri" => Some(Dials::Issuer),
        E::Address | E::AmazonAddress => Some(Dials::Provider),
        E::Region => Some(Dials::Region),
        E::Name
        | E::Text
        | E::Texts
        | E::Object
        | E::Switch
        | E::Milliseconds
        | E::HeaderName
        | E::Word(_)
        | E::Headers => None,
    }
}

/// What a setting that the gateway reads must be.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Address,
    /// An address below Amazon's domain: requests to it are signed (data-plane 23).
    AmazonAddress,
    Region,
    Name,
    Text,
    Texts,
    Object,
    Switch,
    Milliseconds,
    HeaderName,
    Word(&'static [&'static str]),
    /// Read apart.
    Headers,
}

fn expected(setting: &str) -> Option<Expected> {
    use Expected as E;
    Some(match setting {
        "base_url" | "BASE_URL" | "api_base" | "endpoint" | "token_uri" => E::Address,
        "bedrock_runtime_endpoint" | "aws_bedrock_runtime_endpoint" => E::AmazonAddress,
        "region" => E::Region,
        "api_version" | "project_id" | "account_id" => E::Name,
        "organization"
        | "project"
        | "default_deployment"
        | "inference_profile_arn"
        | "default_model" => E::Text,
        "deployment_map" => E::Texts,
        "extra_body" => E::Object,
        "responses_api" | "anthropic_api" | "anthropic_invoke" | "coerce_embeddings" => E::Switch,
        "timeout_ms" => E::Milliseconds,
        "auth_header" => E::HeaderName,
        "auth_mode" => E::Word(&["bearer", "api-key", "header", "none"]),
        "rotation_policy" => E::Word(&["round_robin", "on_rate_limit"]),
        "extra_headers" => E::Headers,
        _ => return None,
    })
}

impl Expected {
    fn check(self, value: &Value, policy: Policy<'_>) -> Result<(), String> {
        let said = |fine: bool, what: &str| fine.then_some(()).ok_or_else(|| what.to_owned());
        match self {
            Self::Switch => said(value.is_boolean(), "must be true or false"),
            Self::Object => said(value.is_object(), "must be an object"),
            Self::Texts => {
                let map = value.as_object();
                let fine = map.is_some_and(|map| map.values().all(Value::is_string));
                said(fine, "must be an object of texts")
            }
            Self::Milliseconds => {
                let fine = value.as_u64().is_some_and(|ms| ms <= 840_000);
                said(fine, "must be a whole number from 0 to 840000")
            }
            Self::Headers => Ok(()),
            Self::Address
            | Self::AmazonAddress
            | Self::Region
            | Self::Name
            | Self::Text
            | Self::HeaderName
            | Self::Word(_) => {
                let text = value.as_str().ok_or("must be a string")?;
                self.check_text(text, policy)
            }
        }
    }

    fn check_text(self, text: &str, policy: Policy<'_>) -> Result<(), String> {
        match self {
            Self::Address => address(text, policy),
            Self::AmazonAddress => {
                address(text, policy)?;
                if amazon(text) {
                    Ok(())
                } else {
                    Err("must be below amazonaws.com; http only below vpce.amazonaws.com".into())
                }
            }
            Self::Region => region(text),
            Self::Name => name(text),
            Self::HeaderName if HeaderName::from_bytes(text.as_bytes()).is_err() => {
                Err("must be the name of a header".into())
            }
            Self::Word(words) if !words.contains(&text) => {
                Err(format!("must be one of {}", words.join(", ")))
            }
            Self::Text if !(1..=256).contains(&text.chars().count()) => {
                Err("must be 1 to 256 characters long".into())
            }
            Self::HeaderName | Self::Word(_) | Self::Text => Ok(()),
            // Not texts: see `check`.
            Self::Texts | Self::Object | Self::Switch | Self::Milliseconds | Self::Headers => {
                Ok(())
            }
        }
    }
}

fn amazon(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    host.ends_with(".amazonaws.com")
        && (url.scheme() == "https" || host.ends_with(".vpce.amazonaws.com"))
}
