//! One provider row, ready to be dialled: where it is, what it speaks, how a call is authorised.
//!
//! A lane is compiled off the data threads ([`compile`]) and shared by every key that reaches the row. Must
//! never be shown: it holds credentials. Start at [`Lane::way`], which tells how a surface is served, and
//! [`Lane::path`].

pub mod compile;
mod paths;
mod ways;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use lw_cloud::{AwsCredentials, Bearer, CachedToken};
use lw_core::{ModelProviderId, Secret};
use lw_upstream::Endpoint;
use parking_lot::Mutex;
use tokio::time::Instant;

pub(crate) use paths::Operation;
pub use ways::Way;
pub(crate) use ways::{Publisher, publisher};

use crate::redact::Secrets;

/// What a provider is: it decides addresses, authorisation and what the row speaks natively.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneKind {
    /// OpenAI itself, or what stands in for it.
    OpenAi,
    /// Azure OpenAI: deployments instead of models.
    Azure,
    /// Anthropic, or a server that speaks the Messages API.
    Anthropic,
    /// AWS Bedrock.
    Bedrock,
    /// Google Vertex AI: Gemini, Claude and other publishers.
    Vertex,
    /// Google Gemini, also through its Agent Platform.
    Gemini,
    /// A server that speaks the OpenAI dialect: `custom`, or a vendor by its name.
    Compatible(&'static str),
}

impl LaneKind {
    /// The type on the wire: `X-LangWatch-Provider`, spans, prices.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Azure => "azure",
            Self::Anthropic => "anthropic",
            Self::Bedrock => "bedrock",
            Self::Vertex => "vertex",
            Self::Gemini => "gemini",
            Self::Compatible(name) => name,
        }
    }
}

/// One provider row. See the module.
#[derive(Debug)]
pub struct Lane {
    /// The row.
    pub id: ModelProviderId,
    /// What it is.
    pub kind: LaneKind,
    /// Where it is; or why it cannot be reached (a row that was saved before a rule became stricter).
    pub endpoint: Result<Endpoint, String>,
    /// How a call is authorised.
    pub access: Access,
    /// The row's own headers. Values may be secrets and are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The row names an OpenAI organization or project: the caller's own is not forwarded.
    pub sets_openai_account: bool,
    /// The credential, for providers that want it in another header when they list their models.
    pub credential: Option<Secret>,
    /// What is taken out of the provider's errors: the credentials and the values of extra headers.
    pub secrets: Secrets,
    /// Time to the first byte of the answer, when the row narrows it.
    pub head_timeout: Option<Duration>,
    /// Top-level members that are added to a body that has none of that name: key and JSON.
    pub extra_body: Vec<(String, Bytes)>,
    /// Deployment for names that the row does not know (Azure), or profile for every name (Bedrock).
    pub default_model: Option<String>,
    /// What the row speaks besides what its kind does.
    pub speaks: Speaks,
    /// Parts of its paths.
    pub(crate) address: Address,
    /// Only one project can reach the row, so what is stored at the provider is that project's
    /// (`None`: several can).
    pub sole_project: Option<lw_core::ProjectId>,
    /// The row's owner lets all who reach the row share what is kept at the provider.
    pub shared_state: bool,
}

/// Dialects beyond those of a kind (providers 3).
#[derive(Debug, Clone, Copy, Default)]
pub struct Speaks {
    /// `/v1/responses` itself.
    pub responses: bool,
    /// `/v1/messages` itself.
    pub messages: bool,
    /// Claude by the Messages body (`anthropic_invoke`, Bedrock).
    pub invoke: bool,
}

/// Parts that paths are made of.
#[derive(Debug, Default)]
pub(crate) struct Address {
    /// Paths of operations that have no model in them, made once.
    pub(crate) fixed: paths::Fixed,
    /// The path of the base URL, without a trailing slash.
    pub(crate) base: String,
    /// Cloud project (Vertex, Agent Platform).
    pub(crate) project: String,
    /// Cloud region.
    pub(crate) region: String,
    /// Azure's `api-version`.
    pub(crate) api_version: String,
}

/// How a call is authorised.
#[derive(Debug)]
pub enum Access {
    /// Nothing is sent.
    Open,
    /// A header with a key. Several: they take turns.
    Keys(Keys),
    /// A bearer token that is fetched and renewed (Google, Entra ID).
    Token(CachedToken<Bearer>),
    /// A signature (AWS).
    Signature(AwsAccess),
}

/// What AWS requests are signed with.
#[derive(Debug)]
pub enum AwsAccess {
    /// The row's own keys.
    Stored(AwsCredentials),
    /// Keys that are fetched and renewed.
    Fetched(CachedToken<AwsCredentials>),
}

