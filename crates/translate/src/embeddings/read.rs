//! Reads the requests of callers.

use serde_json::value::RawValue;

use super::{EmbeddingsRequest, Encoding};
use crate::json::{self, Object};
use crate::{Dialect, Problem};

/// Reads `POST /v1/embeddings` for a provider of another dialect.
///
/// # Errors
/// The body is not one, has no text, or has token numbers, which only their own vendor understands.
pub fn read_openai(body: &[u8]) -> Result<EmbeddingsRequest, Problem> {
    let mut top = Object::of_body(body)?;
    let model = top.text("model")?.unwrap_or_default();
    let input = top
        .take("input")
        .ok_or_else(|| Problem::bad("`input` is missing", "input"))?;
    let inputs = inputs(input)?;
    let encoding = match top.text("encoding_format")?.as_deref() {
        None | Some("float") => Encoding::Float,
        Some("base64") => Encoding::Base64,
        Some(other) => {
            return Err(Problem::bad(
                format!("`encoding_format` must be `float` or `base64`, not `{other}`"),
                "encoding_format",
            ));
        }
    };
    Ok(EmbeddingsRequest {
        from: Dialect::Chat,
        model,
        batch: inputs.len() > 1,
        inputs,
        dimensions: top.count("dimensions")?,
        encoding,
        drop_tuning: top.flag("drop_tuning_params")?.unwrap_or(true),
        rest: top.rest(),
    })
}

fn inputs(raw: &RawValue) -> Result<Vec<String>, Problem> {
    let bad = |what: &str| Err(Problem::bad(what, "input"));
    if let Some(text) = json::text(raw) {
        return Ok(vec![text]);
    }
    let Ok(list) = json::list(raw, "input") else {
        return bad("`input` must be a string or a list of strings");
    };
    if list.is_empty() {
        return bad("`input` must not be empty");
    }
    let is_number =
        |json: &str| json.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    let mut texts = Vec::with_capacity(list.len());
    for one in list {
        match json::text(one) {
            Some(text) => texts.push(text),
            None if is_number(one.get()) || one.get().starts_with('[') => {
                return bad(
                    "`input` must be text: this provider does not know the numbers of tokens",
                );
            }
            None => return bad("`input` must be a string or a list of strings"),
        }
    }
    Ok(texts)
}

/// Reads `embedContent`, or `batchEmbedContents` when `batch` is set.
///
/// # Errors
/// The body is not one, a content is not text, or the requests of a batch want different things.
pub fn read_gemini(body: &[u8], batch: bool) -> Result<EmbeddingsRequest, Problem> {
    let mut top = Object::of_body(body)?;
    let mut request = EmbeddingsRequest {
        from: Dialect::Gemini,
        model: String::new(),
        inputs: Vec::new(),
        dimensions: None,
        encoding: Encoding::Float,
        batch,
        drop_tuning: true,
        rest: Vec::new(),
    };
    if !batch {
        content(top, "", &mut request)?;
        return Ok(request);
    }
    let list = top.list("requests")?.unwrap_or_default();
    if list.is_empty() {
        return Err(Problem::bad("`requests` must not be empty", "requests"));
    }
    for (n, raw) in list.into_iter().enumerate() {
        let at = format!("requests[{n}].");
        let mut one = EmbeddingsRequest {
            inputs: Vec::new(),
            rest: Vec::new(),
            dimensions: None,
            model: String::new(),
            ..request
        };
        content(Object::read(raw, &format!("requests[{n}]"))?, &at, &mut one)?;
        request.inputs.append(&mut one.inputs);
        let same = |held: &EmbeddingsRequest| {
            let names = |request: &EmbeddingsRequest| {
                let rest = request.rest.iter();
                rest.map(|(name, raw)| (name.clone(), raw.get().to_owned()))
                    .collect::<Vec<_>>()
            };
            held.dimensions == one.dimensions
                && held.model == one.model
                && names(held) == names(&one)
        };
        if n == 0 {
            request = EmbeddingsRequest {
                inputs: request.inputs,
                ..one
            };
        } else if !same(&request) {
            return Err(Problem::bad(
                "the requests of a batch must have the same model, task type and dimensions here",
                format!("requests[{n}]"),
            ));
        }
    }
    Ok(request)
}

fn content(
    mut fields: Object<'_>,
    at: &str,
    request: &mut EmbeddingsRequest,
) -> Result<(), Problem> {
    let mut both = |camel: &str, snake: &str| fields.take(camel).or_else(|| fields.take(snake));
    let dimensions = both("outputDimensionality", "output_dimensionality");
    let config = both("embedContentConfig", "embed_content_config");
    if let Some(raw) = dimensions {
        request.dimensions = Some(count(raw, at)?);
    }
    if let Some(raw) = config {
        let mut config = Object::read(raw, "embedContentConfig")?;
        if let Some(raw) = config
            .take("outputDimensionality")
            .or_else(|| config.take("output_dimensionality"))
        {
            request.dimensions = Some(count(raw, at)?);
        }
        request.rest.extend(config.rest());
    }
    if let Some(model) = fields.text("model")? {
        model
            .strip_prefix("models/")
            .unwrap_or(&model)
            .clone_into(&mut request.model);
    }
    let path = format!("{at}content");
    let Some(raw) = fields.take("content") else {
        return Err(Problem::bad(format!("`{path}` is missing"), path));
    };
    request.inputs.push(text_of(raw, &path)?);
    for (name, raw) in fields.rest() {
        let name = match name.as_str() {
            "task_type" => "taskType".to_owned(),
            _ => name,
        };
        request.rest.push((name, raw));
    }
    Ok(())
}

fn count(raw: &RawValue, at: &str) -> Result<u64, Problem> {
    let path = format!("{at}outputDimensionality");
    raw.get()
        .trim_matches('"')
        .parse()
        .map_err(|_| Problem::bad(format!("`{path}` must be a whole number"), path))
}

/// The text of a content: its parts are one text.
fn text_of(raw: &RawValue, at: &str) -> Result<String, Problem> {
    if let Some(text) = json::text(raw) {
        return Ok(text);
    }
    let mut content = Object::read(raw, at)?;
    let parts = content.list("parts")?.unwrap_or_default();
    let mut texts = Vec::with_capacity(parts.len());
    for (n, part) in parts.into_iter().enumerate() {
        let at = format!("{at}.parts[{n}]");
        let text = match json::text(part) {
            Some(text) => Some(text),
            None => Object::read(part, &at)?.text("text")?,
        };
        texts.push(
            text.ok_or_else(|| Problem::bad(format!("`{at}` must be a text part"), at.as_str()))?,
        );
    }
    if texts.is_empty() {
        return Err(Problem::bad(format!("`{at}` has no text"), at));
    }
    Ok(texts.join("\n"))
}
