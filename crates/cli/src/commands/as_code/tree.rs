//! YAML text as a tree of values that know their line.
//!
//! JSON is read by the same parser, being YAML too. Scalars follow the core schema of YAML 1.2, so
//! `no` and `on` are words. Numbers stay text until a field wants one: money is never a float.
//! Anchors work; tags and merge keys do not. Size and depth are bounded, so that no file can
//! exhaust this process.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};
use serde_json::Number;

use crate::json::Json;

/// More values than any organization has settings; aliases count as what they stand for.
const MOST_NODES: usize = 200_000;
const DEEPEST: usize = 64;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Counted from one.
    pub(super) line: usize,
    pub(super) value: Value,
    /// How many values this one holds, itself included.
    size: usize,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Flag(bool),
    /// As it was written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// The name of a field.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) line: usize,
    pub(super) text: String,
}

/// Why a text cannot be read.
#[derive(Debug, PartialEq)]
pub(super) struct Unreadable {
    pub(super) line: usize,
    pub(super) message: String,
}

impl Node {
    fn new(line: usize, value: Value) -> Self {
        let inner: usize = match &value {
            Value::List(items) => items.iter().map(|item| item.size).sum(),
            Value::Map(fields) => fields.iter().map(|(_, field)| field.size).sum(),
            Value::Null | Value::Flag(_) | Value::Number(_) | Value::Text(_) => 0,
        };
        Self {
            line,
            value,
            size: inner.saturating_add(1),
        }
    }

    /// The fields of a map; nothing for other values.
    pub(super) fn fields(&self) -> &[(Key, Node)] {
        match &self.value {
            Value::Map(fields) => fields,
            _ => &[],
        }
    }

    /// The items of a list; nothing for other values.
    pub(super) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        let field = self.fields().iter().find(|(key, _)| key.text == name);
        field.map(|(_, node)| node)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// What a message calls the value. The value itself may be a secret in the wrong place.
    pub(super) fn what(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Flag(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The value without its lines.
    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Flag(flag) => (*flag).into(),
            Value::Number(text) => number(text).map_or_else(|| text.as_str().into(), Json::Number),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Map(fields) => {
                let fields = fields.iter();
                Json::Object(fields.map(|(k, v)| (k.text.clone(), v.to_json())).collect())
            }
        }
    }

    /// Whether some field or some text in it satisfies `wanted`.
    pub(super) fn mentions(&self, wanted: &impl Fn(&str) -> bool) -> bool {
        match &self.value {
            Value::Text(text) => wanted(text),
            Value::List(items) => items.iter().any(|item| item.mentions(wanted)),
            Value::Map(fields) => fields
                .iter()
                .any(|(key, node)| wanted(&key.text) || node.mentions(wanted)),
            Value::Null | Value::Flag(_) | Value::Number(_) => false,
        }
    }
}

/// A whole number or a finite fraction.
fn number(text: &str) -> Option<Number> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole.into());
    }
    Number::from_f64(text.parse().ok()?)
}

/// The documents of a text.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, Unreadable> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text.trim_start_matches('\u{feff}')) {
        let (event, span) = event.map_err(|error| scan_error(&error))?;
        builder
            .take(event, span.start.line().max(1))
            .map_err(|(line, message)| Unreadable {
                line,
                message: message.to_owned(),
            })?;
    }
    Ok(builder.documents)
}

fn scan_error(error: &ScanError) -> Unreadable {
    Unreadable {
        line: error.marker().line().max(1),
        message: error.info().to_owned(),
    }
}

