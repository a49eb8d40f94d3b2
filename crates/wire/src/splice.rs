//! Surgical edits of a body: bytes at known positions change, every other byte stays (data-plane 4.4).
//!
//! The result is a list of pieces that share the received bytes, so an unedited body costs nothing and
//! an edited one costs its replacement texts. Must never re-serialise.

use std::ops::Range;

use bytes::Bytes;

use crate::envelope::{Envelope, StreamOptions};

/// A body as pieces, in order. Cheap to clone, so an attempt can be repeated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pieces(Vec<Bytes>);

impl Pieces {
    /// The body as it was received.
    #[must_use]
    pub fn whole(body: Bytes) -> Self {
        Self(vec![body])
    }

    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces.
    #[must_use]
    pub fn into_inner(self) -> Vec<Bytes> {
        self.0
    }
}

/// A set of edits that do not overlap.
#[derive(Debug, Default)]
pub struct Edits {
    /// What comes in the place of what.
    texts: Vec<(Range<usize>, Bytes)>,
    /// What goes together with a comma, without the comma: which one it is depends on what else goes.
    removed: Vec<Range<usize>>,
}

impl Edits {
    /// Puts `text` in the place of `at`; an empty range inserts.
    pub fn replace(&mut self, at: Range<usize>, text: impl Into<Bytes>) {
        self.texts.push((at, text.into()));
    }

    /// Takes a member of an object or an element of a list out, with the comma that goes with it. `at` is
    /// the whole of it: of a member from its key to the end of its value.
    pub fn remove(&mut self, at: Range<usize>) {
        self.removed.push(at);
    }

    /// Whether nothing changes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.removed.is_empty()
    }

    /// Takes the edits of `other` over.
    pub fn extend(&mut self, other: Self) {
        let Self { texts, removed } = other;
        self.texts.extend(texts);
        self.removed.extend(removed);
    }

    /// Applies the edits. Ranges outside the body and overlapping ones are left out.
    #[must_use]
    pub fn apply(mut self, body: &Bytes) -> Pieces {
        if self.is_empty() {
            return Pieces::whole(body.clone());
        }
        for run in runs(body, self.removed) {
            self.texts.push((with_comma(body, &run), Bytes::new()));
        }
        // An insertion comes before a replacement that begins at the same place.
        self.texts.sort_by_key(|(at, _)| (at.start, at.end));
        let mut pieces = Vec::with_capacity(self.texts.len() * 2 + 1);
        let mut done = 0;
        for (at, text) in self.texts {
            if at.start < done || at.end > body.len() || at.start > at.end {
                continue;
            }
            pieces.push(body.slice(done..at.start));
            pieces.push(text);
            done = at.end;
        }
        pieces.push(body.slice(done..));
        pieces.retain(|piece| !piece.is_empty());
        Pieces(pieces)
    }
}

/// The edits that a native lane makes.
#[derive(Debug, Clone, Copy, Default)]
pub struct NativeEdits<'a> {
    /// The model to name instead, when it differs.
    pub model: Option<&'a str>,
    /// Ask for usage on a chat stream when the caller left it open.
    pub include_usage: bool,
    /// Rename `max_tokens` to `max_completion_tokens`, which newer OpenAI models insist on (providers 4).
    pub rename_max_tokens: bool,
}

