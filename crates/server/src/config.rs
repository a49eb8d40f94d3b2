//! The one typed configuration, read from flags and environment as a pure function.
//!
//! Every mistake is reported at once, with the name it stands under and what would be accepted. Nothing
//! else in the tree reads the environment. Must never print a secret: secrets show as `set(len=N)`.
//!
//! Start at [`Config::load`].

mod governance;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use lw_core::Secret;
use lw_proxy::settings::Governance;
use lw_upstream::Timeouts;

/// Where settings come from: names to values. Flags stand in it under the names of their variables.
pub(crate) type Variables = BTreeMap<String, String>;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The variable.
    pub(crate) name: String,
    /// What is wrong and what would be accepted.
    pub(crate) text: String,
}

/// Boot settings of `langwatch serve` (README, data-plane 24.3).
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) gateway_addr: SocketAddr,
    pub(crate) control_addr: SocketAddr,
    pub(crate) data_dir: PathBuf,
    pub(crate) data_threads: usize,
    pub(crate) max_body_bytes: usize,
    pub(crate) max_bytes_in_flight: usize,
    pub(crate) max_captured_bytes: usize,
    pub(crate) key_cache_entries: usize,
    pub(crate) drain_delay: Duration,
    pub(crate) drain_limit: Duration,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) timeouts: Timeouts,
    pub(crate) upstream_http2: bool,
    pub(crate) environment: String,
    pub(crate) log_level: LogLevel,
    pub(crate) log_text: bool,
    pub(crate) node_id: String,
    pub(crate) spool_dir: Option<PathBuf>,
    pub(crate) spool_max_bytes: u64,
    pub(crate) prices_file: Option<PathBuf>,
    pub(crate) equivalents_file: Option<PathBuf>,
    pub(crate) public_url: Option<String>,
    pub(crate) trace_project_strict: bool,
    pub(crate) management_rpm: u32,
    pub(crate) enterprise_features: bool,
    pub(crate) governance: Governance,
    pub(crate) instance_admin_key: Option<Secret>,
    pub(crate) allow_private: bool,
    /// Providers without a credential may use the machine's own cloud identity.
    pub(crate) ambient_cloud_identity: bool,
    pub(crate) private_ranges: Vec<IpNet>,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) require_https: bool,
    pub(crate) credentials_secret: Option<Secret>,
    pub(crate) previous_credentials_secret: Option<Secret>,
    pub(crate) key_pepper: Option<Secret>,
    pub(crate) previous_key_pepper: Option<Secret>,
    pub(crate) init_org: String,
    pub(crate) init_api_key: Option<Secret>,
    pub(crate) init_admin_email: Option<String>,
    pub(crate) init_admin_password: Option<Secret>,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Reads values and gathers what is wrong with them.
struct Reader<'a> {
    variables: &'a Variables,
    problems: Vec<Problem>,
    shown: Vec<(&'static str, String)>,
}

