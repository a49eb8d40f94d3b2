//! Seals of other vendors in `thoughtSignature`, which must be base64.
//!
//! Google's own stand bare. A foreign one is the base64 text of its tagged form. Start at [`write`] and
//! [`read`].

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};

use crate::signature::{Origin, Signature};

/// The value of the field.
pub(super) fn write(signature: &Signature, redacted: bool) -> String {
    if let Some(own) = signature.for_provider(Origin::Google) {
        return own.to_owned();
    }
    let tagged = signature.write_marked(Origin::Google, redacted);
    BASE64.encode(tagged.as_bytes())
}

/// The seal in a field, and whether all of the thinking is in it.
pub(super) fn read(text: &str) -> (Signature, bool) {
    let foreign = decoded(text)
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map(|tagged| Signature::read_marked(&tagged, Origin::Google))
        .filter(|(signature, _)| signature.origin != Origin::Google);
    foreign.unwrap_or_else(|| (Signature::new(Origin::Google, text), false))
}

/// Clients write bytes in either alphabet, with and without padding.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    [BASE64, BASE64URL, BASE64_NOPAD, BASE64URL_NOPAD]
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
