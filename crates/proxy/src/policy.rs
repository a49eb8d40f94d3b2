//! Policy rules on the request path (data-plane 11): what the body holds, and which model was resolved.
//!
//! A rule that cannot be enforced refuses; a body that cannot be read while rules exist does too. Start at
//! [`body`].

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use lw_core::{Code, Error};
use lw_engine::rules::{Dimension, Judge, Rules, Stage, Violation};
use lw_wire::Surface;
use lw_wire::subjects::{Kind, Subject, Wants, visit};

use crate::bundle::Bundle;

/// Bodies above this size are walked on a thread of their own: a data thread serves others meanwhile.
const LARGE: usize = 256 * 1024;

/// Judges tools, MCP servers and URLs of a body.
///
/// # Errors
/// A rule refuses, is broken, or the body cannot be read for them.
pub(crate) async fn body(
    bundle: &Arc<Bundle>,
    surface: Surface,
    body: &Bytes,
) -> Result<(), Error> {
    if bundle.governed.rules.is_empty() {
        return Ok(());
    }
    if body.len() <= LARGE {
        return walk(&bundle.governed.rules, surface, body);
    }
    let (bundle, body) = (bundle.clone(), body.clone());
    let walking = tokio::task::spawn_blocking(move || walk(&bundle.governed.rules, surface, &body));
    walking.await.unwrap_or_else(|error| {
        Err(Error::new(Code::InternalError, "the request could not be checked").because(error))
    })
}

/// The same, here and now.
///
/// # Errors
/// As [`body`].
pub(crate) fn walk(rules: &Rules, surface: Surface, body: &[u8]) -> Result<(), Error> {
    let judge = rules.stage(Stage::Body).map_err(|broken| broken.error())?;
    let Some(judge) = judge else {
        return Ok(());
    };
    let wants = Wants {
        tools: judge.has(Dimension::Tools),
        mcp: judge.has(Dimension::Mcp),
        urls: judge.has(Dimension::Urls),
    };
    let found = visit(surface, body, wants, |subject| {
        match judged(judge, subject) {
            Ok(()) => ControlFlow::Continue(()),
            Err(violation) => ControlFlow::Break(violation),
        }
    });
    match found {
        Ok(None) => Ok(()),
        Ok(Some(violation)) => Err(violation.error()),
        Err(unreadable) => Err(Error::new(Code::BadRequest, unreadable.to_string())),
    }
}

fn judged(judge: Judge<'_>, subject: &Subject<'_>) -> Result<(), Box<Violation>> {
    let dimension = match subject.kind {
        Kind::Tool => Dimension::Tools,
        Kind::Mcp => Dimension::Mcp,
        Kind::Url => Dimension::Urls,
    };
    let result = match subject.alias {
        Some(alias) => judge.judge(dimension, &[subject.value, alias], subject.place),
        None => judge.judge(dimension, &[subject.value], subject.place),
    };
    result.map_err(Box::new)
}

/// Judges a resolved model at a provider of type `kind`, in both spellings.
///
/// # Errors
/// A rule refuses or is broken.
pub(crate) fn model(rules: &Rules, kind: &str, model: &str) -> Result<(), Error> {
    if rules.is_empty() {
        return Ok(());
    }
    let judge = rules
        .stage(Stage::Models)
        .map_err(|broken| broken.error())?;
    let Some(judge) = judge else {
        return Ok(());
    };
    let full = format!("{kind}/{model}");
    judge
        .judge(Dimension::Models, &[model, &full], "model")
        .map_err(|violation| violation.error())
}
