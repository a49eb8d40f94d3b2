//! Seals and opens the secret columns of a provider row.
//!
//! A sealed value is bound to its table, its column and its row: copied elsewhere it does not open. Must
//! never put what it read into a message. Start at [`seal`].

use lw_core::{Code, Error};
use lw_crypto::Place;

use crate::Admin;

/// The column of the credential bag.
pub(super) const KEYS: &str = "sealed_keys";
/// The column of the extra headers.
pub(super) const EXTRA: &str = "sealed_extra_headers";

const fn place<'a>(column: &'a str, row_id: &'a str) -> Place<'a> {
    Place {
        table: "model_providers",
        column,
        row_id,
    }
}

/// Seals a value for a column of a row.
///
/// # Errors
/// `internal_error`.
pub(super) fn seal(
    admin: &Admin,
    value: &impl serde::Serialize,
    column: &str,
    row_id: &str,
) -> Result<String, Error> {
    let broken = || Error::new(Code::InternalError, "a credential could not be sealed");
    let text = serde_json::to_vec(value).map(lw_crypto::Zeroizing::new);
    let text = text.map_err(|error| broken().because(error))?;
    admin
        .sealer
        .seal(&text, place(column, row_id), admin.entropy.as_ref())
        .map_err(|error| broken().because(error))
}

/// Opens what [`seal`] made.
///
/// # Errors
/// `internal_error`: the sealing key is another one, or the row was altered.
pub(super) fn open<T: serde::de::DeserializeOwned>(
    admin: &Admin,
    sealed: &str,
    column: &str,
    row_id: &str,
) -> Result<T, Error> {
    let broken = || {
        Error::new(
            Code::InternalError,
            "a stored credential could not be opened",
        )
    };
    let text = admin
        .sealer
        .open(sealed, place(column, row_id))
        .map_err(|error| broken().because(error))?;
    // The parser's message could quote what it read: it stays out of the log.
    serde_json::from_slice(&text)
        .map_err(|_quotes| broken().because("it is not of the stored form"))
}
