//! No secret leaves its place.
//!
//! Every secret of an installation is a canary: provider keys, an extra header's value, virtual keys,
//! the management key, the administrator's password, peppers, the sealing key. Every path is walked with
//! them, at the lowest log level, and then everything that came out is searched for each of them: logs,
//! files, answers, traces, metrics, what commands print, what the provider received. Each is searched for
//! in clear, in halves, and in every encoding that bytes commonly travel in. The only places that may
//! hold one are the answers whose purpose that is (create, rotate) and `sealing.key`.
//!
//! Start at [`no_secret_leaves_its_place`].

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXUPPER};
use lw_core::{Clock as _, Entropy as _, SystemClock, SystemEntropy};
use lw_mock::{Directive, MockProvider, Script};
use serde_json::{Value, json};

use super::support::{Ask, Conn, Gateway, chat, directive, eventually, messages, once, provider};

/// The organization.
const ORG: &str = "aviary";
/// Bytes of a needle that find it. No needle is shorter.
const START: usize = 8;

#[test]
fn no_secret_leaves_its_place() {
    let mock = provider();
    let mut flock = Flock::default();
    let secrets = Secrets::hatch(&mut flock);
    let mut gateway = Gateway::builder()
        .env("LOG_LEVEL", "trace")
        .env("LANGWATCH_INIT_ORG", ORG)
        .env("LANGWATCH_INIT_API_KEY", &secrets.api_key)
        .env("LANGWATCH_INIT_ADMIN_EMAIL", "admin@example.com")
        .env("LANGWATCH_INIT_ADMIN_PASSWORD", &secrets.password)
        .env("LW_VIRTUAL_KEY_PEPPER", &secrets.pepper)
        .start();
    let sealing_key = fs::read_to_string(gateway.data().join("sealing.key")).expect("a key");
    flock.add("the sealing key", sealing_key.trim(), 0);
    let bytes = HEXLOWER
        .decode(sealing_key.trim().as_bytes())
        .expect("hexadecimal");
    flock.add_bytes("the sealing key", bytes);

    let mut walk = Walk {
        gateway: &gateway,
        mock: &mock,
        secrets: &secrets,
        flock,
        sinks: Vec::new(),
    };
    let openai = walk.store_providers();
    walk.manage_badly(&openai);
    let keys = walk.mint_keys();
    walk.call(&keys);
    walk.call_badly(&keys);
    walk.look_around(&openai, &keys);
    walk.use_the_command_line(&openai, &keys);
    walk.what_the_provider_got(&keys);
    let live = keys.rotated.1.clone();
    let Walk {
        flock, mut sinks, ..
    } = walk;
    files(&gateway.data(), "while it runs", &mut sinks);
    assert!(gateway.stop().success());
    files(&gateway.data(), "after the stop", &mut sinks);
    // A later start reads everything from disk, and death leaves everything as it is.
    gateway.relaunch(&[]).expect("a second start");
    let ask = Ask::post("/v1/messages", &live, messages("hello", false));
    assert_eq!(gateway.call(&ask).status(), 200);
    gateway.kill9();
    files(&gateway.data(), "after the kill", &mut sinks);
    sinks.push(Sink::new("standard output", gateway.stdout()));
    sinks.push(Sink::new("standard error", gateway.stderr()));
    let logs = gateway.stdout().to_ascii_lowercase();
    assert!(
        logs.contains(r#""level":"debug""#),
        "the lowest level is logged"
    );
    Flock::finds_a_prompt(&sinks);
    flock.search(&sinks);
}

#[test]
fn secrets_of_the_environment_stay_there() {
    let mut flock = Flock::default();
    let mut bytes = [0; 32];
    SystemEntropy.fill(&mut bytes);
    let sealing = HEXLOWER.encode(&bytes);
    flock.add("CREDENTIALS_SECRET", &sealing, 0);
    flock.add_bytes("CREDENTIALS_SECRET", bytes.to_vec());
    let mut environment = BTreeMap::from([("CREDENTIALS_SECRET", sealing)]);
    for name in [
        "CREDENTIALS_SECRET_PREVIOUS",
        "LW_VIRTUAL_KEY_PEPPER",
        "LW_VIRTUAL_KEY_PEPPER_PREVIOUS",
        "LANGWATCH_INIT_ADMIN_PASSWORD",
    ] {
        let value = match name {
            "CREDENTIALS_SECRET_PREVIOUS" => {
                SystemEntropy.fill(&mut bytes);
                HEXLOWER.encode(&bytes)
            }
            _ => hatch("env"),
        };
        flock.add(name, &value, 0);
        environment.insert(name, value);
    }
    let mut builder = Gateway::builder()
        .env("LOG_LEVEL", "trace")
        .env("LANGWATCH_INIT_ADMIN_EMAIL", "admin@example.com");
    for (name, value) in &environment {
        builder = builder.env(name, value);
    }
    let mut gateway = builder.start();
    let mut sinks = Vec::new();
    // The same values in the two commands that show the configuration.
    environment.insert("LANGWATCH_INIT_ADMIN_EMAIL", "admin@example.com".to_owned());
    for command in [["config", "print"], ["config", "check"]] {
        let (shown, code) = ran(&command, &environment);
        assert_eq!(code, Some(0), "{shown}");
        sinks.push(Sink::new(&command.join(" "), shown));
    }
    // And where they are wrong: the mistake is named, the value is not.
    for (name, value) in [
        ("CREDENTIALS_SECRET", hatch("not-hexadecimal")),
        ("CREDENTIALS_SECRET_PREVIOUS", hatch("not-hexadecimal")),
        ("LANGWATCH_INIT_API_KEY", hatch("sk-lw-malformed")),
        ("LW_VIRTUAL_KEY_PEPPER", format!(" {} ", hatch("spaces"))),
        (
            "DATABASE_URL",
            format!("postgres://someone:{}@db/x", hatch("dsn")),
        ),
        ("GATEWAY_LOG_LEVEL", hatch("level")),
    ] {
        let bare = value.trim();
        let bare = bare.strip_prefix("postgres://someone:").unwrap_or(bare);
        let bare = bare.strip_suffix("@db/x").unwrap_or(bare);
        if name != "GATEWAY_LOG_LEVEL" {
            flock.add(&format!("a wrong {name}"), bare, 0);
        }
        let mut wrong = environment.clone();
        wrong.insert(name, value.clone());
        for command in [["config", "print"], ["config", "check"]] {
            let (shown, _) = ran(&command, &wrong);
            sinks.push(Sink::new(
                &format!("{command:?} with a wrong {name}"),
                shown,
            ));
        }
        let refused = gateway.second(&[(name, value.as_str())]);
        sinks.push(Sink::new(
            &format!("serve with a wrong {name}"),
            format!("{}{}", refused.stdout, refused.stderr),
        ));
    }
    assert!(gateway.stop().success());
    files(&gateway.data(), "after the stop", &mut sinks);
    assert!(
        !gateway.data().join("sealing.key").exists(),
        "a key that the environment gives is not written down"
    );
    // Another key does not open what is stored, and says so without showing either.
    SystemEntropy.fill(&mut bytes);
    let other = HEXLOWER.encode(&bytes);
    flock.add("another CREDENTIALS_SECRET", &other, 0);
    let changes = [
        ("CREDENTIALS_SECRET", Some(other.as_str())),
        ("CREDENTIALS_SECRET_PREVIOUS", None),
    ];
    let refused = gateway.relaunch(&changes);
    let refused = refused.expect_err("the key is another one");
    assert!(!refused.status.success());
    sinks.push(Sink::new("standard output", gateway.stdout()));
    sinks.push(Sink::new("standard error", refused.stderr));
    flock.search(&sinks);
}

/// A value that stands nowhere else: 32 random characters behind a mark.
fn hatch(mark: &str) -> String {
    let mut bytes = [0; 20];
    SystemEntropy.fill(&mut bytes);
    let random = data_encoding::BASE32_NOPAD.encode(&bytes);
    format!("{mark}-{}", random.to_ascii_lowercase())
}

/// Every secret that must not be found.
#[derive(Default)]
struct Flock {
    needles: Vec<Needle>,
}

/// One secret in one form.
struct Needle {
    canary: String,
    form: &'static str,
    bytes: Vec<u8>,
}

impl Flock {
    /// A secret text. Its first `public` characters may be shown.
    fn add(&mut self, canary: &str, value: &str, public: usize) {
        let secret = &value[public..];
        assert!(secret.len() >= 16, "{canary} is too short to be looked for");
        let half = secret.len() / 2;
        let (first, last) = secret.split_at(half);
        self.form(canary, "in clear", secret);
        self.form(canary, "its first half", first);
        self.form(canary, "its second half", last);
        self.form(canary, "reversed", secret.chars().rev().collect::<String>());
        let escaped = json!(secret).to_string();
        self.form(canary, "as JSON", escaped.trim_matches('"'));
        let escaped = escaped.replace('/', "\\/");
        self.form(canary, "as JSON with \\/", escaped.trim_matches('"'));
        self.form(canary, "in URL encoding", percent(secret, false));
        self.form(canary, "in full URL encoding", percent(secret, true));
        let lower = percent(secret, true).to_ascii_lowercase();
        self.form(canary, "in full URL encoding, lower case", lower);
        self.add_bytes(canary, secret.as_bytes().to_vec());
    }

    /// A secret of any bytes.
    fn add_bytes(&mut self, canary: &str, bytes: Vec<u8>) {
        self.form(canary, "in hexadecimal", HEXLOWER.encode(&bytes));
        self.form(canary, "in HEXADECIMAL", HEXUPPER.encode(&bytes));
        let decimal: Vec<String> = bytes.iter().map(u8::to_string).collect();
        self.form(canary, "as a list of bytes", decimal.join(", "));
        self.form(
            canary,
            "as a list of bytes without spaces",
            decimal.join(","),
        );
        // In the middle of something that is encoded, it may begin at any of three places.
        for shift in 0..3 {
            let shifted = [vec![0; shift], bytes.clone()].concat();
            let from = (shift * 8).div_ceil(6);
            let to = shifted.len() * 8 / 6;
            self.form(canary, "in base64", &BASE64.encode(&shifted)[from..to]);
            self.form(
                canary,
                "in base64url",
                &BASE64URL.encode(&shifted)[from..to],
            );
        }
        self.form(canary, "as bytes", bytes);
    }

    fn form(&mut self, canary: &str, form: &'static str, bytes: impl Into<Vec<u8>>) {
        let needle = Needle {
            canary: canary.to_owned(),
            form,
            bytes: bytes.into(),
        };
        if !self.needles.iter().any(|known| known.bytes == needle.bytes) {
            self.needles.push(needle);
        }
    }

    /// The search finds what is there: one that finds nothing anywhere proves nothing.
    fn finds_a_prompt(sinks: &[Sink]) {
        let mark = Self {
            needles: vec![Needle {
                canary: "a prompt".to_owned(),
                form: "in clear",
                bytes: b"a-prompt-may-be-stored".to_vec(),
            }],
        };
        let found = mark.find(sinks);
        assert!(
            ["traces.db", "trace search", "GET /api/traces"]
                .iter()
                .all(|name| found.iter().any(|leak| leak.contains(name))),
            "{found:#?}"
        );
    }

    fn search(&self, sinks: &[Sink]) {
        let leaks = self.find(sinks);
        assert!(
            leaks.is_empty(),
            "{} leaks in {} sinks:\n{}",
            leaks.len(),
            sinks.len(),
            leaks[..leaks.len().min(40)].join("\n")
        );
        let total: usize = sinks.iter().map(|sink| sink.bytes.len()).sum();
        println!(
            "{} forms in {} sinks, {total} bytes: nothing",
            self.needles.len(),
            sinks.len()
        );
    }

    /// One pass over each sink: a needle is looked at where its first bytes stand.
    fn find(&self, sinks: &[Sink]) -> Vec<String> {
        let mut starts: HashMap<&[u8], Vec<&Needle>> = HashMap::new();
        let mut maybe = vec![false; 1 << 16];
        let pair = |bytes: &[u8]| usize::from(bytes[0]) << 8 | usize::from(bytes[1]);
        for needle in &self.needles {
            starts
                .entry(&needle.bytes[..START])
                .or_default()
                .push(needle);
            maybe[pair(&needle.bytes)] = true;
        }
        let mut leaks = Vec::new();
        for sink in sinks {
            let mut found: BTreeMap<&str, (&Needle, usize)> = BTreeMap::new();
            for (at, start) in sink.bytes.windows(START).enumerate() {
                if !maybe[pair(start)] {
                    continue;
                }
                let needles = starts.get(start).into_iter().flatten();
                for needle in needles.filter(|needle| sink.bytes[at..].starts_with(&needle.bytes)) {
                    found.entry(&needle.canary).or_insert((needle, at));
                }
            }
            for (canary, (needle, at)) in found {
                let start = at.saturating_sub(120);
                let end = (at + needle.bytes.len() + 60).min(sink.bytes.len());
                let around = String::from_utf8_lossy(&sink.bytes[start..end]);
                let (form, name) = (needle.form, &sink.name);
                leaks.push(format!("{canary}, {form}, stands in {name}: …{around:?}…"));
            }
        }
        leaks
    }
}

/// Percent-encoding: of what needs it, or of every byte.
fn percent(text: &str, every: bool) -> String {
    let encoded = text.bytes().map(|byte| {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if plain && !every {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    encoded.collect()
}

/// Something that came out.
struct Sink {
    name: String,
    bytes: Vec<u8>,
}

impl Sink {
    fn new(name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.to_owned(),
            bytes: bytes.into(),
        }
    }
}

/// Adds every file of a folder but the sealing key's own.
fn files(folder: &Path, when: &str, sinks: &mut Vec<Sink>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, when, sinks);
        } else if path.file_name().is_none_or(|name| name != "sealing.key") {
            let bytes = fs::read(&path).expect("a file");
            sinks.push(Sink::new(&format!("{} {when}", path.display()), bytes));
        }
    }
}

