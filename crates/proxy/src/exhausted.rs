//! What callers are told when the provider's account has no money left (data-plane 13.3).
//!
//! A vendor tells its customer about plans and bills; the caller is not that customer. Only the message is
//! another one: status, type, code and headers stay, because clients decide by them. Must never change any
//! other error. Start at [`covered`] for bodies and [`cover`] for failures that were read already.

use bytes::Bytes;
use lw_translate::ir::Failure;
use serde::Deserialize;
use serde_json::value::RawValue;

const MESSAGE: &str =
    "The organization's access to this provider is exhausted. Contact your administrator.";
const QUOTA: &str = "insufficient_quota";

/// Whether an error with this status, type or code, and message is about the account.
fn is_about_account(status: u16, names: [Option<&str>; 2], message: &str) -> bool {
    let balance = || message.to_ascii_lowercase().contains("credit balance");
    match status {
        402 => true,
        400 => names.contains(&Some(QUOTA)) || balance(),
        _ => (400..500).contains(&status) && names.contains(&Some(QUOTA)),
    }
}

/// A provider's error with another message when it is about its account; else the same bytes.
pub(crate) fn covered(status: u16, body: Bytes) -> Bytes {
    #[derive(Deserialize)]
    struct Outer<'a> {
        #[serde(borrow, default)]
        error: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Inner<'a> {
        #[serde(borrow, default)]
        r#type: Option<&'a RawValue>,
        #[serde(borrow, default)]
        code: Option<&'a RawValue>,
        #[serde(borrow, default)]
        message: Option<&'a RawValue>,
    }
    if !(400..500).contains(&status) {
        return body;
    }
    let whole = |body| serde_json::from_slice::<&RawValue>(body).ok();
    let inner = serde_json::from_slice::<Outer<'_>>(&body).ok();
    let inner = inner.and_then(|outer| outer.error).or_else(|| whole(&body));
    let inner = inner.filter(|inner| inner.get().starts_with('{'));
    let Some(Inner {
        r#type,
        code,
        message: Some(message),
    }) = inner.and_then(|inner| serde_json::from_str(inner.get()).ok())
    else {
        return body;
    };
    let name = |raw: Option<&RawValue>| serde_json::from_str::<String>(raw?.get()).ok();
    let (kind, code) = (name(r#type), name(code));
    let said = name(Some(message)).unwrap_or_default();
    if !is_about_account(status, [kind.as_deref(), code.as_deref()], &said) {
        return body;
    }
    let offset = message
        .get()
        .as_ptr()
        .addr()
        .checked_sub(body.as_ptr().addr());
    let range = offset.map(|start| start..start.saturating_add(message.get().len()));
    let parts = range.and_then(|at| Some((body.get(..at.start)?, body.get(at.end..)?)));
    let Some((before, after)) = parts else {
        return body;
    };
    let text = serde_json::Value::from(MESSAGE).to_string();
    [before, text.as_bytes(), after].concat().into()
}

/// Gives a failure another message when it is about the provider's account.
pub(crate) fn cover(failure: &mut Failure) {
    let names = [failure.kind.as_deref(), failure.code.as_deref()];
    if is_about_account(failure.status.unwrap_or(0), names, &failure.message) {
        MESSAGE.clone_into(&mut failure.message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(status: u16, body: &'static str) -> String {
        let body = covered(status, Bytes::from_static(body.as_bytes()));
        String::from_utf8(body.to_vec()).expect("text")
    }

    #[test]
    fn only_the_message_about_an_account_is_another_one() {
        for (status, before, after) in [
            (
                429,
                r#"{"error":{"message":"#,
                r#", "type": "insufficient_quota", "code":"insufficient_quota"} }"#,
            ),
            (
                429,
                r#"{"error":{"code":"insufficient_quota","param":null,"message": "#,
                "}}",
            ),
            (
                402,
                r#"{"error" : {"message":"#,
                r#","code":402,"n":1.10}}"#,
            ),
            (402, r#"{"message":"#, "}"),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"#,
                r#"},"request_id":"req_1"}"#,
            ),
        ] {
            let said = r#""Your Credit balance is \u0074oo low: see https:\/\/vendor.example""#;
            let body: &'static str = format!("{before}{said}{after}").leak();
            assert_eq!(shown(status, body), format!("{before}\"{MESSAGE}\"{after}"));
        }
    }

    #[test]
    fn every_other_error_stays_as_it_came() {
        for (status, body) in [
            (
                400,
                r#"{"error":{"message":"no such thing","type":"invalid_request_error"}}"#,
            ),
            (
                429,
                r#"{"error":{"message":"your credit balance","code":"rate_limit_exceeded"}}"#,
            ),
            (
                500,
                r#"{"error":{"message":"x","code":"insufficient_quota"}}"#,
            ),
            (402, "<html>Payment Required</html>"),
            (402, r#"{"error":{"code":402}}"#),
            (402, r#"["payment", "required", "no money"]"#),
            (402, ""),
        ] {
            assert_eq!(shown(status, body), body);
        }
    }
}
