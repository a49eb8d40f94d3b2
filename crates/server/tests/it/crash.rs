//! Money survives the death of the process, whenever it comes.
//!
//! Callers keep dozens of requests open, half of them streams, and the gateway is killed with `kill -9`
//! at a moment of chance: after some time, or at once when somebody read the start or the end of an
//! answer. It is started again on the same data folder, and what the callers saw, what the provider
//! generated and what the ledger holds are compared, request by request, joined by `user`. The rule
//! (observability 14, billing 4): the admission is written before the provider is dialled, the outcome
//! before the last bytes leave, and an admission without an outcome becomes one charge at its hold.
//!
//! Chance has a seed, which a failure prints; `CRASH_SEED` repeats it and `CRASH_ROUNDS` runs longer.
//! Start at [`money_survives_a_hundred_kills`].

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lw_core::{Clock as _, NanoUsd, RequestId, SystemClock, UnixMicros, Usage, VirtualKeyId};
use lw_engine::price::PriceCatalogue;
use lw_mock::{MockProvider, Truth};
use lw_store::ledger::{Certainty, Detail, EntryKind, Ledger as _};
use lw_store_sql::Tuning;
use lw_store_sql::ledger::SqliteLedger;
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::support::{Gateway, Key};

/// Kills of one run, each in the middle of traffic.
const ROUNDS: u64 = 100;
/// Callers, half of them with streams; each sends one request after the other.
const CALLERS: usize = 60;
/// Requests of each half that must be in flight when the process is killed.
const IN_FLIGHT: usize = 25;
/// The longest that anything may take. Never a pace: only a test that hangs sees it.
const PATIENCE: Duration = Duration::from_secs(30);
#[tokio::test]
async fn money_survives_a_hundred_kills() {
    let mut world = World::new();
    let rounds = setting("CRASH_ROUNDS").unwrap_or(ROUNDS);
    let began = Instant::now();
    for round in 0..rounds {
        let moment = Moment::of_chance(&mut world.chance);
        let calls = world.traffic(round, End::Kill(moment)).await;
        if round % 4 == 3 {
            // Death may also come while the last one is being cleared up.
            let early = Duration::from_millis(world.chance.below(120));
            start_and_kill(&world.data, early).await;
            world.count("killed_while_recovering", 1);
        }
        world.start_again();
        world.compare(round, &calls, false);
        if !world.problems.is_empty() {
            break;
        }
    }
    if world.problems.is_empty() {
        // The last one is asked to stop: everything under way is finished, nothing is assumed.
        let calls = world.traffic(rounds, End::Terminate).await;
        world.compare(rounds, &calls, true);
        world.start_again();
        world.compare_whole();
    }
    world.count("milliseconds", millis(began.elapsed()));
    world.verdict(rounds);
}

/// A number from the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "a test is configured by whoever runs it"
)]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Repeatable chance (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        let index = usize::try_from(self.below(items.len() as u64)).unwrap_or(0);
        items[index]
    }
}

/// When the process is killed. Each waits in addition until enough is in flight.
#[derive(Debug, Clone, Copy)]
enum Moment {
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
    fn of_chance(chance: &mut Chance) -> Self {
        match chance.below(5) {
            0 => Self::Ends(chance.between(1, 100)),
            1 => Self::Starts(chance.between(1, 80)),
            2 => Self::Sent(chance.between(50, 150)),
            _ => Self::After(Duration::from_micros(chance.below(240_000))),
        }
    }
}

/// How a round ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Kill(Moment),
    /// SIGTERM, in the middle of traffic as well.
    Terminate,
}

/// Starts the gateway on a data folder and kills it some time later, whatever it is doing.
async fn start_and_kill(data: &Path, after: Duration) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_langwatch"))
        .args(["serve", "--data-dir"])
        .arg(data)
        .env_clear()
        .env("SERVER_ADDR", "127.0.0.1:0")
        .env("LANGWATCH_CONTROL_ADDR", "127.0.0.1:0")
        .env("LW_GATEWAY_DATA_THREADS", "2")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the gateway");
    sleep(after).await;
    child.kill().expect("a process");
    child.wait().expect("its end");
}

