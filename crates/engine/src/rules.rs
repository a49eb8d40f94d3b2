//! Policy rules: compiled, and what they say of a request (data-plane 11).
