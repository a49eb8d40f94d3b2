//! The writers: what they ask of the management plane, what they were told, and the trigger that they pull.
//!
//! Start at [`writer`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde_json::{Map, Value, json};

use super::super::support::{Answer, Ask, Chance, Conn, Gateway, ORG};

/// Keys that the writers of a round share: few, so that they meet.
const SHARED: usize = 14;

pub(super) const KEYS: &str = "/api/gateway/v1/virtual-keys";
const PROVIDERS: &str = "/api/gateway/v1/model-providers";

/// One write before it is sent.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) what: What,
    /// The row, when there is one already.
    pub(super) id: Option<String>,
    /// The `Idempotency-Key` of a create, which is the name of its row as well.
    pub(super) once: Option<String>,
    body: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    CreateKey,
    PatchKey,
    Rotate,
    Disable,
    Enable,
    Revoke,
    CreateProvider,
    PatchProvider,
}

/// One write and what its writer knows of it.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) plan: Plan,
    /// The whole answer; `None` when it did not come, or not to its end.
    pub(super) answer: Option<Answer>,
}

/// What the writers of a round have in common.
pub(super) struct Round {
    pub(super) number: u64,
    pub(super) control: SocketAddr,
    pub(super) token: String,
    /// Where providers are said to be.
    pub(super) upstream: String,
    pub(super) rows: Mutex<Rows>,
    pub(super) board: Board,
}

/// Rows that exist as far as anybody was told.
#[derive(Debug, Default, Clone)]
pub(super) struct Rows {
    pub(super) keys: Vec<String>,
    pub(super) providers: Vec<String>,
}

impl Plan {
    fn of_chance(chance: &mut Chance, round: &Round, name: &str) -> Self {
        let rows = round.rows.lock();
        let recent = &rows.keys[rows.keys.len().saturating_sub(SHARED)..];
        let key = (!recent.is_empty()).then(|| recent[chance.index(recent.len())].clone());
        let provider = (!rows.providers.is_empty())
            .then(|| rows.providers[chance.index(rows.providers.len())].clone());
        let what = match (chance.below(20), &key, &provider) {
            (0, ..) => What::CreateProvider,
            (1 | 2, _, Some(_)) => What::PatchProvider,
            (3..=9, Some(_), _) => What::PatchKey,
            (10 | 11, Some(_), _) => What::Rotate,
            (12, Some(_), _) => What::Disable,
            (13, Some(_), _) => What::Enable,
            (14, Some(_), _) => What::Revoke,
            _ => What::CreateKey,
        };
        let body = match what {
            What::CreateKey => {
                let mut body = with_budget(
                    chance,
                    json!({
                        "name": name, "scopes": [{"scope_type": "organization", "scope_id": ORG}],
                    }),
                );
                // No budget is not said at all when a key is made.
                body.retain(|_, value| !value.is_null());
                Value::Object(body)
            }
            What::PatchKey => match chance.below(3) {
                0 => json!({"description": name, "expires_at": "2031-01-01T00:00:00Z"}),
                1 => json!({"config": {"rateLimits": {"rpm": chance.between(1_000, 9_000)}}}),
                _ => Value::Object(with_budget(chance, json!({"description": name}))),
            },
            What::CreateProvider => json!({
                "provider": "openai", "name": name, "enabled": false,
                "custom_keys": {"OPENAI_API_KEY": name, "OPENAI_BASE_URL": round.upstream},
            }),
            What::PatchProvider => json!({
                "fallback_priority_global": chance.below(100), "custom_models": [name],
                "custom_keys": {"OPENAI_API_KEY": name},
            }),
            What::Disable => json!({"reason": name}),
            What::Rotate | What::Enable | What::Revoke => json!({}),
        };
        let id = match what {
            What::CreateKey | What::CreateProvider => None,
            What::PatchProvider => provider,
            _ => key,
        };
        let once = id.is_none().then(|| name.to_owned());
        Self {
            what,
            id,
            once,
            body,
        }
    }

    /// The request.
    pub(super) fn ask(&self, token: &str) -> Ask {
        let id = self.id.as_deref().unwrap_or_default();
        let (method, path) = match self.what {
            What::CreateKey => ("POST", KEYS.to_owned()),
            What::PatchKey => ("PATCH", format!("{KEYS}/{id}")),
            What::Rotate => ("POST", format!("{KEYS}/{id}/rotate")),
            What::Disable => ("POST", format!("{KEYS}/{id}/disable")),
            What::Enable => ("POST", format!("{KEYS}/{id}/enable")),
            What::Revoke => ("POST", format!("{KEYS}/{id}/revoke")),
            What::CreateProvider => ("POST", PROVIDERS.to_owned()),
            What::PatchProvider => ("PATCH", format!("{PROVIDERS}/{id}")),
        };
        let mut ask = Ask::new(method, &path)
            .bearer(token)
            .header("Content-Type", "application/json")
            .body(self.body.to_string());
        if let Some(once) = &self.once {
            ask = ask.header("Idempotency-Key", once);
        }
        ask
    }
}

