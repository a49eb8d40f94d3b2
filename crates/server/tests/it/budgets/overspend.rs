//! No budget is ever over its limit, whatever happens to the calls under it.
//!
//! Three tenants with 128 callers each stream answers whose lengths are log-normal. Callers hang up, the
//! provider refuses, breaks off and leaves usage out, and in the middle of it all the gateway is killed with
//! `kill -9` and started again. What the provider generated is the truth. The rules:
//!
//! - What is spent of a strict budget is never over its limit: not while the calls run, not after the crash
//!   has charged what nobody knows the end of, not in the end; neither in the ledger nor by the provider's
//!   count.
//! - What is spent of a soft budget is over its limit by no more than the frames in hand of the streams that
//!   were under way, and what the crash has charged.
//! - A call whose usage was reported is billed exactly; every other one between what was delivered and its
//!   hold, and is marked. A refused call costs nothing, and the provider does not know of it.
//! - Nothing stays held when nothing is under way.
//!
//! Chance has a seed, which a failure prints: `OVERSPEND_SEED` repeats it, and `OVERSPEND_ROUNDS` (1) kills
//! more often. Start at [`no_budget_is_ever_over_its_limit`].

mod traffic;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use lw_core::{Clock as _, NanoUsd, SystemClock, Usage};
use lw_engine::price::PriceCatalogue;
use lw_mock::Truth;
use lw_store::ledger::{Certainty, EntryKind};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::traffic::{Whose, caller};
use super::{Stand, usd};
use crate::crash::caller::Called;
use crate::crash::views::{Entry, Facts, Rows, classes, rows};
use crate::support::{Ask, Chance, Conn, Key, eventually, setting};

/// Callers of a tenant, each with one stream at a time.
const CALLERS: usize = 128;
/// Answers that have come to an end when the process is killed.
const BEFORE_THE_KILL: usize = 400;
/// Calls of each caller in the last round, which nobody kills.
const LAST_CALLS: usize = 3;
/// The longest that anything may take. Never a pace: only a test that hangs sees it.
const PATIENCE: Duration = Duration::from_secs(40);
/// What calls usually write, as the gateway is told: less than many do.
const USUAL: &str = "20";
/// What the streams of a tenant may have read together when they are told that the money has run out: each
/// the words of one read, in nano-dollars.
const FRAMES_IN_HAND: i64 = 128 * 32 * super::OUTPUT;

#[tokio::test]
async fn no_budget_is_ever_over_its_limit() {
    let mut world = World::new();
    let began = Instant::now();
    let rounds = setting("OVERSPEND_ROUNDS").unwrap_or(1);
    for round in 0..rounds {
        let calls = world.traffic(round, true).await;
        world.stand.gateway.restart();
        world.compare(round, &calls);
        world.refill();
        if !world.problems.is_empty() {
            break;
        }
    }
    if world.problems.is_empty() {
        let calls = world.traffic(rounds, false).await;
        world.settled(&calls);
        world.compare(rounds, &calls);
    }
    if world.problems.is_empty() {
        world.nothing_is_held();
    }
    let time = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    world.count("milliseconds", time);
    world.verdict();
}

/// Who has budgets.
struct Tenant {
    keys: [Key; 2],
}

/// A budget and what must hold for it.
struct Cap {
    name: &'static str,
    id: String,
    /// Whose calls count: all, those of a tenant, those of one of its keys.
    tenant: Option<usize>,
    key: Option<usize>,
    rule: Rule,
    /// Nano-dollars that each round may spend.
    room: i64,
    limit: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Strict,
    Soft,
    Warns,
}

impl Cap {
    fn counts(&self, whose: Whose) -> bool {
        self.tenant.is_none_or(|tenant| tenant == whose.tenant)
            && self.key.is_none_or(|key| key == whose.key)
    }

    /// The most that may be spent of it, of which `orphaned` is what the crash has charged since the limit
    /// was set.
    fn bound(&self, orphaned: i64) -> i64 {
        match self.rule {
            Rule::Strict => self.limit,
            Rule::Soft => self.limit + orphaned + FRAMES_IN_HAND,
            Rule::Warns => i64::MAX,
        }
    }
}

struct World {
    stand: Stand,
    tenants: Vec<Tenant>,
    caps: Vec<Cap>,
    prices: PriceCatalogue,
    seed: u64,
    chance: Chance,
    /// Every row so far.
    known: Rows,
    /// By budget: what was charged, and what the provider generated, in nano-dollars.
    charged: Vec<i64>,
    generated: Vec<i64>,
    /// By budget: what the last crash has charged.
    orphaned: Vec<i64>,
    problems: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
}

