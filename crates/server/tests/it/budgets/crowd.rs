//! Many callers at once against a cap that lets few of them through.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lw_store::ledger::{Certainty, EntryKind};
use serde_json::json;

use super::{CHAT, INPUT, MODEL, OUTPUT, Stand, body, most_of, refused, usd};
use crate::support::{Ask, Conn};

/// Callers at once.
const CALLERS: usize = 64;
/// Calls of each.
const CALLS: usize = 4;
/// What each may write, and writes.
const CAP: i64 = 10;
/// What each is reported to have read.
const READ: i64 = 140;

#[test]
fn a_crowd_never_spends_more_than_the_cap_of_its_team() {
    let stand = Stand::start();
    let (team, project) = stand.team("eng");
    let keys: Vec<_> = (0..4).map(|_| stand.key_of(&team, &project)).collect();
    let reported = json!({
        "delay_head_ms": 15, "usage": {"prompt_tokens": READ, "output_tokens": CAP},
    });
    let body = body(MODEL, Some(CAP), &reported);
    let (hold, cost) = (most_of(&body, CAP), READ * INPUT + CAP * OUTPUT);
    let limit = 20 * hold;
    let scope = json!({"kind": "team", "team_id": team});
    let budget = stand.budget(&scope, json!({ "limit_usd": usd(limit) }));
    let served = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    let ids = parking_lot::Mutex::new(Vec::new());
    std::thread::scope(|threads| {
        let watch = threads.spawn(|| {
            let mut looks = 0_usize;
            while !over.load(Ordering::Relaxed) {
                let spent = stand.shown(&budget)["spent_nano_usd"].as_i64();
                assert!(spent.is_some_and(|spent| spent <= limit), "{spent:?}");
                looks += 1;
            }
            looks
        });
        let callers: Vec<_> = (0..CALLERS)
            .map(|index| {
                let ask = Ask::post(CHAT, &keys[index % keys.len()].secret, &body);
                let (stand, budget, served, ids) = (&stand, &budget, &served, &ids);
                threads.spawn(move || {
                    let mut conn = Conn::open(stand.gateway.addr);
                    for _ in 0..CALLS {
                        let answer = conn.call(&ask);
                        if answer.status() == 200 {
                            served.fetch_add(1, Ordering::Relaxed);
                            ids.lock().push(answer.request_id());
                        } else {
                            refused(&answer, budget, "team", "month");
                        }
                    }
                })
            })
            .collect();
        let ended: Vec<_> = callers.into_iter().map(|caller| caller.join()).collect();
        // Before anything is asserted: the watcher must not go on for ever.
        over.store(true, Ordering::Relaxed);
        assert!(watch.join().expect("the watcher") > 0);
        assert!(ended.iter().all(Result::is_ok), "a caller failed");
    });
    // All that fit at once fit: as many as there are holds in the limit.
    let at_least = usize::try_from(limit / hold).expect("a count");
    let served_at_once = served.load(Ordering::Relaxed);
    assert!(
        (at_least..CALLERS * CALLS).contains(&served_at_once),
        "{served_at_once} were served"
    );
    // One after the other they go on until the last one does not fit: no hold was left behind.
    let ask = Ask::post(CHAT, &keys[0].secret, &body);
    let mut conn = Conn::open(stand.gateway.addr);
    let last = loop {
        let answer = conn.call(&ask);
        if answer.status() != 200 {
            break answer;
        }
        ids.lock().push(answer.request_id());
    };
    refused(&last, &budget, "team", "month");
    let count = i64::try_from(ids.lock().len()).expect("a count");
    assert_eq!(count, (limit - hold) / cost + 1);
    let book = stand.gateway.book();
    for id in ids.into_inner() {
        let entry = book.ended(&id);
        assert_eq!(
            (entry.kind, entry.certainty, entry.amount.0),
            (EntryKind::Settle, Certainty::Exact, cost)
        );
        assert_eq!(book.hold(&id).0, hold);
    }
    let spent = stand.spent_after(&budget, &last.request_id());
    assert_eq!(spent, count * cost);
    let generated = stand.mock.truth();
    assert_eq!(i64::try_from(generated.len()).expect("a count"), count);
}
