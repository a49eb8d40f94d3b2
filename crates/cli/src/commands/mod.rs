//! The command groups: what each takes, sends and prints.
//!
//! A command reads its flags, makes one or a few calls, and hands the answer to the printer in the
//! shape that the specification of the command line gives.

pub(crate) mod account;
pub(crate) mod config;
pub(crate) mod env;
pub(crate) mod model_provider;
mod model_provider_view;
pub(crate) mod trace;
mod trace_digest;
mod virtual_key_flags;
mod virtual_key_view;
pub(crate) mod virtual_keys;

use crate::json::Json;

/// The object itself, whether the server wrapped it in `{name: …}` or not.
fn bare(mut answer: Json, name: &str) -> Json {
    match answer.take(name) {
        Some(inner @ Json::Object(_)) => inner,
        Some(other) => {
            answer.set(name, other);
            answer
        }
        None => answer,
    }
}