impl Reader<'_> {
    fn problem(&mut self, name: &str, text: impl Into<String>) {
        self.problems.push(Problem {
            name: name.to_owned(),
            text: text.into(),
        });
    }

    /// The value under `name`, or under one of its older names. Blank counts as unset.
    fn text(&self, names: &[&str]) -> Option<&str> {
        let values = names.iter().filter_map(|name| self.variables.get(*name));
        values
            .map(|value| value.trim())
            .find(|value| !value.is_empty())
    }

    fn parsed<T>(&mut self, names: &[&'static str], default: T, accepted: &str) -> T
    where
        T: std::str::FromStr + std::fmt::Display,
    {
        let name = names.first().copied().unwrap_or_default();
        let value = match self
            .text(names)
            .map(|text| (text.to_owned(), text.parse::<T>()))
        {
            None => default,
            Some((_, Ok(value))) => value,
            Some((text, Err(_))) => {
                self.problem(name, format!("`{text}` is not {accepted}"));
                default
            }
        };
        self.shown.push((name, value.to_string()));
        value
    }

    /// Seconds, at least `least`.
    fn seconds(&mut self, name: &'static str, default: u64, least: u64) -> Duration {
        let accepted = format!("a whole number of seconds, at least {least}");
        let value: i64 = self.parsed(
            &[name],
            i64::try_from(default).unwrap_or(i64::MAX),
            &accepted,
        );
        match u64::try_from(value) {
            Ok(seconds) if seconds >= least && seconds <= 315_360_000 => {
                Duration::from_secs(seconds)
            }
            _ => {
                self.problem(
                    name,
                    format!("`{value}` is not {accepted} and at most ten years"),
                );
                Duration::from_secs(default)
            }
        }
    }

    /// Bytes; 0 means the default.
    fn bytes(&mut self, name: &'static str, default: usize) -> usize {
        let value: usize = self.parsed(&[name], default, "a whole number of bytes");
        if value == 0 { default } else { value }
    }

    fn flag(&mut self, name: &'static str, default: bool) -> bool {
        let value = match self.text(&[name]).map(str::to_ascii_lowercase).as_deref() {
            None => default,
            Some("true" | "1" | "yes" | "on") => true,
            Some("false" | "0" | "no" | "off") => false,
            Some(other) => {
                let text = format!("`{other}` is not `true` or `false`");
                self.problem(name, text);
                default
            }
        };
        self.shown.push((name, value.to_string()));
        value
    }

    /// A secret. Set but blank refuses the start: a lost secret must not become a derived one.
    fn secret(&mut self, names: &[&'static str]) -> Option<Secret> {
        let first = names.first().copied().unwrap_or_default();
        let found = names
            .iter()
            .find_map(|name| Some((*name, self.variables.get(*name)?)));
        let secret = match found {
            None => None,
            Some((name, value)) if value.trim().is_empty() => {
                self.problem(name, "is set but blank: give it a value or unset it");
                None
            }
            Some((_, value)) => Some(Secret::new(value.trim())),
        };
        let shown = secret
            .as_ref()
            .map_or_else(|| "unset".to_owned(), |secret| format!("{secret:?}"));
        self.shown.push((first, shown));
        secret
    }

    fn optional(&mut self, name: &'static str) -> Option<String> {
        let value = self.text(&[name]).map(str::to_owned);
        self.shown
            .push((name, value.clone().unwrap_or_else(|| "unset".to_owned())));
        value
    }
}

/// A configuration and how it reads, secrets redacted.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// Name and value of every setting, in the order of the documentation.
    pub(crate) shown: Vec<(&'static str, String)>,
}

impl Config {
    /// Reads the configuration. `cores` is how many data threads the machine can run.
    ///
    /// # Errors
    /// Every mistake at once.
    pub(crate) fn load(variables: &Variables, cores: usize) -> Result<Loaded, Vec<Problem>> {
        let mut reader = Reader {
            variables,
            problems: Vec::new(),
            shown: Vec::new(),
        };
        let config = read(&mut reader, cores);
        check_together(&config, &mut reader);
        if reader.problems.is_empty() {
            Ok(Loaded {
                config,
                shown: reader.shown,
            })
        } else {
            Err(reader.problems)
        }
    }
}

fn read(r: &mut Reader<'_>, cores: usize) -> Config {
    let addr = "an address and port such as 127.0.0.1:5563";
    let default_gateway = SocketAddr::from(([127, 0, 0, 1], 5563));
    let default_control = SocketAddr::from(([127, 0, 0, 1], 5560));
    let gateway_addr = r.parsed(
        &["SERVER_ADDR", "GATEWAY_LISTEN_ADDR"],
        default_gateway,
        addr,
    );
    let control_addr = r.parsed(&["LANGWATCH_CONTROL_ADDR"], default_control, addr);
    let data_dir = r
        .parsed(
            &["LANGWATCH_DATA_DIR"],
            "./langwatch-data".to_owned(),
            "a folder",
        )
        .into();
    database_url(r);
    let local = matches!(environment(r).as_str(), "" | "local");
    let private = private_upstreams(r);
    let instance_admin_key = instance_admin_key(r);
    Config {
        gateway_addr,
        control_addr,
        data_dir,
        data_threads: r
            .parsed(
                &["LW_GATEWAY_DATA_THREADS"],
                cores,
                "a number of threads from 1 to 256",
            )
            .clamp(1, 256),
        max_body_bytes: r.bytes("SERVER_MAX_REQUEST_BODY_BYTES", 32 * 1024 * 1024),
        max_bytes_in_flight: r.bytes("LW_GATEWAY_MAX_BYTES_IN_FLIGHT", 512 * 1024 * 1024),
        max_captured_bytes: r.bytes("LW_GATEWAY_MAX_CAPTURED_BYTES", 128 * 1024 * 1024),
        key_cache_entries: r.bytes("LW_GATEWAY_AUTH_CACHE_LRU_SIZE", 10_000),
        drain_delay: r.seconds("SERVER_DRAIN_DELAY_SECONDS", 3, 0),
        drain_limit: r.seconds("SERVER_GRACEFUL_SECONDS", 900, 0),
        heartbeat: heartbeat(r),
        timeouts: Timeouts {
            connect: r.seconds("LW_GATEWAY_UPSTREAM_CONNECT_TIMEOUT_SECONDS", 10, 1),
            tls: r.seconds("LW_GATEWAY_UPSTREAM_TLS_TIMEOUT_SECONDS", 10, 1),
            head: r.seconds("LW_GATEWAY_UPSTREAM_HEAD_TIMEOUT_SECONDS", 840, 1),
            idle: r.seconds("LW_GATEWAY_UPSTREAM_IDLE_TIMEOUT_SECONDS", 840, 1),
            total: r.seconds("LW_GATEWAY_UPSTREAM_TOTAL_TIMEOUT_SECONDS", 7_200, 0),
        },
        upstream_http2: r.flag("LW_GATEWAY_UPSTREAM_HTTP2", true),
        environment: environment(r),
        log_level: log_level(r),
        log_text: log_text(r),
        node_id: node_id(r),
        spool_dir: r.optional("LW_GATEWAY_SPEND_SPOOL_DIR").map(PathBuf::from),
        spool_max_bytes: r.bytes("LW_GATEWAY_SPEND_SPOOL_MAX_BYTES", 64 * 1024 * 1024) as u64,
        prices_file: r.optional("LW_PRICES_FILE").map(PathBuf::from),
        equivalents_file: r.optional("LW_MODEL_EQUIVALENTS_FILE").map(PathBuf::from),
        public_url: r.optional("LW_GATEWAY_PUBLIC_URL"),
        trace_project_strict: r.flag("LW_GATEWAY_TRACE_PROJECT_STRICT", false),
        management_rpm: r.parsed(
            &["LW_MANAGEMENT_RATE_LIMIT_RPM"],
            100,
            "a number of calls in a minute; 0 is no limit",
        ),
        enterprise_features: r.flag("LW_ENTERPRISE_FEATURES", true),
        governance: governance::governance(r),
        // Who may make organizations may have tenants: then the machine's identity is not theirs to use.
        ambient_cloud_identity: r.flag(
            "LW_GATEWAY_ALLOW_AMBIENT_CLOUD_IDENTITY",
            instance_admin_key.is_none(),
        ),
        instance_admin_key,
        allow_private: private.0 || !r.flag("BLOCK_LOCAL_HTTP_CALLS", true),
        private_ranges: private.1,
        allowed_hosts: list(r, "ALLOWED_PROXY_HOSTS"),
        require_https: r.flag("REQUIRE_HTTPS_CUSTOM_ENDPOINTS", !local),
        credentials_secret: r.secret(&["CREDENTIALS_SECRET", "NEXTAUTH_SECRET"]),
        previous_credentials_secret: r.secret(&["CREDENTIALS_SECRET_PREVIOUS"]),
        key_pepper: r.secret(&["LW_VIRTUAL_KEY_PEPPER"]),
        previous_key_pepper: r.secret(&["LW_VIRTUAL_KEY_PEPPER_PREVIOUS"]),
        init_org: init_org(r),
        init_api_key: init_api_key(r),
        init_admin_email: r.optional("LANGWATCH_INIT_ADMIN_EMAIL"),
        init_admin_password: r.secret(&["LANGWATCH_INIT_ADMIN_PASSWORD"]),
    }
}

/// Unlike other secrets this one may be blank: that is how the family is closed (domain 5.5).
fn instance_admin_key(r: &mut Reader<'_>) -> Option<Secret> {
    const NAME: &str = "LANGWATCH_INSTANCE_ADMIN_API_KEY";
    let text = r.text(&[NAME]).map(str::to_owned);
    if text.as_ref().is_some_and(|text| text.len() < 16) {
        r.problem(
            NAME,
            "is shorter than 16 characters: anybody could guess it",
        );
    }
    let shown = text.as_ref().map_or_else(
        || "unset".to_owned(),
        |text| format!("set(len={})", text.len()),
    );
    r.shown.push((NAME, shown));
    text.map(Secret::new)
}

/// Rules over more than one setting.
fn check_together(config: &Config, r: &mut Reader<'_>) {
    let hardened = !matches!(config.environment.as_str(), "" | "local");
    if hardened && config.allow_private {
        r.problem(
            "LANGWATCH_ALLOW_PRIVATE_UPSTREAMS",
            "all private addresses may be allowed only where ENVIRONMENT is `local`: list the ranges",
        );
    }
    if hardened && !config.require_https {
        r.problem(
            "REQUIRE_HTTPS_CUSTOM_ENDPOINTS",
            "may be off only where ENVIRONMENT is `local`",
        );
    }
    if config.init_admin_email.is_some() != config.init_admin_password.is_some() {
        r.problem(
            "LANGWATCH_INIT_ADMIN_EMAIL",
            "goes together with LANGWATCH_INIT_ADMIN_PASSWORD: set both or neither",
        );
    }
    let same = config.gateway_addr.port() != 0 && config.gateway_addr == config.control_addr;
    if same {
        r.problem(
            "LANGWATCH_CONTROL_ADDR",
            "is the address of the gateway: the two planes need two",
        );
    }
    for (name, new) in [
        (
            "LW_GATEWAY_AUTH_CACHE_SOFT_BUMP",
            "LW_GATEWAY_AUTH_CACHE_SOFT_BUMP_SECONDS",
        ),
        (
            "LW_GATEWAY_AUTH_CACHE_HARD_GRACE",
            "LW_GATEWAY_AUTH_CACHE_HARD_GRACE_SECONDS",
        ),
        (
            "LW_GATEWAY_AUTH_CACHE_CONFIG_TTL",
            "LW_GATEWAY_AUTH_CACHE_CONFIG_TTL_SECONDS",
        ),
    ] {
        if r.variables.contains_key(name) {
            r.problem(name, format!("is retired: use {new}"));
        }
    }
}

fn database_url(r: &mut Reader<'_>) {
    if r.optional("DATABASE_URL").is_some() {
        r.problem(
            "DATABASE_URL",
            "this version keeps its data in SQLite files in the data folder: unset it",
        );
    }
}

fn environment(r: &mut Reader<'_>) -> String {
    let value = r.text(&["ENVIRONMENT"]).unwrap_or("local").to_owned();
    if !r.shown.iter().any(|(name, _)| *name == "ENVIRONMENT") {
        r.shown.push(("ENVIRONMENT", value.clone()));
    }
    value
}

fn heartbeat(r: &mut Reader<'_>) -> Option<Duration> {
    let name = "NON_STREAMING_HEARTBEAT_INTERVAL_SECONDS";
    let seconds: i64 = r.parsed(&[name], 45, "a whole number of seconds; negative is off");
    match seconds {
        0 => Some(Duration::from_secs(45)),
        1.. => Some(Duration::from_secs(seconds.unsigned_abs())),
        _ => None,
    }
}

fn private_upstreams(r: &mut Reader<'_>) -> (bool, Vec<IpNet>) {
    let name = "LANGWATCH_ALLOW_PRIVATE_UPSTREAMS";
    let text = r.optional(name).unwrap_or_default();
    if matches!(text.to_ascii_lowercase().as_str(), "true" | "false") {
        return (text.eq_ignore_ascii_case("true"), Vec::new());
    }
    let mut ranges = Vec::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let parsed = part
            .parse::<IpNet>()
            .or_else(|_| part.parse().map(|ip: std::net::IpAddr| ip.into()));
        match parsed {
            Ok(range) => ranges.push(range),
            Err(_) => {
                r.problem(
                    name,
                    format!("`{part}` is not `true` or a range such as 10.0.0.0/8"),
                );
            }
        }
    }
    (false, ranges)
}

fn list(r: &mut Reader<'_>, name: &'static str) -> Vec<String> {
    let text = r.optional(name).unwrap_or_default();
    text.split(',')
        .map(|part| part.trim().to_ascii_lowercase())
        .filter(|part| !part.is_empty())
        .collect()
}

fn log_level(r: &mut Reader<'_>) -> LogLevel {
    let names = ["LOG_LEVEL", "GATEWAY_LOG_LEVEL"];
    let text = r.text(&names).unwrap_or("info").to_ascii_lowercase();
    let level = match text.as_str() {
        "error" => LogLevel::Error,
        "warn" | "warning" => LogLevel::Warn,
        "info" => LogLevel::Info,
        "debug" => LogLevel::Debug,
        "trace" => LogLevel::Trace,
        other => {
            let text = format!("`{other}` is not error, warn, info, debug or trace");
            r.problem("LOG_LEVEL", text);
            LogLevel::Info
        }
    };
    r.shown.push(("LOG_LEVEL", text));
    level
}

fn log_text(r: &mut Reader<'_>) -> bool {
    let text = r
        .text(&["LOG_FORMAT"])
        .unwrap_or("json")
        .to_ascii_lowercase();
    if !matches!(text.as_str(), "json" | "text" | "pretty") {
        r.problem("LOG_FORMAT", format!("`{text}` is not json or text"));
    }
    r.shown.push(("LOG_FORMAT", text.clone()));
    text != "json"
}

fn node_id(r: &mut Reader<'_>) -> String {
    let text = r
        .text(&["GATEWAY_NODE_ID", "HOSTNAME"])
        .unwrap_or("node")
        .to_owned();
    // It becomes part of file names.
    let clean: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' || c == '_' {
                c
            } else {
                '-'
            }
        })
        .take(64)
        .collect();
    r.shown.push(("GATEWAY_NODE_ID", clean.clone()));
    clean
}