/// When the next of several keys is taken (providers 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// For every request.
    RoundRobin,
    /// When one was refused for its rate: it rests for a minute.
    OnRateLimit,
}

/// How long a key rests that was refused for its rate.
const REST: Duration = Duration::from_secs(60);

/// Ready-made credential headers of one row.
#[derive(Debug)]
pub struct Keys {
    headers: Vec<(HeaderName, HeaderValue)>,
    rotation: Rotation,
    next: AtomicUsize,
    /// Until when each rests. Touched only with several keys and after a refusal.
    resting: Mutex<Vec<Option<Instant>>>,
}

impl Keys {
    /// From headers in the order of the row.
    #[must_use]
    pub fn new(headers: Vec<(HeaderName, HeaderValue)>, rotation: Rotation) -> Self {
        Self {
            resting: Mutex::new(vec![None; headers.len()]),
            headers,
            rotation,
            next: AtomicUsize::new(0),
        }
    }

    /// The header for the next call and its number for [`Self::refused`].
    #[must_use]
    pub fn pick(&self, now: Instant) -> Option<(usize, &(HeaderName, HeaderValue))> {
        let count = self.headers.len();
        if count <= 1 {
            return self.headers.first().map(|header| (0, header));
        }
        let at = match self.rotation {
            Rotation::RoundRobin => self.next.fetch_add(1, Ordering::Relaxed) % count,
            Rotation::OnRateLimit => {
                let first = self.next.load(Ordering::Relaxed);
                let resting = self.resting.lock();
                let rests = |at: usize| {
                    resting
                        .get(at)
                        .copied()
                        .flatten()
                        .is_some_and(|until| until > now)
                };
                (0..count)
                    .map(|step| (first + step) % count)
                    .find(|at| !rests(*at))
                    .unwrap_or(first % count)
            }
        };
        self.headers.get(at).map(|header| (at, header))
    }

    /// The provider refused the key for its rate.
    pub fn refused(&self, at: usize, now: Instant) {
        if self.headers.len() > 1 && self.rotation == Rotation::OnRateLimit {
            if let Some(slot) = self.resting.lock().get_mut(at) {
                *slot = Some(now + REST);
            }
            self.next
                .store((at + 1) % self.headers.len(), Ordering::Relaxed);
        }
    }
}

impl Lane {
    /// Whether what requests of `project` name at the provider must have been made by that project: others
    /// reach the row as well.
    #[must_use]
    pub fn guards(&self, project: &lw_core::ProjectId) -> bool {
        !self.shared_state && self.sole_project.as_ref() != Some(project)
    }

    /// The model as this row's provider is told it: a deployment of the row's map, or what stands for
    /// unknown names (providers 5, 7.1).
    #[must_use]
    pub fn sent_model<'a>(
        &'a self,
        facts: &'a lw_engine::resolve::LaneFacts,
        resolved: &'a str,
    ) -> &'a str {
        if let Some(deployment) = facts.deployments.get(resolved) {
            return deployment;
        }
        match (&self.default_model, self.kind) {
            (Some(profile), LaneKind::Bedrock) => profile,
            (Some(default), LaneKind::Azure) => {
                let known = facts.deployments.values().any(|name| name == resolved);
                if known { resolved } else { default }
            }
            _ => resolved,
        }
    }

    /// The cloud region that the row names.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.address.region
    }

    /// The path that lists the row's models; `None` where there is no such list.
    #[must_use]
    pub fn models_path(&self) -> Option<&PathAndQuery> {
        self.address.fixed.models.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(rotation: Rotation) -> Keys {
        let header = |n: usize| {
            let value = HeaderValue::from_str(&format!("k{n}")).expect("a value");
            (http::header::AUTHORIZATION, value)
        };
        Keys::new((0..3).map(header).collect(), rotation)
    }

    #[test]
    fn keys_take_turns_or_rest_after_a_refusal() {
        let now = Instant::now();
        let pick = |keys: &Keys, now| keys.pick(now).map(|(at, _)| at);
        let turns = keys(Rotation::RoundRobin);
        assert_eq!(
            [0; 4].map(|_| pick(&turns, now)),
            [Some(0), Some(1), Some(2), Some(0)]
        );
        let resting = keys(Rotation::OnRateLimit);
        assert_eq!([0; 2].map(|_| pick(&resting, now)), [Some(0), Some(0)]);
        resting.refused(0, now);
        assert_eq!(pick(&resting, now), Some(1));
        resting.refused(1, now);
        resting.refused(2, now);
        // All rest: the one that was refused first is tried.
        assert_eq!(pick(&resting, now), Some(0));
        resting.refused(0, now);
        assert_eq!(pick(&resting, now + REST * 2), Some(1));
    }
}
