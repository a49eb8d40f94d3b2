//! `langwatch serve --demo`: everything that a newcomer needs, with no account, no key and no network.
//!
//! The same server on a data folder that goes away at the end, with a mock provider behind it. Providers
//! and a virtual key are made with the product's own command line, a few requests are sent, and the next
//! steps are printed to be copied.

use std::collections::BTreeMap;
use std::io::{Read as _, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser as _;
use lw_cli::{Environment, Io, Outcome};
use lw_core::{Clock as _, SystemClock, SystemEntropy};
use lw_mock::{MockConfig, MockProvider};
use parking_lot::Mutex;

use crate::config::Variables;
use crate::process::Listening;
use crate::{Cli, Command};

/// The demo's parts that live as long as it runs.
pub(crate) struct Demo {
    provider: MockProvider,
    api_key: String,
    /// The data folder, unless the user named one.
    _folder: Option<tempfile::TempDir>,
}

impl Demo {
    /// Starts the mock provider and settles what the configuration left open.
    pub(crate) fn prepare(variables: &mut Variables) -> anyhow::Result<Self> {
        let provider = MockProvider::start(MockConfig {
            pace: Duration::from_millis(30),
            ..MockConfig::default()
        })
        .context("the mock provider")?;
        let folder = if variables.contains_key("LANGWATCH_DATA_DIR") {
            None
        } else {
            let folder = tempfile::Builder::new()
                .prefix("langwatch-demo-")
                .tempdir()?;
            let path = folder.path().display().to_string();
            variables.insert("LANGWATCH_DATA_DIR".to_owned(), path);
            Some(folder)
        };
        let api_key = match variables.get("LANGWATCH_INIT_API_KEY") {
            Some(key) => key.clone(),
            None => lw_crypto::api_key::mint(&SystemEntropy)
                .token
                .expose()
                .to_owned(),
        };
        variables.insert("LANGWATCH_INIT_API_KEY".to_owned(), api_key.clone());
        variables
            .entry("LANGWATCH_INIT_ORG".to_owned())
            .or_insert_with(|| "demo".to_owned());
        // The newcomer reads this terminal: requests are not logged over the introduction.
        variables
            .entry("LOG_LEVEL".to_owned())
            .or_insert_with(|| "warn".to_owned());
        Ok(Self {
            provider,
            api_key,
            _folder: folder,
        })
    }

    /// The one loopback address that may be dialled.
    pub(crate) fn provider_addr(&self) -> SocketAddr {
        self.provider.addr()
    }

    /// Fills the empty server and prints what to do with it.
    pub(crate) fn introduce(&self, listening: Listening) -> anyhow::Result<()> {
        let Listening { gateway, control } = listening;
        let cli = |args: &[&str]| self.cli(control, args);
        let base = self.provider.base_url();
        let organization = cli(&["whoami", "--format", "json"])?;
        let slug = organization
            .pointer("/organization/slug")
            .or_else(|| organization.get("slug"))
            .and_then(serde_json::Value::as_str)
            .context("whoami names no organization: is this data folder from another demo?")?
            .to_owned();
        let scope = format!("org:{slug}");
        for (kind, name, base) in [
            ("openai", "Mock OpenAI", format!("{base}/v1")),
            ("anthropic", "Mock Anthropic", base),
        ] {
            let upper = kind.to_uppercase();
            let key = format!("{upper}_API_KEY=sk-demo-not-a-secret");
            let url = format!("{upper}_BASE_URL={base}");
            cli(&[
                "model-provider",
                "create",
                "--provider",
                kind,
                "--name",
                name,
                "--scope",
                &scope,
                "--key",
                &key,
                "--key",
                &url,
                "--format",
                "json",
            ])?;
        }
        let minted = cli(&[
            "virtual-keys",
            "create",
            "--name",
            "demo",
            "--scope",
            &scope,
            "--format",
            "json",
        ])?;
        let secret = minted
            .get("secret")
            .and_then(serde_json::Value::as_str)
            .context("no key was minted")?;
        let request_id = sample_requests(gateway, secret)?;
        print(&introduction(
            gateway,
            control,
            &self.api_key,
            secret,
            &request_id,
        ))
    }

    /// Runs a client command against this server and reads its JSON.
    fn cli(&self, control: SocketAddr, args: &[&str]) -> anyhow::Result<serde_json::Value> {
        let mut all = vec!["langwatch"];
        all.extend(args);
        let Command::Client(command) = Cli::try_parse_from(&all)?.command else {
            bail!("`{}` is not a client command", all.join(" "));
        };
        let variables = BTreeMap::from([
            ("LANGWATCH_API_KEY".to_owned(), self.api_key.clone()),
            ("LANGWATCH_ENDPOINT".to_owned(), format!("http://{control}")),
        ]);
        let nowhere = std::env::temp_dir().join("langwatch-demo-no-such-folder");
        let environment = Environment::new(variables, nowhere, None, SystemClock.now().millis());
        let (out, err) = (Shared::default(), Shared::default());
        let mut io = Io::new(Box::new(out.clone()), Box::new(err.clone()), false, false);
        match lw_cli::run(*command, &environment, &mut io) {
            Outcome::Exit(0) => Ok(serde_json::from_slice(&out.0.lock())?),
            Outcome::Exit(_)
            | Outcome::ServerConfig(_)
            | Outcome::Completions(_)
            | Outcome::Tool(_) => {
                bail!(
                    "`{}`: {}",
                    all.join(" "),
                    String::from_utf8_lossy(&err.0.lock()).trim()
                )
            }
        }
    }
}

/// A buffer that two owners write to and read from.
#[derive(Default, Clone)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Sends a few requests, so that there is something to look at. Returns the id of the last one.
fn sample_requests(gateway: SocketAddr, key: &str) -> anyhow::Result<String> {
    let chat = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Say hello to a newcomer."}]}"#;
    let stream = r#"{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Count to five."}]}"#;
    let messages = r#"{"model":"claude-haiku-4-5","max_tokens":100,"messages":[{"role":"user","content":"What is a gateway?"}]}"#;
    let mut id = String::new();
    for (path, body) in [
        ("/v1/messages", messages),
        ("/v1/chat/completions", stream),
        ("/v1/chat/completions", chat),
    ] {
        id = sample_request(gateway, key, path, body)?;
    }
    Ok(id)
}

fn sample_request(
    gateway: SocketAddr,
    key: &str,
    path: &str,
    body: &str,
) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(gateway)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {gateway}\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 200") {
        bail!(
            "a sample request failed: {}",
            answer.lines().next().unwrap_or_default()
        );
    }
    let id = answer
        .lines()
        .find_map(|line| line.strip_prefix("x-langwatch-request-id: "));
    Ok(id.unwrap_or_default().trim().to_owned())
}

