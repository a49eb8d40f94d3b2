//! Reads of a request body what an answer depends on.
//!
//! As tolerant as the vendors: unknown fields pass, the last of two equal keys wins, text is found
//! in strings, parts and lists of parts alike. Never builds a tree of the body. Start at [`Ask`].

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::directive::{MARK, without_inline};

/// What one body asks for.
#[derive(Debug, Default)]
pub(crate) struct Ask {
    pub(crate) model: Option<String>,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) user: Option<String>,
    /// `max_tokens`, `max_completion_tokens` or `max_output_tokens`.
    pub(crate) max_tokens: Option<u64>,
    pub(crate) has_input: bool,
    /// Words in everything that the model reads as text.
    pub(crate) words: u64,
    /// Text of the last user message, without directives.
    pub(crate) prompt: String,
    /// Name of the first tool.
    pub(crate) tool: Option<String>,
    /// Whether the body asks for thinking or reasoning.
    pub(crate) thinks: bool,
    /// Embedding inputs; token lists count by length.
    pub(crate) inputs: Vec<Prose>,
    pub(crate) base64: bool,
    pub(crate) dimensions: Option<u64>,
    /// Cohere's `embedding_types` was given.
    pub(crate) by_type: bool,
    /// Results of tools, over all turns.
    pub(crate) tool_results: u64,
    /// `include` asks for sealed reasoning.
    pub(crate) sealed: bool,
    /// `reasoning` asks for a summary.
    pub(crate) summary: bool,
    /// `previous_response_id`.
    pub(crate) previous: Option<String>,
    /// `store` is false.
    pub(crate) unstored: bool,
    /// `anthropic_version` in the body.
    pub(crate) version: Option<String>,
    /// The body names a model itself, wherever the path names one.
    pub(crate) names_model: bool,
}

/// Text out of any JSON shape, and the words in it.
#[derive(Debug, Default)]
pub(crate) struct Prose {
    pub(crate) words: u64,
    pub(crate) text: String,
    /// `role` of the object it came from, if it had one.
    role: Option<String>,
    /// The elements, where it was a list.
    items: Vec<Prose>,
    /// Results of tools in it.
    results: u64,
}

/// The counting rule for tokens: words between white space.
pub(crate) fn words(text: &str) -> u64 {
    u64::try_from(text.split_whitespace().count()).unwrap_or(u64::MAX)
}

impl Ask {
    pub(crate) fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    fn turns(&mut self, prose: Prose) {
        self.has_input = true;
        self.words += prose.words;
        self.tool_results = prose.results;
        let is_user = |turn: &&Prose| turn.role.as_deref().is_none_or(|role| role == "user");
        let last = prose
            .items
            .iter()
            .rfind(|turn| is_user(turn) && !turn.text.is_empty());
        self.prompt = last.map_or_else(|| prose.text.clone(), |turn| turn.text.clone());
        self.inputs = if prose.items.is_empty() {
            vec![prose]
        } else {
            prose.items
        };
    }
}

impl Prose {
    fn of(text: &str) -> Self {
        let kept;
        let text = if text.contains(MARK) {
            kept = without_inline(text);
            &kept
        } else {
            text
        };
        Self {
            words: words(text),
            text: text.trim().to_owned(),
            role: None,
            items: Vec::new(),
            results: 0,
        }
    }

    fn add(&mut self, other: &Self) {
        self.words += other.words;
        self.results += other.results;
        if !self.text.is_empty() && !other.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(&other.text);
    }
}

impl<'de> Deserialize<'de> for Ask {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Ask;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Ask, M::Error> {
                let mut ask = Ask::default();
                while let Some(key) = map.next_key::<String>()? {
                    ask.field(&key, &mut map)?;
                }
                Ok(ask)
            }
        }
        from.deserialize_map(Fields)
    }
}

