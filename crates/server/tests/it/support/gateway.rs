//! The real binary as a child process, and everything one says to it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use lw_core::SystemEntropy;
use lw_mock::MockProvider;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{Answer, Ask, Conn, Stream};
use super::{Book, eventually};

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_langwatch");
/// The organization of every test.
pub(crate) const ORG: &str = "acme";

/// How a gateway is to be started.
pub(crate) struct Builder {
    root: TempDir,
    environment: BTreeMap<String, String>,
    api_key: String,
}

/// A start that failed.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
}

/// A virtual key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// What a client command did.
#[derive(Debug)]
pub(crate) struct CliRun {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl CliRun {
    /// The JSON that a successful command printed.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Builder {
    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Unsets a variable.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    /// Where its data will be.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// The API key that its organization will begin with.
    pub(crate) fn api_key(&self) -> &str {
        &self.api_key
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(self) -> Gateway {
        self.try_start()
            .unwrap_or_else(|refused| panic!("{refused:?}"))
    }

    /// Starts it and waits until it listens or gives up.
    pub(crate) fn try_start(self) -> Result<Gateway, Refused> {
        let Self {
            root,
            environment,
            api_key,
        } = self;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
        let mut gateway = Gateway {
            root,
            environment,
            api_key,
            child: None,
            addr: nowhere,
            control: nowhere,
        };
        gateway.launch()?;
        Ok(gateway)
    }
}

/// A running gateway. Dropping it kills it and removes its data.
pub(crate) struct Gateway {
    root: TempDir,
    environment: BTreeMap<String, String>,
    api_key: String,
    child: Option<Child>,
    /// Where applications call.
    pub(crate) addr: SocketAddr,
    /// Where the management API listens.
    pub(crate) control: SocketAddr,
}

impl Gateway {
    /// With nothing but the defaults of the tests.
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    pub(crate) fn builder() -> Builder {
        let api_key = lw_crypto::api_key::mint(&SystemEntropy)
            .token
            .expose()
            .to_owned();
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir(root.path().join("home")).expect("a home");
        let environment = [
            ("SERVER_ADDR", "127.0.0.1:0"),
            ("LANGWATCH_CONTROL_ADDR", "127.0.0.1:0"),
            ("LANGWATCH_INIT_ORG", ORG),
            ("LANGWATCH_INIT_API_KEY", &api_key),
            ("LANGWATCH_ALLOW_PRIVATE_UPSTREAMS", "127.0.0.0/8"),
            ("SERVER_DRAIN_DELAY_SECONDS", "0"),
            ("LW_GATEWAY_DATA_THREADS", "2"),
            ("RUST_BACKTRACE", "1"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Builder {
            root,
            environment: BTreeMap::from(environment),
            api_key,
        }
    }

    /// A gateway, a mock behind it as OpenAI and as Anthropic, and a key of the organization.
    pub(crate) fn with_provider() -> (Self, MockProvider, Key) {
        Self::builder().with_provider()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// Everything that it wrote to standard output: its log.
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.root.path().join("stdout")).unwrap_or_default()
    }

    /// Everything that it wrote to standard error.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.root.path().join("stderr")).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// The process on this data, which has not said anything yet.
    fn spawn(&self) -> Child {
        let appended = |name: &str| {
            let path = self.root.path().join(name);
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .expect("a file")
        };
        let mut command = command(&self.environment, self.root.path());
        command.args(["serve", "--data-dir"]).arg(self.data());
        command
            .stdout(appended("stdout"))
            .stderr(appended("stderr"));
        command.spawn().expect("the binary runs")
    }

    fn launch(&mut self) -> Result<(), Refused> {
        let mut child = self.spawn();
        let pid = child.id();
        let found = eventually("the gateway listens or gives up", || {
            if let Some(status) = child.try_wait().expect("a child") {
                return Some(Err(status));
            }
            let text = fs::read_to_string(self.data().join("listening.json")).ok()?;
            let said: Value = serde_json::from_str(&text).expect("JSON, whole");
            (said["pid"] == pid).then_some(Ok(said))
        });
        let stderr = || self.stderr();
        let said = found.map_err(|status| Refused {
            status,
            stderr: stderr(),
        })?;
        let addr = |name: &str| said[name].as_str().and_then(|text| text.parse().ok());
        self.addr = addr("gateway").expect("an address");
        self.control = addr("control").expect("an address");
        self.child = Some(child);
        Ok(())
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.pid())])
            .status();
        assert!(sent.expect("sh").success());
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        eventually("the gateway ends", || child.try_wait().expect("a child"))
    }

