//! The three views of one request, compared: caller, provider, ledger.
//!
//! The ledger is read with queries of our own. Start at [`Facts::check`].

use std::collections::BTreeMap;
use std::path::Path;

use lw_core::{NanoUsd, RequestId, Usage};
use lw_engine::price::{ModelPrice, PriceCatalogue};
use lw_mock::Truth;
use lw_store::ledger::{Certainty, Detail, EntryKind};
use rusqlite::{Connection, OpenFlags};

use super::PATIENCE;
use super::caller::{Called, Shape};

/// One request in the three views.
pub(crate) struct Facts<'a> {
    pub(crate) call: &'a Called,
    pub(crate) truth: Option<&'a Truth>,
    pub(crate) entries: Option<&'a [Entry]>,
    pub(crate) id: Option<RequestId>,
    /// The process was allowed to finish: nothing may be assumed.
    pub(crate) graceful: bool,
    pub(crate) prices: &'a PriceCatalogue,
}

impl Facts<'_> {
    /// What became of the request, or what is wrong with it.
    pub(crate) fn check(&self) -> Result<&'static str, String> {
        let Called {
            plan,
            status,
            request_id,
            complete,
            ..
        } = self.call;
        let Some(entries) = self.entries else {
            if status.is_some() {
                return Err("the caller has an answer, the ledger has nothing".to_owned());
            }
            return Ok("never_admitted");
        };
        let [hold, outcome] = entries else {
            return Err(format!("{} rows instead of two", entries.len()));
        };
        if hold.kind != EntryKind::Hold || (hold.attempt, outcome.attempt) != (0, 0) {
            return Err("not one hold and one outcome of one attempt".to_owned());
        }
        if !matches!(outcome.kind, EntryKind::Settle | EntryKind::Release) {
            return Err(format!("the outcome is {:?}", outcome.kind));
        }
        if let (Some(told), Some(id)) = (request_id, self.id)
            && *told != id.to_string().to_ascii_lowercase()
        {
            return Err(format!("the caller was told {told}, the ledger has {id}"));
        }
        let price = self.prices.lookup(plan.kind(), &outcome.model);
        let price = price.ok_or_else(|| format!("no price for {}", outcome.model))?;
        if !hold.priced || !outcome.priced || hold.amount <= NanoUsd::ZERO {
            return Err("no priced hold".to_owned());
        }
        if outcome.amount > hold.amount || outcome.amount < NanoUsd::ZERO {
            return Err("charged more than was held".to_owned());
        }
        let truth = self.truth.map(|truth| classes(&truth.usage));
        let cost = truth.map(|usage| price.cost(&usage, None));
        if cost.is_some_and(|cost| cost > hold.amount) {
            return Err(format!("the hold is less than the true cost {cost:?}"));
        }
        if self.graceful && outcome.certainty == Certainty::Orphaned {
            return Err("orphaned by a process that was allowed to finish".to_owned());
        }
        if self.graceful && !*complete && matches!(plan.shape, Shape::Plain | Shape::NoUsage) {
            return Err("cut off by a process that was allowed to finish".to_owned());
        }
        match outcome.certainty {
            Certainty::Orphaned if *complete => {
                Err("the caller has all of it, and the outcome was lost".to_owned())
            }
            Certainty::Orphaned if outcome.amount != hold.amount => {
                Err("an orphan is charged at its hold".to_owned())
            }
            Certainty::Orphaned if outcome.kind != EntryKind::Settle => {
                Err("an orphan is charged, not released".to_owned())
            }
            Certainty::Orphaned => Ok("orphaned"),
            Certainty::Estimated => self.estimated(outcome, &price),
            Certainty::Exact => self.exact(outcome, truth, cost),
        }
    }

    pub(crate) fn estimated(
        &self,
        outcome: &Entry,
        price: &ModelPrice,
    ) -> Result<&'static str, String> {
        let Called {
            plan,
            complete,
            read,
            status,
            ..
        } = self.call;
        if *complete && plan.shape == Shape::Plain {
            return Err("usage was reported, and the charge is an estimate".to_owned());
        }
        // What the caller read was delivered. Not every event of a stream has text.
        let framing = if plan.path == "/v1/chat/completions" {
            4
        } else {
            9
        };
        let words = if plan.stream && *status == Some(200) {
            read.saturating_sub(framing)
        } else {
            0
        };
        let delivered = Usage {
            input: self.truth.map_or(0, |truth| truth.usage.input),
            output: words as u64,
            ..Usage::default()
        };
        let least = price.cost(&delivered, None);
        if outcome.amount < least {
            return Err(format!("estimated below {least}, which was delivered"));
        }
        Ok("estimated")
    }

    pub(crate) fn exact(
        &self,
        outcome: &Entry,
        truth: Option<Usage>,
        cost: Option<NanoUsd>,
    ) -> Result<&'static str, String> {
        let Called { plan, complete, .. } = self.call;
        let free = outcome.kind == EntryKind::Release && outcome.amount == NanoUsd::ZERO;
        // A stream that begins with an error is an answer that refuses.
        let nothing = self.truth.is_some_and(|truth| truth.delivered_tokens == 0);
        if free && plan.shape == Shape::BreaksOff && nothing {
            return Ok("refused");
        }
        if plan.shape == Shape::Refused {
            return if free {
                Ok("refused")
            } else {
                Err("an error of the provider costs nothing".to_owned())
            };
        }
        let (Some(truth), Some(cost)) = (truth, cost) else {
            return Err("an exact charge, and the provider knows nothing of it".to_owned());
        };
        if outcome.kind == EntryKind::Release {
            return Err("released, although the provider worked".to_owned());
        }
        if plan.shape == Shape::NoUsage {
            return Err("no usage was reported, and the charge is not flagged".to_owned());
        }
        if outcome.detail.metadata.as_deref() != Some(plan.metadata.as_str()) {
            return Err("the metadata is another".to_owned());
        }
        if (outcome.usage, outcome.amount) != (truth, cost) {
            return Err(format!("exact is {truth:?}, which costs {cost}"));
        }
        let response_id = self.truth.map(|truth| truth.id.as_str());
        let response_id = response_id.filter(|id| !id.is_empty());
        if outcome.detail.response_id.as_deref() != response_id {
            return Err("the provider's id of the answer is another".to_owned());
        }
        Ok(if *complete { "complete" } else { "exact" })
    }
}

