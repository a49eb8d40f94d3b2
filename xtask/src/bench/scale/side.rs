//! One of the installations: its data folder, its gateway, and what it is asked.
//!
//! Must never leave a gateway running: dropping a [`Side`] ends it. Start at [`Side::make`].

use std::fs;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::Size;
use super::ask::Ask;
use crate::bench::http::{Client, request, request_with};
use crate::bench::process::Child;
use crate::bench::rig::{API_KEY, CHAT, Listening, Settings, launch};
use crate::bench::scenario::{MODEL, Scenario, body};

/// Secrets of the installations, so that what is filled in can be used.
const CREDENTIALS_SECRET: &str = "5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e";
const KEY_PEPPER: &str = "the-pepper-of-the-scale-benchmark-0123";

/// Files of an installation.
const CONFIG: &str = "data/config.db";
const LEDGER: &str = "data/ledger.db";

/// An installation.
pub(super) struct Side {
    home: PathBuf,
    filled: Filled,
    /// Seconds that it took to fill.
    pub(super) filling: f64,
    running: Option<Running>,
}

/// Its gateway, with a connection to each of its doors.
struct Running {
    child: Child,
    listening: Listening,
    control: Client,
    gateway: Client,
}

/// What the filler told.
#[derive(Deserialize)]
pub(super) struct Filled {
    keys: Vec<ToldKey>,
    pub(super) providers: Vec<String>,
    pub(super) budgets: Vec<String>,
    budget_count: usize,
    pub(super) middle_key: String,
    pub(super) middle_provider: String,
    pub(super) project: String,
    pub(super) team_api_key: String,
}

/// A key with its secret.
#[derive(Deserialize)]
pub(super) struct ToldKey {
    pub(super) id: String,
    secret: String,
    pub(super) external_id: String,
}

impl Filled {
    /// The key of a turn; turns may be more than keys.
    pub(super) fn key(&self, turn: usize) -> anyhow::Result<&ToldKey> {
        let key = self.keys.get(turn % self.keys.len().max(1));
        key.context("no key was told")
    }
}

impl Side {
    /// Sets an installation up and fills it.
    pub(super) async fn make(
        settings: &Settings,
        filler: &Path,
        home: &Path,
        size: Size,
        base_url: &str,
    ) -> anyhow::Result<Self> {
        fs::create_dir(home)?;
        // The first start makes the organization and its first key; it ends with its child.
        drop(started(settings, home).await?);
        let start = Instant::now();
        let [config_db, ledger_db] = [CONFIG, LEDGER].map(|name| home.join(name));
        let plan = json!({
            "config_db": config_db,
            "ledger_db": ledger_db,
            "keys": size.keys,
            "providers": size.providers,
            "credentials_secret": CREDENTIALS_SECRET,
            "key_pepper": KEY_PEPPER,
            "base_url": base_url,
        });
        let filled = fill(filler, plan.to_string().as_bytes())?;
        // Else the first durable writes would wait for it.
        fs::File::open(&config_db)?.sync_all()?;
        let mut side = Self {
            home: home.to_owned(),
            filled,
            filling: start.elapsed().as_secs_f64(),
            running: None,
        };
        side.start(settings).await?;
        Ok(side)
    }

    /// Starts the gateway; returns when it listens.
    pub(super) async fn start(&mut self, settings: &Settings) -> anyhow::Result<()> {
        self.running = Some(started(settings, &self.home).await?);
        Ok(())
    }

    /// Ends the gateway.
    pub(super) fn stop(&mut self) {
        self.running = None;
    }

    fn running(&mut self) -> anyhow::Result<&mut Running> {
        self.running.as_mut().context("the gateway is not running")
    }

    pub(super) fn process(&self) -> anyhow::Result<u32> {
        let running = self.running.as_ref();
        Ok(running.context("the gateway is not running")?.child.id())
    }

    /// MiB of the configuration's file.
    pub(super) fn configuration(&self) -> anyhow::Result<Option<f64>> {
        self.mib(CONFIG).map(Some)
    }

    /// MiB of the ledger's file.
    pub(super) fn ledger(&self) -> anyhow::Result<Option<f64>> {
        self.mib(LEDGER).map(Some)
    }

    fn mib(&self, name: &str) -> anyhow::Result<f64> {
        let bytes = fs::metadata(self.home.join(name))?.len();
        Ok(bytes as f64 / (1024.0 * 1024.0))
    }

    /// How many budgets there are.
    pub(super) fn budgets(&self) -> f64 {
        self.filled.budget_count as f64
    }

    /// How many keys can be used.
    pub(super) fn told(&self) -> usize {
        self.filled.keys.len()
    }

