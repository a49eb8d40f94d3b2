//! The ledger and the traces, read from the files beside the running gateway.

use std::path::Path;
use std::sync::LazyLock;

use lw_core::{NanoUsd, RequestId, Usage};
use lw_engine::price::PriceCatalogue;
use lw_store::ledger::{Certainty, Entry, EntryKind, Ledger as _};
use lw_store::trace::{TraceRecord, TraceStore as _};
use lw_store_sql::Tuning;
use lw_store_sql::ledger::SqliteLedger;
use lw_store_sql::trace::SqliteTraces;

use super::eventually;

/// The books of a gateway.
pub(crate) struct Book {
    ledger: SqliteLedger,
    traces: SqliteTraces,
}

impl Book {
    pub(crate) fn open(data: &Path) -> Self {
        let tuning = Tuning::default();
        Self {
            ledger: SqliteLedger::open(&data.join("ledger.db"), tuning).expect("the ledger"),
            traces: SqliteTraces::open(&data.join("traces.db"), tuning).expect("the traces"),
        }
    }

    /// What stands about a request so far, oldest first.
    pub(crate) fn entries(&self, request_id: &str) -> Vec<Entry> {
        let id = RequestId::parse(request_id).expect("a request id");
        let record = self.ledger.request(id).expect("the ledger answers");
        record.map(|record| record.entries).unwrap_or_default()
    }

    /// Waits for the end of a request: its hold and exactly one settlement or release.
    pub(crate) fn ended(&self, request_id: &str) -> Entry {
        let entries = eventually("the request ends in the ledger", || {
            let entries = self.entries(request_id);
            entries
                .iter()
                .any(|entry| entry.kind != EntryKind::Hold)
                .then_some(entries)
        });
        let ends: Vec<&Entry> = entries
            .iter()
            .filter(|entry| entry.kind != EntryKind::Hold)
            .collect();
        assert_eq!(ends.len(), 1, "one outcome: {entries:#?}");
        ends[0].clone()
    }

    /// The hold of a request.
    pub(crate) fn hold(&self, request_id: &str) -> NanoUsd {
        let entries = self.entries(request_id);
        let hold = entries.iter().find(|entry| entry.kind == EntryKind::Hold);
        hold.unwrap_or_else(|| panic!("no hold: {entries:#?}"))
            .amount
    }

    /// Waits for the settlement of a request and checks that it is what the provider generated, at the
    /// catalogue's price.
    pub(crate) fn charged_exactly(&self, request_id: &str, kind: &str, truth: &lw_mock::Truth) {
        let entry = self.ended(request_id);
        let usage = usage(&truth.usage);
        assert_eq!(
            (entry.kind, entry.certainty),
            (EntryKind::Settle, Certainty::Exact)
        );
        assert_eq!(entry.usage, usage, "{truth:#?}");
        assert_eq!(
            entry.amount,
            price(kind, &truth.model, &usage),
            "{entry:#?}"
        );
        assert!(entry.priced, "{entry:#?}");
    }

    /// Waits for the trace of a request.
    pub(crate) fn trace(&self, request_id: &str) -> TraceRecord {
        let id = RequestId::parse(request_id).expect("a request id");
        eventually("the trace is stored", || {
            self.traces.by_request(id).expect("traces answer")
        })
    }
}

/// The mock's count in the product's words: there, audio is a part of input and output; here, it is not.
pub(crate) fn usage(truth: &lw_mock::Usage) -> Usage {
    Usage {
        input: truth.input - truth.audio_input,
        cache_read: truth.cached_read,
        cache_write_5m: truth.cache_write_5m,
        cache_write_1h: truth.cache_write_1h,
        output: truth.output - truth.audio_output,
        reasoning: truth.reasoning,
        input_audio: truth.audio_input,
        output_audio: truth.audio_output,
    }
}

/// What the bundled catalogue says that costs.
pub(crate) fn price(kind: &str, model: &str, usage: &Usage) -> NanoUsd {
    // Reading it takes a while in a debug build.
    static CATALOGUE: LazyLock<PriceCatalogue> =
        LazyLock::new(|| PriceCatalogue::bundled().expect("the catalogue"));
    let price = CATALOGUE.lookup(kind, model);
    let price = price.unwrap_or_else(|| panic!("no price for {model}"));
    price.cost(usage, None)
}
