//! Prompt-cache directives of bodies: found, removed, added (data-plane 14).
