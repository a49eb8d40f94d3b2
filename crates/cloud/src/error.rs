//! What can go wrong on the way to a credential, in words for the operator who has to mend it.
//!
//! Every text says what to do. None can hold a secret: the only words that come from outside are a host
//! name, a status and an error code that passed [`crate::exchange`]'s filter. Start at [`CloudError`].

use std::fmt;

use crate::outside::{FileFailure, HttpFailure};

/// Whose credential it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// Amazon Web Services: Bedrock.
    Aws,
    /// Google Cloud: Vertex AI.
    Google,
    /// Microsoft Entra ID: Azure OpenAI.
    Azure,
}

impl Cloud {
    /// The error for a credential of this cloud that cannot be used.
    pub(crate) const fn invalid(self, why: &'static str) -> CloudError {
        CloudError::Invalid { cloud: self, why }
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aws => "AWS",
            Self::Google => "Google",
            Self::Azure => "Azure",
        })
    }
}

/// Why there is no credential. Shared by all who waited for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloudError {
    /// The row holds no credential, and the machine's own may not be used.
    #[error(
        "the provider has no {cloud} credential and may not use the gateway's own: store a credential, \
         or start the gateway with LW_GATEWAY_ALLOW_AMBIENT_CLOUD_IDENTITY=true"
    )]
    AmbientRefused {
        /// Whose identity was asked for.
        cloud: Cloud,
    },
    /// The machine has no identity in that cloud.
    #[error("the gateway has no {cloud} identity: {hint}")]
    NoIdentity {
        /// Whose identity was looked for.
        cloud: Cloud,
        /// What would give it one.
        hint: &'static str,
    },
    /// A stored credential, or what the environment says, cannot be used as it is.
    #[error("the {cloud} credential cannot be used: {why}")]
    Invalid {
        /// Whose credential it is.
        cloud: Cloud,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file that holds a part of the credential could not be read.
    #[error("the file that {named_by} names {failure}")]
    File {
        /// The variable or field that names the file.
        named_by: &'static str,
        /// What happened.
        failure: FileFailure,
    },
    /// No answer from where the token comes from.
    #[error("{endpoint} {failure}, so there is no token")]
    Transport {
        /// Host of the endpoint.
        endpoint: String,
        /// What happened.
        failure: HttpFailure,
    },
    /// The endpoint does not give a token.
    #[error("{endpoint} refused to issue a token (status {status}{code}): {hint}")]
    Refused {
        /// Host of the endpoint.
        endpoint: String,
        /// HTTP status.
        status: u16,
        /// The endpoint's own code for it.
        code: RefusalCode,
        /// What usually mends it.
        hint: &'static str,
    },
    /// The endpoint's answer is not what its documentation says.
    #[error("{endpoint} sent an answer without a usable token: {why}")]
    Answer {
        /// Host of the endpoint.
        endpoint: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The token was of no use on arrival.
    #[error(
        "the {cloud} token had expired when it arrived: check the clock of the gateway's machine"
    )]
    AlreadyExpired {
        /// Who issued it.
        cloud: Cloud,
    },
    /// All requests for one token together took too long.
    #[error("fetching the token took longer than {seconds} s")]
    TimedOut {
        /// The limit, in seconds.
        seconds: u64,
    },
    /// The exchange was dropped several times, which happens when the process stops.
    #[error("fetching the token was given up")]
    Abandoned,
}

impl CloudError {
    /// Whether the same credential may work a moment later without anybody doing something.
    #[must_use]
    pub fn temporary(&self) -> bool {
        match self {
            Self::AmbientRefused { .. }
            | Self::NoIdentity { .. }
            | Self::Invalid { .. }
            | Self::File { .. } => false,
            Self::Transport { failure, .. } => *failure != HttpFailure::Refused,
            Self::Refused { status, .. } => *status == 429 || *status == 408 || *status >= 500,
            Self::Answer { .. }
            | Self::AlreadyExpired { .. }
            | Self::TimedOut { .. }
            | Self::Abandoned => true,
        }
    }
}

impl CloudError {
    /// Of the last place of a chain: when nothing is there, the machine has no identity in `cloud`, and
    /// `hint` says what would give it one.
    pub(crate) fn nobody_there(self, cloud: Cloud, hint: &'static str) -> Self {
        match self {
            Self::Transport {
                failure: HttpFailure::Unreachable | HttpFailure::TimedOut,
                ..
            } => Self::NoIdentity { cloud, hint },
            other => other,
        }
    }
}

/// An endpoint's own code for its refusal, such as `invalid_grant`; may be absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RefusalCode(pub(crate) Option<String>);

impl RefusalCode {
    /// The code.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_str() {
            Some(code) => write!(f, ", {code}"),
            None => Ok(()),
        }
    }
}
