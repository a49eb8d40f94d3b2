//! Why a request is served as it is, or refused: every decision of the gateway in order, without a call to
//! a provider (management-api 28.4, `check-request`).
//!
//! The control plane reads the question and hands it on: the data plane decides requests, so it alone can
//! say how. It is given a whole body always; [`parts`] makes one where the caller gave only a model, tools
//! and addresses. Must never show a credential, reserve money, take from a rate limit or dial anybody.
//! Start at [`Explains`]; what callers send is read in [`question`].

mod parts;
mod question;
mod schema;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use lw_core::{Code, Error, ModelProviderId, OrganizationId, VirtualKeyId};
use lw_store::rows::VirtualKey;
use serde::Serialize;
use serde_json::{Value, json};

pub(crate) use self::question::read;
pub(crate) use self::schema::schemas;
use crate::Admin;

/// The longest that an explanation may take: it reads what a request reads and waits for nobody.
const LIMIT: Duration = Duration::from_secs(10);

/// A request that nobody sends: what the gateway would be asked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Path and query of a POST, such as `/v1/chat/completions`. It may be one that nobody serves.
    pub path: String,
    /// Headers in the order given, names in lower case. Credentials are not among them: the key is known
    /// by its id.
    pub headers: Vec<(String, String)>,
    /// The whole body: the very bytes that the caller gave, or one that was made of the parts. It need not
    /// be valid JSON.
    pub body: String,
}

/// What a decision came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The request goes on.
    Pass,
    /// The request ends here.
    Refuse,
    /// The check does not apply, or a candidate is left out.
    Skip,
    /// The request goes on, but somebody should look.
    Warn,
    /// A fact, without a decision.
    Info,
}

impl Verdict {
    /// All verdicts, as they are spelt.
    pub const NAMES: [&str; 5] = ["pass", "refuse", "skip", "warn", "info"];
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The stage of the pipeline, `lower_snake_case` and stable (data-plane 8): `authentication`,
    /// `rate_limit`, `policy_tools`, `model`, `budget`.
    pub stage: String,
    /// What it came to.
    pub outcome: Verdict,
    /// One sentence for a person: what was looked at, what was found, what is left.
    pub detail: String,
}

/// A provider that would be asked, in the order of the attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Its kind, such as `openai`.
    pub provider: String,
    /// Its row.
    pub model_provider_id: ModelProviderId,
    /// The name that it would be asked for.
    pub model: String,
    /// What a person should know of it: that it is a substitute, that its circuit is open.
    pub note: Option<String>,
}

/// What the caller of the request would be answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// `error.code`.
    pub code: String,
    /// The HTTP status.
    pub status: u16,
    /// `error.message`.
    pub message: String,
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        Self {
            code: error.code().row().name.to_owned(),
            status: error.status(),
            message: error.message().to_owned(),
        }
    }
}

/// Every decision about a request. Either somebody would be asked, or there is a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The decisions, in the order in which they are made. The last one is the refusal if there is one.
    pub steps: Vec<Step>,
    /// Who would be asked; empty where the request is refused.
    pub would_dispatch: Vec<Candidate>,
    /// Why nobody would.
    pub refusal: Option<Refusal>,
}

impl Explanation {
    /// The shape `RequestCheck`.
    fn shown(&self) -> Value {
        let Self {
            steps,
            would_dispatch,
            refusal,
        } = self;
        json!({ "steps": steps, "would_dispatch": would_dispatch, "refusal": refusal })
    }
}

/// An explanation on its way.
pub type Explaining<'a> = Pin<Box<dyn Future<Output = Result<Explanation, Error>> + Send + 'a>>;

/// Explains requests. The process that decides them implements it.
pub trait Explains: Send + Sync {
    /// What would become of a request. A refusal of the request is a good answer; an error means that
    /// nothing can be said. The caller waits on a blocking thread, so an answer must not need another one
    /// of the same runtime; after ten seconds nobody waits any more.
    fn explain<'a>(
        &'a self,
        organization: &'a OrganizationId,
        key: &'a VirtualKeyId,
        question: Question,
    ) -> Explaining<'a>;
}

/// Asks the data plane about a key that the caller may see, and waits for the answer (`RequestCheck`).
///
/// # Errors
/// The data plane cannot say, or does not in time.
pub(crate) fn ask(admin: &Admin, key: &VirtualKey, question: Question) -> Result<Value, Error> {
    let runtime = tokio::runtime::Handle::try_current()
        .map_err(|gone| Error::new(Code::InternalError, "no runtime").because(gone))?;
    let answer = runtime.block_on(async {
        let asked = admin
            .explainer
            .explain(&key.organization_id, &key.id, question);
        tokio::time::timeout(LIMIT, asked).await
    });
    let late = |elapsed| {
        Error::new(Code::Overloaded, "the explanation took too long")
            .retry_after(1)
            .because(elapsed)
    };
    Ok(answer.map_err(late)??.shown())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_is_spelt_as_the_description_says() {
        let all = [
            Verdict::Pass,
            Verdict::Refuse,
            Verdict::Skip,
            Verdict::Warn,
            Verdict::Info,
        ];
        assert_eq!(json!(all), json!(Verdict::NAMES));
    }

    #[test]
    fn a_refusal_is_what_the_caller_of_the_request_would_read() {
        let error = Error::new(Code::ModelNotAllowed, "no provider serves `gpt-9`")
            .because("internals that nobody sees");
        let wanted = Refusal {
            code: "model_not_allowed".into(),
            status: 403,
            message: "no provider serves `gpt-9`".into(),
        };
        assert_eq!(Refusal::from(&error), wanted);
    }
}