/// One row of the ledger, read without the product's own queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) attempt: u16,
    pub(crate) kind: EntryKind,
    pub(crate) amount: NanoUsd,
    pub(crate) certainty: Certainty,
    pub(crate) priced: bool,
    pub(crate) model: String,
    pub(crate) usage: Usage,
    pub(crate) detail: Detail,
}

pub(crate) type Rows = BTreeMap<[u8; 15], Vec<Entry>>;

/// All requests with an id above `after`.
pub(crate) fn rows(data: &Path, after: [u8; 15]) -> Rows {
    let path = data.join("ledger.db");
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a ledger");
    db.busy_timeout(PATIENCE).expect("a setting");
    let mut statement = db
        .prepare(
            "SELECT e.request_id, e.attempt, e.kind, e.amount, e.certainty, e.priced, m.text, \
             e.input, e.cache_read, e.cache_write_5m, e.cache_write_1h, e.output, e.reasoning, \
             e.input_audio, e.output_audio, e.detail \
             FROM entry e JOIN name m ON m.id = e.model_id \
             WHERE e.request_id > ?1 ORDER BY e.request_id, e.attempt, e.step",
        )
        .expect("the tables of the ledger");
    let mut found = Rows::new();
    let mut all = statement.query([after]).expect("rows");
    while let Some(row) = all.next().expect("a row") {
        let count = |column| u64::try_from(row.get::<_, i64>(column).expect("a count"));
        let count = |column| count(column).expect("a count that is not negative");
        let detail: String = row.get(15).expect("a detail");
        let entry = Entry {
            attempt: row.get(1).expect("an attempt"),
            kind: EntryKind::from_u8(row.get(2).expect("a kind")).expect("a kind"),
            amount: NanoUsd(row.get(3).expect("an amount")),
            certainty: Certainty::from_u8(row.get(4).expect("a certainty")).expect("a certainty"),
            priced: row.get(5).expect("a flag"),
            model: row.get(6).expect("a model"),
            usage: Usage {
                input: count(7),
                cache_read: count(8),
                cache_write_5m: count(9),
                cache_write_1h: count(10),
                output: count(11),
                reasoning: count(12),
                input_audio: count(13),
                output_audio: count(14),
            },
            detail: serde_json::from_str(&detail).expect("a detail"),
        };
        let id = row.get(0).expect("an id");
        found.entry(id).or_default().push(entry);
    }
    found
}

/// The provider's numbers in the classes of a bill, where audio stands beside input and output.
pub(crate) fn classes(usage: &lw_mock::Usage) -> Usage {
    Usage {
        input: usage.input - usage.audio_input,
        cache_read: usage.cached_read,
        cache_write_5m: usage.cache_write_5m,
        cache_write_1h: usage.cache_write_1h,
        output: usage.output - usage.audio_output,
        reasoning: usage.reasoning,
        input_audio: usage.audio_input,
        output_audio: usage.audio_output,
    }
}
