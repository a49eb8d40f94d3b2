//! Flags that several command groups share, and how values enter a body.

use clap::{Args, ValueEnum};

use crate::args::{pairs_object, parse_pair};
use crate::error::CliError;
use crate::json::Json;

/// What happens when a limit is reached.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Breach {
    Block,
    Warn,
}

/// Makes repeating a create safe.
#[derive(Args, Debug)]
pub(super) struct IdempotencyFlag {
    /// Makes repeating the call safe: the same key gives the same answer for 24 hours
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl IdempotencyFlag {
    pub(super) fn key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }
}

/// The caller's own names for a resource.
#[derive(Args, Debug)]
pub(super) struct LabelFlags {
    /// Your own id for it, unique in the organization
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,

    /// Your own label for it (repeatable; replaces all labels on update)
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    metadata: Vec<(String, String)>,
}

impl LabelFlags {
    /// An empty external id clears the stored one.
    pub(super) fn add_to(&self, body: &mut Json) {
        match self.external_id.as_deref().map(str::trim) {
            Some("") => body.set("external_id", Json::Null),
            id => set_text(body, "external_id", id),
        }
        if !self.metadata.is_empty() {
            body.set("metadata", pairs_object(&self.metadata));
        }
    }
}

/// Sets the field when there is a value.
pub(super) fn set_text(body: &mut Json, field: &str, value: Option<&str>) {
    if let Some(value) = value {
        body.set(field, value.into());
    }
}

/// Sets the field to the API's spelling of the value, when there is one.
pub(super) fn set_value<T: ValueEnum>(body: &mut Json, field: &str, value: Option<T>) {
    if let Some(value) = value {
        body.set(field, spelling(&value).into());
    }
}

/// Sets the field to a whole number, when there is one.
pub(super) fn set_number(body: &mut Json, field: &str, value: Option<impl Into<i64>>) {
    if let Some(value) = value {
        body.set(field, Json::from(value.into()));
    }
}

/// Sets the fields of the given clear flags to null.
pub(super) fn set_nulls(body: &mut Json, clears: &[(bool, &str)]) {
    for (_, field) in clears.iter().filter(|(clear, _)| *clear) {
        body.set(field, Json::Null);
    }
}

/// The value as the API spells it: dashes are underscores there.
pub(super) fn spelling<T: ValueEnum>(value: &T) -> String {
    value
        .to_possible_value()
        .map(|value| value.get_name().replace('-', "_"))
        .unwrap_or_default()
}

/// The body of an update, unless it says nothing.
pub(super) fn something(body: Json, flags: &str) -> Result<Json, CliError> {
    if body.fields().is_empty() {
        let text = format!("nothing to update. Provide at least one of {flags}.");
        return Err(CliError::usage(text));
    }
    Ok(body)
}

/// Ceilings of a key or a provider.
#[derive(Args, Debug)]
pub(super) struct LimitFlags {
    /// Requests a minute
    #[arg(long, value_name = "N")]
    rpm: Option<u32>,

    /// Tokens a minute
    #[arg(long, value_name = "N")]
    tpm: Option<u32>,

    /// Requests a day
    #[arg(long, value_name = "N")]
    rpd: Option<u32>,

    /// Requests that are open at the same time
    #[arg(long, value_name = "N")]
    concurrent: Option<u32>,
}

impl LimitFlags {
    /// Sets the ceilings that were given; whether there was one.
    pub(super) fn add_to(&self, limits: &mut Json) -> bool {
        let Self {
            rpm,
            tpm,
            rpd,
            concurrent,
        } = self;
        let given = [
            ("rpm", *rpm),
            ("tpm", *tpm),
            ("rpd", *rpd),
            ("concurrent", *concurrent),
        ];
        for (name, limit) in given {
            set_number(limits, name, limit);
        }
        given.iter().any(|(_, limit)| limit.is_some())
    }
}

/// Ceilings to take away, beside [`LimitFlags`].
#[derive(Args, Debug)]
pub(super) struct ClearLimitFlags {
    /// Remove the limit of requests a minute
    #[arg(long, conflicts_with = "rpm")]
    clear_rpm: bool,

    /// Remove the limit of tokens a minute
    #[arg(long, conflicts_with = "tpm")]
    clear_tpm: bool,

    /// Remove the limit of requests a day
    #[arg(long, conflicts_with = "rpd")]
    clear_rpd: bool,

    /// Remove the limit of requests at the same time
    #[arg(long, conflicts_with = "concurrent")]
    clear_concurrent: bool,
}

impl ClearLimitFlags {
    /// Sets the ceilings that are to go to null; whether there was one.
    pub(super) fn add_to(&self, limits: &mut Json) -> bool {
        let Self {
            clear_rpm,
            clear_tpm,
            clear_rpd,
            clear_concurrent,
        } = self;
        let clears = [
            (*clear_rpm, "rpm"),
            (*clear_tpm, "tpm"),
            (*clear_rpd, "rpd"),
            (*clear_concurrent, "concurrent"),
        ];
        set_nulls(limits, &clears);
        clears.iter().any(|(clear, _)| *clear)
    }
}
