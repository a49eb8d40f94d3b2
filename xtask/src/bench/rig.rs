//! What is measured against what: a mock provider, the gateway and nginx, started for one scenario.
//!
//! Each scenario gets fresh processes and a fresh data folder, so that no memory or queue of an
//! earlier one shows in its numbers. Must never leave anything running: dropping a [`Rig`] ends all
//! of it. Start at [`Rig::start`].

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

use super::governance::{self, Governed};
use super::http::{Fetched, fetch, request};
use super::manage::{Api, text};
use super::process::{Child, Cpu, children, is_root, wait_for};
use super::scenario::Scenario;

/// The gateway's threads that serve requests are named `data-0`, `data-1`, ...
pub(crate) const DATA_THREADS: &str = "data-";
pub(crate) const CHAT: &str = "/v1/chat/completions";

const START_LIMIT: Duration = Duration::from_secs(30);
const DRAIN_LIMIT: Duration = Duration::from_secs(120);
/// How long counters may stand still over empty queues before records count as missing.
const STILL: Duration = Duration::from_secs(3);
const NAMING: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(50);
pub(crate) const API_KEY: &str =
    "sk-lw-benchbenchbench1_benchbenchbenchbenchbenchbenchbenchbenchbench000";
/// What the mock provider is called with.
pub(crate) const MOCK_KEY: &str = "sk-mock";
/// The organization of the first start.
pub(crate) const ORGANIZATION: &str = "acme";
/// Opens the making of organizations.
const INSTANCE_KEY: &str = "instance-administrator-of-the-bench";

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Target {
    /// The mock provider without anything in front of it.
    Direct,
    Nginx,
    /// With a key that nothing governs.
    Gateway,
    /// The same process with a key that has budgets, rules and limits.
    Governed,
}

impl Target {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Gateway => "gateway",
            Self::Governed => "governed",
        }
    }

    /// Whether requests to it owe records.
    pub(crate) const fn is_gateway(self) -> bool {
        matches!(self, Self::Gateway | Self::Governed)
    }
}

/// How to start things.
pub(crate) struct Settings {
    pub(crate) binary: PathBuf,
    /// Nothing when the run does without nginx.
    pub(crate) nginx: Option<PathBuf>,
    pub(crate) mock_workers: u32,
}

/// Everything running for one scenario.
pub(crate) struct Rig {
    // Dropped in this order: the gateway first, the folder last.
    pub(crate) gateway: Gateway,
    nginx: Option<Nginx>,
    _tls_mock: Option<Mock>,
    mock: Mock,
    _folder: TempDir,
}

impl Rig {
    pub(crate) async fn start(settings: &Settings, scenario: Scenario) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("langwatch-bench-")
            .tempdir()?;
        let mock = Mock::start(settings, folder.path(), false).await?;
        let tls_mock = if scenario.tls() {
            Some(Mock::start(settings, folder.path(), true).await?)
        } else {
            None
        };
        let upstream = tls_mock.as_ref().unwrap_or(&mock);
        let gateway = Gateway::start(settings, folder.path(), upstream, scenario).await?;
        let nginx = match &settings.nginx {
            Some(nginx) => {
                Some(Nginx::start(nginx, folder.path(), upstream, gateway.workers).await?)
            }
            None => None,
        };
        Ok(Self {
            gateway,
            nginx,
            _tls_mock: tls_mock,
            mock,
            _folder: folder,
        })
    }

    pub(crate) fn targets(&self) -> Vec<Target> {
        let mut targets = vec![Target::Direct];
        targets.extend(self.nginx.as_ref().map(|_| Target::Nginx));
        targets.push(Target::Gateway);
        targets.extend(self.gateway.governed.as_ref().map(|_| Target::Governed));
        targets
    }

    /// Where `target` takes requests and with which key.
    pub(crate) fn address(
        &self,
        target: Target,
        stream: bool,
    ) -> anyhow::Result<(SocketAddr, &str)> {
        Ok(match target {
            Target::Direct => (self.mock.ready.addr, MOCK_KEY),
            Target::Nginx if stream => (self.nginx()?.streams, MOCK_KEY),
            Target::Nginx => (self.nginx()?.whole, MOCK_KEY),
            Target::Gateway => (self.gateway.listening.gateway, &self.gateway.virtual_key),
            Target::Governed => {
                let governed = self.gateway.governed.as_ref();
                let governed = governed.context("this run has no governed key")?;
                (self.gateway.listening.gateway, &governed.secret)
            }
        })
    }

    pub(crate) fn processes(&self, target: Target) -> anyhow::Result<Vec<u32>> {
        Ok(match target {
            Target::Direct => vec![self.mock.child.id()],
            Target::Nginx => self.nginx()?.processes.clone(),
            Target::Gateway | Target::Governed => vec![self.gateway.child.id()],
        })
    }

    /// The thread names that count as data threads: all but the gateway are nothing else.
    pub(crate) fn data_threads(target: Target) -> &'static str {
        match target {
            Target::Direct | Target::Nginx => "",
            Target::Gateway | Target::Governed => DATA_THREADS,
        }
    }

    /// Fails with the log of whoever ended early.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        self.mock.child.check()?;
        if let Some(mock) = &mut self._tls_mock {
            mock.child.check()?;
        }
        if let Some(nginx) = &mut self.nginx {
            nginx.child.check()?;
        }
        self.gateway.child.check()
    }

    fn nginx(&self) -> anyhow::Result<&Nginx> {
        self.nginx.as_ref().context("this run has no nginx")
    }
}

