//! A customer's own service that is asked about texts: it answers as a test says, and writes down what it was sent.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};

use crate::support::parsed;

/// What the service does with a question.
#[derive(Clone, Debug)]
pub(super) enum Say {
    /// 200 and this.
    Json(Value),
    /// This status, these header lines and this body.
    Raw(u16, &'static str, String),
    /// Nothing until [`Service::release`]; then it allows.
    Hold,
    /// The connection ends without an answer.
    HangUp,
}

impl Say {
    pub(super) fn allow() -> Self {
        Self::Json(json!({"decision": "allow"}))
    }

    pub(super) fn block(reason: &str) -> Self {
        Self::Json(json!({"decision": "block", "reason": reason}))
    }

    pub(super) fn modify(content: &Value) -> Self {
        Self::Json(json!({"decision": "modify", "modified_content": content}))
    }
}

/// One question.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) line: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Value,
}

type Answering = Box<dyn Fn(&Asked) -> Say + Send>;

struct Shared {
    answering: Mutex<Answering>,
    asked: Mutex<Vec<Asked>>,
    released: Mutex<bool>,
    release: Condvar,
    stopping: AtomicBool,
}

/// The running service. Dropping it stops it.
pub(super) struct Service {
    addr: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// One that allows everything.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            answering: Mutex::new(Box::new(|_| Say::allow())),
            asked: Mutex::default(),
            released: Mutex::new(false),
            release: Condvar::new(),
            stopping: AtomicBool::new(false),
        });
        let theirs = shared.clone();
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if theirs.stopping.load(Ordering::SeqCst) {
                    return;
                }
                let shared = theirs.clone();
                if let Ok(connection) = connection {
                    std::thread::spawn(move || serve(&shared, connection));
                }
            }
        });
        Self {
            addr,
            shared,
            thread: Some(thread),
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/check?tenant=acme", self.addr)
    }

    /// The settings of a guardrail that asks it.
    pub(super) fn settings(&self) -> Value {
        json!({"url": self.url(), "timeout_ms": 4_500})
    }

    /// From now on it answers like this.
    pub(super) fn says(&self, say: Say) {
        self.answers(move |_| say.clone());
    }

    /// From now on it answers as `answering` decides.
    pub(super) fn answers(&self, answering: impl Fn(&Asked) -> Say + Send + 'static) {
        *self.shared.answering.lock() = Box::new(answering);
    }

    /// What it was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().clone()
    }

    /// Lets what is held go, and holds nothing any more.
    pub(super) fn release(&self) {
        *self.shared.released.lock() = true;
        self.shared.release.notify_all();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.release();
        // Wakes the listener.
        let _ = TcpStream::connect(self.addr);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers the questions of a connection until it ends.
fn serve(shared: &Shared, connection: TcpStream) {
    let mut reader = BufReader::new(connection.try_clone().expect("a handle"));
    let mut writer = connection;
    while let Some(asked) = question(&mut reader) {
        shared.asked.lock().push(asked.clone());
        let say = shared.answering.lock()(&asked);
        let (status, lines, body) = match say {
            Say::Json(json) => (200, "Content-Type: application/json\r\n", json.to_string()),
            Say::Raw(status, lines, body) => (status, lines, body),
            Say::Hold => {
                let mut released = shared.released.lock();
                shared
                    .release
                    .wait_while(&mut released, |released| !*released);
                drop(released);
                (200, "", json!({"decision": "allow"}).to_string())
            }
            Say::HangUp => return,
        };
        let head = format!(
            "HTTP/1.1 {status} Said\r\n{lines}Content-Length: {}\r\n\r\n",
            body.len()
        );
        if writer
            .write_all(format!("{head}{body}").as_bytes())
            .is_err()
        {
            return;
        }
    }
}

fn question(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader
            .read_line(&mut header)
            .ok()
            .filter(|read| *read > 0)?;
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length: usize = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked {
        line: line.trim_end().to_owned(),
        headers,
        body: parsed(body),
    })
}
