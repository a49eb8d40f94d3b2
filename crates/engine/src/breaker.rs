//! The circuit breaker of one credential (data-plane 13.5).
