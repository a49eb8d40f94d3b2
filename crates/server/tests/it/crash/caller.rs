//! The callers: what they ask, what they see, and the trigger that they pull.
//!
//! Start at [`caller`].

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::super::support::{Chance, Gateway};
use super::{IN_FLIGHT, PATIENCE};

/// One caller: a request after the other until the gateway is gone.
pub(crate) async fn caller(
    addr: SocketAddr,
    key: Arc<str>,
    board: Arc<Board>,
    mut chance: Chance,
    name: String,
    stream: bool,
    may_stall: bool,
) -> Vec<Called> {
    let mut called = Vec::new();
    for number in 0.. {
        if board.is_over() {
            break;
        }
        let user = format!("{name}-{number}");
        let plan = Plan::of_chance(&mut chance, user, stream, may_stall);
        let Ok(connection) = TcpStream::connect(addr).await else {
            break;
        };
        let note = |event| board.note(event);
        called.push(call(connection, &key, &note, plan).await);
    }
    called
}

/// One request. `note` hears of what happens to it, in the instant in which it happens.
pub(crate) async fn call(
    mut connection: TcpStream,
    key: &str,
    note: &impl Fn(Event),
    plan: Plan,
) -> Called {
    let stream = plan.stream;
    let request = format!(
        "POST {} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nx-langwatch-metadata: {}\r\n\
         connection: close\r\n\r\n{}",
        plan.path,
        plan.body.len(),
        plan.metadata,
        plan.body
    );
    let mut called = Called {
        plan,
        status: None,
        request_id: None,
        complete: false,
        read: 0,
    };
    if connection.write_all(request.as_bytes()).await.is_err() {
        return called;
    }
    note(Event::Sent { stream });
    let mut answer = Answer::default();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = timeout(PATIENCE, connection.read(&mut buffer)).await;
        match read.expect("an answer or an end within the test's patience") {
            Ok(0) | Err(_) => break,
            Ok(count) => answer.raw.extend_from_slice(&buffer[..count]),
        }
        let started = called.status.is_some();
        let ended = called.complete;
        answer.show(&mut called);
        if !started && called.status.is_some() {
            note(Event::Started);
        }
        if !ended && called.complete {
            note(Event::Ended);
        }
        if called.plan.shape == Shape::HangsUp && called.read >= called.plan.leaves_after {
            break;
        }
    }
    note(Event::Gone { stream });
    called
}

/// The bytes of an answer, read by a reader that the product does not share.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) raw: Vec<u8>,
    /// Where the body begins, once the head is there.
    pub(crate) body: Option<usize>,
    pub(crate) length: Option<usize>,
    pub(crate) events: bool,
}

impl Answer {
    /// Tells `called` what the bytes so far mean.
    pub(crate) fn show(&mut self, called: &mut Called) {
        if self.body.is_none() {
            self.show_head(called);
        }
        let Some(start) = self.body else {
            return;
        };
        let rest = &self.raw[start..];
        let (body, whole) = match self.length {
            Some(length) => (rest.to_vec(), rest.len() >= length),
            None => dechunked(rest),
        };
        if !self.events {
            called.read = body.len();
            called.complete = whole;
            return;
        }
        // An event may end within a character; what follows the last whole event says nothing yet.
        let text = String::from_utf8_lossy(&body);
        called.read = text.matches("\n\n").count();
        let end = text.find(called.plan.terminator());
        called.complete = end.is_some_and(|at| text[at..].contains("\n\n"));
    }

    pub(crate) fn show_head(&mut self, called: &mut Called) {
        let text = String::from_utf8_lossy(&self.raw);
        let Some((head, _)) = text.split_once("\r\n\r\n") else {
            return;
        };
        self.body = Some(head.len() + 4);
        let head = head.to_ascii_lowercase();
        let header = |name: &str| {
            let mut lines = head.lines();
            lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
        };
        called.status = head
            .split_whitespace()
            .nth(1)
            .and_then(|text| text.parse().ok());
        called.request_id = header("x-langwatch-request-id").map(str::to_owned);
        self.length = header("content-length").map(|text| text.parse().expect("a length"));
        self.events = header("content-type").is_some_and(|kind| kind.starts_with("text/event"));
    }
}