/// What a request is meant to become when nobody is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
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
struct Plan {
    user: String,
    path: &'static str,
    stream: bool,
    shape: Shape,
    body: String,
    /// `X-LangWatch-Metadata`: long ones fill a spool file within a round.
    metadata: String,
    /// Events after which the caller leaves.
    leaves_after: usize,
}

impl Plan {
    fn of_chance(chance: &mut Chance, user: String, stream: bool, may_stall: bool) -> Self {
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

    fn kind(&self) -> &'static str {
        if self.path == "/v1/messages" {
            "anthropic"
        } else {
            "openai"
        }
    }

    /// What a caller of a stream waits for.
    fn terminator(&self) -> &'static str {
        match self.path {
            "/v1/messages" => "\"type\":\"message_stop\"}\n\n",
            "/v1/responses" => "event: response.completed",
            _ => "data: [DONE]\n\n",
        }
    }
}

/// Numbers that lie within what the body's length and `max_tokens` allow.
fn usage_of_chance(chance: &mut Chance, anthropic: bool) -> Value {
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
struct Called {
    plan: Plan,
    /// The status, once the head was there.
    status: Option<u16>,
    request_id: Option<String>,
    /// Everything came: the end of the stream, or all of the body.
    complete: bool,
    /// Events of a stream, or bytes of a body, that came.
    read: usize,
    /// The caller left on its own account.
    left: bool,
}

/// What is going on, and the trigger that it pulls.
struct Board {
    state: Mutex<State>,
    over: Notify,
}

struct State {
    gateway: Arc<Mutex<Gateway>>,
    moment: Option<Moment>,
    /// Set when the time of [`Moment::After`] has come.
    due: bool,
    /// Without and with a stream.
    in_flight: [usize; 2],
    sent: u64,
    started: u64,
    ended: u64,
    at_kill: Option<[usize; 2]>,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Sent { stream: bool },
    Started,
    Ended,
    Gone { stream: bool },
    Due,
}

impl Board {
    fn new(gateway: Arc<Mutex<Gateway>>, moment: Option<Moment>) -> Self {
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
    fn note(&self, event: Event) {
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

    fn is_over(&self) -> bool {
        self.state.lock().at_kill.is_some()
    }
}

/// One caller: a request after the other until the gateway is gone.
async fn caller(
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
        called.push(call(connection, &key, &board, plan).await);
    }
    called
}

async fn call(mut connection: TcpStream, key: &str, board: &Board, plan: Plan) -> Called {
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
        left: false,
    };
    if connection.write_all(request.as_bytes()).await.is_err() {
        return called;
    }
    board.note(Event::Sent { stream });
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
            board.note(Event::Started);
        }
        if !ended && called.complete {
            board.note(Event::Ended);
        }
        if called.plan.shape == Shape::HangsUp && called.read >= called.plan.leaves_after {
            called.left = !called.complete;
            break;
        }
    }
    board.note(Event::Gone { stream });
    called
}

/// The bytes of an answer, read by a reader that the product does not share.
#[derive(Default)]
struct Answer {
    raw: Vec<u8>,
    /// Where the body begins, once the head is there.
    body: Option<usize>,
    length: Option<usize>,
    events: bool,
}

