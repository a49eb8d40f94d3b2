//! Many callers at once against a cap that lets few of them through.

use std::sync::atomic::{AtomicBool, Ordering};

use lw_store::ledger::{Certainty, EntryKind};
use serde_json::{Value, json};

use super::{CHAT, INPUT, MODEL, OUTPUT, Stand, body, most_of, refused, usd};
use crate::support::{Ask, Conn, Key};

/// Callers at once.
const CALLERS: usize = 64;
/// Calls of each.
const CALLS: usize = 4;
/// What each may write, and writes.
const CAP: i64 = 10;
/// What each is reported to have read.
const READ: i64 = 140;

/// A crowd and the budget that it spends.
struct Crowd<'a> {
    stand: &'a Stand,
    keys: Vec<Key>,
    body: Value,
    budget: String,
    scope: &'static str,
    limit: i64,
    /// An administrator reads what was spent: not of a template.
    shown: bool,
}

impl Crowd<'_> {
    fn ask(&self, index: usize) -> Ask {
        Ask::post(CHAT, &self.keys[index % self.keys.len()].secret, &self.body)
    }

    /// All at once; returns the ids of those that were served.
    fn rush(&self) -> Vec<String> {
        let over = AtomicBool::new(false);
        std::thread::scope(|threads| {
            let watch = threads.spawn(|| self.watch(&over));
            let call = |index: usize| {
                let mut conn = Conn::open(self.stand.gateway.addr);
                let ask = self.ask(index);
                let mut served = Vec::new();
                for _ in 0..CALLS {
                    let answer = conn.call(&ask);
                    if answer.status() == 200 {
                        served.push(answer.request_id());
                    } else {
                        refused(&answer, &self.budget, self.scope, "month");
                    }
                }
                served
            };
            let callers: Vec<_> = (0..CALLERS)
                .map(|index| threads.spawn(move || call(index)))
                .collect();
            let ended: Vec<_> = callers.into_iter().map(|caller| caller.join()).collect();
            // Before anything is asserted: the watcher must not go on for ever.
            over.store(true, Ordering::Relaxed);
            watch.join().expect("the watcher");
            let served = ended.into_iter().map(|ended| ended.expect("a caller"));
            served.flatten().collect()
        })
    }

    /// Reads the figure again and again, and touches the budget, so that what governs the keys is compiled
    /// anew under their calls.
    fn watch(&self, over: &AtomicBool) {
        let mut looks = 0_usize;
        while looks == 0 || !over.load(Ordering::Relaxed) {
            let spent = self.stand.shown(&self.budget)["spent_nano_usd"].as_i64();
            assert_eq!(spent.is_some(), self.shown);
            assert!(spent.unwrap_or(0) <= self.limit, "{spent:?}");
            let touched = json!({ "description": format!("seen {looks} times") });
            self.stand.patch(&self.budget, &touched);
            looks += 1;
        }
    }

    /// One after the other until the last one does not fit; returns the ids of those that were served.
    fn file(&self) -> Vec<String> {
        let mut conn = Conn::open(self.stand.gateway.addr);
        let ask = self.ask(0);
        let mut served = Vec::new();
        loop {
            let answer = conn.call(&ask);
            if answer.status() != 200 {
                refused(&answer, &self.budget, self.scope, "month");
                return served;
            }
            served.push(answer.request_id());
        }
    }
}

#[test]
fn a_crowd_never_spends_more_than_the_cap_of_its_team() {
    let stand = Stand::start();
    let (team, project) = stand.team("eng");
    let keys = (0..4).map(|_| stand.key_of(&team, &project)).collect();
    let scope = json!({"kind": "team", "team_id": team});
    never_spends_more(&stand, keys, "team", &scope, None);
}

#[test]
fn a_crowd_of_one_end_user_never_spends_more_than_that_users_allowance() {
    let stand = Stand::start();
    let (team, project) = stand.team("eng");
    let keys = (0..4).map(|_| stand.key_of(&team, &project)).collect();
    let scope = json!({"kind": "attributed_user", "anchor_project_id": project});
    never_spends_more(&stand, keys, "attributed_user", &scope, Some("everybody"));
}

fn never_spends_more(
    stand: &Stand,
    keys: Vec<Key>,
    scope_name: &'static str,
    scope: &Value,
    user: Option<&str>,
) {
    let reported = json!({
        "delay_head_ms": 15, "usage": {"prompt_tokens": READ, "output_tokens": CAP},
    });
    let mut body = body(MODEL, Some(CAP), &reported);
    if let Some(user) = user {
        body["user"] = user.into();
    }
    let (hold, cost) = (most_of(&body, CAP), READ * INPUT + CAP * OUTPUT);
    let limit = 20 * hold;
    let crowd = Crowd {
        stand,
        keys,
        body,
        budget: stand.budget(scope, json!({ "limit_usd": usd(limit) })),
        scope: scope_name,
        limit,
        shown: user.is_none(),
    };
    let mut ids = crowd.rush();
    // All that fit at once fit: as many as there are holds in the limit.
    let at_least = usize::try_from(limit / hold).expect("a count");
    let most = CALLERS * CALLS;
    assert!(
        (at_least..most).contains(&ids.len()),
        "{} served",
        ids.len()
    );
    // They go on one after the other until the last one does not fit: no hold was left behind.
    ids.extend(crowd.file());
    let count = i64::try_from(ids.len()).expect("a count");
    assert_eq!(count, (limit - hold) / cost + 1);
    let book = stand.gateway.book();
    for id in &ids {
        let entry = book.ended(id);
        assert_eq!(
            (entry.kind, entry.certainty, entry.amount.0),
            (EntryKind::Settle, Certainty::Exact, cost)
        );
        assert_eq!(book.hold(id).0, hold);
    }
    if crowd.shown {
        let shown = stand.shown(&crowd.budget);
        assert_eq!(shown["spent_nano_usd"], count * cost);
    }
    let generated = stand.mock.truth().len();
    assert_eq!(generated, ids.len(), "nobody else was dialled");
}
