//! Writes the calls that each provider needs.

use super::{EmbeddingCall, EmbeddingsRequest, Form, Plan};
use crate::drops::Drops;
use crate::ir::{Raw, Request};
use crate::json::{self, Obj};
use crate::{Problem, Target};

/// The most texts that one call may have.
const GEMINI_MOST: usize = 100;
const VERTEX_MOST: usize = 250;
const COHERE_MOST: usize = 96;
const OPENAI_MOST: usize = 2_048;
const VOYAGE_MOST: usize = 1_000;

/// Makes the calls for a provider.
///
/// # Errors
/// The provider cannot be given something that must not be left out.
pub fn plan(request: EmbeddingsRequest, target: &Target<'_>) -> Result<Plan, Problem> {
    let mut judged = Request::new(request.from);
    judged.drop_tuning = request.drop_tuning;
    let mut ask = Ask {
        drops: Drops::new(&judged, target),
        request,
        model: target.model,
    };
    let (form, calls) = match target.provider {
        "gemini" | "google_agent_platform" => (Form::Gemini, ask.gemini()),
        "vertex" => (Form::Vertex, ask.vertex(target.name)?),
        "bedrock" if target.name.contains("cohere") => {
            (Form::Cohere, ask.cohere(target.name.contains("embed-v4"))?)
        }
        "bedrock" => (Form::Titan, ask.titan(target.name)?),
        "voyage" => (Form::OpenAi, ask.openai(VOYAGE_MOST, true)),
        _ => (Form::OpenAi, ask.openai(OPENAI_MOST, false)),
    };
    ask.finish(form, calls)
}

/// Calls with the number of texts in each.
type Calls = Vec<(usize, EmbeddingCall)>;

fn call(operation: &'static str, size: usize, body: Obj) -> (usize, EmbeddingCall) {
    let body = body.end().into_bytes();
    (size, EmbeddingCall { operation, body })
}

struct Ask<'a> {
    request: EmbeddingsRequest,
    drops: Drops,
    model: &'a str,
}

