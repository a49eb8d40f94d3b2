//! A write of the management plane is there as a whole or not at all, and what was acknowledged is there.
//!
//! Writers mint, change, rotate, disable, enable and revoke keys, some with budgets of their own, and store
//! and change providers, many of them on the same rows; the process is killed with `kill -9` at a moment of
//! chance and started again on the same data folder. Then the store is read with queries of our own and
//! compared with what the writers were told. Creates that got no answer are sent again with their
//! `Idempotency-Key`, and secrets are tried on the data plane.
//!
//! Chance has a seed, which a failure prints; `ADMIN_CRASH_SEED` repeats it and `ADMIN_CRASH_KILLS` runs
//! longer. Start at [`writes_are_whole_and_kept_whenever_the_process_dies`].

mod books;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lw_core::{Clock as _, SystemClock};
use lw_mock::MockProvider;
use parking_lot::Mutex;
use serde_json::{Value, json};

use self::books::{Books, alike};
use self::writer::{Board, Moment, Plan, Round, Rows, Said, What, writer};
use super::support::{Answer, Ask, Chance, Conn, Gateway, chat, setting};

/// Kills of one run.
const KILLS: u64 = 24;
/// Writers at once.
const WRITERS: u64 = 12;
/// Keys of each round whose secrets are tried.
const TRIED: usize = 8;
/// The longest that a round may take. Never a pace: only a test that hangs sees it.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn writes_are_whole_and_kept_whenever_the_process_dies() {
    let mut world = World::new();
    let kills = setting("ADMIN_CRASH_KILLS").unwrap_or(KILLS);
    for round in 0..kills {
        let said = world.write_until_killed(round);
        if round % 4 == 3 {
            // Death may also come while the process is starting.
            let early = Duration::from_millis(world.chance.below(150));
            world.gateway.lock().start_and_kill(early);
            world.count("killed while starting", 1);
        }
        let started = world.gateway.lock().relaunch(&[]);
        started.expect("a start after a crash");
        world.compare(round, said);
        if !world.problems.is_empty() {
            break;
        }
    }
    world.verdict(kills);
}

/// Gateway, provider, and what was found so far.
struct World {
    gateway: Arc<Mutex<Gateway>>,
    mock: MockProvider,
    seed: u64,
    chance: Chance,
    rows: Rows,
    /// Secrets that somebody was given, by key and the revision that they came with.
    secrets: BTreeMap<String, BTreeMap<i64, String>>,
    problems: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
}

