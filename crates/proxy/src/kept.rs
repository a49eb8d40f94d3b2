//! What is kept at Gemini.
use crate::call::Call;
use crate::dispatch::refuse;
use crate::reply::Reply;
use crate::worker::Worker;
use http::request::Parts;
use hyper::body::Incoming;
use lw_core::{Code, Error};
use std::sync::Arc;

pub(crate) async fn call(worker: Arc<Worker>, parts: Parts, _body: Incoming) -> Reply {
    let mut call = Call::new(worker, parts.method, "unmatched", None, &parts.headers);
    refuse(&mut call, Error::new(Code::NotFound, "not built"))
}