    /// Makes a call of the management API; returns how long it took, and the rows of a list.
    pub(super) async fn ask(
        &mut self,
        ask: Ask,
        turn: usize,
    ) -> anyhow::Result<(Duration, Option<usize>)> {
        let sent = ask.sent(&self.filled, turn)?;
        let body = sent.body.as_ref().map(serde_json::to_vec).transpose()?;
        let headers = sent.headers.iter();
        let headers: Vec<_> = headers
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let running = self.running()?;
        let address = running.listening.control;
        let bytes = request_with(
            address,
            &sent.path,
            Some(&sent.bearer),
            &headers,
            body.as_deref(),
        );
        let start = Instant::now();
        let answer = running.control.ask(&bytes).await?;
        let time = start.elapsed();
        Ok((time, ask.check(&answer)?))
    }

    fn chat_request(&self, key: usize) -> anyhow::Result<Vec<u8>> {
        let running = self.running.as_ref().context("not running")?;
        let secret = &self.filled.key(key)?.secret;
        let scenario = Scenario::Scale;
        let body = body(scenario.request_bytes(), scenario.answer(), MODEL);
        let address = running.listening.gateway;
        Ok(request(address, CHAT, Some(secret), Some(&body)))
    }

    /// Makes one request with a key; returns how long it took.
    pub(super) async fn chat(&mut self, key: usize) -> anyhow::Result<Duration> {
        let request = self.chat_request(key)?;
        chat(&mut self.running()?.gateway, &request).await
    }

    /// Makes one request with each of some keys.
    pub(super) async fn touch(
        &mut self,
        keys: Range<usize>,
        connections: usize,
    ) -> anyhow::Result<()> {
        let requests = keys.map(|key| self.chat_request(key));
        let requests: Vec<_> = requests.collect::<Result<_, _>>()?;
        self.send(requests, connections, None).await?;
        Ok(())
    }

    /// Uses the first `keys` keys one after the other for some time; returns the number of requests.
    pub(super) async fn use_keys(
        &mut self,
        keys: usize,
        connections: usize,
        time: Duration,
    ) -> anyhow::Result<u64> {
        let requests = (0..keys).map(|key| self.chat_request(key));
        let requests: Vec<_> = requests.collect::<Result<_, _>>()?;
        self.send(requests, connections, Some(time)).await
    }

    /// Sends requests over several connections: each once, or all again and again for some time.
    async fn send(
        &mut self,
        requests: Vec<Vec<u8>>,
        connections: usize,
        time: Option<Duration>,
    ) -> anyhow::Result<u64> {
        let address = self.running()?.listening.gateway;
        let end = time.map(|time| Instant::now() + time);
        let mut tasks = Vec::new();
        let share = requests.len().div_ceil(connections).max(1);
        for requests in requests.chunks(share) {
            let requests = requests.to_vec();
            tasks.push(tokio::spawn(async move {
                let mut client = Client::connect(address).await?;
                let mut sent = 0;
                loop {
                    for request in &requests {
                        if end.is_some_and(|end| Instant::now() >= end) {
                            return Ok::<u64, anyhow::Error>(sent);
                        }
                        chat(&mut client, request).await?;
                        sent += 1;
                    }
                    if end.is_none() {
                        return Ok(sent);
                    }
                }
            }));
        }
        let mut sent = 0;
        for task in tasks {
            sent += task.await??;
        }
        Ok(sent)
    }
}

async fn started(settings: &Settings, home: &Path) -> anyhow::Result<Running> {
    let environment = [
        ("LANGWATCH_INIT_API_KEY", API_KEY),
        ("CREDENTIALS_SECRET", CREDENTIALS_SECRET),
        ("LW_VIRTUAL_KEY_PEPPER", KEY_PEPPER),
        ("LW_MANAGEMENT_RATE_LIMIT_RPM", "0"),
        ("LOG_LEVEL", "warn"),
    ];
    // A gateway that was killed leaves its addresses behind.
    fs::remove_file(home.join("data/listening.json")).ok();
    let (child, listening) = launch(settings, home, &environment).await?;
    Ok(Running {
        control: Client::connect(listening.control).await?,
        gateway: Client::connect(listening.gateway).await?,
        child,
        listening,
    })
}

fn fill(filler: &Path, plan: &[u8]) -> anyhow::Result<Filled> {
    let mut child = Command::new(filler)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the filler")?;
    let mut input = child.stdin.take().context("the filler takes no input")?;
    input.write_all(plan)?;
    // It reads to the end.
    drop(input);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the filler failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}

async fn chat(client: &mut Client, request: &[u8]) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let answer = client.ask(request).await?;
    let time = start.elapsed();
    ensure!(
        answer.status == 200,
        "POST {CHAT}: {} {}",
        answer.status,
        answer.snippet()
    );
    Ok(time)
}