/// The body so far, and whether its last chunk is there.
pub(crate) fn dechunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(line) = rest.iter().position(|byte| *byte == b'\r') {
        let size = std::str::from_utf8(&rest[..line]).expect("a chunk size");
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        if size == 0 {
            return (body, true);
        }
        let Some(after) = rest.get(line + 2..) else {
            break;
        };
        rest = after;
        body.extend_from_slice(&rest[..size.min(rest.len())]);
        let Some(next) = rest.get(size + 2..) else {
            break;
        };
        rest = next;
    }
    (body, false)
}

/// When the process is killed. Each waits in addition until enough is in flight.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    /// This long after the callers began.
    After(Duration),
    /// In the instant in which a caller has read the end of the nth answer.
    Ends(u64),
    /// In the instant in which a caller has read the start of the nth answer.
    Starts(u64),
    /// In the instant in which a caller has sent the nth request.
    Sent(u64),
}

impl Moment {
    pub(crate) fn of_chance(chance: &mut Chance) -> Self {
        match chance.below(5) {
            0 => Self::Ends(chance.between(1, 100)),
            1 => Self::Starts(chance.between(1, 80)),
            2 => Self::Sent(chance.between(50, 150)),
            _ => Self::After(Duration::from_micros(chance.below(240_000))),
        }
    }
}

/// What a request is meant to become when nobody is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Answered to its end, usage reported.
    Plain,
    /// Answered to its end, usage not reported.
    NoUsage,
    /// The provider falls silent; only death ends it.
    Stalls,
    /// The provider breaks off in the middle.
    BreaksOff,
    /// The provider answers with an error.
    Refused,
    /// The caller hangs up in the middle.
    HangsUp,
}

/// One request before it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) user: String,
    pub(crate) path: &'static str,
    pub(crate) stream: bool,
    pub(crate) shape: Shape,
    pub(crate) body: String,
    /// `X-LangWatch-Metadata`: long ones fill a spool file within a round.
    pub(crate) metadata: String,
    /// Events after which the caller leaves.
    pub(crate) leaves_after: usize,
}

impl Plan {
    pub(crate) fn of_chance(
        chance: &mut Chance,
        user: String,
        stream: bool,
        may_stall: bool,
    ) -> Self {
        let path = match chance.below(if stream { 7 } else { 8 }) {
            0..=3 => "/v1/chat/completions",
            4 | 5 => "/v1/messages",
            6 => "/v1/responses",
            _ => "/v1/embeddings",
        };
        let spoken = path != "/v1/embeddings";
        let shape = match chance.below(100) {
            0..=7 if may_stall => Shape::Stalls,
            8..=13 if spoken => Shape::NoUsage,
            14..=20 if stream => Shape::BreaksOff,
            21..=26 => Shape::Refused,
            27..=34 => Shape::HangsUp,
            _ => Shape::Plain,
        };
        let words = chance.between(10, 80);
        let frames = chance.between(2, 12);
        let mut directive = json!({"frames": frames, "pace_ms": chance.between(1, 5)});
        if !stream {
            directive["delay_head_ms"] = chance.between(3, 60).into();
            directive["chunked"] = chance.one_of(&[true, false]).into();
        }
        match shape {
            Shape::Plain if spoken && chance.below(2) == 0 => {
                directive["usage"] = usage_of_chance(chance, path == "/v1/messages");
            }
            Shape::Plain | Shape::HangsUp => {}
            Shape::NoUsage => directive["no_usage"] = true.into(),
            Shape::Stalls if stream => directive["stall_after_frames"] = frames.min(3).into(),
            Shape::Stalls => directive["stall_before_head"] = true.into(),
            Shape::BreaksOff => {
                let how = ["reset_after_frames", "error_event_after_frames"];
                directive[chance.one_of(&how)] = chance.below(frames).into();
            }
            Shape::Refused => directive["status"] = chance.one_of(&[429, 500, 503]).into(),
        }
        let mut text = format!("[[mock:{directive}]]");
        for _ in 0..words {
            let _ = write!(text, " word{}", chance.below(1_000));
        }
        let turns = json!([{"role": "user", "content": text}]);
        let mut body = match path {
            "/v1/messages" => {
                json!({"model": "claude-haiku-4-5", "max_tokens": 400, "messages": turns})
            }
            "/v1/responses" => {
                json!({"model": "gpt-4o-mini", "max_output_tokens": 400, "input": turns})
            }
            "/v1/embeddings" => json!({"model": "text-embedding-3-small", "input": text}),
            _ => json!({"model": "gpt-4o-mini", "max_tokens": 400, "messages": turns}),
        };
        if stream {
            body["stream"] = true.into();
        }
        body["user"] = user.clone().into();
        Self {
            user,
            path,
            stream,
            shape,
            body: body.to_string(),
            metadata: format!(
                r#"{{"note":"{}"}}"#,
                "x".repeat(chance.one_of(&[10, 4_000]))
            ),
            leaves_after: usize::try_from(chance.below(frames)).unwrap_or(0),
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        if self.path == "/v1/messages" {
            "anthropic"
        } else {
            "openai"
        }
    }

    /// What a caller of a stream waits for.
    pub(crate) fn terminator(&self) -> &'static str {
        match self.path {
            "/v1/messages" => "\"type\":\"message_stop\"}\n\n",
            "/v1/responses" => "event: response.completed",
            _ => "data: [DONE]\n\n",
        }
    }
}

