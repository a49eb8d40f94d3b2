//! Counting the tokens of a conversation with a provider whose operation for that is another one than the
//! caller's (providers 1, `count_tokens`).
//!
//! Nothing is estimated here: a provider counts, or the surface is not served. Start at [`outgoing`].

use lw_core::{Code, Error};
use lw_translate::count::{self, Counter};
use lw_translate::{Dialect, Target as For};
use lw_wire::Surface;

use crate::call::Call;
use crate::foreign::{Exchange, body_of, dialect_of, inlined, refusal, with_extras};
use crate::lane::{Lane, LaneKind, Operation, Publisher, publisher};
use crate::stages::{Step, Target};

/// How an answer is read and written.
#[derive(Debug)]
pub(crate) struct Counting {
    from: Counter,
    to: Dialect,
}

impl Counting {
    /// The caller's answer of the provider's.
    ///
    /// # Errors
    /// The provider does not tell a number.
    pub(crate) fn answer(&self, body: &[u8]) -> Result<Vec<u8>, Error> {
        let tokens = count::read_answer(self.from, body).map_err(|problem| {
            Error::new(
                Code::ProviderError,
                "the provider's answer cannot be understood",
            )
            .because(&problem)
        })?;
        Ok(count::write_answer(self.to, tokens))
    }
}

fn counter(lane: &Lane, model: &str) -> Result<(Counter, Operation<'static>), Error> {
    Ok(match lane.kind {
        LaneKind::OpenAi => (Counter::OpenAi, Operation::InputTokens),
        LaneKind::Anthropic => (Counter::Anthropic, Operation::CountTokens),
        LaneKind::Bedrock => (Counter::Bedrock, Operation::CountConverse),
        LaneKind::Gemini => (Counter::Gemini, Operation::Gemini("countTokens")),
        LaneKind::Vertex if publisher(model) == Publisher::Anthropic => {
            (Counter::Anthropic, Operation::CountTokens)
        }
        LaneKind::Vertex => (Counter::Vertex, Operation::Gemini("countTokens")),
        LaneKind::Azure | LaneKind::Compatible(_) => {
            return Err(Error::new(Code::InternalError, "the request was lost")
                .because("a lane that does not count"));
        }
    })
}

/// Writes the request for the provider's own operation.
///
/// # Errors
/// The caller's body is not usable, or has something that the provider cannot be given.
pub(crate) async fn outgoing(
    call: &mut Call,
    lane: &Lane,
    surface: Surface,
    step: &Step,
) -> Result<Target, Error> {
    let (from, operation) = counter(lane, &step.name)?;
    let to = dialect_of(surface);
    let mut conversation = count::read(to, &body_of(call)).map_err(|problem| refusal(&problem))?;
    inlined(call, &mut conversation, from.dialect()).await?;
    // Claude on Vertex is named in the body, without the path that leads to it.
    let bare = step.model.rsplit('/').next().unwrap_or_default();
    let target = For {
        provider: lane.kind.as_str(),
        model: bare,
        name: &step.name,
        max_output: None,
    };
    let outgoing =
        count::write(conversation, from, &target).map_err(|problem| refusal(&problem))?;
    if let Some(dispatch) = call.dispatch.as_mut() {
        dispatch.dropped = outgoing.dropped;
    }
    Ok(Target {
        path: lane.path(operation, &step.model)?,
        body: with_extras(lane, outgoing.body),
        exchange: Exchange::Counted(Counting { from, to }),
    })
}
