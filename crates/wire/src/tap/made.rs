//! What an answer left at its provider, so that whoever caused it can be told later: the stored answer, its
//! items, its conversation, the containers that its tools ran in.
//!
//! Only ids that the provider made are taken, each from its own place: what a model wrote must never pass
//! for one. Start at [`json`].

use lw_core::BodyForm;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::Text;

/// The most ids of one answer.
const MOST: usize = 128;
/// The longest id, bytes.
const LONGEST: usize = 256;

/// Where an answer names what it left behind.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
    /// Whether the provider keeps the answer; it does unless it says no.
    #[serde(borrow, default)]
    store: Option<&'a RawValue>,
    #[serde(borrow, default)]
    conversation: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output: Option<&'a RawValue>,
    #[serde(borrow, default)]
    container: Option<&'a RawValue>,
    #[serde(borrow, default)]
    choices: Option<&'a RawValue>,
}

/// An item of an answer, a conversation or a container.
#[derive(Deserialize, Default)]
struct Thing<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    container_id: Text<'a>,
}

/// A choice of a chat, whole or the part of one.
#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    message: Option<Spoken<'a>>,
    #[serde(borrow, default)]
    delta: Option<Spoken<'a>>,
}

#[derive(Deserialize)]
struct Spoken<'a> {
    #[serde(borrow, default)]
    audio: Option<Thing<'a>>,
}

fn add(made: &mut Vec<String>, id: Text<'_>) {
    let Some(id) = id.0 else { return };
    let fits = !id.is_empty() && id.len() <= LONGEST && made.len() < MOST;
    let plain = id.bytes().all(|byte| byte.is_ascii_graphic());
    if fits && plain && !made.iter().any(|known| **known == *id) {
        made.push(id.into_owned());
    }
}

fn read<'a, T: Deserialize<'a> + Default>(raw: Option<&'a RawValue>) -> T {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default()
}

/// Reads an answer of the form, or the part of a stream that stands for one.
pub(super) fn json(form: BodyForm, body: &[u8], made: &mut Vec<String>) {
    match form {
        BodyForm::ResponsesJson | BodyForm::ResponsesStream => responses(body, made),
        BodyForm::MessagesJson | BodyForm::MessagesStream => {
            if let Ok(answer) = serde_json::from_slice::<Answer<'_>>(body) {
                add(made, read::<Thing<'_>>(answer.container).id);
            }
        }
        // Sound that can be referred to is rare, and its id tells it.
        BodyForm::ChatJson | BodyForm::ChatStream if memmem::find(body, b"\"audio_").is_some() => {
            let answer = serde_json::from_slice::<Answer<'_>>(body);
            let choices = answer.ok().and_then(|answer| answer.choices);
            for Choice { message, delta } in read::<Vec<Choice<'_>>>(choices) {
                for Spoken { audio } in message.into_iter().chain(delta) {
                    add(made, audio.unwrap_or_default().id);
                }
            }
        }
        _ => {}
    }
}

fn responses(body: &[u8], made: &mut Vec<String>) {
    let Ok(answer) = serde_json::from_slice::<Answer<'_>>(body) else {
        return;
    };
    let Answer {
        id,
        store,
        conversation,
        output,
        container: _,
        choices: _,
    } = answer;
    let kept = store.is_none_or(|store| store.get() != "false");
    if kept {
        add(made, id);
    }
    add(made, read::<Thing<'_>>(conversation).id);
    for item in read::<Vec<Thing<'_>>>(output) {
        if kept {
            add(made, item.id);
        }
        add(made, item.container_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(form: BodyForm, body: &str) -> Vec<String> {
        let mut made = Vec::new();
        json(form, body.as_bytes(), &mut made);
        made
    }

    #[test]
    fn a_response_leaves_itself_its_items_and_their_containers() {
        let body = r#"{"id":"resp_1","store":true,"conversation":{"id":"conv_1"},"output":[
            {"type":"reasoning","id":"rs_1"},
            {"type":"code_interpreter_call","id":"ci_1","container_id":"cntr_1"},
            {"type":"function_call","id":"fc_1","arguments":"{\"id\":\"resp_other\"}"}]}"#;
        assert_eq!(
            made(BodyForm::ResponsesJson, body),
            ["resp_1", "conv_1", "rs_1", "ci_1", "cntr_1", "fc_1"]
        );
        let forgotten = body.replace("true", "false");
        assert_eq!(
            made(BodyForm::ResponsesJson, &forgotten),
            ["conv_1", "cntr_1"]
        );
    }

    #[test]
    fn what_a_model_wrote_is_not_taken_for_an_id() {
        let body = r#"{"id":"msg_1","container":null,"content":[
            {"type":"tool_use","id":"t","input":{"container":{"id":"container_other"}}}]}"#;
        assert_eq!(made(BodyForm::MessagesJson, body), [""; 0]);
        let chat = r#"{"id":"c","choices":[{"message":{"content":"{\"audio\":{\"id\":\"audio_x\"}}","audio":{"id":"audio_1"}}}]}"#;
        assert_eq!(made(BodyForm::ChatJson, chat), ["audio_1"]);
    }

    #[test]
    fn ids_are_bounded_in_number_and_length() {
        let items: Vec<String> = (0..MOST * 2)
            .map(|n| format!(r#"{{"id":"i{n}"}}"#))
            .collect();
        let body = format!(
            r#"{{"id":"{}","output":[{}]}}"#,
            "x".repeat(LONGEST + 1),
            items.join(",")
        );
        let made = made(BodyForm::ResponsesJson, &body);
        assert_eq!(
            (made.len(), made.first().map(String::as_str)),
            (MOST, Some("i0"))
        );
    }
}
