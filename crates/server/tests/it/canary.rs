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

mod walk;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXUPPER};
use lw_core::{Entropy as _, SystemEntropy};
use serde_json::json;

use self::walk::{Secrets, Walk};
use super::support::{Ask, Gateway, messages, provider};

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
        // Its provider fails more often in a row than a circuit lets pass.
        .env("LW_GATEWAY_CIRCUIT_THRESHOLD", "1000")
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
