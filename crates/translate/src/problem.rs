//! Why a body cannot be read or written. The gateway turns this into the caller's error.

use std::fmt;

/// What is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The body is not what its dialect allows (400 `bad_request`).
    Bad {
        /// What is wrong.
        message: String,
        /// Where, as a path in the body; may be empty.
        param: String,
    },
    /// The chosen provider cannot be given this, and leaving it out would change the meaning
    /// (400 `unsupported_parameter`).
    Unsupported {
        /// The parameter, as the caller spelled it.
        param: String,
        /// Names the parameter, the lane, the reason and the remedy (providers 13).
        message: String,
    },
}

impl Problem {
    /// A body that its dialect does not allow.
    #[must_use]
    pub fn bad(message: impl Into<String>, param: impl Into<String>) -> Self {
        Self::Bad {
            message: message.into(),
            param: param.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad { message, .. } | Self::Unsupported { message, .. } => f.write_str(message),
        }
    }
}

impl std::error::Error for Problem {}