/// The provider that answers.
pub(crate) struct Mock {
    child: Child,
    ready: MockReady,
    ca: Option<PathBuf>,
}

#[derive(Deserialize)]
struct MockReady {
    addr: SocketAddr,
    base_url: String,
}

impl Mock {
    /// Where providers of ours point at it.
    pub(crate) fn base_url(&self) -> String {
        format!("{}/v1", self.ready.base_url)
    }

    pub(crate) async fn start(
        settings: &Settings,
        folder: &Path,
        tls: bool,
    ) -> anyhow::Result<Self> {
        let ca = tls.then(|| folder.join("mock-ca.pem"));
        let mut command = Command::new(&settings.binary);
        command
            .args([
                "mock-provider",
                "--addr",
                "127.0.0.1:0",
                "--no-record",
                "--workers",
            ])
            .arg(settings.mock_workers.to_string());
        if let Some(ca) = &ca {
            command.arg("--tls-ca-out").arg(ca);
        }
        let name = if tls { "tls-mock" } else { "mock" };
        let mut child = Child::start(name, &mut command, folder)?;
        let ready = wait_for("the mock provider's first line", START_LIMIT, || {
            child.check()?;
            let output = child.output()?;
            let line = output.split_once('\n').map(|(line, _)| line);
            line.map(serde_json::from_str)
                .transpose()
                .context("the mock provider's first line")
        })
        .await?;
        Ok(Self { child, ready, ca })
    }
}

/// The gateway and the records that it owes.
pub(crate) struct Gateway {
    child: Child,
    listening: Listening,
    virtual_key: String,
    governed: Option<Governed>,
    workers: usize,
    sent: u64,
    base: Books,
}

/// Where a gateway listens.
#[derive(Clone, Copy, Deserialize)]
pub(crate) struct Listening {
    pub(crate) gateway: SocketAddr,
    pub(crate) control: SocketAddr,
}

/// Starts a gateway whose files are in `folder` and waits until it listens.
pub(crate) async fn launch(
    settings: &Settings,
    folder: &Path,
    environment: &[(&str, &str)],
) -> anyhow::Result<(Child, Listening)> {
    let data = folder.join("data");
    let announced = data.join("listening.json");
    let mut command = Command::new(&settings.binary);
    command
        .args([
            "serve",
            "--gateway-addr",
            "127.0.0.1:0",
            "--control-addr",
            "127.0.0.1:0",
        ])
        .arg("--data-dir")
        .arg(&data)
        .current_dir(folder)
        .env_clear()
        .env("LANGWATCH_INIT_ORG", ORGANIZATION)
        .env("LANGWATCH_ALLOW_PRIVATE_UPSTREAMS", "true")
        .envs(environment.iter().copied());
    let mut child = Child::start("gateway", &mut command, folder)?;
    let listening = wait_for("the gateway's listening.json", START_LIMIT, || {
        child.check()?;
        let text = fs::read(&announced).unwrap_or_default();
        // Half a file is as good as none.
        Ok(serde_json::from_slice(&text).ok())
    })
    .await
    .with_context(|| child.log_tail())?;
    Ok((child, listening))
}

