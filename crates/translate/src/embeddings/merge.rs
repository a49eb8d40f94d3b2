//! Reads the providers' answers and puts them together.

use data_encoding::BASE64;
use lw_wire::usage::{self, Reading};
use serde_json::value::RawValue;

use super::{EmbeddingAnswer, Form, Plan, Vectors};
use crate::Problem;
use crate::ir::Raw;
use crate::json::{self, Object};

impl Plan {
    /// Puts the answers of [`Plan::calls`] together. They stand in the order of the calls.
    ///
    /// # Errors
    /// An answer is missing or not one of the provider's, or has not one vector for each text: the caller
    /// of this function answers 502.
    pub fn merge(&self, answers: &[EmbeddingAnswer<'_>]) -> Result<Vectors, Problem> {
        if answers.len() != self.sizes.len() {
            return Err(wrong("there is not one answer for each call"));
        }
        let mut all = Vectors {
            values: Vec::new(),
            tokens: Some(0),
        };
        for (answer, size) in answers.iter().zip(&self.sizes) {
            let Vectors { values, tokens } = read(self.form, answer.body)?;
            if values.len() != *size {
                return Err(wrong("it has not one vector for each text"));
            }
            all.values.extend(values);
            let tokens = tokens.or(answer.header_tokens);
            all.tokens = all
                .tokens
                .zip(tokens)
                .map(|(sum, more)| sum.saturating_add(more));
        }
        Ok(all)
    }

    /// Input tokens of the answers to the first calls, when the other calls are not made: those were paid
    /// for. `None` when one of them does not tell.
    #[must_use]
    pub fn tokens(&self, answers: &[EmbeddingAnswer<'_>]) -> Option<u64> {
        answers.iter().try_fold(0_u64, |sum, answer| {
            let told = read(self.form, answer.body).ok();
            let told = told.and_then(|vectors| vectors.tokens);
            told.or(answer.header_tokens)
                .map(|more| sum.saturating_add(more))
        })
    }
}

fn wrong(why: &str) -> Problem {
    Problem::bad(format!("the provider's answer cannot be used: {why}"), "")
}

fn read(form: Form, body: &[u8]) -> Result<Vectors, Problem> {
    let top = Object::of_body(body).map_err(|_| wrong("it is not a JSON object"))?;
    let read = match form {
        Form::OpenAi => openai(&top),
        Form::Gemini => gemini(&top),
        Form::Vertex => vertex(&top),
        Form::Titan => titan(&top),
        Form::Cohere => cohere(&top),
    };
    read.ok_or_else(|| wrong("it has no vectors"))
}

fn inner<'a>(object: &Object<'a>, key: &str) -> Option<Object<'a>> {
    Object::read(object.get(key)?, "").ok()
}

fn list<'a>(object: &Object<'a>, key: &str) -> Option<Vec<&'a RawValue>> {
    json::list(object.get(key)?, "").ok()
}

/// A whole number, or a text of one.
fn count(raw: Option<&RawValue>) -> Option<u64> {
    let text = raw?.get().trim_matches('"');
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}

/// A vector: a list of numbers, or base64 of floats.
fn vector(raw: &RawValue) -> Option<Raw> {
    let Some(packed) = json::text(raw) else {
        let numbers = serde_json::from_str::<Vec<f32>>(raw.get()).is_ok();
        return numbers.then(|| raw.to_owned());
    };
    let bytes = BASE64.decode(packed.as_bytes()).ok()?;
    let (floats, odd) = bytes.as_chunks::<4>();
    let floats: Vec<f32> = floats.iter().copied().map(f32::from_le_bytes).collect();
    let finite = odd.is_empty() && floats.iter().all(|number| number.is_finite());
    let written = serde_json::to_string(&floats).ok().filter(|_| finite)?;
    Some(json::raw(written))
}

fn openai(top: &Object<'_>) -> Option<Vectors> {
    let mut found = Vec::new();
    for (n, raw) in list(top, "data")?.into_iter().enumerate() {
        let one = Object::read(raw, "").ok()?;
        let index = count(one.get("index")).and_then(|index| usize::try_from(index).ok());
        found.push((index.unwrap_or(n), vector(one.get("embedding")?)?));
    }
    found.sort_by_key(|(index, _)| *index);
    let usage = top.get("usage");
    let tokens = match usage.and_then(|usage| usage::openai(usage.get())) {
        Some(Reading::Reported(usage)) => Some(usage.prompt()),
        Some(Reading::Absurd) => None,
        // Voyage has the total only.
        None => inner(top, "usage").and_then(|usage| count(usage.get("total_tokens"))),
    };
    Some(Vectors {
        values: found.into_iter().map(|(_, vector)| vector).collect(),
        tokens,
    })
}

fn gemini(top: &Object<'_>) -> Option<Vectors> {
    let values = |one: Object<'_>| vector(one.get("values")?);
    let found = match inner(top, "embedding") {
        Some(one) => vec![values(one)?],
        None => {
            let many = list(top, "embeddings")?.into_iter();
            let many = many.map(|raw| values(Object::read(raw, "").ok()?));
            many.collect::<Option<_>>()?
        }
    };
    let usage = top
        .get("usageMetadata")
        .and_then(|usage| usage::gemini(usage.get()));
    Some(Vectors {
        values: found,
        tokens: match usage {
            Some(Reading::Reported(usage)) => Some(usage.prompt()),
            Some(Reading::Absurd) | None => None,
        },
    })
}

fn vertex(top: &Object<'_>) -> Option<Vectors> {
    let mut all = Vectors {
        values: Vec::new(),
        tokens: Some(0),
    };
    for raw in list(top, "predictions")? {
        let one = inner(&Object::read(raw, "").ok()?, "embeddings")?;
        all.values.push(vector(one.get("values")?)?);
        let tokens = inner(&one, "statistics").and_then(|it| count(it.get("token_count")));
        all.tokens = all
            .tokens
            .zip(tokens)
            .map(|(sum, more)| sum.saturating_add(more));
    }
    Some(all)
}

fn titan(top: &Object<'_>) -> Option<Vectors> {
    let by_type = || inner(top, "embeddingsByType").and_then(|types| types.get("float"));
    let value = vector(top.get("embedding").or_else(by_type)?)?;
    Some(Vectors {
        values: vec![value],
        tokens: count(top.get("inputTextTokenCount")),
    })
}

fn cohere(top: &Object<'_>) -> Option<Vectors> {
    let many = match inner(top, "embeddings") {
        Some(types) => list(&types, "float")?,
        None => list(top, "embeddings")?,
    };
    let billed = inner(top, "meta").and_then(|meta| inner(&meta, "billed_units"));
    Some(Vectors {
        values: many.into_iter().map(vector).collect::<Option<_>>()?,
        tokens: billed.and_then(|units| count(units.get("input_tokens"))),
    })
}
