//! What single credential fields may hold: secrets, addresses, regions, identities.
//!
//! Regions become parts of host names, and an identity names addresses that the gateway dials: both are
//! held to the rule for addresses. Must never repeat a value in a message. Start at [`check`].

use http::HeaderValue;
use serde_json::{Map, Value};
use url::Url;

use super::kind::Holds;

/// What checks an address: `Err` holds the public reason.
pub(super) type Policy<'a> = &'a dyn Fn(&str) -> Result<(), String>;

/// The longest value of a credential field or an extra header, in bytes.
const LONGEST: usize = 16 * 1024;

/// Checks the value of a field.
///
/// # Errors
/// What the value must be.
pub(super) fn check(text: &str, holds: Holds, policy: Policy<'_>) -> Result<(), String> {
    match holds {
        Holds::Secret => secret(text),
        Holds::Identity => identity(text, policy),
        Holds::Address => address(text, policy),
        Holds::Region => region(text),
        Holds::Name => name(text),
    }
}

/// A secret travels in a header: printable ASCII, so that a half-copied mask is refused too.
pub(super) fn secret(text: &str) -> Result<(), String> {
    let printable = HeaderValue::from_str(text).is_ok() && text.is_ascii();
    match text.len() {
        0 => Err("must not be empty; send null to delete it".into()),
        length if length > LONGEST => Err(format!("must be at most {LONGEST} bytes long")),
        _ if !printable => Err("must be printable ASCII".into()),
        _ => Ok(()),
    }
}

/// An address is http or https with a host, without credentials, query or fragment, and one that the
/// policy allows.
pub(super) fn address(text: &str, policy: Policy<'_>) -> Result<(), String> {
    if text.len() > 2_048 {
        return Err("must be at most 2048 characters long".into());
    }
    let url = Url::parse(text).map_err(|_malformed| "must be an http or https URL".to_owned())?;
    if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
        return Err("must be an http or https URL".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or a password".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not hold a query or a fragment".into());
    }
    policy(text)
}

/// A region or location.
pub(super) fn region(text: &str) -> Result<(), String> {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=64).contains(&text.len()) && text.bytes().all(word) {
        Ok(())
    } else {
        Err("must be 1 to 64 lowercase letters, digits and `-`".into())
    }
}

/// A project, an account, a version. It may become a segment of a path, so it is none that leads out.
pub(super) fn name(text: &str) -> Result<(), String> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
    if !(1..=128).contains(&text.len()) || !text.bytes().all(word) {
        Err("must be 1 to 128 letters, digits, `.`, `_`, `:` and `-`".into())
    } else if text.bytes().all(|b| b == b'.') {
        Err("must not consist of dots".into())
    } else {
        Ok(())
    }
}

/// The JSON of a Google identity, as it is downloaded.
fn identity(text: &str, policy: Policy<'_>) -> Result<(), String> {
    if text.len() > LONGEST {
        return Err(format!("must be at most {LONGEST} bytes long"));
    }
    let Ok(Value::Object(map)) = serde_json::from_str(text) else {
        return Err("must be the JSON of a service account, not the path of a file".into());
    };
    let required: &[&str] = match map.get("type").and_then(Value::as_str) {
        Some("service_account") => &["client_email", "private_key"],
        Some("authorized_user") => &["client_id", "client_secret", "refresh_token"],
        Some("external_account") => &["audience", "subject_token_type", "token_url"],
        _ => {
            return Err(
                "must have the `type` service_account, authorized_user or external_account".into(),
            );
        }
    };
    for field in required {
        if map
            .get(*field)
            .and_then(Value::as_str)
            .is_none_or(str::is_empty)
        {
            return Err(format!("must hold the text `{field}`"));
        }
    }
    dialled(
        &map,
        &[
            "token_uri",
            "token_url",
            "service_account_impersonation_url",
        ],
        policy,
    )?;
    let Some(source) = map.get("credential_source") else {
        return Ok(());
    };
    let Some(source) = source.as_object() else {
        return Err("must hold an object in `credential_source`".into());
    };
    // Whoever stores a credential is not whoever runs the gateway.
    if source.contains_key("file") || source.contains_key("executable") {
        return Err("must not make the gateway read files or run programs".into());
    }
    let places = ["url", "region_url", "imdsv2_session_token_url"];
    dialled(source, &places, policy)
}