/// What the gateway's metrics say about the records of finished requests.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Books {
    queued: u64,
    spend: u64,
    traces: u64,
}

impl Gateway {
    async fn start(
        settings: &Settings,
        folder: &Path,
        upstream: &Mock,
        scenario: Scenario,
    ) -> anyhow::Result<Self> {
        let mut environment = vec![
            ("LANGWATCH_INIT_API_KEY", API_KEY),
            ("LOG_LEVEL", scenario.log_level()),
        ];
        if scenario.is_governed() {
            environment.push(("LANGWATCH_INSTANCE_ADMIN_API_KEY", INSTANCE_KEY));
        }
        let ca = upstream.ca.as_ref().map(|ca| ca.display().to_string());
        environment.extend(ca.as_deref().map(|ca| ("SSL_CERT_FILE", ca)));
        let (child, listening) = launch(settings, folder, &environment).await?;
        let workers = Cpu::read(&[child.id()])?.count(DATA_THREADS);
        ensure!(
            workers > 0,
            "no thread of the gateway is named {DATA_THREADS}N"
        );
        let mut gateway = Self {
            child,
            listening,
            virtual_key: String::new(),
            governed: None,
            workers,
            sent: 0,
            base: Books::default(),
        };
        gateway
            .set_up(&upstream.base_url(), scenario)
            .await
            .with_context(|| {
                format!(
                    "setting the gateway up; its log: {}",
                    gateway.child.log_tail()
                )
            })?;
        gateway.base = gateway.books().await?;
        // Threads name themselves once they run, which may be after the gateway is ready.
        tokio::time::sleep(NAMING).await;
        gateway.workers = Cpu::read(&[gateway.child.id()])?.count(DATA_THREADS);
        ensure!(
            gateway.workers > 0,
            "no thread of the gateway is named {DATA_THREADS}N"
        );
        Ok(gateway)
    }

    async fn set_up(&mut self, provider: &str, scenario: Scenario) -> anyhow::Result<()> {
        let api = Api::new(self.listening.control, API_KEY);
        if scenario.is_governed() {
            let instance = Api::new(self.listening.control, INSTANCE_KEY);
            let pair = governance::set_up(&api, &instance, provider).await?;
            self.virtual_key = pair.plain;
            self.governed = Some(pair.governed);
            return Ok(());
        }
        let scopes = json!([{"scope_type": "organization", "scope_id": ORGANIZATION}]);
        for (kind, keys) in [
            (
                "openai",
                json!({"OPENAI_API_KEY": MOCK_KEY, "OPENAI_BASE_URL": provider}),
            ),
            (
                "anthropic",
                json!({"ANTHROPIC_API_KEY": MOCK_KEY, "ANTHROPIC_BASE_URL": provider}),
            ),
        ] {
            let row = json!({
                "provider": kind, "name": format!("mock {kind}"), "scopes": scopes,
                "custom_keys": keys,
            });
            api.post("/api/gateway/v1/model-providers", &row).await?;
        }
        let key = json!({"name": "bench", "scopes": scopes});
        let key = api.post("/api/gateway/v1/virtual-keys", &key).await?;
        text(&key, "/secret")?.clone_into(&mut self.virtual_key);
        Ok(())
    }

    /// What is wrong with what the governed key spent, if there is one.
    pub(crate) async fn check_governed(&self) -> anyhow::Result<Option<String>> {
        match &self.governed {
            Some(governed) => {
                let api = Api::new(self.listening.control, API_KEY);
                governed.check_spent(&api).await
            }
            None => Ok(None),
        }
    }

    /// How many threads serve requests.
    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// Notes requests for which records must come.
    pub(crate) fn add_sent(&mut self, requests: u64) {
        self.sent += requests;
    }