impl Ask {
    fn field<'de, M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        match key {
            "model" => {
                self.model = text(map.next_value()?);
                self.names_model = true;
            }
            "stream" => self.stream = map.next_value::<Value>()? == Value::Bool(true),
            "stream_options" => {
                let options: Value = map.next_value()?;
                self.include_usage = options.get("include_usage") == Some(&Value::Bool(true));
            }
            "user" => self.user = text(map.next_value()?).or_else(|| self.user.take()),
            "metadata" => {
                let metadata: Value = map.next_value()?;
                let user = metadata
                    .get("user_id")
                    .and_then(Value::as_str)
                    .map(str::to_owned);
                self.user = self.user.take().or(user);
            }
            "max_tokens" | "max_completion_tokens" | "max_output_tokens" => {
                self.max_tokens = map.next_value::<Value>()?.as_u64();
            }
            "messages" | "input" | "contents" | "content" | "instances" | "inputText" | "texts" => {
                let prose = map.next_value()?;
                self.turns(prose);
            }
            "system" | "instructions" | "systemInstruction" | "system_instruction" => {
                self.words += map.next_value::<Prose>()?.words;
            }
            "tools" => self.tool = first_tool(&map.next_value()?),
            "toolConfig" => {
                // Converse has the tools in it, Gemini only the choice between them.
                let config: Value = map.next_value()?;
                let tool = config.get("tools").and_then(first_tool);
                self.tool = self.tool.take().or(tool);
            }
            "generationConfig" | "generation_config" => self.generation(&map.next_value()?),
            "inferenceConfig" => {
                let config: Value = map.next_value()?;
                self.max_tokens = config.get("maxTokens").and_then(Value::as_u64);
            }
            "additionalModelRequestFields" => {
                let fields: Value = map.next_value()?;
                let kind = fields.pointer("/thinking/type").and_then(Value::as_str);
                self.thinks |= matches!(kind, Some("enabled" | "adaptive"));
                let effort = fields.pointer("/reasoningConfig/type");
                self.thinks |= effort.is_some_and(|kind| kind == "enabled");
            }
            "parameters" => {
                let parameters: Value = map.next_value()?;
                self.dimensions = dimensionality(&parameters).or(self.dimensions);
            }
            "outputDimensionality" | "output_dimensionality" => {
                self.dimensions = map.next_value::<Value>()?.as_u64();
            }
            "requests" => {
                let requests: Value = map.next_value()?;
                self.dimensions = requests.get(0).and_then(dimensionality);
                let prose = Prose::deserialize(requests);
                self.turns(prose.map_err(serde::de::Error::custom)?);
            }
            "embedding_types" => self.by_type = map.next_value::<Value>()?.is_array(),
            "include" => {
                let wanted: Value = map.next_value()?;
                let mut each = wanted.as_array().into_iter().flatten();
                self.sealed = each.any(|wanted| wanted == "reasoning.encrypted_content");
            }
            "previous_response_id" => self.previous = text(map.next_value()?),
            "store" => self.unstored = map.next_value::<Value>()? == Value::Bool(false),
            "anthropic_version" => self.version = text(map.next_value()?),
            "thinking" => {
                let kind = map.next_value::<Value>()?;
                let kind = kind.get("type").and_then(Value::as_str);
                self.thinks |= matches!(kind, Some("enabled" | "adaptive"));
            }
            "reasoning_effort" => self.thinks |= effort(Some(&map.next_value()?)),
            "reasoning" => {
                let reasoning: Value = map.next_value()?;
                self.thinks |= effort(reasoning.get("effort"));
                self.summary = reasoning.get("summary").is_some_and(Value::is_string);
            }
            "encoding_format" => self.base64 = map.next_value::<Value>()? == "base64",
            "dimensions" => self.dimensions = map.next_value::<Value>()?.as_u64(),
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl Ask {
    /// Gemini's settings of one generation.
    fn generation(&mut self, config: &Value) {
        let either = |value: &'_ Value, camel: &str, snake: &str| -> Option<Value> {
            value.get(camel).or_else(|| value.get(snake)).cloned()
        };
        let cap = either(config, "maxOutputTokens", "max_output_tokens");
        self.max_tokens = cap.and_then(|cap| cap.as_u64());
        let thinking = either(config, "thinkingConfig", "thinking_config");
        let shown =
            thinking.and_then(|config| either(&config, "includeThoughts", "include_thoughts"));
        self.thinks |= shown == Some(Value::Bool(true));
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

fn dimensionality(value: &Value) -> Option<u64> {
    let value = value
        .get("outputDimensionality")
        .or_else(|| value.get("output_dimensionality"));
    value.and_then(Value::as_u64)
}

fn effort(value: Option<&Value>) -> bool {
    value
        .and_then(Value::as_str)
        .is_some_and(|effort| effort != "none")
}

fn first_tool(tools: &Value) -> Option<String> {
    let tool = tools.get(0)?;
    let name = tool
        .get("name")
        .or_else(|| tool.get("function")?.get("name"))
        .or_else(|| tool.get("toolSpec")?.get("name"))
        .or_else(|| tool.pointer("/functionDeclarations/0/name"))
        .or_else(|| tool.pointer("/function_declarations/0/name"))?;
    name.as_str().map(str::to_owned)
}

impl<'de> Deserialize<'de> for Prose {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Prose;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<Prose, E> {
        Ok(Prose::of(text))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Prose, S::Error> {
        let mut all = Prose::default();
        while let Some(item) = seq.next_element::<Prose>()? {
            all.add(&item);
            all.items.push(item);
        }
        Ok(all)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Prose, M::Error> {
        let mut all = Prose::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "role" => {
                    all.role = text(map.next_value()?);
                    all.results += u64::from(all.role.as_deref() == Some("tool"));
                }
                "type" => {
                    let kind = text(map.next_value()?);
                    let kind = kind.as_deref().unwrap_or_default();
                    all.results +=
                        u64::from(matches!(kind, "tool_result") || kind.ends_with("_call_output"));
                }
                "toolResult" | "functionResponse" | "function_response" => {
                    all.results += 1;
                    all.add(&map.next_value()?);
                }
                "text" | "content" | "output" | "arguments" | "thinking" | "parts"
                | "reasoningContent" | "reasoningText" | "response" | "result" => {
                    all.add(&map.next_value()?);
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(all)
    }

    /// A token id, as embeddings take them.
    fn visit_u64<E>(self, token: u64) -> Result<Prose, E> {
        Ok(Prose {
            words: 1,
            text: token.to_string(),
            role: None,
            items: Vec::new(),
            results: 0,
        })
    }

    fn visit_i64<E>(self, _: i64) -> Result<Prose, E> {
        Ok(Prose::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Prose, E> {
        Ok(Prose::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Prose, E> {
        Ok(Prose::default())
    }

    fn visit_unit<E>(self) -> Result<Prose, E> {
        Ok(Prose::default())
    }
}

#[cfg(test)]
mod tests {
    use super::Ask;

    #[test]
    fn the_last_user_message_is_the_prompt_and_every_word_counts() {
        let body = br#"{"model":"a","model":"b","system":[{"type":"text","text":"be kind"}],
            "messages":[{"role":"user","content":"one two"},
            {"role":"user","content":[{"type":"text","text":"three [[mock:{\"status\":200}]] four"}]},
            {"role":"assistant","content":"five"}],"stream":true,"user":"u1"}"#;
        let ask = Ask::read(body).expect("valid");
        assert_eq!(ask.model.as_deref(), Some("b"));
        assert_eq!(ask.prompt, "three  four");
        assert_eq!(ask.words, 7);
        assert!(ask.stream);
        assert_eq!(ask.user.as_deref(), Some("u1"));
    }

    #[test]
    fn embedding_inputs_are_strings_or_token_lists() {
        let lengths = |body: &str| {
            let ask = Ask::read(body.as_bytes()).expect("valid");
            let each: Vec<u64> = ask.inputs.iter().map(|input| input.words).collect();
            (ask.words, each)
        };
        assert_eq!(lengths(r#"{"input":"a b"}"#), (2, vec![2]));
        assert_eq!(lengths(r#"{"input":["a b","c"]}"#), (3, vec![2, 1]));
        assert_eq!(lengths(r#"{"input":[[1,2,3],[4]]}"#), (4, vec![3, 1]));
    }
}
