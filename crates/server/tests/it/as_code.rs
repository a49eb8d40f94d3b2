//! Configuration as code against the real server: the example of the documentation, applied, compared and
//! moved to another installation.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Ask, CliRun, Gateway, chat, provider};

/// The example of the documentation.
const EXAMPLE: &str = include_str!("../../../../docs/examples/gateway.yaml");

/// A gateway with the teams and projects that the example speaks of, and a folder with its files.
struct Installation {
    gateway: Gateway,
    folder: tempfile::TempDir,
}

impl Installation {
    fn start() -> Self {
        let gateway = Gateway::builder()
            .env("LW_MANAGEMENT_RATE_LIMIT_RPM", "0")
            .start();
        let mut teams = BTreeMap::new();
        for name in ["eng", "data"] {
            let made = gateway
                .api("POST", "/api/teams", Some(&json!({"name": name})))
                .fine(201);
            assert_eq!(made["slug"], name, "{made}");
            teams.insert(name, made["id"].as_str().expect("an id").to_owned());
        }
        for (name, team) in [("web", "eng"), ("bot", "data")] {
            let body = json!({"name": name, "language": "python", "framework": "openai", "teamId": teams[team]});
            let made = gateway.api("POST", "/api/projects", Some(&body)).fine(201);
            assert_eq!(made["slug"], name, "{made}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(
            folder.path().join("anthropic.key"),
            "sk-as-code-anthropic\n",
        )
        .expect("a file");
        Self { gateway, folder }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    }

    fn run(&self, arguments: &[&str], file: &Path) -> CliRun {
        let file = file.display().to_string();
        self.cli(&[arguments, &["-f", &file]].concat())
    }

    fn cli(&self, arguments: &[&str]) -> CliRun {
        let variables = [
            ("LANGWATCH_API_KEY", self.gateway.api_key()),
            ("OPENAI_API_KEY", "sk-as-code-openai"),
            ("ANTHROPIC_API_KEY", "sk-as-code-anthropic"),
            ("MODERATION_TOKEN", "Bearer as-code"),
            // As an export calls it.
            ("MODERATION_AUTHORIZATION", "Bearer as-code"),
        ];
        self.gateway.cli_with(&variables, arguments)
    }

    /// How many changes the store has seen.
    fn changes(&self) -> i64 {
        let path = self.gateway.data().join("config.db");
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let db = rusqlite::Connection::open_with_flags(path, flags).expect("the store");
        db.query_row("SELECT count(*) FROM audit_log", [], |row| row.get(0))
            .expect("a number")
    }
}

fn counts(document: &Value) -> [u64; 3] {
    let summary = &document["summary"];
    ["create", "update", "unchanged"].map(|name| summary[name].as_u64().unwrap_or(u64::MAX))
}

#[test]
fn the_example_is_applied_once_and_moves_to_another_installation() {
    let mock = provider();
    let one = Installation::start();
    let upstream = format!("{}/v1", mock.base_url());
    let example = EXAMPLE.replace("https://eu.api.openai.com/v1", &upstream);
    assert_ne!(example, EXAMPLE);
    let file = one.file("gateway.yaml", &example);

    // Looking changes nothing.
    let before = one.changes();
    let planned = one.run(&["diff", "--format", "json"], &file).json();
    let [entries, updates, unchanged] = counts(&planned);
    assert_eq!((updates, unchanged), (0, 0), "{planned}");
    assert!(entries >= 11, "{planned}");
    let dry = one
        .run(&["apply", "--dry-run", "--format", "json"], &file)
        .json();
    assert_eq!(counts(&dry), [entries, 0, 0]);
    assert_eq!(one.changes(), before);

    // The first time everything is made, the second time nothing is sent.
    let applied = one
        .run(&["apply", "--yes", "--format", "json"], &file)
        .json();
    assert_eq!(counts(&applied), [entries, 0, 0], "{applied}");
    let steps = applied["steps"].as_array().expect("steps");
    assert!(
        steps.iter().all(|step| step["status"] == "done"),
        "{applied}"
    );
    let secret = applied["secrets"]["web"]
        .as_str()
        .expect("the secret of a new key");
    let body = json!({"model": "gpt-4o-mini", "messages": chat("hi")["messages"]});
    one.gateway
        .call(&Ask::post("/v1/chat/completions", secret, body))
        .fine(200);
    let after = one.changes();
    let again = one
        .run(&["apply", "--yes", "--format", "json"], &file)
        .json();
    assert_eq!(
        (counts(&again), &again["changed"]),
        ([0, 0, entries], &json!(false)),
        "{again}"
    );
    assert_eq!(one.changes(), after);
    let same = one.run(&["diff", "--exit-code"], &file);
    assert_eq!(same.code, Some(0), "{same:?}");

    // One changed line is one change.
    let edited = one.file(
        "gateway.yaml",
        &example.replace("limit_usd: 5000", "limit_usd: 6000.5"),
    );
    let differs = one.run(&["diff", "--exit-code", "--format", "json"], &edited);
    assert_eq!(differs.code, Some(1), "{differs:?}");
    let changed = one
        .run(&["apply", "--yes", "--format", "json"], &edited)
        .json();
    assert_eq!(counts(&changed), [0, 1, entries - 1], "{changed}");

    // What is exported says the same here, and makes the same somewhere else.
    let exported = one.cli(&["export"]);
    assert_eq!(exported.code, Some(0), "{exported:?}");
    for hidden in ["sk-as-code", "as-code\"", secret] {
        assert!(
            !exported.stdout.contains(hidden),
            "{hidden}: {}",
            exported.stdout
        );
    }
    let export = one.file("export.yaml", &exported.stdout);
    let same = one.run(&["diff", "--exit-code"], &export);
    assert_eq!(same.code, Some(0), "{same:?}");
    let two = Installation::start();
    let moved = two.file("export.yaml", &exported.stdout);
    let applied = two
        .run(&["apply", "--yes", "--format", "json"], &moved)
        .json();
    assert_eq!(counts(&applied), [entries, 0, 0], "{applied}");
    let again = two.cli(&["export"]);
    assert_eq!(again.stdout, exported.stdout);
    let secret = applied["secrets"]["web"].as_str().expect("another secret");
    let body = json!({"model": "gpt-4o-mini", "messages": chat("hi")["messages"]});
    two.gateway
        .call(&Ask::post("/v1/chat/completions", secret, body))
        .fine(200);
}
