//! Money survives the death of the process, whenever it comes.
//!
//! Callers keep dozens of requests open, half of them streams, and the gateway is killed with `kill -9`
//! at a moment of chance: after some time, or at once when somebody read the start or the end of an
//! answer. It is started again on the same data folder, and what the callers saw, what the provider
//! generated and what the ledger holds are compared, request by request, joined by `user`. The rule
//! (observability 14, billing 4): the admission is written before the provider is dialled, the outcome
//! before the last bytes leave, and an admission without an outcome becomes one charge at its hold.
//!
//! Chance has a seed, which a failure prints; `CRASH_SEED` repeats it and `CRASH_ROUNDS` runs longer.
//! Start at [`money_survives_a_hundred_kills`].

pub(crate) mod caller;
pub(crate) mod views;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lw_core::{Clock as _, RequestId, SystemClock, UnixMicros, VirtualKeyId};
use lw_engine::price::PriceCatalogue;
use lw_mock::{MockProvider, Truth};
use lw_store::ledger::{EntryKind, Ledger as _};
use lw_store_sql::Tuning;
use lw_store_sql::ledger::SqliteLedger;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use self::caller::{Board, Called, Event, Moment, caller};
use self::views::{Entry, Facts, Rows, rows};
use super::support::{Chance, Gateway, Key, setting};

/// Kills of one run, each in the middle of traffic.
const ROUNDS: u64 = 100;
/// Callers, half of them with streams; each sends one request after the other.
const CALLERS: usize = 60;
/// Requests of each half that must be in flight when the process is killed.
const IN_FLIGHT: usize = 25;
/// The longest that anything may take. Never a pace: only a test that hangs sees it.
const PATIENCE: Duration = Duration::from_secs(30);
#[tokio::test]
async fn money_survives_a_hundred_kills() {
    let mut world = World::new();
    let rounds = setting("CRASH_ROUNDS").unwrap_or(ROUNDS);
    let began = Instant::now();
    for round in 0..rounds {
        let moment = Moment::of_chance(&mut world.chance);
        let calls = world.traffic(round, End::Kill(moment)).await;
        if round % 4 == 3 {
            // Death may also come while the last one is being cleared up.
            let early = Duration::from_millis(world.chance.below(120));
            world.gateway.lock().start_and_kill(early);
            world.count("killed_while_recovering", 1);
        }
        world.start_again();
        world.compare(round, &calls, false);
        if !world.problems.is_empty() {
            break;
        }
    }
    if world.problems.is_empty() {
        // The last one is asked to stop: everything under way is finished, nothing is assumed.
        let calls = world.traffic(rounds, End::Terminate).await;
        world.compare(rounds, &calls, true);
        world.start_again();
        world.compare_whole();
    }
    world.count("milliseconds", millis(began.elapsed()));
    world.verdict(rounds);
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How a round ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Kill(Moment),
    /// SIGTERM, in the middle of traffic as well.
    Terminate,
}

/// Provider, gateway, and what was found so far.
struct World {
    mock: MockProvider,
    gateway: Arc<Mutex<Gateway>>,
    data: PathBuf,
    key: Key,
    seed: u64,
    chance: Chance,
    prices: PriceCatalogue,
    /// Every row that was ever compared: none may change any more.
    known: Rows,
    problems: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
}

