//! The calls that every kind of resource answers to: list, create, and the calls on one row.

use ureq::http::Method;

use super::bare;
use crate::client::{Headers, Request, segment};
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;

/// Where a kind of resource lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Collection {
    /// Path of the list.
    pub(super) base: &'static str,
    /// How the credential travels.
    pub(super) headers: Headers,
    /// The name that answers wrap one resource in.
    pub(super) envelope: &'static str,
}

impl Collection {
    /// Reads the list.
    pub(super) fn list(&self) -> Request {
        Request::new(Method::GET, self.headers, self.base)
    }

    pub(super) fn create(&self, body: Json, idempotency_key: Option<&str>) -> Request {
        Request::new(Method::POST, self.headers, self.base)
            .body(body)
            .idempotency_key(idempotency_key)
    }

    pub(super) fn get(&self, id: &str) -> Request {
        self.on_row(Method::GET, id, "")
    }

    pub(super) fn patch(&self, id: &str, body: Json) -> Request {
        self.on_row(Method::PATCH, id, "").body(body)
    }

    pub(super) fn delete(&self, id: &str) -> Request {
        self.on_row(Method::DELETE, id, "")
    }

    /// Posts to something below one row, such as `/reset`.
    pub(super) fn post(&self, id: &str, tail: &str, body: Json) -> Request {
        self.on_row(Method::POST, id, tail).body(body)
    }

    fn on_row(&self, method: Method, id: &str, tail: &str) -> Request {
        let path = format!("{}/{}{tail}", self.base, segment(id));
        Request::new(method, self.headers, path)
    }

    /// Sends a call whose answer is one resource, and takes it out of its envelope.
    pub(super) fn one(
        &self,
        context: &mut Context<'_>,
        action: &'static str,
        request: &Request,
    ) -> Result<Json, CliError> {
        Ok(bare(context.send(action, request)?, self.envelope))
    }
}
