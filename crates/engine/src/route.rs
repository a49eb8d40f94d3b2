//! The chain of candidates and the walk along it (data-plane 13).
