//! The running process: what is built in which order, and how it comes to a stop.
//!
//! Start: folder, key, stores, recovery of money, data plane, control plane. Nothing is served before
//! every admission that an earlier process left has become a charge. Stop, in this order: not ready,
//! wait for the balancer, stop accepting, let requests finish, control plane, fold the spool, store the
//! traces. Start at [`Process::start`].

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use lw_admin::{Admin, AdminSettings, Books as Openings, Probe, Prober, open_missing_budgets};
use lw_cloud::Ambient;
use lw_core::{Clock, Entropy, Secret, SystemClock, SystemEntropy, UnixMicros};
use lw_crypto::{Pepper, Sealer, SealingKey};
use lw_engine::budget_scope::TeamRule;
use lw_engine::price::PriceCatalogue;
use lw_engine::route::Equivalents;
use lw_governor::books::Books;
use lw_governor::breakers::Breakers;
use lw_governor::limits::Limits;
use lw_proxy::check::ProviderCheck;
use lw_proxy::custody::Custody;
use lw_proxy::governed::Live;
use lw_proxy::keys::{KeyCache, Lookups};
use lw_proxy::lane::compile::{AmbientIdentity, Compiler};
use lw_proxy::metrics::Metrics;
use lw_proxy::models::Discovery;
use lw_proxy::record::{Records, Writer};
use lw_proxy::serve::DataPlane;
use lw_proxy::settings::Settings;
use lw_proxy::shelf::Shelf;
use lw_proxy::worker::{ByteBudget, Gateway, Snapshot};
use lw_spool::{Folder as SpoolFolder, Spool, SpoolWriter, Stop};
use lw_store::config::VirtualKeys as _;
use lw_store::ledger::Ledger;
use lw_store::objects::ProviderObjects;
use lw_store::rows::ModelProvider;
use lw_store_sql::Tuning;
use lw_store_sql::config::SqliteConfig;
use lw_store_sql::ledger::SqliteLedger;
use lw_store_sql::trace::SqliteTraces;
use lw_upstream::{AddressGuard, Endpoint};

use crate::config::{Config, LogLevel};
use crate::explainer::Explainer;
use crate::first_start::{Means, first_start};
use crate::folder::Folder;
use crate::refusals;

/// The group commit: at most this much is lost when the power goes.
const GROUP_COMMIT: Duration = Duration::from_millis(100);
/// How often accounts of budgets that nobody uses are looked for.
const SWEEP: Duration = Duration::from_secs(30);
/// How much older than the spool's word the ledger is taken to be.
const SWEEP_MARGIN: Duration = Duration::from_secs(5);

/// Everything that keeps running until the stop.
pub(crate) struct Process {
    folder: Folder,
    data_plane: DataPlane,
    control: Control,
    control_addr: SocketAddr,
    spool: Spool,
    spool_stop: Arc<Stop>,
    sync: JoinHandle<()>,
    fold: JoinHandle<()>,
    sweep: JoinHandle<()>,
    records: Arc<Records>,
    writer: JoinHandle<()>,
    /// The API key of a first start, to be shown once.
    pub(crate) first_key: Option<Secret>,
}

/// Where the process listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listening {
    pub(crate) gateway: SocketAddr,
    pub(crate) control: SocketAddr,
}

impl Process {
    /// Builds and starts everything. `allowed_sockets` may be dialled although they are on loopback.
    pub(crate) fn start(config: &Config, allowed_sockets: Vec<SocketAddr>) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let folder = Folder::open(&config.data_dir)?;
        let key = folder.sealing_key(config.credentials_secret.as_ref(), &*entropy)?;
        let previous: Vec<SealingKey> = config
            .previous_credentials_secret
            .iter()
            .map(SealingKey::parse)
            .collect::<Result<_, _>>()?;
        let sealer = Arc::new(Sealer::new(&key, &previous));
        folder.check(&sealer, &*entropy)?;
        let secrets = Secrets::new(config, &key, &previous);

        let store = Arc::new(SqliteConfig::open(
            &folder.file("config.db"),
            Tuning::default(),
        )?);
        let first_key = first_start(
            &*store,
            config,
            &Means {
                credential_pepper: &secrets.credential_pepper,
                sealer: &sealer,
                clock: &*clock,
                entropy: &*entropy,
            },
        )?;
        let ledger = Arc::new(SqliteLedger::open(
            &folder.file("ledger.db"),
            Tuning::default(),
        )?);
        let traces = Arc::new(SqliteTraces::open(
            &folder.file("traces.db"),
            Tuning::default(),
        )?);
        let prices = prices(config)?;

