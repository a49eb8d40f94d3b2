//! A bearer token, ready to be put on a request.

use http::HeaderValue;
use lw_core::Secret;

/// An access token. Its `Debug` is redacted and its header is marked sensitive.
#[derive(Debug, Clone)]
pub struct Bearer {
    token: Secret,
    header: HeaderValue,
}

impl Bearer {
    /// Takes `token`. `None` when it is empty or cannot stand in a header.
    #[must_use]
    pub fn new(token: Secret) -> Option<Self> {
        if token.is_empty() {
            return None;
        }
        let mut header = HeaderValue::try_from(format!("Bearer {}", token.expose())).ok()?;
        header.set_sensitive(true);
        Some(Self { token, header })
    }

    /// The value of the `Authorization` header.
    #[must_use]
    pub const fn header(&self) -> &HeaderValue {
        &self.header
    }

    /// The token alone, for taking it out of what a provider echoes.
    #[must_use]
    pub const fn token(&self) -> &Secret {
        &self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_does_not_show_itself() {
        let bearer = Bearer::new(Secret::new("ya29.very-secret")).expect("a token");
        assert_eq!(bearer.header(), "Bearer ya29.very-secret");
        assert!(bearer.header().is_sensitive());
        assert!(!format!("{bearer:?}").contains("very-secret"));
    }

    #[test]
    fn what_cannot_stand_in_a_header_is_no_token() {
        assert!(Bearer::new(Secret::new("")).is_none());
        assert!(Bearer::new(Secret::new("two\nlines")).is_none());
    }
}