impl World {
    fn new() -> Self {
        let now = u64::try_from(SystemClock.now().0).unwrap_or(0);
        let seed = setting("OVERSPEND_SEED").unwrap_or(now);
        let stand = Stand::start_with(&[
            ("LOG_LEVEL", "error"),
            ("LW_GATEWAY_SOFT_BUDGET_USUAL_OUTPUT_TOKENS", USUAL),
            // Faults are what is tested, not that they are noticed.
            ("LW_GATEWAY_CIRCUIT_THRESHOLD", "10000"),
        ]);
        let teams = ["tight", "wide", "soft"].map(|name| stand.team(name));
        let tenants: Vec<Tenant> = teams
            .iter()
            .map(|(team, project)| Tenant {
                keys: [stand.key_of(team, project), stand.key_of(team, project)],
            })
            .collect();
        let mut caps = Vec::new();
        let mut cap = |name, tenant, key, rule, room: i64, scope, mut fields: serde_json::Value| {
            fields["limit_usd"] = usd(room).into();
            fields["enforcement"] = if rule == Rule::Soft { "soft" } else { "strict" }.into();
            fields["on_breach"] = if rule == Rule::Warns { "warn" } else { "block" }.into();
            let id = stand.budget(&scope, fields);
            let limit = room;
            caps.push(Cap {
                name,
                id,
                tenant,
                key,
                rule,
                room,
                limit,
            });
        };
        let of_team = |at: usize| json!({"kind": "team", "team_id": teams[at].0});
        let million = 1_000_000;
        cap(
            "all, counted",
            None,
            None,
            Rule::Warns,
            10 * million,
            stand.whole(),
            json!({}),
        );
        let provider = json!({ "provider_key": stand.openai, "window": "total" });
        let room = 3_000 * million;
        cap(
            "all, one provider",
            None,
            None,
            Rule::Strict,
            room,
            stand.whole(),
            provider,
        );
        cap(
            "tight team",
            Some(0),
            None,
            Rule::Strict,
            180 * million,
            of_team(0),
            json!({}),
        );
        let of_key = json!({"kind": "virtual_key", "virtual_key_id": tenants[0].keys[0].id});
        let week = json!({ "window": "week" });
        cap(
            "key of it",
            Some(0),
            Some(0),
            Rule::Strict,
            90 * million,
            of_key,
            week,
        );
        let project = json!({"kind": "project", "project_id": teams[1].1});
        cap(
            "wide team",
            Some(1),
            None,
            Rule::Strict,
            1_300 * million,
            of_team(1),
            json!({}),
        );
        cap(
            "its project",
            Some(1),
            None,
            Rule::Strict,
            1_200 * million,
            project,
            json!({}),
        );
        cap(
            "soft team",
            Some(2),
            None,
            Rule::Soft,
            60 * million,
            of_team(2),
            json!({}),
        );
        let prices = PriceCatalogue::parse(&super::prices_file()).expect("prices");
        let budgets = caps.len();
        Self {
            stand,
            tenants,
            caps,
            prices,
            seed,
            chance: Chance(seed),
            known: Rows::new(),
            charged: vec![0; budgets],
            generated: vec![0; budgets],
            orphaned: vec![0; budgets],
            problems: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: &'static str, more: u64) {
        *self.counts.entry(what).or_default() += more;
    }

    /// Traffic until the process is killed or everybody has called often enough. Returns what the callers
    /// saw.
    async fn traffic(&mut self, round: u64, kill: bool) -> Vec<Called> {
        let over = Arc::new(AtomicBool::new(false));
        let served = Arc::new(AtomicUsize::new(0));
        let watch = self.watch(over.clone());
        let addr = self.stand.gateway.addr;
        let calls = if kill { usize::MAX } else { LAST_CALLS };
        let mut callers = JoinSet::new();
        for (at, tenant) in self.tenants.iter().enumerate() {
            for index in 0..CALLERS {
                let whose = Whose {
                    tenant: at,
                    key: index % 2,
                };
                let secret: Arc<str> = Arc::from(tenant.keys[whose.key].secret.as_str());
                callers.spawn(caller(
                    addr,
                    secret,
                    Chance(self.chance.next()),
                    whose,
                    format!("r{round}-c{index}"),
                    calls,
                    kill,
                    (over.clone(), served.clone()),
                ));
            }
        }
        if kill {
            let deadline = Instant::now() + PATIENCE;
            while served.load(Ordering::Relaxed) < BEFORE_THE_KILL && Instant::now() < deadline {
                sleep(Duration::from_millis(1)).await;
            }
            over.store(true, Ordering::Relaxed);
            self.stand.gateway.kill9();
        }
        let calls: Vec<Called> = callers.join_all().await.into_iter().flatten().collect();
        over.store(true, Ordering::Relaxed);
        let (looks, found) = watch.join().expect("the watcher");
        self.count("looks", looks);
        self.problems.extend(found);
        calls
    }

    /// Looks at the figures of all budgets, again and again.
    fn watch(&self, over: Arc<AtomicBool>) -> std::thread::JoinHandle<(u64, Vec<String>)> {
        let bounds = self.caps.iter().map(|cap| (cap.id.clone(), cap.bound(0)));
        let bounds: HashMap<String, i64> = bounds.collect();
        let ask = Ask::get(super::BUDGETS).bearer(self.stand.gateway.api_key());
        let control: SocketAddr = self.stand.gateway.control;
        std::thread::spawn(move || {
            let (mut looks, mut found) = (0, Vec::new());
            while !over.load(Ordering::Relaxed) {
                // The process may be gone by now.
                let listed = Conn::try_open(control).and_then(|mut conn| conn.try_call(&ask));
                let Ok(listed) = listed else { break };
                if listed.cut {
                    break;
                }
                for row in listed.fine(200)["data"].as_array().into_iter().flatten() {
                    let id = row["id"].as_str().unwrap_or_default();
                    let spent = row["spent_nano_usd"].as_i64().unwrap_or(i64::MAX);
                    if bounds.get(id).is_some_and(|bound| spent > *bound) {
                        found.push(format!("seen over its limit: {row}"));
                    }
                    looks += 1;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            (looks, found)
        })
    }

    /// Waits until all that was called is over and in the ledger.
    fn settled(&self, calls: &[Called]) {
        eventually("nothing is under way", || {
            // The question itself is.
            (self.stand.gateway.metric("gateway_in_flight_requests") <= 1.0).then_some(())
        });
        let after = self.known.keys().next_back().copied().unwrap_or_default();
        let told = calls
            .iter()
            .filter(|call| call.request_id.is_some())
            .count();
        eventually("all of it is in the ledger", || {
            let rows = rows(&self.stand.gateway.data(), after);
            let ended = rows.values().filter(|entries| entries.len() == 2).count();
            (ended == rows.len() && ended >= told).then_some(())
        });
    }

    /// Compares the views of one round: callers, provider, ledger, figures.
    fn compare(&mut self, round: u64, calls: &[Called]) {
        let after = self.known.keys().next_back().copied().unwrap_or_default();
        let new = rows(&self.stand.gateway.data(), after);
        let truths = self.stand.mock.truth();
        self.stand.mock.reset();
        let by_user: HashMap<&str, &Vec<Entry>> = new
            .values()
            .filter_map(|entries| Some((entries[0].detail.end_user_id.as_deref()?, entries)))
            .collect();
        let by_id: HashMap<&str, lw_core::RequestId> = new
            .iter()
            .filter_map(|(id, entries)| {
                let user = entries[0].detail.end_user_id.as_deref()?;
                Some((user, lw_core::RequestId::from_bytes(*id)))
            })
            .collect();
        let mut seen: HashMap<&str, &Truth> = HashMap::new();
        for truth in &truths {
            let user = truth.user.as_deref().unwrap_or("nobody");
            if seen.insert(user, truth).is_some() {
                self.problems
                    .push(format!("the provider was asked twice for {user}"));
            }
            if !by_user.contains_key(user) {
                self.problems
                    .push(format!("the provider worked for {user}, without a hold"));
            }
            self.add_generated(truth);
        }
        for call in calls {
            let user = call.plan.user.as_str();
            let facts = Facts {
                call,
                truth: seen.get(user).copied(),
                entries: by_user.get(user).map(|entries| entries.as_slice()),
                id: by_id.get(user).copied(),
                graceful: false,
                prices: &self.prices,
            };
            match checked(&facts) {
                Ok(what) => self.count(what, 1),
                Err(why) => self.problems.push(format!(
                    "round {round}: {user}: {why}\n    caller   {call:?}\n    provider {:?}\n    ledger   {:?}",
                    facts.truth, facts.entries
                )),
            }
        }
        for entries in new.values() {
            self.add_charged(entries);
        }
        self.known.extend(new);
        self.limits_hold(round);
    }

    fn add_generated(&mut self, truth: &Truth) {
        let Some(whose) = Whose::of(truth.user.as_deref()) else {
            return;
        };
        let whole = classes(&truth.usage);
        let usage = if truth.completed {
            whole
        } else {
            // Cut short: what had left the provider.
            Usage {
                output: truth.delivered_tokens,
                ..whole
            }
        };
        let price = self.prices.lookup("openai", &truth.model).expect("a price");
        let NanoUsd(cost) = price.cost(&usage, None);
        for (cap, sum) in self.caps.iter().zip(&mut self.generated) {
            *sum += if cap.counts(whose) { cost } else { 0 };
        }
    }

    fn add_charged(&mut self, entries: &[Entry]) {
        let user = entries[0].detail.end_user_id.as_deref();
        let Some(whose) = Whose::of(user) else {
            return;
        };
        let ends = entries.iter().filter(|entry| entry.kind != EntryKind::Hold);
        let cost: i64 = ends.map(|entry| entry.amount.0).sum();
        let orphaned = entries
            .iter()
            .any(|entry| entry.certainty == Certainty::Orphaned);
        let sums = self.charged.iter_mut().zip(&mut self.orphaned);
        for (cap, (charged, lost)) in self.caps.iter().zip(sums) {
            if cap.counts(whose) {
                *charged += cost;
                *lost += if orphaned { cost } else { 0 };
            }
        }
    }

    /// The figures are the sums of the rows, and within their bounds.
    fn limits_hold(&mut self, round: u64) {
        let sums = self.charged.iter().zip(&self.generated);
        let sums = sums.zip(&self.orphaned);
        for (cap, ((charged, generated), orphaned)) in self.caps.iter().zip(sums) {
            let shown = self.stand.shown(&cap.id)["spent_nano_usd"].as_i64();
            println!(
                "round {round}: {:<18} limit {:>13} charged {charged:>13} generated {generated:>13}",
                cap.name, cap.limit
            );
            let bound = cap.bound(*orphaned);
            if shown != Some(*charged) || *charged > bound || *generated > bound {
                self.problems.push(format!(
                    "round {round}: {}: {shown:?} shown, {charged} charged, {generated} generated, limit {}",
                    cap.name, cap.limit
                ));
            }
        }
    }

    /// Room for another round.
    fn refill(&mut self) {
        self.orphaned.fill(0);
        for (cap, charged) in self.caps.iter_mut().zip(&self.charged) {
            cap.limit = charged + cap.room;
            let limit = json!({ "limit_usd": usd(cap.limit / 1_000 * 1_000) });
            self.stand.patch(&cap.id, &limit);
        }
    }

    /// Every budget has exactly what the ledger says, and nothing is held.
    fn nothing_is_held(&self) {
        for cap in &self.caps {
            self.stand.patch(&cap.id, &json!({ "limit_usd": "1000" }));
        }
        for cap in &self.caps {
            let whose = &self.tenants[cap.tenant.unwrap_or(1)];
            let key = &whose.keys[cap.key.unwrap_or(1)];
            self.stand.has_no_hold_left(key, &cap.id);
            self.stand.patch(&cap.id, &json!({ "limit_usd": "1000" }));
        }
    }

    /// Fails with everything that somebody needs to look into it, or says what was tried.
    fn verdict(self) {
        let Self {
            seed,
            problems,
            counts,
            ..
        } = self;
        let total = problems.len();
        let first: Vec<String> = problems.into_iter().take(5).collect();
        let first = first.join("\n");
        println!("seed {seed}: {counts:#?}");
        assert!(
            total == 0,
            "OVERSPEND_SEED={seed}: {total} problems\n{first}"
        );
        for what in [
            "complete",
            "estimated",
            "orphaned",
            "refused",
            "no_room",
            "stopped",
            "looks",
        ] {
            assert!(
                counts.contains_key(what),
                "OVERSPEND_SEED={seed}: none was {what}"
            );
        }
    }
}

/// What became of a call, or what is wrong with it.
fn checked(facts: &Facts<'_>) -> Result<&'static str, String> {
    let outcome = facts.entries.and_then(|entries| entries.last());
    let why = outcome.and_then(|end| end.detail.error_type.as_deref());
    let ran_out = why == Some("budget_exceeded");
    let status = outcome.and_then(|end| end.detail.http_status);
    // Its caller may not have lived to read it: the process had not.
    if facts.call.status == Some(402) || (ran_out && status == Some(402)) {
        let free = facts.truth.is_none()
            && ran_out
            && outcome.is_some_and(|end| end.kind == EntryKind::Release && end.amount.0 == 0);
        return if free {
            Ok("no_room")
        } else {
            Err("a call that was refused costs nothing and is not dialled".to_owned())
        };
    }
    // 502: it broke off before anything had come.
    if !matches!(facts.call.status, None | Some(200 | 429 | 500 | 502 | 503)) {
        return Err("an answer that nobody meant".to_owned());
    }
    let what = facts.check()?;
    let estimated = outcome.is_some_and(|end| end.certainty == Certainty::Estimated);
    Ok(if ran_out && estimated {
        "stopped"
    } else {
        what
    })
}
