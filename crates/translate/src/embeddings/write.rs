//! Writes the answers of callers.

use data_encoding::BASE64;

use super::{Encoding, Vectors};
use crate::json::Obj;

/// The answer of `POST /v1/embeddings`. `model` is the model as the answer names it. Where no provider told
/// the tokens, 0 stands there: the bill goes by [`Vectors::tokens`].
#[must_use]
pub fn write_openai(vectors: &Vectors, encoding: Encoding, model: &str) -> Vec<u8> {
    let Vectors { values, tokens } = vectors;
    let data = values.iter().enumerate().map(|(index, value)| {
        let one = Obj::new().str("object", "embedding").num("index", index);
        let one = match encoding {
            Encoding::Float => one.raw("embedding", value.get()),
            Encoding::Base64 => one.str("embedding", &packed(value.get())),
        };
        one.end()
    });
    let tokens = tokens.unwrap_or(0);
    let usage = Obj::new()
        .num("prompt_tokens", tokens)
        .num("total_tokens", tokens)
        .end();
    let whole = Obj::new()
        .str("object", "list")
        .list("data", data)
        .str("model", model)
        .raw("usage", &usage);
    whole.end().into_bytes()
}

/// Base64 of little-endian 32-bit floats.
fn packed(list: &str) -> String {
    // Vectors are lists of numbers: they were read as such.
    let numbers: Vec<f32> = serde_json::from_str(list).unwrap_or_default();
    let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
    BASE64.encode(&bytes)
}

/// The answer of `embedContent`, or of `batchEmbedContents` when `batch` is set.
#[must_use]
pub fn write_gemini(vectors: &Vectors, batch: bool) -> Vec<u8> {
    let Vectors { values, tokens } = vectors;
    let mut each = values
        .iter()
        .map(|value| Obj::new().raw("values", value.get()).end());
    let out = if batch {
        Obj::new().list("embeddings", each)
    } else {
        Obj::new().raw_if("embedding", each.next().as_deref())
    };
    let usage = tokens.map(|tokens| Obj::new().num("promptTokenCount", tokens).end());
    out.raw_if("usageMetadata", usage.as_deref())
        .end()
        .into_bytes()
}
