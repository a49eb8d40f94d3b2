//! Owners of what is kept at providers, in the ledger's file.
//!
//! Written with the rows of the requests that made them, or at once for what is made by itself. Start at
//! [`record`].

use lw_core::{ModelProviderId, ProjectId, UnixMicros};
use lw_store::StoreError;
use lw_store::ledger::Entry;
use lw_store::objects::ProviderObjects;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Names, SqliteLedger, corrupt};
use crate::sqlite::DbError;

/// The first owner stays.
const RECORD: &str = "INSERT INTO provider_object (provider_id, object, project_id, at) \
    VALUES ($1, $2, $3, $4) ON CONFLICT (provider_id, object) DO NOTHING";

const KEEP: &str = "INSERT INTO provider_object (provider_id, object, project_id, at) \
    VALUES ($1, $2, $3, $4) ON CONFLICT (provider_id, object) \
    DO UPDATE SET project_id = excluded.project_id, at = excluded.at";

const OWNER: &str = "SELECT p.text FROM provider_object o JOIN name p ON p.id = o.project_id \
    WHERE o.provider_id = (SELECT id FROM name WHERE text = $1) AND o.object = $2";

/// Records what the requests of `entries` made.
pub(super) fn record(db: &Connection, names: &mut Names, entries: &[Entry]) -> Result<(), DbError> {
    for entry in entries.iter().filter(|entry| !entry.made.is_empty()) {
        let provider = entry.model_provider_id.as_ref();
        let Some(provider) = names.text(db, provider.map(ModelProviderId::as_str))? else {
            continue;
        };
        let project = names.text(db, Some(entry.project_id.as_str()))?;
        let mut statement = db.prepare_cached(RECORD)?;
        for object in &entry.made {
            statement.execute(params![provider, object, project, entry.at.0])?;
        }
    }
    Ok(())
}

impl ProviderObjects for SqliteLedger {
    fn owners(
        &self,
        provider: &ModelProviderId,
        ids: &[String],
    ) -> Result<Vec<Option<ProjectId>>, StoreError> {
        self.database.read(|db| {
            let mut statement = db.prepare_cached(OWNER)?;
            let mut owners = Vec::with_capacity(ids.len());
            for id in ids {
                let found: Option<String> = statement
                    .query_row(params![provider.as_str(), id], |row| row.get(0))
                    .optional()?;
                let owner = found.map(|id| ProjectId::parse(&id)).transpose();
                owners.push(owner.map_err(|_| corrupt("provider_object.project_id"))?);
            }
            Ok(owners)
        })
    }

    fn keep(
        &self,
        provider: &ModelProviderId,
        project: &ProjectId,
        id: &str,
        at: UnixMicros,
    ) -> Result<(), StoreError> {
        // Not those of the writer: a transaction that fails must leave no number behind.
        let mut names = Names::default();
        self.database.write(|db| {
            let provider = names.text(db, Some(provider.as_str()))?;
            let project = names.text(db, Some(project.as_str()))?;
            db.prepare_cached(KEEP)?
                .execute(params![provider, id, project, at.0])?;
            Ok(())
        })
    }
}
