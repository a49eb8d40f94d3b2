//! Levels of rate limits by key and by provider.