/// A body that sets the key's budget, or ends it, and says the same in the key's metadata: so whoever
/// reads the rows knows what belongs together.
fn with_budget(chance: &mut Chance, body: Value) -> Map<String, Value> {
    let Value::Object(mut body) = body else {
        panic!("a body is an object");
    };
    let (budget, metadata) = if chance.below(3) == 0 {
        (Value::Null, json!({}))
    } else {
        let limit = chance.between(1, 500).to_string();
        let window = chance.one_of(&["day", "week", "month"]);
        let budget = json!({"limit_usd": limit, "window": window});
        (budget, json!({"limit": limit}))
    };
    body.insert("budget".into(), budget);
    body.insert("metadata".into(), metadata);
    body
}

/// One writer: a write after the other until the process is gone. Some creates are sent twice at once, as
/// by somebody who clicks twice.
pub(super) fn writer(index: u64, mut chance: Chance, round: &Round) -> Vec<Said> {
    let mut said = Vec::new();
    let mut open: Option<Conn> = None;
    for number in 0.. {
        if round.board.is_over() {
            break;
        }
        let name = format!("round-{}-writer-{index}-{number}", round.number);
        let plan = Plan::of_chance(&mut chance, round, &name);
        let wire = plan.ask(&round.token).wire();
        let twice = plan.once.is_some() && chance.below(4) == 0;
        let fresh = || Conn::try_open(round.control).ok();
        let Some(mut conn) = open.take().or_else(fresh) else {
            break;
        };
        let mut second = if twice { fresh() } else { None };
        conn.write(&wire);
        if let Some(second) = &mut second {
            second.write(&wire);
        }
        round.board.note(Event::Sent);
        let mut whole = |conn: &mut Conn| {
            let answer = conn.answer(false).ok().filter(|answer| !answer.cut);
            if let Some(answer) = &answer {
                round.board.note(Event::Acknowledged);
                round.learn(plan.what, answer);
            }
            let arrived = answer.is_some();
            said.push(Said {
                plan: plan.clone(),
                answer,
            });
            arrived
        };
        if whole(&mut conn) {
            open = Some(conn);
        }
        if let Some(second) = &mut second {
            whole(second);
        }
    }
    said
}

impl Round {
    fn learn(&self, what: What, answer: &Answer) {
        let pointer = match what {
            What::CreateKey => "/virtual_key/id",
            What::CreateProvider => "/model_provider/id",
            _ => return,
        };
        if answer.status() == 201
            && let Some(id) = answer.json().pointer(pointer).and_then(Value::as_str)
        {
            let mut rows = self.rows.lock();
            match what {
                What::CreateKey => rows.keys.push(id.to_owned()),
                _ => rows.providers.push(id.to_owned()),
            }
        }
    }
}

/// When the process is killed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    /// After some time.
    After(Duration),
    /// At once when somebody has sent the n-th write.
    Sent(u64),
    /// At once when somebody has read the n-th answer.
    Acknowledged(u64),
}

impl Moment {
    pub(super) fn of_chance(chance: &mut Chance) -> Self {
        match chance.below(4) {
            0 => Self::Sent(chance.between(20, 160)),
            1 => Self::Acknowledged(chance.between(20, 160)),
            _ => Self::After(Duration::from_micros(chance.between(30_000, 400_000))),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    Sent,
    Acknowledged,
}

/// What is going on, and the trigger.
pub(super) struct Board {
    gateway: Arc<Mutex<Gateway>>,
    moment: Moment,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    sent: u64,
    acknowledged: u64,
    over: bool,
}

impl Board {
    pub(super) fn new(gateway: Arc<Mutex<Gateway>>, moment: Moment) -> Self {
        Self {
            gateway,
            moment,
            state: Mutex::default(),
            ended: Condvar::new(),
        }
    }

    /// Notes an event, and kills in the same instant when that is the one.
    fn note(&self, event: Event) {
        let mut state = self.state.lock();
        let due = match event {
            Event::Sent => {
                state.sent += 1;
                matches!(self.moment, Moment::Sent(n) if state.sent == n)
            }
            Event::Acknowledged => {
                state.acknowledged += 1;
                matches!(self.moment, Moment::Acknowledged(n) if state.acknowledged == n)
            }
        };
        if due {
            self.kill(&mut state);
        }
    }

    /// Waits for the kill, and does it when its moment is one of time.
    pub(super) fn until_killed(&self, patience: Duration) {
        let mut state = self.state.lock();
        if let Moment::After(time) = self.moment {
            // Nobody else ends the round: this waits for the time alone.
            self.ended.wait_for(&mut state, time);
            self.kill(&mut state);
        }
        while !state.over {
            let waited = self.ended.wait_for(&mut state, patience);
            assert!(!waited.timed_out(), "the writers came to a stand");
        }
    }

    fn kill(&self, state: &mut State) {
        self.gateway.lock().kill9();
        state.over = true;
        self.ended.notify_all();
    }

    fn is_over(&self) -> bool {
        self.state.lock().over
    }
}