type Refused = (usize, &'static str);

/// Something begun and not ended.
struct Open {
    line: usize,
    anchor: usize,
    holds: Holds,
}

enum Holds {
    List(Vec<Node>),
    Map(Vec<(Key, Node)>, Option<Key>),
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: Vec<(usize, Node)>,
    nodes: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Refused> {
        let tagged = match &event {
            Event::Scalar(_, _, _, tag)
            | Event::SequenceStart(_, tag)
            | Event::MappingStart(_, tag) => tag.is_some(),
            _ => false,
        };
        if tagged {
            return Err((line, "tags (`!…`) are not supported"));
        }
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let value = scalar(&text, style);
                self.place(Node::new(line, value), anchor, true)
            }
            Event::SequenceStart(anchor, _) => self.begin(line, anchor, Holds::List(Vec::new())),
            Event::MappingStart(anchor, _) => {
                self.begin(line, anchor, Holds::Map(Vec::new(), None))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open {
                    line,
                    anchor,
                    holds,
                }) = self.open.pop()
                else {
                    return Err((line, "unexpected end"));
                };
                let value = match holds {
                    Holds::List(items) => Value::List(items),
                    Holds::Map(fields, _) => Value::Map(fields),
                };
                self.place(Node::new(line, value), anchor, false)
            }
            Event::Alias(anchor) => {
                let known = self.anchors.iter().rev().find(|(id, _)| *id == anchor);
                let Some((_, node)) = known else {
                    return Err((line, "this alias stands for nothing"));
                };
                let node = Node {
                    line,
                    ..node.clone()
                };
                self.place(node, 0, true)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, line: usize, anchor: usize, holds: Holds) -> Result<(), Refused> {
        if self.open.len() >= DEEPEST {
            return Err((line, "this is nested too deeply"));
        }
        self.open.push(Open {
            line,
            anchor,
            holds,
        });
        Ok(())
    }

    /// Puts a finished value where it belongs. `fresh` values were not counted yet.
    fn place(&mut self, node: Node, anchor: usize, fresh: bool) -> Result<(), Refused> {
        self.nodes = self.nodes.saturating_add(if fresh { node.size } else { 1 });
        if self.nodes > MOST_NODES {
            return Err((node.line, "the file holds too many values"));
        }
        if anchor > 0 {
            self.anchors.push((anchor, node.clone()));
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        match &mut open.holds {
            Holds::List(items) => items.push(node),
            Holds::Map(fields, pending) => match pending.take() {
                Some(key) => fields.push((key, node)),
                None => {
                    let key = key(node)?;
                    if fields.iter().any(|(known, _)| known.text == key.text) {
                        return Err((key.line, "the same field is given twice"));
                    }
                    *pending = Some(key);
                }
            },
        }
        Ok(())
    }
}

fn key(node: Node) -> Result<Key, Refused> {
    let line = node.line;
    let text = match node.value {
        Value::Text(text) | Value::Number(text) => text,
        Value::Flag(flag) => flag.to_string(),
        Value::Null | Value::List(_) | Value::Map(_) => {
            return Err((line, "the name of a field must be text"));
        }
    };
    if text == "<<" {
        return Err((line, "merge keys (`<<`) are not supported"));
    }
    Ok(Key { line, text })
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Flag(true),
        "false" | "False" | "FALSE" => Value::Flag(false),
        _ if is_number(text) => Value::Number(text.to_owned()),
        _ => Value::Text(text.to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.contains(|c: char| c.is_ascii_digit())
        && digits.ends_with(|c: char| c.is_ascii_digit() || c == '.')
        && number(text).is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Unreadable, parse};
    use crate::json::Json;
    use crate::yaml::to_yaml;

    fn json(text: &str) -> String {
        let documents = parse(text).expect("valid");
        let documents: Vec<Json> = documents.iter().map(super::Node::to_json).collect();
        Json::Array(documents).compact()
    }

    #[test]
    fn words_numbers_and_anchors_follow_the_core_schema() {
        let text =
            "a: &x [1, -2.5, '3', 1e3, v1.2, 1.2.3, 0x1F]\nb: *x\non: no\nz: ~\nc:\nd: TRUE\n";
        assert_eq!(
            json(text),
            r#"[{"a":[1,-2.5,"3",1000.0,"v1.2","1.2.3","0x1F"],"b":[1,-2.5,"3",1000.0,"v1.2","1.2.3","0x1F"],"on":"no","z":null,"c":null,"d":true}]"#
        );
    }

    #[test]
    fn json_is_read_and_documents_are_kept_apart() {
        assert_eq!(
            json("{\n\t\"a\": [1, \"x\\n\\u00e9\"],\n\t\"b\": null\n}\n"),
            r#"[{"a":[1,"x\né"],"b":null}]"#
        );
        assert_eq!(json("a: 1\n---\nb: 2\n"), r#"[{"a":1},{"b":2}]"#);
        assert_eq!(json("# nothing\n"), "[]");
    }

    #[test]
    fn every_value_knows_its_line() {
        let documents = parse("a:\n  - b: 1\n    c: x\n").expect("valid");
        let item = &documents[0].get("a").expect("a").items()[0];
        assert_eq!((item.line, item.get("c").expect("c").line), (2, 3));
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        for (text, line) in [
            ("a: 1\na: 2\n", 2),
            ("a: !secret x\n", 1),
            ("a:\n  <<: {b: 1}\n", 2),
            ("? [a]\n: 1\n", 1),
            ("a: [1,\nb: 2\n", 2),
            ("a: *nobody\n", 1),
        ] {
            let Unreadable { line: at, .. } = parse(text).expect_err(text);
            assert_eq!(at, line, "{text}");
        }
    }

    #[test]
    fn a_small_file_cannot_unfold_into_a_large_one() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..9 {
            let aliases = vec![format!("*a{}", i - 1); 10].join(", ");
            text.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
        }
        assert_eq!(
            parse(&text).expect_err("too large").message,
            "the file holds too many values"
        );
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(
            parse(&deep).expect_err("too deep").message,
            "this is nested too deeply"
        );
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            "[ -~é\u{1F600}\n\t]{0,12}".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            let key = "[ -~é]{0,8}";
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
                proptest::collection::btree_map(key, inner, 0..4)
                    .prop_filter("merge keys", |map| !map.contains_key("<<"))
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_the_same_value(value in any_json()) {
            let read = parse(&to_yaml(&value)).expect("valid");
            prop_assert_eq!(read.len(), 1);
            prop_assert_eq!(read[0].to_json(), value);
        }

        #[test]
        fn no_text_makes_the_reader_fail_hard(text in "[ -~\n\t]{0,200}") {
            let _ = parse(&text);
        }
    }
}