/// Checks the addresses that an identity makes the gateway dial.
fn dialled(map: &Map<String, Value>, names: &[&str], policy: Policy<'_>) -> Result<(), String> {
    for name in names {
        let Some(value) = map.get(*name).filter(|value| !value.is_null()) else {
            continue;
        };
        let text = value.as_str().ok_or("must be a text".to_owned());
        // These may have a query; what matters is where they lead.
        let fine =
            text.and_then(|text| address(text.split('?').next().unwrap_or_default(), policy));
        fine.map_err(|message| format!("has a `{name}` that {message}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(url: &str) -> Result<(), String> {
        if url.contains("//10.") {
            Err("must not be private".into())
        } else {
            Ok(())
        }
    }

    #[test]
    fn addresses_are_checked_before_the_policy_is_asked() {
        for (url, fine) in [
            ("https://api.example.com/v1", true),
            ("http://10.0.0.1", false),
            ("ftp://x", false),
            ("https://user:pw@example.com", false),
            ("https://example.com/?key=1", false),
            ("example.com", false),
            ("", false),
        ] {
            assert_eq!(address(url, &policy).is_ok(), fine, "{url}");
        }
    }

    #[test]
    fn a_region_cannot_lead_to_another_host() {
        for (text, fine) in [
            ("us-east-1", true),
            ("global", true),
            ("evil.example.com/", false),
            ("a@b", false),
            ("EU", false),
            ("", false),
        ] {
            assert_eq!(region(text).is_ok(), fine, "{text}");
        }
    }

    #[test]
    fn a_name_is_one_segment_of_a_path() {
        for (text, fine) in [
            ("a1b2", true),
            ("2024-10-21", true),
            ("example.com:project", true),
            (".", false),
            ("..", false),
            ("...", false),
            ("a/b", false),
            ("a?b", false),
            ("a#b", false),
            ("%2e%2e", false),
            ("a\\b", false),
            ("", false),
        ] {
            assert_eq!(name(text).is_ok(), fine, "{text}");
        }
    }

    #[test]
    fn an_identity_is_of_a_known_type_and_dials_and_reads_nothing_it_must_not() {
        let account =
            json!({ "type": "service_account", "client_email": "a@b", "private_key": "k" });
        let with = |more: Value| {
            let mut all = account.clone();
            let (Some(all_map), Some(more)) = (all.as_object_mut(), more.as_object()) else {
                panic!("objects");
            };
            all_map.extend(more.clone());
            all.to_string()
        };
        let external = |source: Value| {
            with(json!({
                "type": "external_account", "audience": "a", "subject_token_type": "t",
                "token_url": "https://sts.googleapis.com/v1/token", "credential_source": source,
            }))
        };
        let cases = [
            account.to_string(),
            with(json!({ "token_uri": "https://oauth2.googleapis.com/token" })),
            with(json!({ "token_uri": "http://10.0.0.1/token" })),
            with(json!({ "token_uri": 7 })),
            with(json!({ "private_key": "" })),
            with(json!({ "type": "api_key" })),
            external(json!({ "url": "https://tokens.example.com/?id=1" })),
            external(json!({ "url": "http://10.0.0.1/" })),
            external(json!({ "file": "/var/run/token" })),
            external(json!({ "executable": { "command": "id" } })),
            external(json!("file")),
            "/srv/key.json".into(),
            "[]".into(),
        ];
        let said: Vec<String> = cases
            .iter()
            .map(|text| {
                check(text, Holds::Identity, &policy)
                    .err()
                    .unwrap_or_default()
            })
            .collect();
        insta::assert_json_snapshot!(said);
    }
}
