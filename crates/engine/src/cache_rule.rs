//! Which cache rule applies to a request, and the mode that results (data-plane 14).