/// Runs a command of the binary that needs no server; returns all that it printed, and its code.
fn ran(arguments: &[&str], environment: &BTreeMap<&str, String>) -> (String, Option<i32>) {
    let home = tempfile::tempdir().expect("a home");
    let output = Command::new(env!("CARGO_BIN_EXE_langwatch"))
        .args(arguments)
        .env_clear()
        .env("HOME", home.path())
        .current_dir(home.path())
        .envs(environment)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let text = [output.stdout, output.stderr].concat();
    (
        String::from_utf8_lossy(&text).into_owned(),
        output.status.code(),
    )
}

/// The secrets of an installation.
struct Secrets {
    api_key: String,
    password: String,
    pepper: String,
    openai: String,
    anthropic: String,
    /// What the OpenAI credential is rotated to.
    next: String,
    header: String,
    /// Secrets that are sent and were never valid here.
    wrong_api_key: String,
    wrong_key: String,
    misplaced: String,
}

impl Secrets {
    fn hatch(flock: &mut Flock) -> Self {
        let minted = || {
            lw_crypto::api_key::mint(&SystemEntropy)
                .token
                .expose()
                .to_owned()
        };
        let now = SystemClock.now();
        let wrong_key = lw_crypto::virtual_key::mint(now, &SystemEntropy);
        let secrets = Self {
            api_key: minted(),
            // Characters that every encoding spells differently.
            password: format!("p\"w\\/+&= {}", hatch("admin")),
            pepper: hatch("pepper"),
            openai: hatch("sk-openai"),
            anthropic: hatch("sk-ant"),
            next: hatch("sk-openai-next"),
            header: format!("a/b+c={}", hatch("header")),
            wrong_api_key: minted(),
            wrong_key: wrong_key.expose().to_owned(),
            misplaced: hatch("misplaced"),
        };
        let Self {
            api_key,
            password,
            pepper,
            openai,
            anthropic,
            next,
            header,
            wrong_api_key,
            wrong_key,
            misplaced,
        } = &secrets;
        // The part before the `_` finds the row of an API key; the first 13 characters show a key.
        let lookup = "sk-lw-".len() + 17;
        for (canary, value, public) in [
            ("the management key", api_key, lookup),
            ("the administrator's password", password, 0),
            ("the pepper", pepper, 0),
            ("the OpenAI credential", openai, 0),
            ("the Anthropic credential", anthropic, 0),
            ("the next OpenAI credential", next, 0),
            ("the extra header", header, 0),
            ("a wrong management key", wrong_api_key, lookup),
            ("a wrong virtual key", wrong_key, 13),
            ("a credential in the wrong place", misplaced, 0),
        ] {
            flock.add(canary, value, public);
        }
        secrets
    }
}