/// Works out the edits of data-plane 4.4 for `body`, which `envelope` was read from.
#[must_use]
pub fn native(body: &[u8], envelope: &Envelope<'_>, wanted: NativeEdits<'_>) -> Edits {
    let mut edits = Edits::default();
    if let (Some(model), Some((_, at))) = (wanted.model, &envelope.model) {
        let text = serde_json::Value::from(model).to_string();
        edits.replace(at.clone(), text);
    }
    if let (true, Some(at)) = (wanted.rename_max_tokens, &envelope.legacy_max_tokens) {
        edits.replace(
            at.clone(),
            Bytes::from_static(br#""max_completion_tokens""#),
        );
    }
    if let Some(at) = &envelope.drop_tuning_params {
        edits.remove(at.clone());
    }
    if wanted.include_usage && envelope.stream {
        match &envelope.stream_options {
            StreamOptions::Absent => {
                // Behind the opening brace there is always another key: `stream` itself.
                let inside = body
                    .iter()
                    .position(|byte| *byte == b'{')
                    .map_or(0, |at| at + 1);
                let text = Bytes::from_static(br#""stream_options":{"include_usage":true},"#);
                edits.replace(inside..inside, text);
            }
            StreamOptions::Null(at) => {
                edits.replace(at.clone(), Bytes::from_static(br#"{"include_usage":true}"#));
            }
            StreamOptions::WithoutUsage { inside, empty } => {
                let text: &'static [u8] = if *empty {
                    br#""include_usage":true"#
                } else {
                    br#""include_usage":true,"#
                };
                edits.replace(*inside..*inside, Bytes::from_static(text));
            }
            StreamOptions::Decided => {}
        }
    }
    edits
}

/// Adds top-level members that the body does not have: key and JSON each (providers 3, `extra_body`).
pub fn add_absent(edits: &mut Edits, body: &[u8], members: &[(String, Bytes)]) {
    if members.is_empty() {
        return;
    }
    let Ok(present) = serde_json::from_slice::<TopKeys>(body) else {
        return;
    };
    let Some(open) = body.iter().position(|byte| *byte == b'{') else {
        return;
    };
    let mut text = Vec::new();
    for (key, json) in members {
        if present.0.iter().any(|known| known == key) {
            continue;
        }
        text.extend_from_slice(serde_json::Value::from(key.as_str()).to_string().as_bytes());
        text.push(b':');
        text.extend_from_slice(json);
        text.push(b',');
    }
    if present.0.is_empty() {
        text.pop();
    }
    if !text.is_empty() {
        edits.replace(open + 1..open + 1, text);
    }
}

/// The top-level keys of an object.
struct TopKeys(Vec<String>);

impl<'de> serde::Deserialize<'de> for TopKeys {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> serde::de::Visitor<'de> for Keys {
            type Value = TopKeys;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<TopKeys, A::Error> {
                let mut keys = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    keys.push(key);
                    map.next_value::<serde::de::IgnoredAny>()?;
                }
                Ok(TopKeys(keys))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// Joins what goes and stands side by side: between such neighbours a comma goes as well.
fn runs(body: &[u8], mut removed: Vec<Range<usize>>) -> Vec<Range<usize>> {
    removed.sort_unstable_by_key(|at| (at.start, at.end));
    let mut runs: Vec<Range<usize>> = Vec::with_capacity(removed.len());
    for at in removed {
        match runs.last_mut() {
            Some(run) if at.start < run.end || only_a_comma(body, run.end..at.start) => {
                run.end = run.end.max(at.end);
            }
            _ => runs.push(at),
        }
    }
    runs
}

fn only_a_comma(body: &[u8], between: Range<usize>) -> bool {
    let between = body.get(between).unwrap_or_default();
    between.trim_ascii() == b","
}

/// Widens the range of members or elements by the one comma that goes with them.
fn with_comma(body: &[u8], at: &Range<usize>) -> Range<usize> {
    let blank = |byte: &u8| byte.is_ascii_whitespace();
    let behind = body.get(at.end..).unwrap_or_default();
    let gap = behind.iter().take_while(|byte| blank(byte)).count();
    if behind.get(gap) == Some(&b',') {
        return at.start..at.end + gap + 1;
    }
    let before = body.get(..at.start).unwrap_or_default();
    let gap = before.iter().rev().take_while(|byte| blank(byte)).count();
    match before.len().checked_sub(gap + 1) {
        Some(comma) if before.get(comma) == Some(&b',') => comma..at.end,
        _ => at.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn edited(body: &str, wanted: NativeEdits<'_>) -> String {
        let bytes = Bytes::copy_from_slice(body.as_bytes());
        let envelope = Envelope::read(&bytes).expect("a readable body");
        let pieces = native(&bytes, &envelope, wanted).apply(&bytes);
        String::from_utf8(pieces.into_inner().concat()).expect("text")
    }

    #[test]
    fn nothing_wanted_changes_nothing() {
        let body = "{ \"model\" : \"m\" ,\n \"big\": 12345678901234567890.10, \"stream\":true}";
        let bytes = Bytes::copy_from_slice(body.as_bytes());
        let envelope = Envelope::read(&bytes).expect("a readable body");
        let pieces = native(&bytes, &envelope, NativeEdits::default())
            .apply(&bytes)
            .into_inner();
        assert_eq!(pieces.len(), 1);
        assert_eq!(
            pieces.first().map(|piece| piece.as_ptr()),
            Some(bytes.as_ptr()),
            "no copy"
        );
    }

    #[test]
    fn the_model_is_replaced_in_place() {
        let wanted = NativeEdits {
            model: Some("b\"x"),
            ..NativeEdits::default()
        };
        assert_eq!(
            edited(r#"{"a":1.10, "model" : "a" }"#, wanted),
            r#"{"a":1.10, "model" : "b\"x" }"#
        );
    }

    #[test]
    fn usage_is_asked_for_only_where_the_caller_left_it_open() {
        let wanted = NativeEdits {
            include_usage: true,
            ..NativeEdits::default()
        };
        for (body, expected) in [
            (
                r#"{"stream":true}"#,
                r#"{"stream_options":{"include_usage":true},"stream":true}"#,
            ),
            (
                r#" {"stream":true,"stream_options":{}}"#,
                r#" {"stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{"x":1}}"#,
                r#"{"stream":true,"stream_options":{"include_usage":true,"x":1}}"#,
            ),
            (
                r#"{"stream":true,"stream_options":null}"#,
                r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{"include_usage":false}}"#,
                r#"{"stream":true,"stream_options":{"include_usage":false}}"#,
            ),
            (r#"{"stream":false}"#, r#"{"stream":false}"#),
        ] {
            assert_eq!(edited(body, wanted), expected);
        }
    }

    #[test]
    fn max_tokens_is_renamed_only_when_asked_and_only_when_alone() {
        let wanted = NativeEdits {
            rename_max_tokens: true,
            ..NativeEdits::default()
        };
        for (body, expected) in [
            (r#"{"max_tokens" : 5}"#, r#"{"max_completion_tokens" : 5}"#),
            (
                r#"{"max_tokens":5,"max_completion_tokens":6}"#,
                r#"{"max_tokens":5,"max_completion_tokens":6}"#,
            ),
            (r#"{"x":{"max_tokens":5}}"#, r#"{"x":{"max_tokens":5}}"#),
        ] {
            assert_eq!(edited(body, wanted), expected);
            assert_eq!(edited(body, NativeEdits::default()), body);
        }
    }

    #[test]
    fn drop_tuning_params_leaves_no_comma_behind() {
        for (body, expected) in [
            (
                r#"{"drop_tuning_params":true,"model":"m"}"#,
                r#"{"model":"m"}"#,
            ),
            (
                r#"{"model":"m" , "drop_tuning_params":true }"#,
                r#"{"model":"m"  }"#,
            ),
            (r#"{"drop_tuning_params":true}"#, "{}"),
        ] {
            assert_eq!(edited(body, NativeEdits::default()), expected);
        }
    }

    #[test]
    fn neighbours_that_go_take_the_commas_between_them_along() {
        let body = r#"{ "a":1 , "b":2,"c":3 , "d":4 }"#;
        let place = |member: &str| {
            let start = body.find(member).expect("a member");
            start..start + member.len()
        };
        for (removed, expected) in [
            (&["\"a\":1", "\"b\":2"][..], r#"{ "c":3 , "d":4 }"#),
            (&["\"d\":4", "\"c\":3"], r#"{ "a":1 , "b":2 }"#),
            (&["\"b\":2", "\"d\":4"], r#"{ "a":1 , "c":3  }"#),
            (
                &["\"a\":1", "\"b\":2", "\"c\":3", "\"d\":4", "\"b\":2"],
                "{  }",
            ),
        ] {
            let mut edits = Edits::default();
            for member in removed {
                let mut one = Edits::default();
                one.remove(place(member));
                edits.extend(one);
            }
            let bytes = Bytes::from_static(body.as_bytes());
            let text = String::from_utf8(edits.apply(&bytes).into_inner().concat());
            assert_eq!(text.as_deref(), Ok(expected), "{removed:?}");
        }
    }

    #[test]
    fn members_are_added_only_where_they_are_absent() {
        let members = [
            ("a".to_owned(), Bytes::from_static(b"1")),
            ("b\"".to_owned(), Bytes::from_static(b"{\"x\":null}")),
        ];
        for (body, expected) in [
            (r#" { "a": 2 }"#, r#" {"b\"":{"x":null}, "a": 2 }"#),
            (r#"{"\u0061":2,"b\"":3}"#, r#"{"\u0061":2,"b\"":3}"#),
            ("{}", r#"{"a":1,"b\"":{"x":null}}"#),
        ] {
            let bytes = Bytes::copy_from_slice(body.as_bytes());
            let mut edits = Edits::default();
            add_absent(&mut edits, &bytes, &members);
            let text = String::from_utf8(edits.apply(&bytes).into_inner().concat());
            assert_eq!(text.as_deref(), Ok(expected));
        }
    }

    proptest! {
        #[test]
        fn edits_change_exactly_what_they_name(
            model in "[a-z\"\\\\]{1,8}", new in "\\PC{0,8}", text in "\\PC{0,30}",
            options in 0..4_u8, drop in any::<bool>(),
        ) {
            let mut tree = json!({"model": model, "stream": true, "input": text});
            match options {
                1 => tree["stream_options"] = json!({}),
                2 => tree["stream_options"] = json!({"other": 1}),
                3 => tree["stream_options"] = Value::Null,
                _ => {}
            }
            if drop {
                tree["drop_tuning_params"] = json!(false);
            }
            let body = tree.to_string();
            let after = edited(&body, NativeEdits { model: Some(&new), include_usage: true, ..NativeEdits::default() });
            let mut expected = tree;
            expected["model"] = json!(new);
            let options = &mut expected["stream_options"];
            if !options.is_object() {
                *options = json!({});
            }
            options["include_usage"] = json!(true);
            if let Some(object) = expected.as_object_mut() {
                object.remove("drop_tuning_params");
            }
            let after: Value = serde_json::from_str(&after).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(after, expected);
        }
    }
}