impl World {
    fn new() -> Self {
        let now = u64::try_from(SystemClock.now().0).unwrap_or(0);
        let seed = setting("ADMIN_CRASH_SEED").unwrap_or(now);
        let mock = super::support::provider();
        let gateway = Gateway::builder()
            .env("LOG_LEVEL", "error")
            .env("LW_MANAGEMENT_RATE_LIMIT_RPM", "0")
            .start();
        gateway.openai(&mock, "sk-mock-openai-credential");
        Self {
            gateway: Arc::new(Mutex::new(gateway)),
            mock,
            seed,
            chance: Chance(seed),
            rows: Rows::default(),
            secrets: BTreeMap::new(),
            problems: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: &'static str, more: usize) {
        *self.counts.entry(what).or_default() += more as u64;
    }

    /// Writes until the process is gone. Returns what the writers know.
    fn write_until_killed(&mut self, number: u64) -> Vec<Said> {
        let (control, token) = {
            let gateway = self.gateway.lock();
            (gateway.control, gateway.api_key().to_owned())
        };
        let moment = Moment::of_chance(&mut self.chance);
        let round = Round {
            number,
            control,
            token,
            upstream: format!("{}/v1", self.mock.base_url()),
            rows: Mutex::new(self.rows.clone()),
            board: Board::new(self.gateway.clone(), moment),
        };
        let said = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|index| {
                    let (chance, round) = (Chance(self.chance.next()), &round);
                    scope.spawn(move || writer(index, chance, round))
                })
                .collect();
            round.board.until_killed(PATIENCE);
            let said = writers.into_iter().map(|writer| writer.join());
            said.flat_map(|said| said.expect("it ran")).collect()
        });
        self.rows = round.rows.into_inner();
        said
    }

    /// The store against what the writers were told.
    fn compare(&mut self, round: u64, mut said: Vec<Said>) {
        let data = self.gateway.lock().data();
        let books = Books::read(&data);
        let problems = books.problems();
        self.report(round, problems);
        let repeated = self.repeat_creates(round, &books, &said);
        said.extend(repeated);
        // Once more: the repeated creates are rows by now.
        let books = Books::read(&data);
        let problems = books.problems();
        self.report(round, problems);
        let mut touched = BTreeSet::new();
        for said in &said {
            match self.told(&books, said) {
                Ok(Some(key)) => drop(touched.insert(key)),
                Ok(None) => {}
                Err(problem) => self.report(round, vec![format!("{problem}: {said:?}")]),
            }
        }
        self.reads(round, &books, &touched);
    }

    fn report(&mut self, round: u64, problems: Vec<String>) {
        let at = |problem| format!("round {round}: {problem}");
        self.problems.extend(problems.into_iter().map(at));
    }

    /// Sends every create that got no answer again, and some that got one, each twice.
    fn repeat_creates(&mut self, round: u64, books: &Books, said: &[Said]) -> Vec<Said> {
        let mut known: BTreeMap<&str, &Answer> = BTreeMap::new();
        let mut creates: BTreeMap<&str, &Plan> = BTreeMap::new();
        let mut unanswered = BTreeSet::new();
        for said in said {
            let Some(once) = said.plan.once.as_deref() else {
                continue;
            };
            creates.insert(once, &said.plan);
            match &said.answer {
                Some(answer) => drop(known.insert(once, answer)),
                None => drop(unanswered.insert(once)),
            }
        }
        // One of those that were answered stands for all of them.
        let answered: Vec<&str> = known.keys().copied().collect();
        if !answered.is_empty() {
            unanswered.insert(answered[self.chance.index(answered.len())]);
        }
        let (control, token) = {
            let gateway = self.gateway.lock();
            (gateway.control, gateway.api_key().to_owned())
        };
        let mut conn = Conn::open(control);
        let mut repeated = Vec::new();
        for once in unanswered {
            let plan = creates[once];
            let was_there = books.has(once);
            let first = conn.call(&plan.ask(&token));
            let second = conn.call(&plan.ask(&token));
            let replayed = |answer: &Answer| answer.header("x-idempotent-replay") == Some("true");
            if replayed(&first) != was_there || !replayed(&second) {
                let text = format!("{once}: there before: {was_there}; {first:?} {second:?}");
                self.report(round, vec![text]);
            }
            let earlier = known.get(once).copied().unwrap_or(&first);
            if first.status() != 201 || first.body != second.body || first.body != earlier.body {
                let text = format!("{once}: other answers: {earlier:?} {first:?} {second:?}");
                self.report(round, vec![text]);
            }
            let what = match (known.contains_key(once), was_there) {
                (true, _) => "answered creates repeated",
                (false, true) => "unanswered creates that were there",
                (false, false) => "unanswered creates that were not there",
            };
            self.count(what, 1);
            let made = first.json();
            let id = |row: &str| made[row]["id"].as_str().map(str::to_owned);
            self.rows.keys.extend(id("virtual_key"));
            self.rows.providers.extend(id("model_provider"));
            repeated.push(Said {
                plan: plan.clone(),
                answer: Some(first),
            });
        }
        repeated
    }

    /// What one writer was told is in the store. Returns the key that it was about.
    fn told(&mut self, books: &Books, said: &Said) -> Result<Option<String>, String> {
        let Said { plan, answer } = said;
        let Some(answer) = answer else {
            self.count("writes without an answer", 1);
            return Ok(plan.id.clone().filter(|id| books.keys.contains_key(id)));
        };
        let body = answer.json();
        match answer.status() {
            200 | 201 => {}
            // Somebody else had revoked it, or was faster five times in a row.
            400 | 409 if refused(&body) => {
                self.count("writes that were refused", 1);
                return Ok(None);
            }
            other => return Err(format!("answered {other}")),
        }
        self.count("writes acknowledged", 1);
        if matches!(plan.what, What::CreateProvider | What::PatchProvider) {
            let shown = &body["model_provider"];
            let id = shown["id"].as_str().unwrap_or_default();
            let provider = books.providers.get(id).ok_or("the provider is not there")?;
            let found = provider
                .acts
                .iter()
                .any(|act| alike(act.after.as_ref(), Some(shown)));
            return if found {
                Ok(None)
            } else {
                Err("the write is not there".to_owned())
            };
        }
        let shown = &body["virtual_key"];
        let id = shown["id"].as_str().unwrap_or_default().to_owned();
        let revision = shown["revision"]
            .as_str()
            .and_then(|text| text.parse().ok());
        let revision: i64 = revision.ok_or("no revision")?;
        let key = books.keys.get(&id).ok_or("the key is not there")?;
        let act = key
            .history
            .get(&revision)
            .ok_or("the revision is not there")?;
        if !alike(act.after.as_ref(), Some(shown)) {
            return Err(format!("the revision is another: {act:?}"));
        }
        if let Some(secret) = body["secret"].as_str() {
            let of_key = self.secrets.entry(id.clone()).or_default();
            if of_key
                .insert(revision, secret.to_owned())
                .is_some_and(|old| old != secret)
            {
                return Err("a revision with two secrets".to_owned());
            }
        }
        Ok(Some(id))
    }

    /// Some of the keys that were written: as they read over the API, and what their secrets are good for.
    fn reads(&mut self, round: u64, books: &Books, touched: &BTreeSet<String>) {
        let mut touched: Vec<&String> = touched.iter().collect();
        while touched.len() > TRIED {
            touched.swap_remove(self.chance.index(touched.len()));
        }
        for id in touched {
            let key = &books.keys[id];
            let path = format!("{}/{id}", writer::KEYS);
            let shown = self.gateway.lock().api("GET", &path, None).fine(200);
            let last = key
                .history
                .values()
                .next_back()
                .and_then(|act| act.after.as_ref());
            if !alike(Some(&shown["virtual_key"]), last) {
                self.report(
                    round,
                    vec![format!("{id} reads {shown}, last written {last:?}")],
                );
            }
            let mut minted = key.history.iter().rev().filter(|(_, act)| {
                act.action.ends_with(".created") || act.action.ends_with(".rotated")
            });
            let (current, before) = (minted.next(), minted.next());
            let known = self.secrets.get(id);
            let secret = |minted: Option<(&i64, _)>| known?.get(minted?.0).cloned();
            let (tried, what) = match (secret(current), secret(before)) {
                (Some(secret), _) => (secret, "current secrets tried"),
                // The rotation was never acknowledged: the one before is still good.
                (None, Some(secret)) => (secret, "secrets before a rotation tried"),
                (None, None) => continue,
            };
            self.count(what, 1);
            let ask = Ask::post("/v1/chat/completions", &tried, chat("hi"));
            let status = self.gateway.lock().call(&ask).status();
            let expected: &[u16] = match (key.status.as_str(), what) {
                ("ACTIVE", _) => &[200],
                ("REVOKED", "secrets before a rotation tried") => &[401],
                _ => &[403],
            };
            if !expected.contains(&status) {
                self.report(round, vec![format!("{id}: {what}: {status} for {key:?}")]);
            }
        }
    }

    /// Fails with everything that somebody needs to look into it, or says what was tried.
    fn verdict(self, kills: u64) {
        let Self {
            seed,
            problems,
            counts,
            ..
        } = self;
        let total = problems.len();
        let first: Vec<String> = problems.into_iter().take(5).collect();
        let first = first.join("\n");
        assert!(
            total == 0,
            "ADMIN_CRASH_SEED={seed}: {total} problems\n{first}"
        );
        println!("seed {seed}, {kills} kills: {counts:#?}");
        for what in [
            "writes acknowledged",
            "writes without an answer",
            "unanswered creates that were there",
            "unanswered creates that were not there",
            "current secrets tried",
        ] {
            assert!(counts.contains_key(what), "seed {seed}: no {what}");
        }
    }
}

/// Whether a refusal is one that two writers of one key may get.
fn refused(body: &Value) -> bool {
    let error = &body["error"];
    error["code"] == json!("revision_conflict")
        || error["message"]
            .as_str()
            .is_some_and(|message| message.contains("revoked"))
}