        let spool_dir = config
            .spool_dir
            .clone()
            .unwrap_or_else(|| folder.file("spend-spool"));
        let spool = Spool::open(&spool_dir, &config.node_id, config.spool_max_bytes)?;
        let mut spool_folder = SpoolFolder::new(&spool, ledger.clone(), clock.clone())?;
        // Everything that is open was left by an earlier process: also what a clock that went back puts
        // into the future.
        let recovery = spool_folder.recover(UnixMicros(i64::MAX))?;
        tracing::info!(
            records = recovery.folded.records,
            orphans = recovery.orphans,
            "lifecycle_recovered"
        );
        let openings = Openings {
            store: &*store,
            ledger: &*ledger,
            team_budget_principals: config.governance.team_budget_principals,
        };
        let opened = open_missing_budgets(openings, clock.now())?;
        if opened > 0 {
            tracing::info!(budgets = opened, "lifecycle_budgets_opened");
        }
        let writers: Vec<SpoolWriter> = (0..config.data_threads)
            .map(|index| spool.writer(index))
            .collect::<Result<_, _>>()?;
        let spool_stop = Arc::new(Stop::new());
        let (for_sync, stop) = (spool.clone(), spool_stop.clone());
        let sync = spawn("spool-sync", move || for_sync.run(&stop, GROUP_COMMIT))?;
        let stop = spool_stop.clone();
        let fold = spawn("ledger", move || {
            spool_folder.run(&stop, GROUP_COMMIT);
            if let Err(error) = spool_folder.drain() {
                tracing::error!(%error, "spend stays in the spool until the next start");
            }
        })?;

        let metrics = Arc::new(Metrics::default());
        let records = Records::new(config.data_threads, config.max_captured_bytes);
        let (noted, audited, minting) = (store.clone(), store.clone(), entropy.clone());
        let writer = Writer {
            records: records.clone(),
            traces: traces.clone(),
            metrics: metrics.clone(),
            on_used: Box::new(move |used| {
                if let Err(error) = noted.touch_virtual_keys(used) {
                    tracing::debug!(%error, "last use of keys was not noted");
                }
            }),
            on_refused: Box::new(move |refused| {
                if let Err(error) = refusals::keep(&*audited, &*minting, refused) {
                    tracing::warn!(%error, "policy refusals were not audited");
                }
            }),
            access_log: config.log_level >= LogLevel::Info,
            version: version().to_owned(),
        };
        let writer = spawn("traces", move || writer.run())?;