fn init_org(r: &mut Reader<'_>) -> String {
    let slug = r
        .text(&["LANGWATCH_INIT_ORG"])
        .unwrap_or("default")
        .to_owned();
    let fine = slug.len() <= 64
        && slug
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !slug.starts_with('-')
        && !slug.ends_with('-');
    if !fine {
        r.problem(
            "LANGWATCH_INIT_ORG",
            format!("`{slug}` is not a slug of a-z, 0-9 and -"),
        );
    }
    r.shown.push(("LANGWATCH_INIT_ORG", slug.clone()));
    slug
}

fn init_api_key(r: &mut Reader<'_>) -> Option<Secret> {
    let name = "LANGWATCH_INIT_API_KEY";
    let key = r.secret(&[name])?;
    if lw_crypto::api_key::parse(key.expose()).is_none() {
        r.problem(
            name,
            "must look like a minted key: sk-lw-, 16 letters or digits, _, 48 letters or digits",
        );
        return None;
    }
    Some(key)
}

/// The problems as a person reads them.
pub(crate) fn report(problems: &[Problem]) -> String {
    let mut text = format!("the configuration has {} mistake(s):\n", problems.len());
    for Problem { name, text: what } in problems {
        let _ = writeln!(text, "  {name}: {what}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pairs: &[(&str, &str)]) -> Result<Loaded, Vec<Problem>> {
        let variables = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Config::load(&variables, 2)
    }

    #[test]
    fn nothing_set_is_a_good_configuration() {
        let config = load(&[])
            .unwrap_or_else(|problems| panic!("{problems:?}"))
            .config;
        assert_eq!(config.gateway_addr.to_string(), "127.0.0.1:5563");
        assert_eq!(config.control_addr.to_string(), "127.0.0.1:5560");
        assert_eq!(config.heartbeat, Some(Duration::from_secs(45)));
        assert!(!config.allow_private && !config.require_https);
    }

    #[test]
    fn every_mistake_is_reported_at_once_under_its_name() {
        let problems = load(&[
            ("SERVER_ADDR", "nowhere"),
            ("SERVER_DRAIN_DELAY_SECONDS", "-1"),
            ("LOG_LEVEL", "loud"),
            ("CREDENTIALS_SECRET", " "),
            ("LW_GATEWAY_AUTH_CACHE_SOFT_BUMP", "5m"),
            (
                "LANGWATCH_ALLOW_PRIVATE_UPSTREAMS",
                "10.0.0.0/8, everything",
            ),
            ("LANGWATCH_INIT_API_KEY", "secret-canary"),
            ("LANGWATCH_INIT_ADMIN_EMAIL", "a@example.com"),
            ("DATABASE_URL", "postgres://x"),
        ])
        .err()
        .unwrap_or_default();
        let mut names: Vec<&str> = problems
            .iter()
            .map(|problem| problem.name.as_str())
            .collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "CREDENTIALS_SECRET",
                "DATABASE_URL",
                "LANGWATCH_ALLOW_PRIVATE_UPSTREAMS",
                "LANGWATCH_INIT_ADMIN_EMAIL",
                "LANGWATCH_INIT_API_KEY",
                "LOG_LEVEL",
                "LW_GATEWAY_AUTH_CACHE_SOFT_BUMP",
                "SERVER_ADDR",
                "SERVER_DRAIN_DELAY_SECONDS",
            ]
        );
        assert!(!report(&problems).contains("secret-canary"));
    }

    #[test]
    fn outside_of_local_the_rules_are_harder() {
        let problems = load(&[
            ("ENVIRONMENT", "production"),
            ("LANGWATCH_ALLOW_PRIVATE_UPSTREAMS", "true"),
            ("REQUIRE_HTTPS_CUSTOM_ENDPOINTS", "false"),
        ]);
        assert_eq!(problems.err().map(|problems| problems.len()), Some(2));
        let ranges = load(&[
            ("ENVIRONMENT", "production"),
            ("LANGWATCH_ALLOW_PRIVATE_UPSTREAMS", "10.0.0.0/8,127.0.0.1"),
        ]);
        let config = ranges
            .unwrap_or_else(|problems| panic!("{problems:?}"))
            .config;
        assert_eq!(config.private_ranges.len(), 2);
        assert!(config.require_https);
    }

    #[test]
    fn secrets_are_shown_by_their_length() {
        let loaded = load(&[("LW_VIRTUAL_KEY_PEPPER", "pepper-canary")]);
        let shown = loaded
            .unwrap_or_else(|problems| panic!("{problems:?}"))
            .shown;
        let text = format!("{shown:?}");
        assert!(
            text.contains("set(len=13)") && !text.contains("canary"),
            "{text}"
        );
    }
}
