//! Commands from their words to their bytes: a real parser, real sockets, a scripted server.

mod access;
mod advice;
mod api_keys;
mod as_code;
mod as_code_files;
mod audit;
mod cache_rules;
mod completions;
mod errors;
mod explain;
mod fake_api;
mod gateway_budgets;
mod groups;
mod guardrails;
mod help;
mod model_prices;
mod model_provider;
mod open;
mod organizations;
mod people;
mod projects;
mod routing_policies;
mod session;
mod sign_in;
mod teams;
mod tools;
mod trace;
mod virtual_keys;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
use tempfile::TempDir;

use crate::json::Json;
use crate::{
    ClientCommand, Environment, Io, Outcome, print_completions, render_clap_error_with_help, run,
};

/// 2026-07-25T17:20:00Z
const NOW_MS: i64 = 1_785_000_000_000;

const API_KEY: &str = "sk-lw-0123456789abcdef_0123456789abcdef0123456789abcdef0123456789abcdef";

/// The way the binary embeds this crate.
#[derive(Parser)]
#[command(name = "langwatch")]
struct Cli {
    #[command(subcommand)]
    command: Commands,
}

#[derive(Subcommand)]
enum Commands {
    #[command(flatten)]
    Client(Box<ClientCommand>),
    /// A server command
    Serve,
}

/// One request as the server saw it.
struct Seen {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Seen {
    fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The body as a value.
    fn json(&self) -> Json {
        Json::parse(&self.body).expect("a JSON body")
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// Gives one answer to each connection, in order, and then is gone.
struct Server {
    endpoint: String,
    seen: Receiver<Seen>,
}

impl Server {
    fn answering<const N: usize>(answers: [(u16, &str); N]) -> Self {
        Self::with_headers(answers.map(|(status, body)| (status, "", body)))
    }

    fn with_headers<const N: usize>(answers: [(u16, &str, &str); N]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let answers = answers.map(|(status, headers, body)| {
            let length = body.len();
            format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}\
                 content-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
        });
        let (tx, seen) = channel();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().expect("a connection");
                tx.send(read_request(&mut stream))
                    .expect("the test listens");
                stream
                    .write_all(answer.as_bytes())
                    .expect("the client reads");
            }
        });
        Self { endpoint, seen }
    }

    fn requests(&self) -> Vec<Seen> {
        self.seen.try_iter().collect()
    }

    fn only_request(&self) -> Seen {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "one request");
        requests.remove(0)
    }
}

/// The JSON text without its spaces.
fn compact(text: &str) -> String {
    Json::parse(text).expect("valid").compact()
}

fn read_request(stream: &mut TcpStream) -> Seen {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).expect("a request line");
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().expect("method"), words.next().expect("path"));
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |n| n.parse().expect("a number"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body");
    Seen {
        method,
        path,
        headers,
        body: String::from_utf8(body).expect("text"),
    }
}

#[derive(Clone, Default)]
struct Screen(Rc<RefCell<Vec<u8>>>);

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).expect("text")
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A shell: variables, a folder, a home.
struct Shell {
    vars: BTreeMap<String, String>,
    dir: TempDir,
    colour: bool,
    input: String,
    is_terminal: bool,
    programs: &'static [&'static str],
}

struct Done {
    outcome: Outcome,
    out: String,
    err: String,
    waits: Vec<Duration>,
    /// The programs that were started, with their arguments.
    started: Vec<String>,
}

impl Done {
    #[track_caller]
    fn ok(&self) -> &str {
        assert_eq!(self.outcome, Outcome::Exit(0), "{}{}", self.out, self.err);
        &self.out
    }

    #[track_caller]
    fn json(&self) -> Json {
        Json::parse(self.ok()).expect("JSON on stdout")
    }

    /// Stderr of a failure.
    #[track_caller]
    fn failed(&self) -> &str {
        assert_eq!(self.outcome, Outcome::Exit(1), "{}{}", self.out, self.err);
        &self.err
    }
}

