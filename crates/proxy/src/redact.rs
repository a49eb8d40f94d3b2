//! Taking our own secrets out of what a provider wrote about an error.
//!
//! A provider may echo the credential that it refuses. Its errors are passed on byte for byte but for
//! that. Each secret is looked for as it is and as it stands inside a JSON string.

use bytes::Bytes;
use lw_core::Secret;
use memchr::memmem;

/// Shorter values are placeholders, not secrets: taking them out would garble the error.
const SHORTEST: usize = 8;
const MARK: &[u8] = b"[redacted]";

/// The secrets of one provider row.
#[derive(Debug, Default)]
pub struct Secrets(Vec<Secret>);

impl Secrets {
    /// Notes every spelling of `secrets`, longest first, so that one inside another does not hide it.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut spellings: Vec<String> = Vec::new();
        for secret in secrets
            .into_iter()
            .filter(|secret| secret.len() >= SHORTEST)
        {
            let quoted = serde_json::Value::from(secret).to_string();
            let inside = quoted
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'));
            let escaped = inside.unwrap_or_default().to_owned();
            spellings.push(escaped.replace('/', "\\/"));
            spellings.push(escaped);
            spellings.push(secret.to_owned());
        }
        spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
        spellings.retain(|spelling| !spelling.is_empty());
        spellings.dedup();
        Self(spellings.into_iter().map(Secret::new).collect())
    }

    /// `body` without our secrets; the same bytes when there are none in it.
    #[must_use]
    pub fn take_out(&self, mut body: Bytes) -> Bytes {
        for secret in &self.0 {
            let needle = secret.expose().as_bytes();
            if memmem::find(&body, needle).is_none() {
                continue;
            }
            let mut out = Vec::with_capacity(body.len());
            let mut from = 0;
            for at in memmem::find_iter(&body, needle) {
                out.extend_from_slice(body.get(from..at).unwrap_or_default());
                out.extend_from_slice(MARK);
                from = at + needle.len();
            }
            out.extend_from_slice(body.get(from..).unwrap_or_default());
            body = out.into();
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_secrets_are_taken_out_and_nothing_else() {
        let secrets = Secrets::new(["sk-canary-1", "short", "a\"b/c\\d-quoted"]);
        let body = Bytes::from_static(b"bad key sk-canary-1, again sk-canary-1. short stays");
        assert_eq!(
            secrets.take_out(body),
            "bad key [redacted], again [redacted]. short stays"
        );
        let spelled =
            Bytes::from_static(br#"{"message":"a\"b/c\\d-quoted and a\"b\/c\\d-quoted"}"#);
        assert_eq!(
            secrets.take_out(spelled),
            r#"{"message":"[redacted] and [redacted]"}"#
        );
        let body = Bytes::from_static(b"nothing here");
        assert_eq!(secrets.take_out(body.clone()).as_ptr(), body.as_ptr());
        assert!(!format!("{secrets:?}").contains("canary"));
    }
}