        let guard = Arc::new(AddressGuard {
            allow_private: config.allow_private,
            ranges: config.private_ranges.clone(),
            sockets: allowed_sockets,
            hosts: config.allowed_hosts.clone(),
            require_https: config.require_https,
            platform: false,
        });
        let ambient = if config.ambient_cloud_identity {
            Ambient::Allowed
        } else {
            Ambient::Refused
        };
        let compiler = Compiler {
            sealer: sealer.clone(),
            ambient: AmbientIdentity::new(ambient),
            guard: guard.clone(),
        };
        let spending: Arc<dyn Ledger> = ledger.clone();
        let books = Arc::new(Books::new(Arc::new(spending)));
        let live = Live {
            breakers: Arc::new(Breakers::new(circuits(config))),
            books: books.clone(),
            team_rule: if config.governance.team_budget_principals {
                TeamRule::WithPrincipals
            } else {
                TeamRule::Narrow
            },
            clock: clock.clone(),
        };
        let (stop, swept, at) = (spool_stop.clone(), spool.clone(), clock.clone());
        let sweep = spawn("books", move || {
            while !stop.wait(SWEEP) {
                forget_idle(&books, &swept, at.now());
            }
        })?;
        let lookups = Arc::new(Lookups {
            source: store.clone(),
            compiler: compiler.clone(),
            shelf: Shelf::default(),
            live,
        });
        let keys = KeyCache::start(config.key_cache_entries, &lookups)?;
        let listener = TcpListener::bind(config.control_addr).with_context(|| {
            let addr = config.control_addr;
            format!("the control plane cannot listen on {addr} (LANGWATCH_CONTROL_ADDR)")
        })?;
        let control_addr = listener.local_addr()?;
        let owners: Arc<dyn ProviderObjects> = ledger.clone();
        let gateway = Arc::new(Gateway {
            settings: settings(config, control_addr),
            keys: keys.clone(),
            lookups,
            limits: Limits::default(),
            custody: Custody::start(&owners)?,
            peppers: secrets.key_peppers.clone(),
            snapshot: arc_swap::ArcSwap::from_pointee(Snapshot { prices }),
            equivalents: equivalents(config)?,
            clock: clock.clone(),
            entropy: entropy.clone(),
            guard: guard.clone(),
            tls: lw_upstream::tls::client_config(config.upstream_http2)?,
            spool: Arc::new(spool.clone()),
            records: records.clone(),
            metrics,
            bytes: ByteBudget::new(config.max_bytes_in_flight),
            discovery: Discovery::default(),
            version_header: http::HeaderValue::from_static(version()),
            user_agent: http::HeaderValue::from_str(&format!("langwatch-aigateway/{}", version()))?,
            draining: AtomicBool::new(false),
            started_at: clock.now(),
        });
        let data_plane = DataPlane::start(gateway.clone(), writers).with_context(|| {
            format!(
                "the gateway cannot listen on {} (SERVER_ADDR)",
                config.gateway_addr
            )
        })?;
        let public_url = config.public_url.clone();
        let check = ProviderCheck {
            guard: guard.clone(),
            tls: gateway.tls.clone(),
            compiler,
            clock: clock.clone(),
            user_agent: gateway.user_agent.clone(),
        };
        let admin = Admin {
            store,
            ledger,
            traces,
            freshness: keys,
            sealer,
            key_pepper: secrets.key_pepper,
            credential_pepper: secrets.credential_pepper,
            previous_credential_peppers: secrets.previous_credential_peppers,
            clock,
            entropy,
            prober: Arc::new(Checks(check)),
            explainer: Arc::new(Explainer(gateway.clone())),
            instance_key: config.instance_admin_key.clone(),
            base_url_policy: Arc::new(move |url| {
                let endpoint = Endpoint::parse(url).map_err(|error| error.to_string())?;
                guard
                    .check_endpoint(&endpoint)
                    .map_err(|refusal| refusal.to_string())
            }),
            settings: AdminSettings {
                version: version().to_owned(),
                ui_base_url: format!("http://{control_addr}"),
                gateway_public_url: public_url
                    .unwrap_or_else(|| format!("http://{}", data_plane.addr())),
                trace_project_strict: config.trace_project_strict,
                rate_limit_rpm: config.management_rpm,
                enterprise_features: config.enterprise_features,
                team_budget_principals: config.governance.team_budget_principals,
            },
            ready: Arc::new(move || !gateway.draining.load(Ordering::Relaxed)),
        };
        let control = Control::start(listener, admin)?;
        let process = Self {
            folder,
            data_plane,
            control,
            control_addr,
            spool,
            spool_stop,
            sync,
            fold,
            sweep,
            records,
            writer,
            first_key,
        };
        process.announce_addresses()?;
        Ok(process)
    }

    /// Where it listens.
    pub(crate) const fn listening(&self) -> Listening {
        Listening {
            gateway: self.data_plane.addr(),
            control: self.control_addr,
        }
    }

    /// Writes `listening.json`, so that scripts that asked for port 0 find the ports.
    fn announce_addresses(&self) -> anyhow::Result<()> {
        let Listening { gateway, control } = self.listening();
        let text = serde_json::json!({
            "gateway": gateway.to_string(),
            "control": control.to_string(),
            "pid": std::process::id(),
        });
        self.folder
            .write_private("listening.json", format!("{text}\n").as_bytes())?;
        Ok(())
    }

    /// Tells the probes that the process is going to stop.
    pub(crate) fn announce_stop(&self) {
        tracing::info!("lifecycle_draining");
        self.data_plane.announce();
    }

    /// Lets requests finish for at most `limit` and puts everything away. Blocks.
    pub(crate) fn stop(self, limit: Duration) {
        tracing::info!("lifecycle_stopping");
        self.data_plane.finish(limit);
        self.control.stop();
        self.spool_stop.stop();
        self.records.stop();
        for thread in [self.sync, self.fold, self.sweep, self.writer] {
            if thread.join().is_err() {
                tracing::error!("a background thread panicked");
            }
        }
        if let Err(error) = self.spool.sync() {
            tracing::error!(%error, "the spool could not be synced");
        }
        let _ = std::fs::remove_file(self.folder.file("listening.json"));
        tracing::info!("lifecycle_stopped");
    }
}

/// Forgets accounts of budgets that nobody uses, as far as the ledger knows all that was settled in them.
fn forget_idle(books: &Books, spool: &Spool, now: UnixMicros) {
    let stats = spool.stats(now);
    if stats.waiting > 0 {
        return;
    }
    let lag = stats.oldest_unfolded.saturating_add(SWEEP_MARGIN);
    let lag = i64::try_from(lag.as_micros()).unwrap_or(i64::MAX);
    books.sweep(now.plus_micros(lag.saturating_neg()), now);
}