impl World {
    fn new() -> Self {
        let now = u64::try_from(SystemClock.now().0).unwrap_or(0);
        let seed = setting("CRASH_SEED").unwrap_or(now);
        let (gateway, mock, key) = Gateway::builder().env("LOG_LEVEL", "error").with_provider();
        Self {
            mock,
            data: gateway.data(),
            gateway: Arc::new(Mutex::new(gateway)),
            key,
            seed,
            chance: Chance(seed),
            prices: PriceCatalogue::bundled().expect("prices"),
            known: Rows::new(),
            problems: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Starts it again, with more or fewer writers of the spool than before.
    fn start_again(&mut self) {
        let threads = self.chance.between(1, 3).to_string();
        let starting = Instant::now();
        let started = self
            .gateway
            .lock()
            .relaunch(&[("LW_GATEWAY_DATA_THREADS", Some(&threads))]);
        started.expect("a start after a crash");
        self.count("milliseconds_starting", millis(starting.elapsed()));
        self.spool_is_empty();
    }

    fn count(&mut self, what: &'static str, more: u64) {
        *self.counts.entry(what).or_default() += more;
    }

    fn problem(&mut self, text: String) {
        self.problems.push(text);
    }

    /// Traffic until the gateway is gone. Returns what the callers saw.
    async fn traffic(&mut self, round: u64, end: End) -> Vec<Called> {
        let moment = match end {
            End::Kill(moment) => Some(moment),
            End::Terminate => None,
        };
        let addr = self.gateway.lock().addr;
        let key: Arc<str> = Arc::from(self.key.secret.as_str());
        let board = Arc::new(Board::new(self.gateway.clone(), moment));
        let mut callers = JoinSet::new();
        for index in 0..CALLERS {
            callers.spawn(caller(
                addr,
                key.clone(),
                board.clone(),
                Chance(self.chance.next()),
                format!("r{round}-c{index}"),
                index % 2 == 0,
                moment.is_some(),
            ));
        }
        match end {
            End::Kill(moment) => {
                if let Moment::After(time) = moment {
                    sleep(time).await;
                    board.note(Event::Due);
                }
                let over = timeout(PATIENCE, board.over.notified()).await;
                over.expect("enough requests in flight");
            }
            End::Terminate => {
                let time = Duration::from_millis(self.chance.between(60, 160));
                sleep(time).await;
                self.gateway.lock().signal("TERM");
                let gateway = self.gateway.clone();
                let waiting = tokio::task::spawn_blocking(move || gateway.lock().wait());
                let status = waiting.await.expect("an end");
                if !status.success() {
                    self.problem(format!("SIGTERM: the process ended with {status}"));
                }
            }
        }
        let calls: Vec<Called> = callers.join_all().await.into_iter().flatten().collect();
        let [plain, streams] = board.state.lock().at_kill.unwrap_or_default();
        self.count("in_flight_when_killed", (plain + streams) as u64);
        self.count("streams_in_flight_when_killed", streams as u64);
        // The provider has read every byte that the dead process had sent when its connections are gone.
        let quiet = async {
            while self.mock.open_connections() > 0 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, quiet).await.expect("a quiet provider");
        calls
    }

    /// Compares the three views of one round.
    fn compare(&mut self, round: u64, calls: &[Called], graceful: bool) {
        let after = self.known.keys().next_back().copied().unwrap_or_default();
        let new = rows(&self.data, after);
        let truths = self.mock.truth();
        self.mock.reset();
        let at = format!("round {round}");
        let mut by_user: HashMap<&str, (&[u8; 15], &Vec<Entry>)> = HashMap::new();
        let called: HashMap<&str, &Called> = calls
            .iter()
            .map(|call| (call.plan.user.as_str(), call))
            .collect();
        assert_eq!(called.len(), calls.len(), "users are unique");
        for (id, entries) in &new {
            let user = entries[0].detail.end_user_id.as_deref().unwrap_or("nobody");
            if !called.contains_key(user) {
                self.problem(format!("{at}: rows for {user}, who asked for nothing"));
            }
            if by_user.insert(user, (id, entries)).is_some() {
                self.problem(format!(
                    "{at}: {user} asked once and stands in two requests"
                ));
            }
        }
        let mut seen: HashMap<&str, &Truth> = HashMap::new();
        for truth in &truths {
            let user = truth.user.as_deref().unwrap_or("nobody");
            if seen.insert(user, truth).is_some() {
                self.problem(format!("{at}: the provider was asked twice for {user}"));
            }
            if !by_user.contains_key(user) {
                self.problem(format!(
                    "{at}: the provider worked for {user}, without a hold"
                ));
            }
        }
        for call in calls {
            let user = call.plan.user.as_str();
            let facts = Facts {
                call,
                truth: seen.get(user).copied(),
                entries: by_user.get(user).map(|(_, entries)| entries.as_slice()),
                id: by_user.get(user).map(|(id, _)| RequestId::from_bytes(**id)),
                graceful,
                prices: &self.prices,
            };
            match facts.check() {
                Ok(what) => self.count(what, 1),
                Err(why) => self.problem(format!(
                    "{at}: {user}: {why}\n    caller   {call:?}\n    provider {:?}\n    ledger   {:?}",
                    facts.truth, facts.entries
                )),
            }
        }
        self.count("requests", calls.len() as u64);
        self.known.extend(new);
    }

    fn spool_is_empty(&mut self) {
        // What an earlier process left is folded and gone; nobody has asked for anything yet.
        for file in fs::read_dir(self.data.join("spend-spool")).expect("the spool") {
            let file = file.expect("a file");
            let length = file.metadata().expect("its length").len();
            if length > 0 {
                let name = file.file_name();
                self.problem(format!("{name:?} holds {length} bytes after the fold"));
            }
        }
    }

    /// All rows together: none changed since it was compared, and the sums are those of the rows.
    fn compare_whole(&mut self) {
        let all = rows(&self.data, [0; 15]);
        if all != self.known {
            let changed = all
                .iter()
                .filter(|(id, entries)| self.known.get(*id) != Some(entries));
            let changed: Vec<_> = changed.take(3).collect();
            self.problem(format!("rows changed after they were final: {changed:?}"));
        }
        let charges = || all.values().flatten().filter(|e| e.kind != EntryKind::Hold);
        let sum: i64 = charges().map(|entry| entry.amount.0).sum();
        let ledger = SqliteLedger::open(&self.data.join("ledger.db"), Tuning::default());
        let key = VirtualKeyId::parse(&self.key.id).expect("an id");
        let spend = ledger
            .expect("the ledger")
            .key_spend(&key, UnixMicros(0), UnixMicros(i64::MAX))
            .expect("a sum");
        if spend.spent.0 != sum || spend.reserved.0 != 0 || spend.requests != all.len() as u64 {
            let requests = all.len();
            self.problem(format!("{spend:?}, but {requests} requests cost {sum}"));
        }
        self.count("rows", all.values().map(Vec::len).sum::<usize>() as u64);
    }

    /// Fails with everything that somebody needs to look into it, or says what was tried.
    fn verdict(self, rounds: u64) {
        let Self {
            seed,
            problems,
            counts,
            ..
        } = self;
        let total = problems.len();
        let first: Vec<String> = problems.into_iter().take(5).collect();
        let first = first.join("\n");
        assert!(total == 0, "CRASH_SEED={seed}: {total} problems\n{first}");
        println!("seed {seed}, {rounds} kills: {counts:#?}");
        for what in ["exact", "orphaned", "estimated", "complete"] {
            assert!(counts.contains_key(what), "no request was {what}");
        }
    }
}