impl Ask<'_> {
    /// Takes a further field under one of its names.
    fn take(&mut self, names: &[&str]) -> Option<Raw> {
        let rest = &mut self.request.rest;
        let at = rest
            .iter()
            .position(|(name, _)| names.contains(&name.as_str()))?;
        Some(rest.remove(at).1)
    }

    /// What nobody took is left out, and said so.
    fn finish(mut self, form: Form, calls: Calls) -> Result<Plan, Problem> {
        for (name, _) in std::mem::take(&mut self.request.rest) {
            self.drops
                .leave_out(&name, "the provider has nothing like it")?;
        }
        let (sizes, calls) = calls.into_iter().unzip();
        Ok(Plan {
            calls,
            dropped: self.drops.finish(),
            form,
            sizes,
        })
    }

    fn no_dimensions(&mut self) -> Result<(), Problem> {
        if self.request.dimensions.take().is_some() {
            let why = "the model's vectors have one length only";
            self.drops.leave_out("dimensions", why)?;
        }
        Ok(())
    }

    fn gemini(&mut self) -> Calls {
        let task = self.take(&["taskType", "task_type"]);
        let title = self.take(&["title"]);
        let model = match self.model.strip_prefix("models/") {
            Some(_) => self.model.to_owned(),
            None => format!("models/{}", self.model),
        };
        let one = |text: &String| {
            let part = Obj::new().str("text", text).end();
            let content = Obj::new().list("parts", [part]).end();
            Obj::new()
                .str("model", &model)
                .raw("content", &content)
                .raw_if("taskType", task.as_ref().map(|raw| raw.get()))
                .raw_if("title", title.as_ref().map(|raw| raw.get()))
                .num_if("outputDimensionality", self.request.dimensions)
        };
        if let ([text], false) = (self.request.inputs.as_slice(), self.request.batch) {
            return vec![call("embedContent", 1, one(text))];
        }
        let chunks = self.request.inputs.chunks(GEMINI_MOST);
        let calls = chunks.map(|texts| {
            let requests = texts.iter().map(|text| one(text).end());
            let body = Obj::new().list("requests", requests);
            call("batchEmbedContents", texts.len(), body)
        });
        calls.collect()
    }

    fn vertex(&mut self, name: &str) -> Result<Calls, Problem> {
        let task = self.take(&["taskType", "task_type"]);
        let title = self.take(&["title"]);
        let truncate = self.take(&["autoTruncate", "auto_truncate"]);
        if name.contains("gecko") {
            self.no_dimensions()?;
        }
        let parameters = Obj::new()
            .num_if("outputDimensionality", self.request.dimensions)
            .raw_if("autoTruncate", truncate.as_ref().map(|raw| raw.get()));
        let parameters = (!parameters.is_empty()).then(|| parameters.end());
        let one = |text: &String| {
            Obj::new()
                .str("content", text)
                .raw_if("task_type", task.as_ref().map(|raw| raw.get()))
                .raw_if("title", title.as_ref().map(|raw| raw.get()))
                .end()
        };
        let most = if name.contains("gemini-embedding") {
            1
        } else {
            VERTEX_MOST
        };
        let calls = self.request.inputs.chunks(most).map(|texts| {
            let body = Obj::new()
                .list("instances", texts.iter().map(one))
                .raw_if("parameters", parameters.as_deref());
            call("predict", texts.len(), body)
        });
        Ok(calls.collect())
    }

    fn titan(&mut self, name: &str) -> Result<Calls, Problem> {
        let newer = name.contains("titan-embed-text-v2");
        if !newer {
            self.no_dimensions()?;
        }
        let normalize = if newer {
            self.take(&["normalize"])
        } else {
            None
        };
        let calls = self.request.inputs.iter().map(|text| {
            let body = Obj::new()
                .str("inputText", text)
                .num_if("dimensions", self.request.dimensions)
                .raw_if("normalize", normalize.as_ref().map(|raw| raw.get()));
            call("invoke", 1, body)
        });
        Ok(calls.collect())
    }

    fn cohere(&mut self, sizes: bool) -> Result<Calls, Problem> {
        if !sizes {
            self.no_dimensions()?;
        }
        let kind = self.take(&["input_type"]);
        // The provider asks for it; what is stored is the usual thing to embed.
        let kind = kind.map_or_else(
            || "\"search_document\"".to_owned(),
            |raw| raw.get().to_owned(),
        );
        let truncate = self.take(&["truncate"]);
        let calls = self.request.inputs.chunks(COHERE_MOST).map(|texts| {
            let body = Obj::new()
                .texts_if("texts", texts)
                .raw("input_type", &kind)
                .raw_if("truncate", truncate.as_ref().map(|raw| raw.get()))
                .list("embedding_types", ["\"float\"".to_owned()])
                .num_if("output_dimension", self.request.dimensions);
            call("invoke", texts.len(), body)
        });
        Ok(calls.collect())
    }

    /// For callers of Gemini: what OpenAI has no word for is left out.
    fn openai(&mut self, most: usize, voyage: bool) -> Calls {
        let kind = if voyage {
            self.take(&["taskType"])
                .and_then(|raw| json::text(&raw))
                .and_then(|task| match task.as_str() {
                    "RETRIEVAL_QUERY" | "QUESTION_ANSWERING" => Some("query"),
                    "RETRIEVAL_DOCUMENT" => Some("document"),
                    _ => None,
                })
        } else {
            None
        };
        let length = if voyage {
            "output_dimension"
        } else {
            "dimensions"
        };
        let calls = self.request.inputs.chunks(most).map(|texts| {
            let body = Obj::new()
                .str("model", self.model)
                .texts_if("input", texts)
                .str_if("input_type", kind)
                .num_if(length, self.request.dimensions);
            call("embeddings", texts.len(), body)
        });
        calls.collect()
    }
}
