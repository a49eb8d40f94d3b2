//! Seals of other vendors in `thoughtSignature`, which must be base64.
//!
//! Google's own stand bare. A foreign one is the base64 text of its tagged form, with a mark when the
//! thinking itself is hidden in it. Start at [`write`] and [`read`].

use data_encoding::{BASE64, BASE64URL, BASE64URL_NOPAD};

use crate::signature::{Origin, Signature};

/// Stands before the tagged form when all of the thinking is in the seal.
const REDACTED: &str = "redacted.";

/// The value of the field.
pub(super) fn write(signature: &Signature, redacted: bool) -> String {
    if let Some(own) = signature.for_provider(Origin::Google) {
        return own.to_owned();
    }
    let mark = if redacted { REDACTED } else { "" };
    let tagged = signature.write(Origin::Google);
    BASE64.encode(format!("{mark}{tagged}").as_bytes())
}

/// The seal in a field, and whether all of the thinking is in it.
pub(super) fn read(text: &str) -> (Signature, bool) {
    let foreign = decoded(text)
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|tagged| {
            let (redacted, tagged) = match tagged.strip_prefix(REDACTED) {
                Some(rest) => (true, rest),
                None => (false, tagged.as_str()),
            };
            let signature = Signature::read(tagged, Origin::Google);
            (signature.origin != Origin::Google).then_some((signature, redacted))
        });
    foreign.unwrap_or_else(|| (Signature::new(Origin::Google, text), false))
}

/// Clients write bytes in either alphabet, with and without padding.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    [BASE64, BASE64URL, BASE64URL_NOPAD]
        .iter()
        .find_map(|encoding| encoding.decode(bytes).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_seal_is_base64_and_comes_back_in_either_alphabet() {
        for redacted in [false, true] {
            let seal = Signature::new(Origin::Anthropic, "EqQB+/>>??~~==");
            let written = write(&seal, redacted);
            assert!(BASE64.decode(written.as_bytes()).is_ok());
            let url_safe = written.replace('+', "-").replace('/', "_");
            for text in [
                &written,
                &url_safe,
                &url_safe.trim_end_matches('=').to_owned(),
            ] {
                assert_eq!(read(text), (seal.clone(), redacted));
            }
        }
    }

    #[test]
    fn a_seal_of_google_stands_bare() {
        for text in ["CpcBAQ==", "skip_thought_signature_validator", "", "ä"] {
            let (seal, redacted) = read(text);
            assert_eq!(seal, Signature::new(Origin::Google, text));
            assert!(!redacted);
            assert_eq!(write(&seal, false), text);
        }
    }
}
