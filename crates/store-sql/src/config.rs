//! The management plane's rows on SQLite: [`lw_store::config::ConfigStore`] for the control plane, [`lw_store::bundle::KeySource`] for the
//! data plane, over one file.
//!
//! Everything is written by `write.rs`: it does the writes, `changes.rs` appends the events, the audit rows
//! and the receipt, and only then the transaction commits. Reads come from one moment each. Statements are
//! in one file per aggregate; `ports.rs` leads from the traits to them.
//!
//! Must never return a row of another organization than the one that was asked for; composite foreign
//! keys refuse to store one that crosses. Start at [`SqliteConfig::open`].

mod access;
mod api_keys;
mod budgets;
mod bundle;
mod changes;
mod columns;
mod conditions;
mod document;
mod keys;
mod people;
mod policies;
mod ports;
mod providers;
mod reach;
mod receipts;
mod scopes;
mod statement;
mod tenants;
#[cfg(test)]
mod tests;
mod write;

use std::path::Path;

use lw_store::StoreError;

use crate::migrations::Migration;
use crate::sqlite::{Database, Tuning};

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        sql: include_str!("config/0001_first.sql"),
    },
    Migration {
        version: 2,
        sql: include_str!("config/0002_management.sql"),
    },
    Migration {
        version: 3,
        sql: include_str!("config/0003_concurrency.sql"),
    },
    Migration {
        version: 4,
        sql: include_str!("config/0004_places_of_a_person.sql"),
    },
];

/// The configuration database in one SQLite file.
#[derive(Debug)]
pub struct SqliteConfig {
    db: Database,
}

impl SqliteConfig {
    /// Opens the file, or creates it readable by its owner only, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file cannot be opened or is locked by another process;
    /// [`StoreError::Corrupt`] when it is not a database, or was written by a newer version.
    pub fn open(path: &Path, tuning: Tuning) -> Result<Self, StoreError> {
        Database::open(path, tuning, MIGRATIONS).map(|db| Self { db })
    }
}