/// Numbers that lie within what the body's length and `max_tokens` allow.
pub(crate) fn usage_of_chance(chance: &mut Chance, anthropic: bool) -> Value {
    let cached = chance.below(60);
    let mut usage = json!({
        "cached_tokens": cached,
        "completion_tokens": chance.between(1, 400),
    });
    if anthropic {
        usage["input_tokens"] = chance.between(1, 100).into();
        usage["cache_creation_5m"] = chance.below(40).into();
        usage["cache_creation_1h"] = chance.below(40).into();
    } else {
        usage["prompt_tokens"] = (cached + chance.between(1, 200)).into();
    }
    usage
}

/// What the caller saw of one request.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) plan: Plan,
    /// The status, once the head was there.
    pub(crate) status: Option<u16>,
    pub(crate) request_id: Option<String>,
    /// Everything came: the end of the stream, or all of the body.
    pub(crate) complete: bool,
    /// Events of a stream, or bytes of a body, that came.
    pub(crate) read: usize,
}

/// What is going on, and the trigger that it pulls.
pub(crate) struct Board {
    pub(crate) state: Mutex<State>,
    pub(crate) over: Notify,
}

pub(crate) struct State {
    pub(crate) gateway: Arc<Mutex<Gateway>>,
    pub(crate) moment: Option<Moment>,
    /// Set when the time of [`Moment::After`] has come.
    pub(crate) due: bool,
    /// Without and with a stream.
    pub(crate) in_flight: [usize; 2],
    pub(crate) sent: u64,
    pub(crate) started: u64,
    pub(crate) ended: u64,
    pub(crate) at_kill: Option<[usize; 2]>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    Sent { stream: bool },
    Started,
    Ended,
    Gone { stream: bool },
    Due,
}

impl Board {
    pub(crate) fn new(gateway: Arc<Mutex<Gateway>>, moment: Option<Moment>) -> Self {
        let state = State {
            gateway,
            moment,
            due: false,
            in_flight: [0; 2],
            sent: 0,
            started: 0,
            ended: 0,
            at_kill: None,
        };
        Self {
            state: Mutex::new(state),
            over: Notify::new(),
        }
    }

    /// Notes an event, and kills in the same instant when that is the one.
    pub(crate) fn note(&self, event: Event) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        match event {
            Event::Sent { stream } => {
                state.in_flight[usize::from(stream)] += 1;
                state.sent += 1;
            }
            Event::Started => state.started += 1,
            Event::Ended => state.ended += 1,
            Event::Gone { stream } => state.in_flight[usize::from(stream)] -= 1,
            Event::Due => state.due = true,
        }
        let now = match state.moment {
            None => false,
            Some(Moment::After(_)) => state.due,
            Some(Moment::Ends(n)) => state.ended >= n && matches!(event, Event::Ended),
            Some(Moment::Starts(n)) => state.started >= n && matches!(event, Event::Started),
            Some(Moment::Sent(n)) => state.sent >= n && matches!(event, Event::Sent { .. }),
        };
        let enough = state.in_flight.iter().all(|count| *count >= IN_FLIGHT);
        if now && enough && state.at_kill.is_none() {
            state.gateway.lock().kill9();
            state.at_kill = Some(state.in_flight);
            self.over.notify_one();
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().at_kill.is_some()
    }
}