fn introduction(
    gateway: SocketAddr,
    control: SocketAddr,
    api_key: &str,
    key: &str,
    request_id: &str,
) -> String {
    format!(
        r#"LangWatch AI gateway {version}, demo: a mock provider stands behind it, nothing leaves this machine.

  gateway      http://{gateway}/v1
  management   http://{control}          (API key below; `langwatch --help` is its command line)
  virtual key  {key}
  API key      {api_key}

Copy one of these into another terminal.

curl
  curl http://{gateway}/v1/chat/completions -H "Authorization: Bearer {key}" \
    -H "Content-Type: application/json" \
    -d '{{"model":"gpt-4o-mini","messages":[{{"role":"user","content":"Hello!"}}]}}' -i

Python (pip install openai anthropic)
  from openai import OpenAI
  client = OpenAI(base_url="http://{gateway}/v1", api_key="{key}")
  print(client.chat.completions.create(model="gpt-4o-mini",
        messages=[{{"role": "user", "content": "Hello!"}}]).choices[0].message.content)

TypeScript (npm install openai)
  import OpenAI from "openai";
  const client = new OpenAI({{ baseURL: "http://{gateway}/v1", apiKey: "{key}" }});
  const answer = await client.chat.completions.create({{ model: "gpt-4o-mini",
        messages: [{{ role: "user", content: "Hello!" }}] }});

Claude Code
  ANTHROPIC_BASE_URL=http://{gateway} ANTHROPIC_AUTH_TOKEN={key} claude

Codex (~/.codex/config.toml)
  model_provider = "langwatch"
  [model_providers.langwatch]
  name = "LangWatch"
  base_url = "http://{gateway}/v1"
  env_key = "OPENAI_API_KEY"      # export OPENAI_API_KEY={key}
  wire_api = "responses"

Three sample requests were made already. Look at one by its request id:
  export LANGWATCH_ENDPOINT=http://{control} LANGWATCH_API_KEY={api_key}
  langwatch trace get {request_id}
  langwatch trace search
  langwatch virtual-keys list

Ctrl-C ends the demo and removes its data.
"#,
        version = crate::process::version(),
    )
}

#[expect(clippy::print_stdout, reason = "the demo's introduction is its result")]
fn print(text: &str) -> anyhow::Result<()> {
    println!("{text}");
    std::io::stdout().flush()?;
    Ok(())
}