    /// Waits until all queues are drained and every request has its records; says what is missing.
    pub(crate) async fn settle(&mut self) -> anyhow::Result<Option<String>> {
        let end = Instant::now() + DRAIN_LIMIT;
        let mut last = (self.books().await?, Instant::now());
        loop {
            let books = self.books().await?;
            if books != last.0 {
                last = (books, Instant::now());
            }
            let (spend, traces) = (self.base.spend + self.sent, self.base.traces + self.sent);
            if books
                == (Books {
                    queued: 0,
                    spend,
                    traces,
                })
            {
                return Ok(None);
            }
            let still = last.1.elapsed() >= STILL && books.queued == 0;
            if still || Instant::now() >= end {
                let fault = format!(
                    "of {} requests {} spend records and {} traces arrived, {} still queued",
                    self.sent,
                    books.spend.saturating_sub(self.base.spend),
                    books.traces.saturating_sub(self.base.traces),
                    books.queued
                );
                // What follows is judged on its own.
                self.base = books;
                self.sent = 0;
                return Ok(Some(fault));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn books(&self) -> anyhow::Result<Books> {
        let address = self.listening.gateway;
        let answer = fetch(address, &request(address, "/metrics", None, None)).await?;
        ensure!(
            answer.status == 200,
            "GET /metrics: {} {}",
            answer.status,
            answer.snippet()
        );
        Books::read(&String::from_utf8_lossy(&answer.body))
    }
}

impl Books {
    fn read(metrics: &str) -> anyhow::Result<Self> {
        let value = |name| {
            metric(metrics, name).with_context(|| format!("no {name} in the gateway's /metrics"))
        };
        Ok(Self {
            queued: value("gateway_spend_spool_bytes")? + value("gateway_trace_queue_depth")?,
            spend: value("gateway_spend_records_folded_total")?,
            traces: value("gateway_traces_stored_total")?,
        })
    }
}

/// The sum of all series of one name in a Prometheus text.
fn metric(text: &str, name: &str) -> Option<u64> {
    let mut sum = None;
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(name) else {
            continue;
        };
        let value = match rest.strip_prefix('{') {
            Some(labels) => labels.rsplit_once('}')?.1,
            None if rest.starts_with(' ') => rest,
            None => continue,
        };
        let value: f64 = value.split_whitespace().next()?.parse().ok()?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts and sizes, which a float holds exactly up to 2^53"
        )]
        let value = value.max(0.0) as u64;
        sum = Some(sum.unwrap_or(0) + value);
    }
    sum
}

struct Nginx {
    child: Child,
    /// Buffers whole answers, as proxies do by default.
    whole: SocketAddr,
    /// Passes every piece on as it comes.
    streams: SocketAddr,
    processes: Vec<u32>,
}

impl Nginx {
    async fn start(
        binary: &Path,
        folder: &Path,
        upstream: &Mock,
        workers: usize,
    ) -> anyhow::Result<Self> {
        let folder = folder.join("nginx");
        fs::create_dir(&folder)?;
        let (whole, streams) = free_addresses()?;
        let config = folder.join("nginx.conf");
        let plan = NginxPlan {
            folder: &folder,
            workers,
            upstream: upstream.ready.addr,
            tls: upstream.ca.is_some(),
            whole,
            streams,
        };
        fs::write(&config, plan.config())?;
        let mut command = Command::new(binary);
        command.arg("-p").arg(&folder).arg("-c").arg(&config);
        let mut child = Child::start("nginx", &mut command, &folder)?;
        let processes = wait_for("nginx and its workers", START_LIMIT, || {
            child.check()?;
            let mut processes = children(child.id())?;
            let listens = [whole, streams]
                .iter()
                .all(|at| std::net::TcpStream::connect(at).is_ok());
            processes.push(child.id());
            Ok((listens && processes.len() == workers + 1).then_some(processes))
        })
        .await
        .with_context(|| child.log_tail())?;
        Ok(Self {
            child,
            whole,
            streams,
            processes,
        })
    }
}

struct NginxPlan<'a> {
    folder: &'a Path,
    workers: usize,
    upstream: SocketAddr,
    tls: bool,
    whole: SocketAddr,
    streams: SocketAddr,
}

