//! Messages bodies for Claude on other clouds: the same dialect, but for a few top-level fields
//! (providers 7.2 and 9.3).
//!
//! Must never re-serialise: every byte that is not named here stays where it is.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::Problem;
use crate::json;

/// The way into another cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Vertex `rawPredict` and `streamRawPredict`: the model is in the path, `stream` in the body.
    Vertex,
    /// Bedrock `invoke` and `invoke-with-response-stream`: model and streaming are in the path.
    BedrockInvoke,
}

impl Door {
    /// Whether a field goes without saying there.
    fn takes_out(self, key: &str) -> bool {
        match self {
            Self::Vertex => key == "model",
            Self::BedrockInvoke => key == "model" || key == "stream",
        }
    }
}

/// Edits a Messages body: `model` goes (and `stream`, where the path says it), `anthropic_version` comes
/// unless the caller has set it, and `betas` come in `anthropic_beta`, behind those of the body.
///
/// # Errors
/// The body is not a JSON object, one of these fields stands twice, or `anthropic_beta` is not a list of
/// texts.
pub fn near_native(
    body: &[u8],
    door: Door,
    anthropic_version: &str,
    betas: &[String],
) -> Result<Vec<u8>, Problem> {
    let unusable = |why: &dyn fmt::Display| {
        Problem::bad(format!("the body is not a usable JSON object: {why}"), "")
    };
    let text = std::str::from_utf8(body).map_err(|error| unusable(&error))?;
    let Members(members) = serde_json::from_str(text).map_err(|error| unusable(&error))?;
    let members = placed(text, &members).ok_or_else(|| unusable(&"it changes while it is read"))?;

    let mut has_version = false;
    let mut wanted: Vec<String> = betas.to_vec();
    let mut kept: Vec<String> = Vec::new();
    let mut listed: Option<Vec<String>> = None;
    let mut seen: Vec<&str> = Vec::new();
    for member in &members {
        let key = member.key.as_str();
        if matches!(
            key,
            "model" | "stream" | "anthropic_version" | "anthropic_beta"
        ) {
            if seen.contains(&key) {
                let message = format!("the key `{key}` stands twice");
                return Err(Problem::bad(message, key));
            }
            seen.push(key);
        }
        match key {
            "anthropic_beta" => {
                let list = serde_json::from_str::<Option<Vec<String>>>(member.value);
                let list = list
                    .map_err(|_| Problem::bad("`anthropic_beta` must be a list of strings", key))?;
                listed = list;
                continue;
            }
            "anthropic_version" => has_version = true,
            _ if door.takes_out(key) => continue,
            _ => {}
        }
        kept.push(member.whole.to_owned());
    }
    if let Some(mut own) = listed {
        own.extend(wanted);
        wanted = own;
    }
    let mut distinct: Vec<String> = Vec::with_capacity(wanted.len());
    for beta in wanted {
        if !distinct.contains(&beta) {
            distinct.push(beta);
        }
    }
    let mut fields: Vec<String> = Vec::with_capacity(kept.len() + 2);
    if !has_version {
        fields.push(format!(
            r#""anthropic_version":{}"#,
            quoted(anthropic_version)
        ));
    }
    if !distinct.is_empty() {
        let list = json::array(distinct.iter().map(|beta| quoted(beta)));
        fields.push(format!(r#""anthropic_beta":{list}"#));
    }
    fields.extend(kept);
    let (head, tail) = ends(text, &members);
    Ok(format!("{head}{}{tail}", fields.join(",")).into_bytes())
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    json::quote(text, &mut out);
    out
}

/// A member of the body.
struct Member<'a> {
    key: String,
    value: &'a str,
    /// Everything between the commas around it, blanks included.
    whole: &'a str,
    /// Where the value ends in the body.
    end: usize,
}

/// Finds the members' places in the text that they were read from.
fn placed<'a>(text: &'a str, members: &[(&'a RawValue, &'a RawValue)]) -> Option<Vec<Member<'a>>> {
    let offset = |part: &str| part.as_ptr().addr().checked_sub(text.as_ptr().addr());
    let mut out = Vec::with_capacity(members.len());
    let mut begin = text.find('{')? + 1;
    for (n, (key, value)) in members.iter().enumerate() {
        let end = offset(value.get())? + value.get().len();
        let last = n + 1 == members.len();
        // Behind a value there are only blanks before the comma.
        let comma = if last {
            end
        } else {
            end + text.get(end..)?.find(',')?
        };
        out.push(Member {
            key: json::text(key)?,
            value: value.get(),
            whole: text.get(begin..comma)?,
            end,
        });
        begin = comma + 1;
    }
    Some(out)
}

