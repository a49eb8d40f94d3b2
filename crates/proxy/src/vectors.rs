//! Vectors from providers whose operation for them is another one than the caller's (providers 19).
//!
//! Some providers take one text a call: then one request becomes several calls, answered as one. All of them
//! are one attempt for the ledger, with the sum of their tokens. Start at [`outgoing`] and [`answer`].

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, StatusCode};
use lw_core::{Code, Error, Usage};
use lw_translate::embeddings::{
    EmbeddingAnswer, EmbeddingCall, Encoding, Plan, plan, read_gemini, read_openai, write_gemini,
    write_openai,
};
use lw_translate::{Dialect, Target as For};
use lw_wire::Surface;
use lw_wire::splice::Pieces;
use lw_wire::tap::Told;

use crate::answered::{ERROR_HELD, whole};
use crate::attempt::{CallerHead, attempt};
use crate::call::{Call, Earlier};
use crate::foreign::{Exchange, body_of, refusal, shown_model, with_extras};
use crate::lane::{Lane, LaneKind, Operation};
use crate::reply::Reply;
use crate::setback::{Fallen, Setback};
use crate::stages::{Step, Target};
use crate::translated;

/// The most calls that one request may become: more texts than any provider takes at once.
const MOST_CALLS: usize = 2_048;
/// The largest answer to one call.
const LARGEST: usize = 32 * 1024 * 1024;
/// Where Bedrock tells the tokens of models whose answers do not.
const TOKENS: &str = "x-amzn-bedrock-input-token-count";

/// The calls that are left to be made, and how their answers become one.
#[derive(Debug)]
pub(crate) struct Gathering {
    calls: Vec<(PathAndQuery, Pieces)>,
    plan: Plan,
    to: Dialect,
    batch: bool,
    encoding: Encoding,
    shown: String,
}

/// Plans the calls.
///
/// # Errors
/// The caller's body is not usable, or has something that the provider cannot be given.
pub(crate) fn outgoing(
    call: &mut Call,
    lane: &Lane,
    surface: Surface,
    step: &Step,
) -> Result<Target, Error> {
    let batch = call
        .inbound
        .as_ref()
        .and_then(|inbound| inbound.addressed.as_ref())
        .is_some_and(|addressed| addressed.method == "batchEmbedContents");
    let body = body_of(call);
    let (request, to) = match surface {
        Surface::GeminiEmbed => (read_gemini(&body, batch), Dialect::Gemini),
        _ => (read_openai(&body), Dialect::Chat),
    };
    let request = request.map_err(|problem| refusal(&problem))?;
    let encoding = request.encoding;
    let target = For {
        provider: lane.kind.as_str(),
        model: &step.model,
        name: &step.name,
        max_output: None,
    };
    let mut plan = plan(request, &target).map_err(|problem| refusal(&problem))?;
    if plan.calls.len() > MOST_CALLS {
        return Err(Error::new(
            Code::BadRequest,
            format!(
                "`input` has more than {MOST_CALLS} texts for a provider that takes one at a time"
            ),
        )
        .at("input"));
    }
    let calls: Vec<(PathAndQuery, Pieces)> = std::mem::take(&mut plan.calls)
        .into_iter()
        .map(|EmbeddingCall { operation, body }| {
            let operation = match (lane.kind, operation) {
                (LaneKind::Bedrock, _) => Operation::Invoke,
                (LaneKind::Vertex, _) => Operation::Predict,
                (LaneKind::Gemini, method) => Operation::Gemini(method),
                _ => Operation::Embeddings,
            };
            Ok((lane.path(operation, &step.model)?, with_extras(lane, body)))
        })
        .collect::<Result<_, Error>>()?;
    if let Some(dispatch) = call.dispatch.as_mut() {
        dispatch.dropped.clone_from(&plan.dropped);
    }
    let (path, body) = calls
        .first()
        .cloned()
        .ok_or_else(|| Error::new(Code::BadRequest, "`input` is empty").at("input"))?;
    let shown = shown_model(call, &step.name);
    Ok(Target {
        path,
        body,
        exchange: Exchange::Vectors(Box::new(Gathering {
            calls,
            plan,
            to,
            batch,
            encoding,
            shown,
        })),
    })
}

/// Notes what the calls before a refused one took.
fn paid(call: &mut Call, plan: &Plan, answers: &[(Bytes, Option<u64>)]) {
    if answers.is_empty() {
        return;
    }
    let tokens = plan.tokens(&read(answers));
    if let Some(dispatch) = call.dispatch.as_mut() {
        dispatch.earlier = tokens.map_or(Earlier::Uncounted, Earlier::Counted);
    }
}

fn read(answers: &[(Bytes, Option<u64>)]) -> Vec<EmbeddingAnswer<'_>> {
    answers
        .iter()
        .map(|(body, header_tokens)| EmbeddingAnswer {
            body,
            header_tokens: *header_tokens,
        })
        .collect()
}

/// Makes the calls one after the other and answers with all vectors.
///
/// # Errors
/// The first failure; nothing has gone out.
pub(crate) async fn answer(
    mut call: Box<Call>,
    gathering: Gathering,
    head: &CallerHead,
) -> Result<Reply, Box<Fallen>> {
    let Gathering {
        calls,
        plan,
        to,
        batch,
        encoding,
        shown,
    } = gathering;
    let mut answers: Vec<(Bytes, Option<u64>)> = Vec::with_capacity(calls.len());
    let mut last_head = HeaderMap::new();
    for (path, body) in calls {
        let sent = match attempt(&mut call, path, body, &Exchange::Part, head).await {
            Ok(sent) => sent,
            Err(error) => return Err(Setback::ours(error).of(call)),
        };
        let (parts, body) = sent.into_parts();
        let most = if parts.status.is_success() {
            LARGEST
        } else {
            ERROR_HELD
        };
        let body = match whole(&call, body, most, "an answer").await {
            Ok(body) => body,
            Err(error) => return Err(translated::unreadable(call, error)),
        };
        if parts.status != StatusCode::OK {
            paid(&mut call, &plan, &answers);
            return Err(translated::failed(call, &parts, &body, Exchange::Part));
        }
        let tokens = parts
            .headers
            .get(TOKENS)
            .and_then(|value| value.to_str().ok());
        answers.push((body, tokens.and_then(|text| text.parse().ok())));
        last_head = parts.headers;
    }
    let vectors = match plan.merge(&read(&answers)) {
        Ok(vectors) => vectors,
        Err(problem) => {
            let error = Error::new(
                Code::ProviderError,
                "the provider's answer cannot be understood",
            );
            return Err(translated::unreadable(call, error.because(&problem)));
        }
    };
    let json = match to {
        Dialect::Gemini => write_gemini(&vectors, batch),
        _ => write_openai(&vectors, encoding, &shown),
    };
    let usage = vectors.tokens.map(|input| Usage {
        input,
        ..Usage::default()
    });
    let told = Told {
        usage,
        service_tier: None,
    };
    Ok(translated::finished(&mut call, &last_head, json, told))
}