/// When circuits open and for how long.
fn circuits(config: &Config) -> lw_engine::breaker::Settings {
    let circuit = config.governance.circuit;
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    lw_engine::breaker::Settings {
        window_us: micros(circuit.window),
        threshold: circuit.threshold,
        cooldown_us: micros(circuit.cooldown),
    }
}

/// Tests of providers, for the control plane's threads.
struct Checks(ProviderCheck);

impl Prober for Checks {
    fn probe(&self, row: &ModelProvider) -> Probe {
        let started = tokio::time::Instant::now();
        // The caller is a blocking thread; the call gets a loop of its own for as long as it takes.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let answer = match runtime {
            Ok(runtime) => runtime.block_on(self.0.run(row)),
            Err(error) => {
                tracing::error!(%error, "no runtime for a provider check");
                Err("The check could not be started; try again.".to_owned())
            }
        };
        Probe {
            latency_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            error: answer.err(),
        }
    }
}

/// Secrets that are not set derive from the sealing key (README).
struct Secrets {
    key_pepper: Pepper,
    key_peppers: Vec<Pepper>,
    credential_pepper: Pepper,
    previous_credential_peppers: Vec<Pepper>,
}

impl Secrets {
    fn new(config: &Config, key: &SealingKey, previous: &[SealingKey]) -> Self {
        let of = |key: &SealingKey| Pepper::new(&key.derive("API_KEY_PEPPER"));
        let derived;
        let current = match &config.key_pepper {
            Some(secret) => secret,
            None => {
                derived = key.derive("LW_VIRTUAL_KEY_PEPPER");
                &derived
            }
        };
        let key_pepper = Pepper::new(current);
        let mut key_peppers = vec![key_pepper.clone()];
        key_peppers.extend(config.previous_key_pepper.iter().map(Pepper::new));
        Self {
            key_pepper,
            key_peppers,
            credential_pepper: of(key),
            previous_credential_peppers: previous.iter().map(of).collect(),
        }
    }
}

fn prices(config: &Config) -> anyhow::Result<PriceCatalogue> {
    let bundled = PriceCatalogue::bundled()?;
    let Some(path) = &config.prices_file else {
        return Ok(bundled);
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| anyhow::anyhow!("LW_PRICES_FILE {}: {error}", path.display()))?;
    bundled
        .with_overrides(&text)
        .map_err(|error| anyhow::anyhow!("LW_PRICES_FILE {}: {error}", path.display()))
}

/// The table of models that stand for one another.
fn equivalents(config: &Config) -> anyhow::Result<Equivalents> {
    let Some(path) = &config.equivalents_file else {
        return Ok(Equivalents::shipped()?);
    };
    let told = |error: &dyn std::fmt::Display| {
        anyhow::anyhow!("LW_MODEL_EQUIVALENTS_FILE {}: {error}", path.display())
    };
    let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
    Equivalents::parse(&text).map_err(|error| match std::error::Error::source(&error) {
        Some(cause) => told(&cause),
        None => told(&error),
    })
}

fn settings(config: &Config, control: SocketAddr) -> Settings {
    Settings {
        addr: config.gateway_addr,
        max_body_bytes: config.max_body_bytes,
        heartbeat: config.heartbeat,
        timeouts: config.timeouts,
        version: version().to_owned(),
        control_plane_base_url: format!("http://{control}"),
        governance: config.governance,
    }
}

/// The product's version.
pub(crate) const fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
}

/// The control plane on a thread of its own.
struct Control {
    stop: tokio::sync::watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Control {
    fn start(listener: TcpListener, admin: Admin) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("control-work")
            .max_blocking_threads(8)
            .build()?;
        let thread = spawn("control", move || {
            runtime.block_on(serve_control(listener, admin, stopped));
            runtime.shutdown_timeout(Duration::from_secs(5));
        })?;
        Ok(Self { stop, thread })
    }

    fn stop(self) {
        self.stop.send_replace(true);
        if self.thread.join().is_err() {
            tracing::error!("the control plane panicked");
        }
    }
}

async fn serve_control(
    listener: TcpListener,
    admin: Admin,
    mut stopped: tokio::sync::watch::Receiver<bool>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the control plane cannot listen");
            return;
        }
    };
    let mut cut = stopped.clone();
    let graceful = async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    // With the caller's address, which audit rows keep.
    let router = lw_admin::router(admin).into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, router).with_graceful_shutdown(graceful);
    tokio::select! {
        served = serving => {
            if let Err(error) = served {
                tracing::error!(%error, "the control plane ended");
            }
        }
        // Management calls are short: a connection that rests open must not hold the stop.
        () = async {
            let _ = cut.wait_for(|stopped| *stopped).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        } => {}
    }
}