/// What stands before the first member and behind the last.
fn ends<'a>(text: &'a str, members: &[Member<'_>]) -> (&'a str, &'a str) {
    let head = text.find('{').map_or(0, |at| at + 1);
    let tail = members.last().map_or(head, |member| member.end);
    (
        text.get(..head).unwrap_or_default(),
        text.get(tail..).unwrap_or_default(),
    )
}

/// Keys and values of an object, as slices of the text.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Members(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn edited(body: &str, door: Door, betas: &[&str]) -> String {
        let betas: Vec<String> = betas.iter().map(|beta| (*beta).to_owned()).collect();
        let after = near_native(body.as_bytes(), door, "v1", &betas).expect("edited");
        String::from_utf8(after).expect("text")
    }

    #[test]
    fn only_the_named_fields_change() {
        for (door, body, betas, expected) in [
            (
                Door::Vertex,
                "{ \"model\" : \"m\" ,\n \"big\": 12345678901234567890.10, \"stream\":true }\n",
                &[][..],
                "{\"anthropic_version\":\"v1\",\n \"big\": 12345678901234567890.10, \"stream\":true }\n",
            ),
            (
                Door::BedrockInvoke,
                r#"{"a":"\u0041","model":"m","stream":true}"#,
                &["b1", "b2", "b1"][..],
                r#"{"anthropic_version":"v1","anthropic_beta":["b1","b2"],"a":"\u0041"}"#,
            ),
            (
                Door::BedrockInvoke,
                r#"{"mo\u0064el":"m"}"#,
                &[][..],
                r#"{"anthropic_version":"v1"}"#,
            ),
            (
                Door::Vertex,
                r#"{"anthropic_version":"own","anthropic_beta":["x"],"x":{"model":1}}"#,
                &["y", "x"][..],
                r#"{"anthropic_beta":["x","y"],"anthropic_version":"own","x":{"model":1}}"#,
            ),
            (Door::Vertex, "{}", &[][..], r#"{"anthropic_version":"v1"}"#),
        ] {
            assert_eq!(edited(body, door, betas), expected);
        }
    }

    #[test]
    fn what_is_no_body_is_refused() {
        for body in [
            &b"[]"[..],
            b"{",
            b"\xff",
            br#"{"model":1,"model":2}"#,
            br#"{"anthropic_beta":"x"}"#,
        ] {
            assert!(near_native(body, Door::Vertex, "v", &[]).is_err());
        }
    }

    proptest! {
        #[test]
        fn nothing_but_the_named_fields_changes_in_meaning(
            keys in prop::collection::btree_set("model|stream|anthropic_version|[a-z\"\\\\,{]{1,6}", 0..6),
            text in "\\PC{0,20}", pretty in any::<bool>(),
        ) {
            let mut tree = json!({});
            for key in &keys {
                tree[key.as_str()] = json!([text, {"model": 1.5}]);
            }
            let body = if pretty {
                serde_json::to_string_pretty(&tree).expect("JSON")
            } else {
                tree.to_string()
            };
            let after: Value = serde_json::from_str(&edited(&body, Door::BedrockInvoke, &["b"])).expect("JSON");
            if let Some(object) = tree.as_object_mut() {
                object.remove("model");
                object.remove("stream");
                object.entry("anthropic_version").or_insert(json!("v1"));
                object.insert("anthropic_beta".to_owned(), json!(["b"]));
            }
            prop_assert_eq!(after, tree);
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = near_native(&bytes, Door::Vertex, "v", &[]);
        }
    }
}
