//! Names that credentials go by, in settings that are stored, shown and audited in clear.
//!
//! Told by the name alone, at any depth, and rather once too often: a refused setting can be renamed, a
//! credential in the audit log stays there. Must never look at a value beyond whether one is there, nor
//! repeat it. Start at [`refuse`].

use serde_json::{Map, Value};

use crate::input::Problems;

/// How the names of credentials end, in small letters and digits.
const ENDS: &[&str] = &[
    "key",
    "keys",
    "token",
    "secret",
    "secrets",
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "credential",
    "credentials",
    "authorization",
    "bearer",
    "cookie",
    "accesskeyid",
    "serviceaccountjson",
    "accesstokens",
    "apitokens",
    "authtokens",
    "refreshtokens",
    "sessiontokens",
];

/// Names that end like one and are none: parameters of models, and what requests are told apart by.
const HARMLESS: &[&str] = &[
    "cachekey",
    "promptcachekey",
    "routingkey",
    "partitionkey",
    "publickey",
    "stoptoken",
    "bostoken",
    "eostoken",
    "padtoken",
    "unktoken",
];

const WHAT: &str = "has the name of a credential, and settings are stored and shown in clear: put it into \
                    `custom_keys`, or into `extra_headers` if it is a header";

/// Whether a setting of this name holds a credential. Case and punctuation do not count.
fn is_credential(name: &str) -> bool {
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    ENDS.iter().any(|end| plain.ends_with(end)) && !HARMLESS.contains(&&*plain)
}

/// Adds a problem for every setting below `path` that has the name of a credential. Null is nothing to
/// hide.
pub(super) fn refuse(path: &str, settings: &Map<String, Value>, problems: &mut Problems) {
    for (name, value) in settings {
        let path = format!("{path}.{name}");
        if !value.is_null() && is_credential(name) {
            problems.add(path, "invalid_value", WHAT);
        } else {
            within(&path, value, problems);
        }
    }
}

fn within(path: &str, value: &Value, problems: &mut Problems) {
    match value {
        Value::Object(map) => refuse(path, map, problems),
        Value::Array(list) => {
            for (place, value) in list.iter().enumerate() {
                within(&format!("{path}.{place}"), value, problems);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_told_by_the_end_of_its_name_however_it_is_written() {
        for (name, is) in [
            ("api_key", true),
            ("OPENAI_API_KEY", true),
            ("apiKey", true),
            ("x-api-key", true),
            ("session token", true),
            ("aws_access_key_id", true),
            ("Proxy-Authorization", true),
            ("max_tokens", false),
            ("prompt_cache_key", false),
            ("routing_key", false),
            ("api_key_header", false),
            ("auth_mode", false),
            ("region", false),
            ("", false),
        ] {
            assert_eq!(is_credential(name), is, "{name}");
        }
    }
}