impl Answer {
    /// Tells `called` what the bytes so far mean.
    fn show(&mut self, called: &mut Called) {
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

    fn show_head(&mut self, called: &mut Called) {
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
fn dechunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
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

/// One row of the ledger, read without the product's own queries.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    attempt: u16,
    kind: EntryKind,
    amount: NanoUsd,
    certainty: Certainty,
    priced: bool,
    model: String,
    usage: Usage,
    detail: Detail,
}

type Rows = BTreeMap<[u8; 15], Vec<Entry>>;

/// All requests with an id above `after`.
fn rows(data: &Path, after: [u8; 15]) -> Rows {
    let path = data.join("ledger.db");
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a ledger");
    db.busy_timeout(PATIENCE).expect("a setting");
    let mut statement = db
        .prepare(
            "SELECT e.request_id, e.attempt, e.kind, e.amount, e.certainty, e.priced, m.text, \
             e.input, e.cache_read, e.cache_write_5m, e.cache_write_1h, e.output, e.reasoning, \
             e.input_audio, e.output_audio, e.detail \
             FROM entry e JOIN name m ON m.id = e.model_id \
             WHERE e.request_id > ?1 ORDER BY e.request_id, e.attempt, e.step",
        )
        .expect("the tables of the ledger");
    let mut found = Rows::new();
    let mut all = statement.query([after]).expect("rows");
    while let Some(row) = all.next().expect("a row") {
        let count = |column| u64::try_from(row.get::<_, i64>(column).expect("a count"));
        let count = |column| count(column).expect("a count that is not negative");
        let detail: String = row.get(15).expect("a detail");
        let entry = Entry {
            attempt: row.get(1).expect("an attempt"),
            kind: EntryKind::from_u8(row.get(2).expect("a kind")).expect("a kind"),
            amount: NanoUsd(row.get(3).expect("an amount")),
            certainty: Certainty::from_u8(row.get(4).expect("a certainty")).expect("a certainty"),
            priced: row.get(5).expect("a flag"),
            model: row.get(6).expect("a model"),
            usage: Usage {
                input: count(7),
                cache_read: count(8),
                cache_write_5m: count(9),
                cache_write_1h: count(10),
                output: count(11),
                reasoning: count(12),
                input_audio: count(13),
                output_audio: count(14),
            },
            detail: serde_json::from_str(&detail).expect("a detail"),
        };
        let id = row.get(0).expect("an id");
        found.entry(id).or_default().push(entry);
    }
    found
}

/// The provider's numbers in the classes of a bill, where audio stands beside input and output.
fn classes(usage: &lw_mock::Usage) -> Usage {
    Usage {
        input: usage.input - usage.audio_input,
        cache_read: usage.cached_read,
        cache_write_5m: usage.cache_write_5m,
        cache_write_1h: usage.cache_write_1h,
        output: usage.output - usage.audio_output,
        reasoning: usage.reasoning,
        input_audio: usage.audio_input,
        output_audio: usage.audio_output,
    }
}

/// Provider, gateway, and what was found so far.
struct World {
    mock: MockProvider,
    gateway: Arc<Mutex<Gateway>>,
    data: PathBuf,
    key: Key,
    seed: u64,
    chance: Chance,
    prices: PriceCatalogue,
    /// Every row that was ever compared: none may change any more.
    known: Rows,
    problems: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
}

impl World {
    fn new() -> Self {
        let now = u64::try_from(SystemClock.now().0).unwrap_or(0);
        let seed = setting("CRASH_SEED").unwrap_or(now);
        let (gateway, mock, key) = Gateway::builder().env("LOG_LEVEL", "error").with_provider();
        Self {
            mock,
            data: gateway.data(),
            gateway: Arc::new(Mutex::new(gateway)),
            key,
            seed,
            chance: Chance(seed),
            prices: PriceCatalogue::bundled().expect("prices"),
            known: Rows::new(),
            problems: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Starts it again, with more or fewer writers of the spool than before.
    fn start_again(&mut self) {
        let threads = self.chance.between(1, 3).to_string();
        let starting = Instant::now();
        let started = self
            .gateway
            .lock()
            .relaunch(&[("LW_GATEWAY_DATA_THREADS", Some(&threads))]);
        started.expect("a start after a crash");
        self.count("milliseconds_starting", millis(starting.elapsed()));
        self.spool_is_empty();
    }

    fn count(&mut self, what: &'static str, more: u64) {
        *self.counts.entry(what).or_default() += more;
    }

    fn problem(&mut self, text: String) {
        self.problems.push(text);
    }

    /// Traffic until the gateway is gone. Returns what the callers saw.
    async fn traffic(&mut self, round: u64, end: End) -> Vec<Called> {
        let moment = match end {
            End::Kill(moment) => Some(moment),
            End::Terminate => None,
        };
        let addr = self.gateway.lock().addr;
        let key: Arc<str> = Arc::from(self.key.secret.as_str());
        let board = Arc::new(Board::new(self.gateway.clone(), moment));
        let mut callers = JoinSet::new();
        for index in 0..CALLERS {
            callers.spawn(caller(
                addr,
                key.clone(),
                board.clone(),
                Chance(self.chance.next()),
                format!("r{round}-c{index}"),
                index % 2 == 0,
                moment.is_some(),
            ));
        }
        match end {
            End::Kill(moment) => {
                if let Moment::After(time) = moment {
                    sleep(time).await;
                    board.note(Event::Due);
                }
                let over = timeout(PATIENCE, board.over.notified()).await;
                over.expect("enough requests in flight");
            }
            End::Terminate => {
                let time = Duration::from_millis(self.chance.between(60, 160));
                sleep(time).await;
                self.gateway.lock().signal("TERM");
                let gateway = self.gateway.clone();
                let waiting = tokio::task::spawn_blocking(move || gateway.lock().wait());
                let status = waiting.await.expect("an end");
                if !status.success() {
                    self.problem(format!("SIGTERM: the process ended with {status}"));
                }
            }
        }
        let calls: Vec<Called> = callers.join_all().await.into_iter().flatten().collect();
        let [plain, streams] = board.state.lock().at_kill.unwrap_or_default();
        self.count("in_flight_when_killed", (plain + streams) as u64);
        self.count("streams_in_flight_when_killed", streams as u64);
        // The provider has read every byte that the dead process had sent when its connections are gone.
        let quiet = async {
            while self.mock.open_connections() > 0 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, quiet).await.expect("a quiet provider");
        calls
    }

    /// Compares the three views of one round.
    fn compare(&mut self, round: u64, calls: &[Called], graceful: bool) {
        let after = self.known.keys().next_back().copied().unwrap_or_default();
        let new = rows(&self.data, after);
        let truths = self.mock.truth();
        self.mock.reset();
        let at = format!("round {round}");
        let mut by_user: HashMap<&str, (&[u8; 15], &Vec<Entry>)> = HashMap::new();
        let called: HashMap<&str, &Called> = calls
            .iter()
            .map(|call| (call.plan.user.as_str(), call))
            .collect();
        assert_eq!(called.len(), calls.len(), "users are unique");
        for (id, entries) in &new {
            let user = entries[0].detail.end_user_id.as_deref().unwrap_or("nobody");
            if !called.contains_key(user) {
                self.problem(format!("{at}: rows for {user}, who asked for nothing"));
            }
            if by_user.insert(user, (id, entries)).is_some() {
                self.problem(format!(
                    "{at}: {user} asked once and stands in two requests"
                ));
            }
        }
        let mut seen: HashMap<&str, &Truth> = HashMap::new();
        for truth in &truths {
            let user = truth.user.as_deref().unwrap_or("nobody");
            if seen.insert(user, truth).is_some() {
                self.problem(format!("{at}: the provider was asked twice for {user}"));
            }
            if !by_user.contains_key(user) {
                self.problem(format!(
                    "{at}: the provider worked for {user}, without a hold"
                ));
            }
        }
        for call in calls {
            let user = call.plan.user.as_str();
            let facts = Facts {
                call,
                truth: seen.get(user).copied(),
                entries: by_user.get(user).map(|(_, entries)| entries.as_slice()),
                id: by_user.get(user).map(|(id, _)| RequestId::from_bytes(**id)),
                graceful,
                prices: &self.prices,
            };
            match facts.check() {
                Ok(what) => self.count(what, 1),
                Err(why) => self.problem(format!(
                    "{at}: {user}: {why}\n    caller   {call:?}\n    provider {:?}\n    ledger   {:?}",
                    facts.truth, facts.entries
                )),
            }
        }
        self.count("requests", calls.len() as u64);
        self.known.extend(new);
    }

    fn spool_is_empty(&mut self) {
        // What an earlier process left is folded and gone; nobody has asked for anything yet.
        for file in fs::read_dir(self.data.join("spend-spool")).expect("the spool") {
            let file = file.expect("a file");
            let length = file.metadata().expect("its length").len();
            if length > 0 {
                let name = file.file_name();
                self.problem(format!("{name:?} holds {length} bytes after the fold"));
            }
        }
    }

    /// All rows together: none changed since it was compared, and the sums are those of the rows.
    fn compare_whole(&mut self) {
        let all = rows(&self.data, [0; 15]);
        if all != self.known {
            let changed = all
                .iter()
                .filter(|(id, entries)| self.known.get(*id) != Some(entries));
            let changed: Vec<_> = changed.take(3).collect();
            self.problem(format!("rows changed after they were final: {changed:?}"));
        }
        let charges = || all.values().flatten().filter(|e| e.kind != EntryKind::Hold);
        let sum: i64 = charges().map(|entry| entry.amount.0).sum();
        let ledger = SqliteLedger::open(&self.data.join("ledger.db"), Tuning::default());
        let key = VirtualKeyId::parse(&self.key.id).expect("an id");
        let spend = ledger
            .expect("the ledger")
            .key_spend(&key, UnixMicros(0), UnixMicros(i64::MAX))
            .expect("a sum");
        if spend.spent.0 != sum || spend.reserved.0 != 0 || spend.requests != all.len() as u64 {
            let requests = all.len();
            self.problem(format!("{spend:?}, but {requests} requests cost {sum}"));
        }
        self.count("rows", all.values().map(Vec::len).sum::<usize>() as u64);
    }

    /// Fails with everything that somebody needs to look into it, or says what was tried.
    fn verdict(self, rounds: u64) {
        let Self {
            seed,
            problems,
            counts,
            ..
        } = self;
        let total = problems.len();
        let first: Vec<String> = problems.into_iter().take(5).collect();
        let first = first.join("\n");
        assert!(total == 0, "CRASH_SEED={seed}: {total} problems\n{first}");
        println!("seed {seed}, {rounds} kills: {counts:#?}");
        for what in ["exact", "orphaned", "estimated", "complete"] {
            assert!(counts.contains_key(what), "no request was {what}");
        }
    }
}

/// One request in the three views.
struct Facts<'a> {
    call: &'a Called,
    truth: Option<&'a Truth>,
    entries: Option<&'a [Entry]>,
    id: Option<RequestId>,
    /// The process was allowed to finish: nothing may be assumed.
    graceful: bool,
    prices: &'a PriceCatalogue,
}

impl Facts<'_> {
    /// What became of the request, or what is wrong with it.
    fn check(&self) -> Result<&'static str, String> {
        let Called {
            plan,
            status,
            request_id,
            complete,
            ..
        } = self.call;
        let Some(entries) = self.entries else {
            if status.is_some() {
                return Err("the caller has an answer, the ledger has nothing".to_owned());
            }
            return Ok("never_admitted");
        };
        let [hold, outcome] = entries else {
            return Err(format!("{} rows instead of two", entries.len()));
        };
        if hold.kind != EntryKind::Hold || (hold.attempt, outcome.attempt) != (0, 0) {
            return Err("not one hold and one outcome of one attempt".to_owned());
        }
        if !matches!(outcome.kind, EntryKind::Settle | EntryKind::Release) {
            return Err(format!("the outcome is {:?}", outcome.kind));
        }
        if let (Some(told), Some(id)) = (request_id, self.id)
            && *told != id.to_string().to_ascii_lowercase()
        {
            return Err(format!("the caller was told {told}, the ledger has {id}"));
        }
        let price = self.prices.lookup(plan.kind(), &outcome.model);
        let price = price.ok_or_else(|| format!("no price for {}", outcome.model))?;
        if !hold.priced || !outcome.priced || hold.amount <= NanoUsd::ZERO {
            return Err("no priced hold".to_owned());
        }
        if outcome.amount > hold.amount || outcome.amount < NanoUsd::ZERO {
            return Err("charged more than was held".to_owned());
        }
        let truth = self.truth.map(|truth| classes(&truth.usage));
        let cost = truth.map(|usage| price.cost(&usage, None));
        if cost.is_some_and(|cost| cost > hold.amount) {
            return Err(format!("the hold is less than the true cost {cost:?}"));
        }
        if self.graceful && outcome.certainty == Certainty::Orphaned {
            return Err("orphaned by a process that was allowed to finish".to_owned());
        }
        if self.graceful && !*complete && matches!(plan.shape, Shape::Plain | Shape::NoUsage) {
            return Err("cut off by a process that was allowed to finish".to_owned());
        }
        match outcome.certainty {
            Certainty::Orphaned if *complete => {
                Err("the caller has all of it, and the outcome was lost".to_owned())
            }
            Certainty::Orphaned if outcome.amount != hold.amount => {
                Err("an orphan is charged at its hold".to_owned())
            }
            Certainty::Orphaned if outcome.kind != EntryKind::Settle => {
                Err("an orphan is charged, not released".to_owned())
            }
            Certainty::Orphaned => Ok("orphaned"),
            Certainty::Estimated => self.estimated(outcome, &price),
            Certainty::Exact => self.exact(outcome, truth, cost),
        }
    }

    fn estimated(
        &self,
        outcome: &Entry,
        price: &lw_engine::price::ModelPrice,
    ) -> Result<&'static str, String> {
        let Called {
            plan,
            complete,
            read,
            ..
        } = self.call;
        if *complete && plan.shape == Shape::Plain {
            return Err("usage was reported, and the charge is an estimate".to_owned());
        }
        // What the caller read was delivered. Not every event of a stream has text.
        let framing = if plan.path == "/v1/chat/completions" {
            4
        } else {
            9
        };
        let words = if plan.stream {
            read.saturating_sub(framing)
        } else {
            0
        };
        let delivered = Usage {
            input: self.truth.map_or(0, |truth| truth.usage.input),
            output: words as u64,
            ..Usage::default()
        };
        let least = price.cost(&delivered, None);
        if outcome.amount < least {
            return Err(format!("estimated below {least}, which was delivered"));
        }
        Ok("estimated")
    }

