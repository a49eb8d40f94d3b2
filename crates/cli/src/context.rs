//! What a command works with: its settings, its connection, its printer.

use std::time::Duration;

use crate::client::{Client, Reply, Request, SendError};
use crate::config_file::ConfigFile;
use crate::credentials::{self, Credential};
use crate::environment::{Environment, Variables};
use crate::error::CliError;
use crate::failure::Failure;
use crate::io::Io;
use crate::json::Json;
use crate::output::Output;
use crate::redact::Redactor;
use crate::style::Style;

const MAX_RETRIES: u32 = 3;
const SHORTEST_WAIT: Duration = Duration::from_millis(250);
/// Beyond this the person decides whether to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

const PAGE_SIZE: usize = 200;
/// A list that needs more pages than this is not ending.
const MAX_PAGES: usize = 10_000;

/// One run of one command.
pub(crate) struct Context<'a> {
    pub(crate) env: &'a Environment,
    pub(crate) variables: Variables,
    pub(crate) config: ConfigFile,
    pub(crate) output: &'a Output,
    pub(crate) redactor: &'a mut Redactor,
    io: &'a mut Io,
    project_flag: Option<String>,
    client: Option<Client>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        env: &'a Environment,
        io: &'a mut Io,
        output: &'a Output,
        redactor: &'a mut Redactor,
    ) -> Result<Self, CliError> {
        let variables = Variables::load(env);
        let config = ConfigFile::load(env, &variables)?;
        let (project_flag, client) = (None, None);
        Ok(Self {
            env,
            variables,
            config,
            output,
            redactor,
            io,
            project_flag,
            client,
        })
    }

    /// The `--project` of this command.
    pub(crate) fn use_project(&mut self, project: Option<&str>) {
        self.project_flag = project.map(str::to_owned);
    }

    pub(crate) fn style(&self) -> Style {
        Style::new(self.io.colour() && !self.output.is_machine())
    }

    pub(crate) fn credential(&mut self) -> Result<Credential, CliError> {
        let credential = credentials::credential(&self.variables, &self.config)?;
        self.redactor.learn(&credential.token);
        Ok(credential)
    }

    pub(crate) fn endpoint(&self) -> Result<String, CliError> {
        credentials::endpoint(&self.variables, &self.config)
    }

    pub(crate) fn gateway_url(&self) -> Result<String, CliError> {
        credentials::gateway_url(&self.variables, &self.config)
    }

    /// The connection, made on first use.
    pub(crate) fn client(&mut self) -> Result<&Client, CliError> {
        let client = match self.client.take() {
            Some(client) => client,
            None => self.connect()?,
        };
        Ok(self.client.insert(client))
    }

    /// A page of the console.
    pub(crate) fn link(&self, path: &str) -> Result<String, CliError> {
        match self.variables.get("LANGWATCH_UI_ENDPOINT") {
            Some(url) => Ok(format!("{}{path}", url.trim_end_matches('/'))),
            None => Ok(format!("{}{path}", self.endpoint()?)),
        }
    }

    /// The body of a successful answer. Waits and retries on 429, on nothing else.
    pub(crate) fn send(
        &mut self,
        action: &'static str,
        request: &Request,
    ) -> Result<Json, CliError> {
        let failed = |failure| CliError::Call { action, failure };
        let mut retries = 0;
        loop {
            let client = self.client()?;
            let endpoint = client.endpoint().to_owned();
            let reply = match client.send(request) {
                Ok(reply) => reply,
                Err(SendError::Usage(error)) => return Err(error),
                Err(SendError::Network(cause)) => {
                    return Err(failed(Box::new(Failure::network(&endpoint, &cause))));
                }
            };
            let wait = reply.wait();
            if reply.status == 429 && retries < MAX_RETRIES && wait <= LONGEST_WAIT {
                retries += 1;
                let seconds = wait.as_secs_f64();
                self.note(&format!(
                    "Rate limited; trying again in {seconds} s ({retries}/{MAX_RETRIES})."
                ));
                self.env.pause(wait);
                continue;
            }
            return read(&endpoint, &reply).map_err(failed);
        }
    }

    /// All rows of a cursor list.
    pub(crate) fn send_all(
        &mut self,
        action: &'static str,
        request: Request,
    ) -> Result<Vec<Json>, CliError> {
        let mut request = request.query("limit", Some(PAGE_SIZE));
        let mut rows = Vec::new();
        let mut last: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut page = self.send(action, &request)?;
            if let Json::Array(items) = page {
                return Ok(items);
            }
            if let Some(Json::Array(items)) = page.take("data") {
                rows.extend(items);
            }
            match page.text("next_cursor") {
                None => return Ok(rows),
                Some(cursor) if last.as_deref() == Some(cursor) => break,
                Some(cursor) => {
                    last = Some(cursor.to_owned());
                    request = request.query("cursor", last.as_ref());
                }
            }
        }
        let message = "the list does not end: the server keeps answering with the same page";
        let failure = Box::new(Failure::local("invalid_response", message));
        Err(CliError::Call { action, failure })
    }

    /// Prints a result that holds no secret: whatever looks like one is hidden.
    pub(crate) fn show(
        &mut self,
        value: Json,
        human: impl FnOnce(&Json, Style) -> String,
    ) -> Result<(), CliError> {
        let text = if self.output.is_machine() {
            self.output.render(self.redactor.json(value))
        } else {
            self.redactor.text(&human(&value, self.style()))
        };
        self.print_as_is(&text)
    }

    /// Prints `{…, secret}` of a create or rotate. Only `secret` is exempt from redaction; the
    /// human form is the caller's, who hides what is to be hidden.
    pub(crate) fn show_secret(
        &mut self,
        mut value: Json,
        human: impl FnOnce(&Json, Style, &Redactor) -> String,
    ) -> Result<(), CliError> {
        let text = if self.output.is_machine() {
            let secret = value.get("secret").cloned();
            value = self.redactor.json(value);
            if let Some(secret) = secret {
                value.set("secret", secret);
            }
            self.output.render(value)
        } else {
            human(&value, self.style(), self.redactor)
        };
        self.print_as_is(&text)
    }

    /// Prints text that is meant to hold a secret.
    pub(crate) fn print_as_is(&mut self, text: &str) -> Result<(), CliError> {
        Ok(self.io.print(text)?)
    }

    /// A line of progress or advice on stderr; silent for machines.
    pub(crate) fn note(&mut self, line: &str) {
        if !self.output.is_machine() {
            self.io.complain(&format!("{}\n", self.redactor.text(line)));
        }
    }

    fn connect(&mut self) -> Result<Client, CliError> {
        let credential = self.credential()?;
        let endpoint = self.endpoint()?;
        let flag = self.project_flag.as_deref();
        let project = credentials::project(flag, &self.variables, &self.config, credential.source);
        Client::new(self.env, endpoint, credential.token, project)
    }
}

impl Reply {
    fn wait(&self) -> Duration {
        let seconds = self
            .retry_after
            .as_deref()
            .and_then(|text| text.trim().parse::<f64>().ok());
        let wait = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        wait.unwrap_or(SHORTEST_WAIT).max(SHORTEST_WAIT)
    }
}

fn read(endpoint: &str, reply: &Reply) -> Result<Json, Box<Failure>> {
    let Reply {
        status,
        retry_after,
        body,
    } = reply;
    if !(200..300).contains(status) {
        let failure = Failure::from_response(*status, retry_after.as_deref(), body);
        return Err(Box::new(failure));
    }
    if body.trim().is_empty() {
        return Ok(Json::Object(Vec::new()));
    }
    Json::parse(body).map_err(|_| Box::new(Failure::unreadable(endpoint, *status)))
}
