//! What a command works with: its settings, its connection, its printer.

use std::io::BufRead as _;
use std::time::Duration;

use crate::client::{Client, Reply, Request, SendError};
use crate::config_file::ConfigFile;
use crate::credentials::{self, Credential};
use crate::discovery;
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
    token: Option<String>,
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
        let (project_flag, token, client) = (None, None, None);
        Ok(Self {
            env,
            variables,
            config,
            output,
            redactor,
            io,
            project_flag,
            token,
            client,
        })
    }

    /// Calls with this token instead of the API key; it is hidden in all that is printed.
    pub(crate) fn use_token(&mut self, token: &str) {
        self.redactor.learn(token);
        self.token = Some(token.to_owned());
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

    /// The same, but a control plane that is there is asked before the default is taken.
    pub(crate) fn find_gateway_url(&self) -> Result<String, CliError> {
        if let Some(url) = credentials::set_gateway_url(&self.variables, &self.config)? {
            return Ok(url);
        }
        match discovery::ask(self.env, &self.endpoint()?) {
            Some(url) => Ok(url),
            None => self.gateway_url(),
        }
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
        self.send_marked(action, request).map(|(answer, _)| answer)
    }

    /// The same, and whether it is the recorded answer of an earlier call.
    pub(crate) fn send_marked(
        &mut self,
        action: &'static str,
        request: &Request,
    ) -> Result<(Json, bool), CliError> {
        let failed = |failure| CliError::Call { action, failure };
        let reply = self.answer(action, request)?;
        let endpoint = self.endpoint()?;
        let (status, replayed) = (reply.status, reply.replayed);
        let body = reply
            .text()
            .map_err(|cause| failed(Box::new(Failure::network(&endpoint, &cause))))?;
        if body.trim().is_empty() {
            return Ok((Json::Object(Vec::new()), replayed));
        }
        let answer = Json::parse(&body)
            .map_err(|_| failed(Box::new(Failure::unreadable(&endpoint, status))))?;
        Ok((answer, replayed))
    }

    /// Prints a successful answer line by line while it arrives. Secrets are hidden as everywhere.
    pub(crate) fn stream(
        &mut self,
        action: &'static str,
        request: &Request,
    ) -> Result<(), CliError> {
        let mut reader = self.answer(action, request)?.reader();
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line);
            let broken = |cause: &std::io::Error| {
                let failure =
                    Failure::local("network_error", format!("the answer broke off: {cause}"));
                let failure = Box::new(failure);
                CliError::Call { action, failure }
            };
            if read.map_err(|error| broken(&error))? == 0 {
                return Ok(());
            }
            let text = self.redactor.text(&String::from_utf8_lossy(&line));
            self.print_as_is(&text)?;
        }
    }

    /// A successful answer, its body still to be read.
    fn answer(&mut self, action: &'static str, request: &Request) -> Result<Reply, CliError> {
        let failed = |failure| CliError::Call {
            action,
            failure: Box::new(failure),
        };
        let mut retries = 0;
        loop {
            let client = self.client()?;
            let endpoint = client.endpoint().to_owned();
            let network = |cause: String| failed(Failure::network(&endpoint, &cause));
            let reply = match client.send(request) {
                Ok(reply) => reply,
                Err(SendError::Usage(error)) => return Err(error),
                Err(SendError::Network(cause)) => return Err(network(cause)),
            };
            if (200..300).contains(&reply.status) {
                return Ok(reply);
            }
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
            let (status, retry_after) = (reply.status, reply.retry_after.clone());
            let body = reply.text().map_err(network)?;
            let failure = Failure::from_response(status, retry_after.as_deref(), &body);
            return Err(failed(failure));
        }
    }

    /// All rows of a cursor list.
    pub(crate) fn send_all(
        &mut self,
        action: &'static str,
        request: Request,
    ) -> Result<Vec<Json>, CliError> {
        self.send_pages(action, request, usize::MAX, |_| {})
    }

    /// The first rows of a cursor list, at most `most`. `each` sees every page beside its rows.
    pub(crate) fn send_pages(
        &mut self,
        action: &'static str,
        request: Request,
        most: usize,
        mut each: impl FnMut(&Json),
    ) -> Result<Vec<Json>, CliError> {
        let mut request = request.query("limit", Some(PAGE_SIZE.min(most)));
        let mut rows = Vec::new();
        let mut last: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut page = self.send(action, &request)?;
            if let Json::Array(mut items) = page {
                items.truncate(most);
                return Ok(items);
            }
            if let Some(Json::Array(items)) = page.take("data") {
                rows.extend(items);
            }
            each(&page);
            if rows.len() >= most {
                rows.truncate(most);
                return Ok(rows);
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

    /// Prints `{…, secret}` of a create or rotate; see [`show_minted`](Self::show_minted).
    pub(crate) fn show_secret(
        &mut self,
        value: Json,
        human: impl FnOnce(&Json, Style, &Redactor) -> String,
    ) -> Result<(), CliError> {
        self.show_minted(value, &["secret"], human)
    }

    /// Prints an answer that holds a fresh secret. Only the field at `path` is exempt from
    /// redaction; the human form is the caller's, who hides what is to be hidden.
    pub(crate) fn show_minted(
        &mut self,
        mut value: Json,
        path: &[&str],
        human: impl FnOnce(&Json, Style, &Redactor) -> String,
    ) -> Result<(), CliError> {
        let text = if self.output.is_machine() {
            let secret = value.at(path).cloned();
            value = self.redactor.json(value);
            if let Some((secret, slot)) = secret.zip(value.at_mut(path)) {
                *slot = secret;
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

    /// A line on stderr that machines get, too.
    pub(crate) fn summary(&mut self, line: &str) {
        self.io.complain(&format!("{}\n", self.redactor.text(line)));
    }

    /// The terminal, to ask its person something. Answers are read from stdin.
    pub(crate) fn io(&mut self) -> &mut Io {
        self.io
    }

    /// Whether a person is there who reads what is printed and can answer a question.
    pub(crate) fn can_ask(&self) -> bool {
        !self.output.is_machine() && self.io.is_interactive()
    }

    /// Asks the person; everything but a yes is a no.
    pub(crate) fn confirm(&mut self, question: &str) -> Result<bool, CliError> {
        let answer = self.io.ask(question);
        let answer = answer
            .map_err(|error| CliError::usage(format!("Cannot read the answer: {error}.")))?
            .unwrap_or_default();
        Ok(matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    fn connect(&mut self) -> Result<Client, CliError> {
        let endpoint = self.endpoint()?;
        if let Some(token) = self.token.clone() {
            return Client::new(self.env, endpoint, token, None);
        }
        let credential = self.credential()?;
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
