//! Compiled providers, shared by all keys that reach them.
//!
//! A key's bundle would otherwise hold a copy of every provider within its reach, credentials and parsed
//! addresses included. Must never keep a provider alive or hand out one of another revision than the row
//! that was read. Start at [`Shelf`].

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use lw_core::ModelProviderId;
use lw_store::rows::ModelProvider;
use parking_lot::Mutex;

use crate::bundle::CompileError;
use crate::lane::Lane;
use crate::lane::compile::{Compiler, compile_lane};

/// Lanes that some bundle holds, so that keys that reach the same provider share one. Weak: it keeps nothing
/// alive, and a change of the row is another lane.
#[derive(Debug, Default)]
pub struct Shelf(Mutex<Shelved>);

#[derive(Debug, Default)]
struct Shelved {
    lanes: HashMap<ModelProviderId, (i64, Weak<Lane>)>,
    /// How many entries there may be before those that nobody holds are swept.
    most: usize,
}

/// Entries below which sweeping is not worth it.
const SWEPT_FROM: usize = 256;

impl Shelf {
    /// The lane of a row; `None` for a kind that has none yet.
    ///
    /// # Errors
    /// The row cannot be compiled.
    pub(crate) fn lane(
        &self,
        row: &ModelProvider,
        compiler: &Compiler,
    ) -> Result<Option<Arc<Lane>>, CompileError> {
        let held = {
            let shelved = self.0.lock();
            let found = shelved.lanes.get(&row.id);
            found
                .and_then(|(revision, lane)| (*revision == row.revision).then(|| lane.upgrade())?)
        };
        if held.is_some() {
            return Ok(held);
        }
        // Outside of the lock: opening credentials takes a while, and twice does no harm.
        let Some(lane) = compile_lane(row, compiler)?.map(Arc::new) else {
            return Ok(None);
        };
        let mut shelved = self.0.lock();
        if shelved.lanes.len() >= shelved.most.max(SWEPT_FROM) {
            shelved.lanes.retain(|_, (_, lane)| lane.strong_count() > 0);
            shelved.most = shelved.lanes.len() * 2;
        }
        let entry = (row.revision, Arc::downgrade(&lane));
        shelved.lanes.insert(row.id.clone(), entry);
        Ok(Some(lane))
    }
}

#[cfg(test)]
mod tests {
    use lw_cloud::Ambient;
    use lw_core::{OrganizationId, SystemEntropy, UnixMicros};
    use lw_crypto::{Place, Sealer, SealingKey};
    use lw_store::rows::RateLimit;

    use super::*;
    use crate::lane::compile::AmbientIdentity;

    fn compiler() -> Compiler {
        let (key, _) = SealingKey::generate(&SystemEntropy);
        Compiler {
            sealer: Arc::new(Sealer::new(&key, &[])),
            ambient: AmbientIdentity::new(Ambient::Refused),
            guard: Arc::default(),
        }
    }

    fn row(sealer: &Sealer, name: &str) -> ModelProvider {
        let id = ModelProviderId::parse(&format!("mp_{name}")).expect("an id");
        let place = Place {
            table: "model_providers",
            column: "sealed_keys",
            row_id: id.as_str(),
        };
        let keys = br#"{"OPENAI_API_KEY":"sk-1"}"#;
        ModelProvider {
            sealed_keys: sealer.seal(keys, place, &SystemEntropy).expect("seals"),
            id,
            organization_id: OrganizationId::parse("org_a").expect("an id"),
            name: name.to_owned(),
            provider: "openai".to_owned(),
            routing_handle: None,
            enabled: true,
            scopes: Vec::new(),
            sealed_extra_headers: None,
            custom_models: None,
            custom_embeddings_models: None,
            deployment_mapping: None,
            rate_limit: RateLimit::default(),
            fallback_priority_global: None,
            provider_config: None,
            disabled_at: None,
            revision: 1,
            created_at: UnixMicros(0),
            updated_at: UnixMicros(0),
        }
    }

    #[test]
    fn keys_share_a_provider_until_it_changes_and_nothing_is_kept_for_nobody() {
        let (compiler, shelf) = (compiler(), Shelf::default());
        let mut row = row(&compiler.sealer, "a");
        let lane = |row: &ModelProvider| {
            let lane = shelf.lane(row, &compiler).expect("compiles");
            lane.expect("OpenAI has a lane")
        };
        let first = lane(&row);
        assert!(Arc::ptr_eq(&first, &lane(&row)));
        row.revision = 2;
        let second = lane(&row);
        assert!(!Arc::ptr_eq(&first, &second));
        let kept = Arc::downgrade(&second);
        drop((first, second));
        assert!(kept.upgrade().is_none());
    }

    #[test]
    fn what_nobody_holds_is_swept() {
        let (compiler, shelf) = (compiler(), Shelf::default());
        for name in 0..SWEPT_FROM * 3 {
            shelf
                .lane(&row(&compiler.sealer, &name.to_string()), &compiler)
                .expect("compiles");
        }
        assert!(shelf.0.lock().lanes.len() <= SWEPT_FROM);
    }
}