impl Shell {
    /// Knows nothing.
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("work")).expect("a folder");
        Self {
            vars: BTreeMap::new(),
            dir,
            colour: false,
            input: String::new(),
            is_terminal: false,
            programs: &[],
        }
    }

    /// Signed in to the server.
    fn at(server: &Server) -> Self {
        Self::new()
            .var("LANGWATCH_ENDPOINT", &server.endpoint)
            .var("LANGWATCH_API_KEY", API_KEY)
    }

    fn var(mut self, name: &str, value: &str) -> Self {
        self.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    /// On a terminal that shows colours.
    fn coloured(mut self) -> Self {
        self.colour = true;
        self
    }

    /// With this on standard input.
    fn input(mut self, text: &str) -> Self {
        text.clone_into(&mut self.input);
        self
    }

    /// At a terminal, where a person types this.
    fn typing(mut self, text: &str) -> Self {
        self.is_terminal = true;
        self.input(text)
    }

    /// With these programs on the machine, and no other.
    fn programs(mut self, programs: &'static [&'static str]) -> Self {
        self.programs = programs;
        self
    }

    /// With a file in the working folder.
    fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.path(name), text).expect("a file");
        self
    }

    /// With `~/.langwatch/config.json`.
    fn config(self, text: &str) -> Self {
        std::fs::create_dir(self.dir.path().join(".langwatch")).expect("a folder");
        std::fs::write(self.config_path(), text).expect("a file");
        self
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join("work").join(name)
    }

    fn config_path(&self) -> std::path::PathBuf {
        self.dir.path().join(".langwatch/config.json")
    }

    /// Runs the words after `langwatch`; `{}` splits nothing else than spaces.
    fn run(&self, words: &str) -> Done {
        self.run_words(&words.split_whitespace().collect::<Vec<_>>())
    }

    fn run_words(&self, words: &[&str]) -> Done {
        let (out, err) = (Screen::default(), Screen::default());
        let waits = Rc::new(RefCell::new(Vec::new()));
        let recorded = Rc::clone(&waits);
        let home = self.dir.path().to_owned();
        let env = Environment::new(self.vars.clone(), home.join("work"), Some(home), NOW_MS)
            .with_pause(move |time| recorded.borrow_mut().push(time));
        let started = Rc::new(RefCell::new(Vec::new()));
        let (recorded, programs) = (Rc::clone(&started), self.programs);
        let env = env.with_launcher(move |program, arguments| {
            if !programs.contains(&program) {
                return Err(io::ErrorKind::NotFound.into());
            }
            let words = [&[program], arguments].concat().join(" ");
            recorded.borrow_mut().push(words);
            Ok(())
        });
        let stdin = Box::new(io::Cursor::new(self.input.clone().into_bytes()));
        let is_terminal = self.is_terminal;
        let (stdout, stderr) = (Box::new(out.clone()), Box::new(err.clone()));
        let out_is_terminal = is_terminal || self.colour;
        let mut io =
            Io::new(stdout, stderr, out_is_terminal, self.colour).with_stdin(stdin, is_terminal);
        let words = ["langwatch"].iter().chain(words);
        let outcome = match Cli::try_parse_from(words) {
            Ok(Cli {
                command: Commands::Client(command),
            }) => match run(*command, &env, &mut io) {
                Outcome::Completions(args) => {
                    Outcome::Exit(print_completions(args, Cli::command(), &mut io))
                }
                outcome => outcome,
            },
            Ok(Cli {
                command: Commands::Serve,
            }) => panic!("not a client command"),
            Err(error) => {
                let root = Cli::command().term_width(100);
                Outcome::Exit(render_clap_error_with_help(&error, root, &mut io))
            }
        };
        let (waits, started) = (waits.borrow().clone(), started.borrow().clone());
        Done {
            outcome,
            out: out.text(),
            err: err.text(),
            waits,
            started,
        }
    }
}

/// Runs an organization command as a machine and as a person against the same answer. The machine
/// form must be `printed`; returns the request and what the person saw.
#[track_caller]
fn both_forms(words: &[&str], answer: &str, printed: &str) -> (Seen, String) {
    let server = Server::answering([(200, answer), (200, answer)]);
    // A project must not leak into calls on the organization.
    let shell = Shell::at(&server).var("LANGWATCH_PROJECT_ID", "proj_9");
    let machine = shell.run_words(&[words, &["-f", "json"]].concat());
    assert_eq!(machine.json().compact(), compact(printed));
    assert_eq!(machine.err, "");
    let human = shell.run_words(words).ok().to_owned();
    let mut seen = server.requests();
    assert_eq!(seen.len(), 2, "one request for each form");
    let bearer = format!("Bearer {API_KEY}");
    assert_eq!(seen[0].header("authorization"), Some(bearer.as_str()));
    assert_eq!(seen[0].header("x-project-id"), None);
    assert_eq!(seen[0].header("x-auth-token"), None);
    (seen.remove(0), human)
}
