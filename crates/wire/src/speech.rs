//! The words of a request or an answer: taken out for guardrails, and put back changed (data-plane 16).
