//! Hides secrets in everything that is printed.
//!
//! Two nets: the shapes of our own tokens, and the very values this run was given (the credential,
//! provider keys). Display prefixes such as `vk-lw-01HZX9N` are public and stay. What `create` and
//! `rotate` must show goes around this module on purpose; nothing else may.

use crate::json::Json;

/// Token prefixes of the product.
const PREFIXES: [&str; 6] = ["vk-lw-", "sk-lw-", "pat-lw-", "ik-lw-", "lwp_", "whsec_"];

/// A run of token characters this long behind a prefix is a secret. The public parts of our tokens
/// (7 characters of a virtual key, 16 of an API key) are shorter or equal to the limit.
const PUBLIC_CHARS: usize = 16;

const MASK: &str = "[redacted]";

/// Knows the shapes, and the values of this run.
#[derive(Default)]
pub(crate) struct Redactor {
    known: Vec<String>,
}

impl Redactor {
    /// Also hides this exact value. Values too short to be secrets are left alone.
    pub(crate) fn learn(&mut self, secret: &str) {
        let secret = secret.trim();
        if secret.len() >= 8 && !self.known.iter().any(|known| known == secret) {
            self.known.push(secret.to_owned());
        }
    }

    /// The text without its secrets.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.known {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), MASK);
            }
        }
        shapes(&text)
    }

    /// The value without secrets in any of its strings.
    pub(crate) fn json(&self, mut value: Json) -> Json {
        value.map_strings(&|text| self.text(text));
        value
    }
}

fn shapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, prefix)) = first_prefix(rest) {
        let (before, token) = rest.split_at(at);
        let (head, tail) = token.split_at(prefix.len());
        let end = tail.find(|c: char| !is_token_char(c)).unwrap_or(tail.len());
        out.push_str(before);
        out.push_str(head);
        let (body, after) = tail.split_at(end);
        out.push_str(if end > PUBLIC_CHARS { MASK } else { body });
        rest = after;
    }
    out.push_str(rest);
    out
}

fn first_prefix(text: &str) -> Option<(usize, &'static str)> {
    PREFIXES
        .iter()
        .filter_map(|prefix| text.find(prefix).map(|at| (at, *prefix)))
        .min_by_key(|(at, _)| *at)
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '/' | '=')
}

#[cfg(test)]
mod tests {
    use super::Redactor;

    #[test]
    fn every_token_shape_is_hidden_and_prefixes_stay() {
        let redactor = Redactor::default();
        for (input, expected) in [
            ("vk-lw-01HZX9N3NDEKTSV4RRFFQ69G5F", "vk-lw-[redacted]"),
            (
                "vk-lw-live_01HZX9N3NDEKTSV4RRFFQ69G5F.",
                "vk-lw-[redacted].",
            ),
            ("vk-lw-01HZX9N", "vk-lw-01HZX9N"),
            ("vk-lw-01HZX9N...", "vk-lw-01HZX9N..."),
            (
                "a sk-lw-0123456789abcdef_0123456789abcdef z",
                "a sk-lw-[redacted] z",
            ),
            ("sk-lw-0123456789abcdef", "sk-lw-0123456789abcdef"),
            ("pat-lw-0123456789abcdefghij", "pat-lw-[redacted]"),
            ("ik-lw-0123456789abcdefghij", "ik-lw-[redacted]"),
            ("\"lwp_0123456789abcdefghij\"", "\"lwp_[redacted]\""),
            ("whsec_0123456789abcdefghij+/=", "whsec_[redacted]"),
            (
                "two whsec_0123456789abcdefghij, lwp_0123456789abcdefghij",
                "two whsec_[redacted], lwp_[redacted]",
            ),
            ("nothing to hide", "nothing to hide"),
        ] {
            assert_eq!(redactor.text(input), expected);
        }
    }

    #[test]
    fn the_values_of_this_run_are_hidden_in_any_shape() {
        let mut redactor = Redactor::default();
        redactor.learn("sk-proj-provider-key");
        redactor.learn("short");
        assert_eq!(
            redactor.text("sent sk-proj-provider-key, short"),
            "sent [redacted], short"
        );
    }
}