impl NginxPlan<'_> {
    fn config(&self) -> String {
        let Self {
            folder,
            workers,
            upstream,
            tls,
            whole,
            streams,
        } = self;
        let folder = folder.display();
        let user = if is_root() { "user root;" } else { "" };
        let scheme = if *tls { "https" } else { "http" };
        format!(
            r#"{user}
daemon off;
worker_processes {workers};
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_max_body_size 16m;
    upstream mock {{
        server {upstream};
        keepalive 256;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_connect_timeout 5s;
    proxy_read_timeout 300s;
    proxy_ssl_protocols TLSv1.2 TLSv1.3;
    proxy_ssl_session_reuse on;
    server {{
        listen {whole} reuseport;
        location / {{
            proxy_pass {scheme}://mock;
            # Bodies of 1 MiB stay in memory in both directions.
            client_body_buffer_size 2m;
            proxy_buffer_size 16k;
            proxy_buffers 64 32k;
            proxy_busy_buffers_size 256k;
            proxy_max_temp_file_size 0;
        }}
    }}
    server {{
        listen {streams} reuseport;
        location / {{
            proxy_pass {scheme}://mock;
            proxy_buffering off;
        }}
    }}
}}
"#
        )
    }
}

/// Two addresses that nobody listens on just now: nginx cannot choose its own.
fn free_addresses() -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let (first, second) = (
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    );
    Ok((first.local_addr()?, second.local_addr()?))
}

/// Finds nginx and its version, or says how to get it.
pub(crate) fn find_nginx(wanted: Option<&Path>) -> anyhow::Result<(PathBuf, String)> {
    let usual = [
        Path::new("nginx"),
        Path::new("/usr/sbin/nginx"),
        Path::new("/usr/local/bin/nginx"),
    ];
    let candidates = wanted.map_or(usual.to_vec(), |path| vec![path]);
    for path in candidates {
        if let Ok(output) = Command::new(path).arg("-v").output() {
            let version = String::from_utf8_lossy(&output.stderr);
            let version = version
                .trim()
                .trim_start_matches("nginx version: ")
                .to_owned();
            return Ok((path.to_owned(), version));
        }
    }
    bail!(
        "nginx was not found. The bench compares with it: install it (Debian, Ubuntu: \
         `apt-get install -y nginx-light`; it need not run as a service), name it with \
         --nginx <path>, or do without the comparison with --without-nginx"
    )
}

/// Makes one request of a scenario and insists on a right answer.
pub(crate) async fn probe(
    target: Target,
    address: SocketAddr,
    bytes: &[u8],
    stream: bool,
) -> anyhow::Result<Fetched> {
    let answer = fetch(address, bytes)
        .await
        .with_context(|| format!("probing {}", target.name()))?;
    ensure!(
        answer.status == 200 && (answer.ends_stream || !stream),
        "probing {}: {} {}",
        target.name(),
        answer.status,
        answer.snippet()
    );
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "# HELP gateway_spend_spool_bytes x\n\
        gateway_spend_spool_bytes 12\n\
        gateway_trace_queue_depth{plane=\"data\"} 3\n\
        gateway_trace_queue_depth{plane=\"co}ntrol {\"} 4 1700000000\n\
        gateway_spend_records_folded_total 1e3\n\
        gateway_spend_records_folded_total_of_another_name 7\n\
        gateway_traces_stored_total 999\n";

    #[test]
    fn metrics_are_summed_over_their_labels() {
        let books = Books {
            queued: 19,
            spend: 1_000,
            traces: 999,
        };
        assert_eq!(Books::read(METRICS).unwrap(), books);
    }

    #[test]
    fn a_missing_metric_is_an_error() {
        let error = Books::read("gateway_spend_spool_bytes 12\n").unwrap_err();
        assert!(
            error.to_string().contains("gateway_trace_queue_depth"),
            "{error}"
        );
    }

    #[test]
    fn the_key_has_the_minted_format() {
        let (id, secret) = API_KEY
            .strip_prefix("sk-lw-")
            .unwrap()
            .split_once('_')
            .unwrap();
        assert_eq!((id.len(), secret.len()), (16, 48));
        assert!(
            id.chars()
                .chain(secret.chars())
                .all(|letter| letter.is_ascii_alphanumeric())
        );
    }
}