    /// Stops it as an orchestrator does, and waits.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Kills it at once.
    pub(crate) fn kill9(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("killed");
        child.wait().expect("gone");
    }

    /// Starts it while it is down and kills it some time later, wherever its start is by then.
    pub(crate) fn start_and_kill(&self, after: Duration) {
        let mut child = self.spawn();
        std::thread::sleep(after);
        child.kill().expect("killed");
        child.wait().expect("gone");
    }

    /// Starts it again on the same data, stopping it first when it runs. The ports change.
    pub(crate) fn restart(&mut self) {
        if self.child.is_some() {
            self.stop();
        }
        self.launch()
            .unwrap_or_else(|refused| panic!("{refused:?}"));
    }

    /// Starts it again on the same data with another environment.
    pub(crate) fn relaunch(&mut self, changes: &[(&str, Option<&str>)]) -> Result<(), Refused> {
        for (name, value) in changes {
            match value {
                Some(value) => self
                    .environment
                    .insert((*name).to_owned(), (*value).to_owned()),
                None => self.environment.remove(*name),
            };
        }
        self.launch()
    }

    /// Runs `langwatch serve` a second time with the same environment and waits for its end.
    pub(crate) fn second(&self, changes: &[(&str, &str)]) -> CliRun {
        let mut environment = self.environment.clone();
        environment.extend(
            changes
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into())),
        );
        let mut command = command(&environment, self.root.path());
        command.arg("serve");
        if !environment.contains_key("LANGWATCH_DATA_DIR") {
            command.arg("--data-dir").arg(self.data());
        }
        ran(command)
    }

    /// The organization's API key.
    pub(crate) fn api_key(&self) -> &str {
        &self.api_key
    }

    /// A client command, run by the real binary with the organization's API key.
    pub(crate) fn cli(&self, arguments: &[&str]) -> CliRun {
        self.cli_with(&[("LANGWATCH_API_KEY", &self.api_key)], arguments)
    }

    /// A client command of somebody who has set these variables besides the endpoint.
    pub(crate) fn cli_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> CliRun {
        let endpoint = format!("http://{}", self.control);
        let environment = [
            ("LANGWATCH_ENDPOINT", endpoint.as_str()),
            ("LANGWATCH_NO_DAEMON", "1"),
        ];
        let environment = environment.iter().chain(variables);
        let environment = environment
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut command = command(&environment, self.root.path());
        command.args(arguments);
        ran(command)
    }

    /// The management API, with the organization's API key.
    pub(crate) fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.api_as(&self.api_key, method, path, body)
    }

    /// The management API, with this credential.
    pub(crate) fn api_as(
        &self,
        credential: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let mut ask = Ask::new(method, path).bearer(credential);
        if let Some(body) = body {
            ask = ask
                .header("Content-Type", "application/json")
                .body(body.to_string());
        }
        Conn::open(self.control).call(&ask)
    }

    /// A further API key of the organization; returns its token.
    pub(crate) fn mint_api_key(&self, body: &Value) -> String {
        let minted = self.api("POST", "/api/api-keys", Some(body)).fine(201);
        let token = minted["token"].as_str();
        token
            .unwrap_or_else(|| panic!("no token in {minted}"))
            .to_owned()
    }

    /// A stored provider with this body; returns its id.
    pub(crate) fn create_provider(&self, body: &Value) -> String {
        let path = "/api/gateway/v1/model-providers";
        let stored = self.api("POST", path, Some(body)).fine(201);
        let id = stored
            .pointer("/model_provider/id")
            .or_else(|| stored.get("id"));
        id.and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no id in {stored}"))
            .to_owned()
    }

    /// The mock as OpenAI, with this credential.
    pub(crate) fn openai(&self, mock: &MockProvider, credential: &str) -> String {
        self.create_provider(&json!({
            "provider": "openai", "name": "Mock OpenAI",
            "custom_keys": {
                "OPENAI_API_KEY": credential,
                "OPENAI_BASE_URL": format!("{}/v1", mock.base_url()),
            },
        }))
    }

    /// The mock as Anthropic, with this credential.
    pub(crate) fn anthropic(&self, mock: &MockProvider, credential: &str) -> String {
        self.create_provider(&json!({
            "provider": "anthropic", "name": "Mock Anthropic",
            "custom_keys": {
                "ANTHROPIC_API_KEY": credential,
                "ANTHROPIC_BASE_URL": mock.base_url(),
            },
        }))
    }

    /// A change of a provider.
    pub(crate) fn patch_provider(&self, id: &str, body: &Value) {
        let path = format!("/api/gateway/v1/model-providers/{id}");
        self.api("PATCH", &path, Some(body)).fine(200);
    }

    /// A key for the whole organization.
    pub(crate) fn create_key(&self) -> Key {
        self.create_key_with(json!({}))
    }

    /// A key for the whole organization with these fields as well.
    pub(crate) fn create_key_with(&self, fields: Value) -> Key {
        let mut body = json!({
            "name": "test", "scopes": [{"scope_type": "organization", "scope_id": ORG}],
        });
        if let (Some(body), Value::Object(fields)) = (body.as_object_mut(), fields) {
            body.extend(fields);
        }
        let minted = self
            .api("POST", "/api/gateway/v1/virtual-keys", Some(&body))
            .fine(201);
        let text = |pointer| {
            minted
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        Key {
            id: text("/virtual_key/id").expect("an id"),
            secret: text("/secret").expect("a secret"),
        }
    }

    /// `rotate`, `disable`, `enable` or `revoke`.
    pub(crate) fn act(&self, key: &Key, action: &str) -> Value {
        let path = format!("/api/gateway/v1/virtual-keys/{}/{action}", key.id);
        self.api("POST", &path, Some(&json!({}))).fine(200)
    }

    /// A change of a key.
    pub(crate) fn patch_key(&self, key: &Key, body: &Value) -> Answer {
        let path = format!("/api/gateway/v1/virtual-keys/{}", key.id);
        self.api("PATCH", &path, Some(body))
    }

    /// A call of the data plane on a connection of its own.
    pub(crate) fn call(&self, ask: &Ask) -> Answer {
        Conn::open(self.addr).call(ask)
    }

    /// A call of the data plane whose answer is read piece by piece.
    pub(crate) fn stream(&self, ask: &Ask) -> Stream {
        Conn::open(self.addr).start(ask)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call(&Ask::get(path))
    }

    /// The books as they are on disk.
    pub(crate) fn book(&self) -> Book {
        Book::open(&self.data())
    }

    /// The value of a metric, labels and all.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("no {name}: {text}"))
    }
}

impl Builder {
    /// See [`Gateway::with_provider`].
    pub(crate) fn with_provider(self) -> (Gateway, MockProvider, Key) {
        let mock = super::provider();
        let gateway = self.start();
        gateway.openai(&mock, "sk-mock-openai-credential");
        gateway.anthropic(&mock, "sk-mock-anthropic-credential");
        let key = gateway.create_key();
        (gateway, mock, key)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            println!("--- stderr of the gateway\n{}", self.stderr());
            println!("--- stdout of the gateway\n{}", self.stdout());
        }
    }
}

fn command(environment: &BTreeMap<String, String>, root: &Path) -> Command {
    let mut command = Command::new(BINARY);
    let home = root.join("home");
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", &home)
        .current_dir(home);
    command.envs(environment).stdin(Stdio::null());
    command
}

/// Runs a command to its end, however long it takes: a hung one fails its test by the deadline.
fn ran(mut command: Command) -> CliRun {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let status = eventually("the command ends", || child.try_wait().expect("a child"));
    let output = child.wait_with_output().expect("its output");
    CliRun {
        code: status.code(),
        stdout: super::text(&output.stdout),
        stderr: super::text(&output.stderr),
    }
}
