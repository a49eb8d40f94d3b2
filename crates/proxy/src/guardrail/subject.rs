//! What is checked: a request's body, or texts of an answer.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use lw_wire::speech::{Modified, Request};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Direction, Failure, Who};
pub use lw_wire::speech::Unreadable;

/// What is checked. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// A JSON body in the caller's dialect.
    Request(Bytes),
    /// Texts of an answer, or of a piece of it; each is asked about by itself.
    Texts(Direction, Arc<[String]>),
}

/// Texts as what is built in reads them.
pub(super) struct Texts {
    /// Each by itself.
    pub(super) each: Arc<[String]>,
    /// The parts of one message in one piece: a text that is cut in two is no way around a check.
    pub(super) together: Vec<String>,
}

impl Texts {
    /// Bytes in all.
    pub(super) fn size(&self) -> usize {
        self.each
            .iter()
            .chain(&self.together)
            .map(String::len)
            .sum()
    }
}

/// The body of a check (internal-protocol 9).
#[derive(Serialize)]
struct Ask<'a, C> {
    vk_id: &'a str,
    project_id: &'a str,
    gateway_request_id: &'a str,
    direction: &'static str,
    guardrail_ids: [&'a str; 1],
    content: C,
    metadata: Metadata<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    model: Option<&'a str>,
    principal_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Output<'a> {
    output: &'a str,
}

#[derive(Serialize)]
struct Chunk<'a> {
    chunk: &'a str,
}

#[derive(Deserialize)]
struct Back<'a> {
    #[serde(borrow, alias = "chunk")]
    output: Cow<'a, str>,
}

impl Subject {
    pub(super) const fn direction(&self) -> Direction {
        match self {
            Self::Request(_) => Direction::Request,
            Self::Texts(direction, _) => *direction,
        }
    }

    /// All texts, for what is built in.
    pub(super) fn texts(&self) -> Result<Texts, Failure> {
        match self {
            Self::Request(body) => {
                let Request { texts, runs, .. } = Request::read(body)?;
                let each: Arc<[String]> = texts
                    .into_iter()
                    .map(|piece| piece.text.into_owned())
                    .collect();
                let run = |run: Range<usize>| each.get(run).map(<[String]>::concat);
                Ok(Texts {
                    together: runs.into_iter().filter_map(run).collect(),
                    each,
                })
            }
            Self::Texts(_, texts) => Ok(Texts {
                each: texts.clone(),
                together: Vec::new(),
            }),
        }
    }

    /// With other texts, one for each of [`Self::texts`].
    pub(super) fn with_texts(&self, texts: Vec<String>) -> Result<Self, Failure> {
        match self {
            Self::Request(body) => {
                let edits = Request::read(body)?.with_texts(&texts);
                Ok(Self::Request(
                    edits.apply(body).into_inner().concat().into(),
                ))
            }
            Self::Texts(direction, _) => Ok(Self::Texts(*direction, texts.into())),
        }
    }

    /// The bodies that a callout is sent: one for a request, one for each text.
    pub(super) fn asks(&self, guardrail: &str, who: &Who) -> Result<Vec<Bytes>, Failure> {
        let direction = self.direction();
        match self {
            Self::Request(body) => {
                let request = Request::read(body)?;
                Ok(vec![ask(direction, guardrail, who, request.content())?])
            }
            Self::Texts(Direction::StreamChunk, texts) => texts
                .iter()
                .map(|chunk| ask(direction, guardrail, who, Chunk { chunk }))
                .collect(),
            Self::Texts(Direction::Request | Direction::Response, texts) => texts
                .iter()
                .map(|output| ask(direction, guardrail, who, Output { output }))
                .collect(),
        }
    }

    /// With what a callout answered to the ask at `index` in the place of what it was sent.
    pub(super) fn with_answer(&self, index: usize, content: &RawValue) -> Result<Self, Failure> {
        let misfit =
            |_error| Failure::BadAnswer("`modified_content` is of another form".to_owned());
        match self {
            Self::Request(body) => {
                let modified: Modified<'_> = serde_json::from_str(content.get()).map_err(misfit)?;
                let edits = Request::read(body)?
                    .with_content(&modified)
                    .map_err(|error| {
                        Failure::BadAnswer(format!("of `modified_content`: {error}"))
                    })?;
                Ok(Self::Request(
                    edits.apply(body).into_inner().concat().into(),
                ))
            }
            Self::Texts(direction, texts) => {
                let back: Back<'_> = serde_json::from_str(content.get()).map_err(misfit)?;
                let mut texts = texts.to_vec();
                if let Some(text) = texts.get_mut(index) {
                    *text = back.output.into_owned();
                }
                Ok(Self::Texts(*direction, texts.into()))
            }
        }
    }
}

fn ask(
    direction: Direction,
    guardrail: &str,
    who: &Who,
    content: impl Serialize,
) -> Result<Bytes, Failure> {
    let Who {
        vk_id,
        project_id,
        gateway_request_id,
        model,
        principal_id,
    } = who;
    let ask = Ask {
        vk_id,
        project_id,
        gateway_request_id,
        direction: direction.as_str(),
        guardrail_ids: [guardrail],
        content,
        metadata: Metadata {
            model: model.as_deref(),
            principal_id: principal_id.as_deref(),
        },
    };
    // Texts and slices of JSON cannot fail to be written.
    serde_json::to_vec(&ask)
        .map(Bytes::from)
        .map_err(|error| Failure::Settings(error.to_string()))
}