    fn exact(
        &self,
        outcome: &Entry,
        truth: Option<Usage>,
        cost: Option<NanoUsd>,
    ) -> Result<&'static str, String> {
        let Called { plan, complete, .. } = self.call;
        if plan.shape == Shape::Refused {
            let free = outcome.kind == EntryKind::Release && outcome.amount == NanoUsd::ZERO;
            return if free {
                Ok("refused")
            } else {
                Err("an error of the provider costs nothing".to_owned())
            };
        }
        let (Some(truth), Some(cost)) = (truth, cost) else {
            return Err("an exact charge, and the provider knows nothing of it".to_owned());
        };
        if outcome.kind == EntryKind::Release {
            return Err("released, although the provider worked".to_owned());
        }
        if plan.shape == Shape::NoUsage {
            return Err("no usage was reported, and the charge is not flagged".to_owned());
        }
        if outcome.detail.metadata.as_deref() != Some(plan.metadata.as_str()) {
            return Err("the metadata is another".to_owned());
        }
        if (outcome.usage, outcome.amount) != (truth, cost) {
            return Err(format!("exact is {truth:?}, which costs {cost}"));
        }
        let response_id = self.truth.map(|truth| truth.id.as_str());
        let response_id = response_id.filter(|id| !id.is_empty());
        if outcome.detail.response_id.as_deref() != response_id {
            return Err("the provider's id of the answer is another".to_owned());
        }
        Ok(if *complete { "complete" } else { "exact" })
    }
}
