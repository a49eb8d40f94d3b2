//! A caller of the management API: what sets a measured gateway up and asks it afterwards.
//!
//! Each call has a connection of its own, so this is not for anything that is timed. Must never take an
//! answer for a success that is none. Start at [`Api`].

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::http::{Fetched, fetch, request};

/// The management API of one gateway, for one caller.
#[derive(Clone, Copy)]
pub(crate) struct Api<'a> {
    control: SocketAddr,
    bearer: &'a str,
}

impl<'a> Api<'a> {
    pub(crate) const fn new(control: SocketAddr, bearer: &'a str) -> Self {
        Self { control, bearer }
    }

    /// The same gateway for another caller.
    pub(crate) const fn of<'b>(&self, bearer: &'b str) -> Api<'b> {
        Api::new(self.control, bearer)
    }

    /// Sends a JSON body; insists on 200 or 201.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.ask(path, Some(&serde_json::to_vec(body)?)).await?;
        read("POST", path, &answer)
    }

    /// Reads; insists on 200.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        read("GET", path, &self.ask(path, None).await?)
    }

    async fn ask(&self, path: &str, body: Option<&[u8]>) -> anyhow::Result<Fetched> {
        fetch(
            self.control,
            &request(self.control, path, Some(self.bearer), body),
        )
        .await
    }
}

fn read(method: &str, path: &str, answer: &Fetched) -> anyhow::Result<Value> {
    ensure!(
        matches!(answer.status, 200 | 201),
        "{method} {path}: {} {}",
        answer.status,
        answer.snippet()
    );
    Ok(serde_json::from_slice(&answer.body)?)
}

/// The text at a JSON pointer of an answer.
pub(crate) fn text<'a>(answer: &'a Value, pointer: &str) -> anyhow::Result<&'a str> {
    let found = answer.pointer(pointer).and_then(Value::as_str);
    found.with_context(|| format!("no text at {pointer} in {answer}"))
}
