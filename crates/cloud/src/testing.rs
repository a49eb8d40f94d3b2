//! The world outside, scripted: answers in order, an environment that is a map, a clock that follows
//! the paused time of the test's event loop.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lw_core::{Clock, UnixMicros};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::outside::{Background, Env, FileFailure, HttpFailure, Outside, Reach, TokenHttp};

/// 2026-07-01T00:00:00Z, when tests start.
pub(crate) const START: UnixMicros = UnixMicros(1_782_864_000_000_000);

/// A request as it was sent, with secrets in clear.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
    pub(crate) reach: Reach,
}

impl Seen {
    /// The fields of a form body.
    pub(crate) fn form(&self) -> HashMap<String, String> {
        url::form_urlencoded::parse(self.body.as_bytes())
            .into_owned()
            .collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

type Scripted = Result<http::Response<Bytes>, HttpFailure>;

/// Answers in the order of the script and remembers what was asked.
#[derive(Default)]
pub(crate) struct Script {
    answers: Mutex<VecDeque<Scripted>>,
    seen: Mutex<Vec<Seen>>,
}

impl TokenHttp for Script {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, HttpFailure>> {
        let reach = Reach::of(&request);
        let (parts, body) = request.into_parts();
        self.seen.lock().push(Seen {
            method: parts.method.to_string(),
            url: parts.uri.to_string(),
            headers: parts
                .headers
                .iter()
                .map(|(name, value)| {
                    let value = value.to_str().expect("text").to_owned();
                    (name.to_string(), value)
                })
                .collect(),
            body: String::from_utf8(body.to_vec()).expect("text"),
            reach,
        });
        let answer = self.answers.lock().pop_front();
        Box::pin(async move { answer.expect("the script has no further answer") })
    }
}

/// Variables and files of a test.
#[derive(Default)]
pub(crate) struct MapEnv {
    pub(crate) vars: HashMap<String, String>,
    pub(crate) files: HashMap<String, String>,
}

impl Env for MapEnv {
    fn var(&self, name: &str) -> Option<String> {
        self.vars.get(name).cloned()
    }

    fn read<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Vec<u8>, FileFailure>> {
        let content = self.files.get(path).map(|text| text.clone().into_bytes());
        Box::pin(async move { content.ok_or(FileFailure::Missing) })
    }
}

/// The wall clock that moves with tokio's paused clock.
pub(crate) struct PausedClock(Instant);

impl PausedClock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for PausedClock {
    fn now(&self) -> UnixMicros {
        let micros = self.0.elapsed().as_micros();
        START.plus_micros(i64::try_from(micros).expect("a short test"))
    }
}

/// Spawns on the test's event loop.
pub(crate) struct OnThisLoop;

impl Background for OnThisLoop {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }
}

/// A scripted world and what happened in it.
pub(crate) struct World {
    pub(crate) outside: Outside,
    script: Arc<Script>,
}

impl World {
    /// With these variables and files.
    pub(crate) fn new(vars: &[(&str, &str)], files: &[(&str, &str)]) -> Self {
        let map = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let script = Arc::new(Script::default());
        let outside = Outside {
            http: script.clone(),
            env: Arc::new(MapEnv {
                vars: map(vars),
                files: map(files),
            }),
            clock: Arc::new(PausedClock::start()),
            tasks: Arc::new(OnThisLoop),
        };
        Self { outside, script }
    }

    /// Answers the next request with this.
    pub(crate) fn answers(self, status: u16, body: &str) -> Self {
        self.answers_with(status, &[], body)
    }

    /// Answers the next request with this and these headers.
    pub(crate) fn answers_with(self, status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let mut answer = http::Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        let answer = answer
            .body(Bytes::from(body.to_owned()))
            .expect("an answer");
        self.script.answers.lock().push_back(Ok(answer));
        self
    }

    /// Does not answer the next request.
    pub(crate) fn fails(self, failure: HttpFailure) -> Self {
        self.script.answers.lock().push_back(Err(failure));
        self
    }

    /// What was sent, in order. Every answer of the script must have been used.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        assert!(self.script.answers.lock().is_empty(), "answers are left");
        self.script.seen.lock().clone()
    }
}

/// An error in every way that it can be written.
pub(crate) fn shown(error: &crate::error::CloudError) -> String {
    format!("{error} {error:?} {error:#?}")
}
