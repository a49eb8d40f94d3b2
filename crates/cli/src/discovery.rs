//! Where the gateway of a control plane is, asked of the control plane itself.
//!
//! Needs no credential and never fails: a control plane that does not answer, or does not know,
//! leaves the default. Start at [`ask`].

use std::time::Duration;

use ureq::http::Method;

use crate::client::{Client, Headers, Request};
use crate::credentials::base_url;
use crate::environment::Environment;
use crate::json::Json;

/// Where a control plane says where its gateway is.
const PATH: &str = "/.well-known/langwatch";

/// A person waits for a tool to start.
const PATIENCE: Duration = Duration::from_secs(3);

/// The address that the control plane at `endpoint` gives, without trailing slashes.
pub(crate) fn ask(env: &Environment, endpoint: &str) -> Option<String> {
    let client = Client::new(env, endpoint.to_owned(), String::new(), None).ok()?;
    let request = Request::new(Method::GET, Headers::Anonymous, PATH).within(PATIENCE);
    let reply = client.send(&request).ok()?;
    if reply.status != 200 {
        return None;
    }
    let document = Json::parse(&reply.text().ok()?).ok()?;
    base_url("gateway_url", document.text("gateway_url")?).ok()
}
