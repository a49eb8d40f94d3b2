//! A guardrail service that answers as it is told, and remembers what it was asked.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How a request is answered.
pub(super) enum Reply {
    /// 200 with this.
    Json(Value),
    /// These bytes, head and all.
    Raw(Vec<u8>),
    /// Never.
    Nothing,
}

impl Reply {
    /// What is written.
    pub(super) fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Json(value) => {
                let body = value.to_string();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                Some((head + &body).into_bytes())
            }
            Self::Raw(bytes) => Some(bytes),
            Self::Nothing => None,
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = Reply> + Send>>;
type Script = Arc<dyn Fn(Value) -> Answer + Send + Sync>;

/// What was asked: the head as text, and the body.
pub(super) type Asked = (String, Value);

pub(super) struct Service {
    pub(super) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Service {
    pub(super) async fn start(script: impl Fn(Value) -> Reply + Send + Sync + 'static) -> Self {
        Self::waiting(move |ask| {
            let reply = script(ask);
            Box::pin(async move { reply })
        })
        .await
    }

    pub(super) async fn waiting(script: impl Fn(Value) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/check", listener.local_addr().expect("bound"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, seen): (Script, _) = (Arc::new(script), asked.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, script.clone(), seen.clone()));
            }
        });
        Self {
            url,
            asked,
            accepting,
        }
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }
}

async fn serve(mut stream: TcpStream, script: Script, seen: Arc<Mutex<Vec<Asked>>>) {
    let mut bytes = Vec::new();
    loop {
        let head = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
        let length = text.split("content-length:").nth(1).expect("a length");
        let length: usize = length
            .lines()
            .next()
            .expect("a line")
            .trim()
            .parse()
            .expect("a number");
        while bytes.len() < head + length {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let body: Value = serde_json::from_slice(&bytes[head..head + length]).expect("JSON");
        bytes.drain(..head + length);
        seen.lock().push((text, body.clone()));
        let Some(reply) = script(body).await.bytes() else {
            std::future::pending().await
        };
        if stream.write_all(&reply).await.is_err() {
            return;
        }
    }
}

pub(super) fn allow() -> Reply {
    Reply::Json(json!({ "decision": "allow", "reason": null, "modified_content": null }))
}

pub(super) fn block(reason: &str) -> Reply {
    Reply::Json(json!({ "decision": "block", "reason": reason, "policies_triggered": ["x"] }))
}

pub(super) fn modify(content: &Value) -> Reply {
    Reply::Json(json!({ "decision": "modify", "modified_content": content }))
}

pub(super) fn raw(text: &str) -> Reply {
    Reply::Raw(text.as_bytes().to_vec())
}
