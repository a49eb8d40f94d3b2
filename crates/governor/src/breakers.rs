//! Circuit breakers by credential.
