//! The numbers that stand on rows instead of ids and texts, so that a row stays small.
//!
//! What is remembered is good as long as the transaction that gave the numbers out was committed: a failed
//! one takes them back, and its memory with it. Start at [`Names`].

use std::collections::HashMap;

use lw_core::{OrganizationId, ProjectId, VirtualKeyId};
use lw_store::ledger::Entry;
use rusqlite::{Connection, params};

use super::budgets;
use crate::sqlite::DbError;

/// Most ids that are remembered with their numbers before the memory is started afresh.
const NAMES_MAX: usize = 65_536;

const ACCOUNT: &str = "INSERT INTO account (virtual_key_id, project_id, organization_id) \
    VALUES ($1, $2, $3) ON CONFLICT (virtual_key_id, project_id, organization_id) \
    DO UPDATE SET virtual_key_id = excluded.virtual_key_id RETURNING id";

const NAME: &str = "INSERT INTO name (text) VALUES ($1) \
    ON CONFLICT (text) DO UPDATE SET text = excluded.text RETURNING id";

/// Numbers of ids that repeat on every row.
#[derive(Debug, Default)]
pub(super) struct Names {
    accounts: HashMap<VirtualKeyId, Vec<(ProjectId, OrganizationId, i64)>>,
    texts: HashMap<Box<str>, i64>,
    /// Lists of buckets whose buckets are in the file.
    lists: HashMap<Box<str>, i64>,
    /// Entries of such lists: the buckets.
    buckets: HashMap<Box<str>, i64>,
}

impl Names {
    /// The number of the account that an entry is on.
    pub(super) fn account(&mut self, db: &Connection, entry: &Entry) -> Result<i64, DbError> {
        let Entry {
            organization_id,
            project_id,
            virtual_key_id,
            ..
        } = entry;
        let known = self.accounts.get(virtual_key_id).into_iter().flatten();
        for (project, organization, id) in known {
            if project == project_id && organization == organization_id {
                return Ok(*id);
            }
        }
        let ids = params![
            virtual_key_id.as_str(),
            project_id.as_str(),
            organization_id.as_str()
        ];
        let id = db
            .prepare_cached(ACCOUNT)?
            .query_row(ids, |row| row.get(0))?;
        if self.accounts.len() >= NAMES_MAX {
            self.accounts.clear();
        }
        let accounts = self.accounts.entry(virtual_key_id.clone()).or_default();
        accounts.push((project_id.clone(), organization_id.clone(), id));
        Ok(id)
    }

    /// The number of a text, if there is one.
    pub(super) fn text(
        &mut self,
        db: &Connection,
        text: Option<&str>,
    ) -> Result<Option<i64>, DbError> {
        let Some(text) = text else {
            return Ok(None);
        };
        if let Some(id) = self.texts.get(text) {
            return Ok(Some(*id));
        }
        let id = db
            .prepare_cached(NAME)?
            .query_row(params![text], |row| row.get(0))?;
        if self.texts.len() >= NAMES_MAX {
            self.texts.clear();
        }
        self.texts.insert(Box::from(text), id);
        Ok(Some(id))
    }

    /// The number of a list of buckets; none of an empty one.
    pub(super) fn list(&mut self, db: &Connection, text: &str) -> Result<Option<i64>, DbError> {
        if text.is_empty() {
            return Ok(None);
        }
        if let Some(id) = self.lists.get(text) {
            return Ok(Some(*id));
        }
        let id: i64 = db
            .prepare_cached(NAME)?
            .query_row(params![text], |row| row.get(0))?;
        for entry in budgets::entries(text) {
            if let Some(bucket) = self.bucket(db, &entry)? {
                budgets::put_on_list(db, id, bucket)?;
            }
        }
        if self.lists.len() >= NAMES_MAX {
            self.lists.clear();
        }
        self.lists.insert(Box::from(text), id);
        Ok(Some(id))
    }

    /// The number of the bucket that an entry of a list names; none if it names no budget.
    fn bucket(&mut self, db: &Connection, entry: &str) -> Result<Option<i64>, DbError> {
        if let Some(id) = self.buckets.get(entry) {
            return Ok(Some(*id));
        }
        let Some(id) = budgets::named(db, entry)? else {
            return Ok(None);
        };
        if self.buckets.len() >= NAMES_MAX {
            self.buckets.clear();
        }
        self.buckets.insert(Box::from(entry), id);
        Ok(Some(id))
    }
}