/// The virtual keys, by what became of them.
struct Keys {
    live: Minted,
    /// Before the rotation, and after.
    rotated: (Minted, String),
    revoked: Minted,
    disabled: Minted,
}

struct Minted {
    id: String,
    secret: String,
}

/// Walks every path and keeps what comes out.
struct Walk<'a> {
    gateway: &'a Gateway,
    mock: &'a MockProvider,
    secrets: &'a Secrets,
    flock: Flock,
    sinks: Vec<Sink>,
}

const PROVIDERS: &str = "/api/gateway/v1/model-providers";
const KEYS: &str = "/api/gateway/v1/virtual-keys";

impl Walk<'_> {
    /// A call of either plane, head and body kept. Returns the status and the body.
    fn ask(&mut self, addr: SocketAddr, name: &str, ask: &Ask) -> (u16, String) {
        let answer = Conn::open(addr).try_call(ask);
        let Ok(answer) = answer else {
            return (0, String::new());
        };
        let text = answer.text();
        let shown = format!("{:?}\n{text}", answer.head);
        self.sinks
            .push(Sink::new(&format!("the answer to {name}"), shown));
        (answer.status(), text)
    }

    /// A management call with the management key.
    fn api(&mut self, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
        let mut ask = Ask::new(method, path).bearer(&self.secrets.api_key);
        if let Some(body) = body {
            ask = ask
                .header("Content-Type", "application/json")
                .body(body.to_string());
        }
        self.ask(self.gateway.control, &format!("{method} {path}"), &ask)
    }

    /// A management call that must succeed.
    fn fine(&mut self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, text) = self.api(method, path, body);
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {text}"
        );
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// A management call whose answer holds a secret on purpose: it is not kept.
    fn minted(&mut self, path: &str, body: &Value) -> Minted {
        let ask = Ask::post(path, &self.secrets.api_key, body);
        let answer = Conn::open(self.gateway.control).call(&ask);
        assert!(answer.status() < 300, "{path}: {}", answer.text());
        let answer = answer.json();
        let text = |pointer| answer.pointer(pointer).and_then(Value::as_str);
        let secret = text("/secret").expect("a secret").to_owned();
        self.flock
            .add(&format!("a virtual key of {path}"), &secret, 13);
        Minted {
            id: text("/virtual_key/id").expect("an id").to_owned(),
            secret,
        }
    }

    fn store_providers(&mut self) -> String {
        let base = self.mock.base_url();
        let Secrets {
            openai,
            anthropic,
            header,
            ..
        } = self.secrets;
        let body = json!({
            "provider": "openai", "name": "OpenAI",
            "custom_keys": {"OPENAI_API_KEY": openai, "OPENAI_BASE_URL": format!("{base}/v1")},
            "extra_headers": [{"key": "X-Canary", "value": header}],
        });
        let stored = self.fine("POST", PROVIDERS, Some(body));
        let id = stored.pointer("/model_provider/id").or(stored.get("id"));
        let id = id.and_then(Value::as_str).expect("an id").to_owned();
        let body = json!({
            "provider": "anthropic", "name": "Anthropic",
            "custom_keys": {"ANTHROPIC_API_KEY": anthropic, "ANTHROPIC_BASE_URL": base},
            "extra_headers": [{"key": "X-Canary", "value": header}],
        });
        self.fine("POST", PROVIDERS, Some(body));
        id
    }

    /// Secrets in places where they do not belong: the mistake is named, the value is not.
    fn manage_badly(&mut self, provider: &str) {
        let secret = &self.secrets.misplaced;
        let one = format!("{PROVIDERS}/{provider}");
        for body in [
            json!(secret),
            json!([secret]),
            json!({"provider": "openai", "custom_keys": secret}),
            json!({"provider": "openai", "custom_keys": {"OPENAI_API_KEY": [secret]}}),
            json!({"provider": "openai", "custom_keys": {"OPENAI_API_KEY": {"value": secret}}}),
            json!({"provider": "openai", "custom_keys": {"OPENAI_API_KEY": format!("{secret}\u{e9}")}}),
            json!({"provider": "openai", "custom_keys": {"OPENAI_API_KEY": format!("{secret}\nx")}}),
            json!({"provider": "openai", "custom_keys": {"ANTHROPIC_API_KEY": secret}}),
            json!({"provider": "openai", "custom_keys": {
                "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": format!("https://u:{secret}@example.com")
            }}),
            json!({"provider": "openai", "custom_keys": {
                "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": format!("https://example.com/?key={secret}")
            }}),
            json!({"provider": "openai", "custom_keys": {
                "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": format!("http://10.0.0.1/#{secret}")
            }}),
            json!({"provider": "openai", "custom_keys": {
                "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": format!("not a url {secret}")
            }}),
            json!({"provider": "openai", "custom_keys": {"OPENAI_API_KEY": "sk-x"}, "extra_headers": secret}),
            json!({"provider": "openai", "custom_keys": {"OPENAI_API_KEY": "sk-x"},
                "extra_headers": [{"key": "x-a", "value": [secret]}]}),
            json!({"provider": "openai", "custom_keys": {"OPENAI_API_KEY": "sk-x"},
                "extra_headers": [{"key": "x a", "value": secret}]}),
            json!({"provider": "openai", "custom_keys": {"OPENAI_API_KEY": "sk-x"},
                "extra_headers": {"x-a": secret}}),
            json!({"provider": "openai", "custom_keys": {"OPENAI_API_KEY": "sk-x"},
                "fallback_priority_global": secret}),
            json!({"provider": "openai", "custom_keys": {"OPENAI_API_KEY": "sk-x"},
                "provider_config": {"base_url": format!("https://u:{secret}@example.com")}}),
        ] {
            self.api("PATCH", &one, Some(body.clone()));
            let (status, text) = self.api("POST", PROVIDERS, Some(body.clone()));
            assert!((400..500).contains(&status), "{body}: {status} {text}");
        }
        let torn = format!("{{\"custom_keys\": {{\"OPENAI_API_KEY\": \"{secret}\", oops");
        let control = self.gateway.control;
        for body in [torn, secret.clone(), format!("\"{secret}")] {
            let ask = Ask::post(PROVIDERS, &self.secrets.api_key, body);
            self.ask(control, "a body that is no JSON", &ask);
        }
        // Credentials that are wrong, in every place where one may stand.
        let wrong = &self.secrets.wrong_api_key;
        let basic = BASE64.encode(format!("project:{wrong}").as_bytes());
        for (name, value) in [
            ("Authorization", format!("Bearer {wrong}")),
            ("Authorization", format!("Basic {basic}")),
            ("Authorization", wrong.clone()),
            ("Authorization", format!("Bearer {secret}")),
            ("X-Auth-Token", wrong.clone()),
            ("X-API-Key", wrong.clone()),
            ("Cookie", format!("session={wrong}")),
            // A virtual key is none of the control plane's credentials.
            (
                "Authorization",
                format!("Bearer {}", self.secrets.wrong_key),
            ),
        ] {
            for path in [KEYS, "/api/organization", "/api/traces/search", "/nowhere"] {
                let ask = Ask::get(path).header(name, &value);
                let (status, _) = self.ask(control, path, &ask);
                assert!(status >= 400, "{name} {path}: {status}");
            }
        }
    }

    fn mint_keys(&mut self) -> Keys {
        let mut mint = |name: &str| {
            let scopes = json!([{"scope_type": "organization", "scope_id": ORG}]);
            self.minted(KEYS, &json!({"name": name, "scopes": scopes}))
        };
        let (live, old, revoked, disabled) = (
            mint("live"),
            mint("rotated"),
            mint("revoked"),
            mint("disabled"),
        );
        let rotated = self.minted(&format!("{KEYS}/{}/rotate", old.id), &json!({}));
        for (key, action) in [(&revoked, "revoke"), (&disabled, "disable")] {
            self.fine(
                "POST",
                &format!("{KEYS}/{}/{action}", key.id),
                Some(json!({})),
            );
        }
        Keys {
            live,
            rotated: (old, rotated.secret),
            revoked,
            disabled,
        }
    }

    /// A call of the data plane.
    fn model(&mut self, path: &str, key: &str, body: &Value) -> (u16, String) {
        self.ask(self.gateway.addr, path, &Ask::post(path, key, body))
    }

    /// Everything that succeeds, and everything that a provider can do wrong.
    fn call(&mut self, keys: &Keys) {
        let key = keys.live.secret.clone();
        let talk = |stream| {
            let mut chat = chat("a-prompt-may-be-stored");
            chat["stream"] = Value::Bool(stream);
            let responses = json!({"model": "gpt-4o-mini", "stream": stream, "input": "hello"});
            [
                ("/v1/chat/completions", chat),
                ("/v1/messages", messages("hello", stream)),
                ("/v1/responses", responses),
            ]
        };
        let embeddings = json!({"model": "text-embedding-3-small", "input": "hello"});
        let count =
            json!({"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "a"}]});
        let mut calls: Vec<(&str, Value)> = talk(false).into_iter().chain(talk(true)).collect();
        calls.push(("/v1/embeddings", embeddings));
        calls.push(("/v1/messages/count_tokens", count));
        for (path, body) in &calls {
            let (status, text) = self.model(path, &key, body);
            assert_eq!(status, 200, "{path}: {text}");
        }
        self.ask(
            self.gateway.addr,
            "models",
            &Ask::get("/v1/models").bearer(&key),
        );
        let Secrets {
            openai,
            anthropic,
            header,
            ..
        } = self.secrets;
        for (path, body) in &calls {
            let ours = if path.starts_with("/v1/messages") {
                anthropic
            } else {
                openai
            };
            let echo = json!({"echo_credential_in_error": true});
            for fault in [
                echo.clone(),
                json!({"echo_credential_in_error": true, "status": 400}),
                json!({"echo_credential_in_error": true, "status": 500}),
                json!({"status": 401, "error_message": format!("the header X-Canary: {header} is bad")}),
                json!({"status": 403, "error_type": ours, "error_message": "named after the key"}),
                json!({"status": 429, "retry_after": "1", "headers": {"x-echo": ours, "set-cookie": ours}}),
                json!({"status": 400, "body_raw": format!("no JSON but {ours} and {header}")}),
                json!({"status": 401, "body_raw": format!("{{\"error\":\"{ours}\"}}"), "split_every": 7}),
                json!({"status": 502, "response_bytes": 300_000}),
                json!({"reset_before_head": true}),
                json!({"close_before_head": true}),
                json!({"malformed_json": true}),
                json!({"reset_after_frames": 1}),
            ] {
                once(self.mock, &fault);
                let (status, text) = self.model(path, &key, body);
                let refused = fault.get("status").is_some() || fault == echo;
                assert!(!refused || status >= 400, "{path} {fault}: {status} {text}");
            }
        }
        // In the middle of a stream there is an error event instead, whole or in pieces.
        for (path, body) in talk(true) {
            let ours = if path == "/v1/messages" {
                anthropic
            } else {
                openai
            };
            let message = format!("Incorrect API key provided: {ours}, with {header}");
            let fault = json!({"error_event_after_frames": 1, "error_message": message});
            for pieces in [
                json!({}),
                json!({"split_every": 5}),
                json!({"split_every": 97}),
            ] {
                let mut fault = fault.clone();
                if let (Some(fault), Some(pieces)) = (fault.as_object_mut(), pieces.as_object()) {
                    fault.extend(pieces.clone());
                }
                once(self.mock, &fault);
                self.model(path, &key, &body);
            }
        }
        // A caller that leaves.
        let stall = directive(&json!({"stall_after_frames": 1}));
        self.mock.script(Script::once(Directive { ..stall }));
        let (path, body) = &talk(true)[0];
        let mut stream = self.gateway.stream(&Ask::post(path, &key, body));
        stream.until("data:");
        drop(stream);
        let mock = self.mock;
        eventually("the provider sees it", || {
            (mock.disconnects() > 0).then_some(())
        });
    }

    /// Everything that is refused before a provider is asked.
    fn call_badly(&mut self, keys: &Keys) {
        let addr = self.gateway.addr;
        let chat = chat("hello");
        let Secrets {
            wrong_key,
            misplaced,
            api_key,
            ..
        } = self.secrets;
        let (old, new) = (&keys.rotated.0.secret, &keys.rotated.1);
        for (key, expected) in [
            (old, 200),
            (new, 200),
            (&keys.revoked.secret, 403),
            (&keys.disabled.secret, 403),
            (wrong_key, 401),
            (misplaced, 401),
            (api_key, 401),
        ] {
            for (path, body) in [
                ("/v1/chat/completions", &chat),
                ("/v1/messages", &messages("hello", false)),
            ] {
                let (status, text) = self.model(path, key, body);
                let fine = status == expected || (expected == 403 && status == 401);
                assert!(fine, "{path}: {status} instead of {expected}: {text}");
            }
            let ask = Ask::get("/v1/models").bearer(key);
            self.ask(addr, "/v1/models", &ask);
            for name in ["x-api-key", "api-key", "x-goog-api-key", "xi-api-key"] {
                let ask = Ask::new("POST", "/v1/chat/completions")
                    .header(name, key)
                    .header("content-type", "application/json")
                    .body(chat.to_string());
                self.ask(addr, name, &ask);
            }
        }
        let key = &keys.live.secret;
        for body in [
            "{".to_owned(),
            "[]".to_owned(),
            "{\"messages\":[]}".to_owned(),
            "{\"model\":\"no-such-model\"}".to_owned(),
            "{\"model\":7}".to_owned(),
        ] {
            self.ask(
                addr,
                "a bad body",
                &Ask::post("/v1/chat/completions", key, body),
            );
        }
        for path in ["/v1/models", "/v1/chat/completions", "/nowhere", "/metrics"] {
            let path = format!("{path}?key={misplaced}&api_key={misplaced}");
            let ask = Ask::post(&path, misplaced, &chat);
            self.ask(addr, "a key in the query", &ask);
            self.ask(addr, "a key in the query", &Ask::get(&path));
        }
        for (method, path) in [
            ("GET", "/v1/chat/completions"),
            ("POST", "/v1/nothing"),
            ("POST", "/v1/messages/batches"),
            ("DELETE", "/metrics"),
        ] {
            self.ask(
                addr,
                path,
                &Ask::new(method, path).bearer(key).header("x-api-key", key),
            );
        }
        // Every header that may carry a key at once: the provider gets none of them.
        let ask = Ask::post("/v1/chat/completions", key, &chat)
            .header("x-api-key", key)
            .header("api-key", key)
            .header("x-goog-api-key", key)
            .header("xi-api-key", key)
            .header("cookie", &format!("key={key}"))
            .header("proxy-authorization", &format!("Bearer {key}"))
            .header("x-langwatch-metadata", "{\"a\":1}");
        let (status, text) = self.ask(addr, "all headers", &ask);
        assert_eq!(status, 200, "{text}");
    }

    /// Everything that can be read.
    fn look_around(&mut self, provider: &str, keys: &Keys) {
        let next = json!({"custom_keys": {"OPENAI_API_KEY": self.secrets.next}});
        self.fine("PATCH", &format!("{PROVIDERS}/{provider}"), Some(next));
        let (status, text) = self.model("/v1/chat/completions", &keys.live.secret, &chat("hello"));
        assert_eq!(status, 200, "{text}");
        once(self.mock, &json!({"echo_credential_in_error": true}));
        self.model("/v1/chat/completions", &keys.live.secret, &chat("hello"));
        let mut paths = vec![
            PROVIDERS.to_owned(),
            format!("{PROVIDERS}/{provider}"),
            format!("/api/gateway-platform/v1/model-providers/{provider}"),
            KEYS.to_owned(),
            "/api/organization".to_owned(),
            "/api/teams".to_owned(),
            "/api/projects".to_owned(),
        ];
        for key in [&keys.live, &keys.rotated.0, &keys.revoked, &keys.disabled] {
            paths.push(format!("{KEYS}/{}", key.id));
            paths.push(format!("{KEYS}/{}/spend", key.id));
        }
        for path in paths {
            self.fine("GET", &path, None);
        }
        self.fine(
            "PATCH",
            &format!("{KEYS}/{}", keys.live.id),
            Some(json!({"description": "looked at"})),
        );
        // A provider that cannot be reached, and one that does not speak TLS.
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let closed = free.local_addr().expect("an address");
        drop(free);
        let mock = self.mock.addr();
        for base in [
            format!("http://{closed}/v1"),
            format!("https://{mock}/v1"),
            format!("http://{mock}/v1"),
        ] {
            let moved = json!({"custom_keys": {"OPENAI_BASE_URL": base}});
            self.fine("PATCH", &format!("{PROVIDERS}/{provider}"), Some(moved));
            let path = "/v1/chat/completions";
            let (status, text) = self.model(path, &keys.live.secret, &chat("hello"));
            assert_eq!(
                status == 200,
                base.starts_with(&format!("http://{mock}")),
                "{text}"
            );
        }
        for (id, trace) in self.traces() {
            self.fine("GET", &format!("/api/traces/{trace}"), None);
            self.api("GET", &format!("/api/gateway/v1/requests/{id}"), None);
        }
        for path in [
            "/metrics",
            "/health",
            "/healthz",
            "/readyz",
            "/startupz",
            "/",
        ] {
            self.ask(self.gateway.addr, path, &Ask::get(path));
            self.ask(self.gateway.control, path, &Ask::get(path));
        }
    }

    /// Ids of requests and their traces, once all of them are stored.
    fn traces(&mut self) -> Vec<(String, String)> {
        let search = json!({"pageSize": 1000, "startDate": 0, "endDate": 9_999_999_999_999_u64});
        let found = self.fine("POST", "/api/traces/search", Some(search));
        let traces = found["traces"].as_array().expect("traces");
        assert!(traces.len() > 100, "{} traces", traces.len());
        let text = |trace: &Value, names: &[&str]| {
            let found = names.iter().find_map(|name| trace.get(*name)?.as_str());
            found.unwrap_or_default().to_owned()
        };
        let ids = traces.iter().map(|trace| {
            let id = text(trace, &["request_id", "requestId", "gatewayRequestId"]);
            (id, text(trace, &["trace_id", "traceId", "id"]))
        });
        ids.collect()
    }

    /// The commands that show things, in both of their forms, and those that fail.
    fn use_the_command_line(&mut self, provider: &str, keys: &Keys) {
        let (_, trace) = self.traces().swap_remove(0);
        let key = &keys.live.id;
        let set = format!("OPENAI_API_KEY={}", self.secrets.next);
        let misplaced = &self.secrets.misplaced;
        let wrong_name = format!("={misplaced}");
        let wrong_url = format!("OPENAI_BASE_URL=https://u:{misplaced}@example.com");
        let unknown = format!("OPENAI_API_KEYS={misplaced}");
        let commands: [&[&str]; 27] = [
            &["whoami"],
            &["model-provider", "list"],
            &["model-provider", "list", "--all"],
            &["model-provider", "get", provider],
            &["model-provider", "update", provider, "--key", &set],
            &[
                "model-provider",
                "set",
                "openai",
                "--api-key",
                &self.secrets.next,
            ],
            &["model-provider", "test", provider],
            &["model-provider", "disable", provider],
            &["model-provider", "enable", provider],
            &["virtual-keys", "list"],
            &["virtual-keys", "get", key],
            &["virtual-keys", "disable", key],
            &["virtual-keys", "enable", key],
            &["virtual-keys", "revoke", key],
            &["trace", "search"],
            &["trace", "get", &trace],
            &["config", "list"],
            // Mistakes.
            &["model-provider", "update", provider, "--key", misplaced],
            &["model-provider", "update", provider, "--key", &wrong_name],
            &["model-provider", "update", provider, "--key", &wrong_url],
            &["model-provider", "update", provider, "--key", &unknown],
            &["model-provider", "create", "--key", misplaced],
            &[
                "model-provider",
                "create",
                "--provider",
                "openai",
                "--bogus",
                "--key",
                &unknown,
            ],
            &[
                "model-provider",
                "set",
                "openai",
                "--api-key",
                misplaced,
                "--bogus",
            ],
            &["login", "--api-key", misplaced, "--bogus"],
            &["env", "--key", misplaced],
            &["virtual-keys", "get", "vk_nothing"],
        ];
        for command in commands {
            for form in [&[][..], &["--format", "json"]] {
                let all = [command, form].concat();
                self.cli(&all, &self.secrets.api_key);
            }
        }
        for credential in [
            &self.secrets.wrong_api_key,
            misplaced,
            &self.secrets.wrong_key,
        ] {
            self.cli(&["whoami"], credential);
            self.cli(&["virtual-keys", "list", "--format", "json"], credential);
        }
    }

    /// Runs a client command and keeps what it prints.
    fn cli(&mut self, arguments: &[&str], credential: &str) {
        let endpoint = format!("http://{}", self.gateway.control);
        let environment = BTreeMap::from([
            ("LANGWATCH_ENDPOINT", endpoint),
            ("LANGWATCH_API_KEY", credential.to_owned()),
            ("LANGWATCH_NO_DAEMON", "1".to_owned()),
        ]);
        let (shown, _) = ran(arguments, &environment);
        let name = arguments[..arguments.len().min(2)].join(" ");
        self.sinks.push(Sink::new(&name, shown));
    }

    /// The provider got its own credential and header, and nothing of ours.
    fn what_the_provider_got(&mut self, keys: &Keys) {
        let seen = self.mock.requests();
        assert!(seen.len() > 100, "{} requests", seen.len());
        let digest = |key: &String| lw_mock::key_digest(key);
        let Secrets {
            openai,
            anthropic,
            next,
            header,
            ..
        } = self.secrets;
        let ours = [openai, anthropic, next].map(digest);
        let theirs = [&keys.live.secret, &keys.rotated.0.secret, &keys.rotated.1].map(digest);
        for request in &seen {
            let all = format!("{:?}", request.headers);
            assert!(
                ours.iter().any(|key| all.contains(key)),
                "no credential: {all}"
            );
            assert!(
                !theirs.iter().any(|key| all.contains(key)),
                "a virtual key: {all}"
            );
            assert_eq!(request.headers.get("x-canary"), Some(header));
            let mut rest = request.headers.clone();
            rest.remove("x-canary");
            let body = request.body.clone().unwrap_or_default();
            let shown = format!("{}\n{rest:?}\n{body}", request.path);
            self.sinks.push(Sink::new("what the provider got", shown));
        }
    }
}
