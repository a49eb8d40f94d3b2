//! Text that must not be seen.
//!
//! A [`Secret`] has no `Display`, no `Serialize` and no `PartialEq`; its `Debug` is redacted and its
//! memory is wiped when it is dropped. Opening one is spelled [`Secret::expose`], so that a search for
//! that word finds every place that looks inside.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

/// A secret text: a provider credential, a virtual key, an API key, a sealing key.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes ownership of `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into_boxed_str())
    }

    /// The text itself. Every use is a place to review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Length in bytes, which may be shown (`set(len=N)`).
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares in a time that depends on the lengths only.
    #[must_use]
    pub fn same_as(&self, other: &str) -> bool {
        self.0.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "set(len={})", self.0.len())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        let secret = Secret::new("sk-very-secret");
        assert_eq!(format!("{secret:?}"), "set(len=14)");
        assert!(secret.same_as("sk-very-secret"));
        assert!(!secret.same_as("sk-very-secret2"));
    }
}
