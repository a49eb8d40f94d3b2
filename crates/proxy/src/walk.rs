//! The walk along a request's candidates until one answers (data-plane 13.2, 13.3).
//!
//! Every attempt is admitted in the spool before it is dialled and settled when it is over. Nothing is tried
//! again once a byte has gone out, and no provider is asked twice for the same request. Start at [`walk`].

use lw_core::{Code, Error};

use crate::answered::answered;
use crate::attempt::{CallerHead, attempt, lost_address};
use crate::bundle::Bundle;
use crate::call::{Call, Dispatch};
use crate::foreign::Exchange;
use crate::refusal::{lost, refuse, spool_error};
use crate::reply::Reply;
use crate::setback::{Fallen, Held, finish};
use crate::stages::{Plan, Step, Target, fund, target};
use crate::{headers, vectors};

/// Asks one candidate after the other and answers. Never fails: a failure is an answer.
pub(crate) async fn walk(mut call: Box<Call>, plan: Plan, head: CallerHead) -> Reply {
    let Some(bundle) = call.bundle.clone() else {
        return refuse(&mut call, lost("no bundle"));
    };
    let Plan { steps, demand } = plan;
    let mut made = 0;
    let mut last: Option<Box<Held>> = None;
    let mut steps = steps.into_iter().peekable();
    while let Some(step) = steps.next() {
        call.dispatch = Some(Dispatch::to(&step, &*call.worker.gateway.entropy));
        let target = match admitted(&mut call, &bundle, &demand, &step, &head).await {
            Ok(target) => target,
            Err(error) => return stopped(&mut call, error, last),
        };
        made += 1;
        let more = steps.peek().is_some() && bundle.routing.has_attempt_left(made);
        let fallen = match tried(call, target, &head, more).await {
            Ok(reply) => return reply,
            Err(fallen) => fallen,
        };
        let Fallen {
            call: back,
            setback,
        } = *fallen;
        call = back;
        let outcome = call
            .dispatch
            .as_ref()
            .map_or("", |dispatch| dispatch.outcome);
        if !more || !bundle.routing.goes_on_after(outcome) || call.is_out_of_time() {
            return finish(&mut call, setback, last);
        }
        last = setback.close(&mut call).or(last);
    }
    let error = Error::new(
        Code::ChainExhausted,
        "no provider of the chain could be asked",
    );
    stopped(&mut call, error, last)
}

/// The walk cannot go on: what an earlier provider answered comes before our own words.
fn stopped(call: &mut Call, error: Error, last: Option<Box<Held>>) -> Reply {
    finish(call, crate::setback::Setback::ours(error), last)
}

/// Writes the candidate's body, funds the attempt and admits it in the spool. Nothing is dialled.
async fn admitted(
    call: &mut Call,
    bundle: &Bundle,
    demand: &crate::stages::Demand,
    step: &Step,
    head: &CallerHead,
) -> Result<Target, Error> {
    let surface = call.surface.ok_or_else(|| lost("no surface"))?;
    let lane = bundle.lanes.get(step.lane).ok_or_else(|| lost("no lane"))?;
    let gateway = call.worker.gateway.clone();
    call.funding = Some(fund(&gateway, bundle, demand, step, surface));
    let betas = || headers::betas(&head.headers);
    let target = target(call, bundle, surface, step, betas).await?;
    lane.endpoint.as_ref().map_err(|why| lost_address(why))?;
    call.admit().map_err(|error| spool_error(&error))?;
    Ok(target)
}

/// One attempt.
async fn tried(
    mut call: Box<Call>,
    target: Target,
    head: &CallerHead,
    more: bool,
) -> Result<Reply, Box<Fallen>> {
    let Target {
        path,
        body,
        exchange,
    } = target;
    if let Exchange::Vectors(gathering) = exchange {
        return Box::pin(vectors::answer(call, *gathering, head)).await;
    }
    match attempt(&mut call, path, body, &exchange, head).await {
        Ok(answer) => answered(call, answer, exchange, head, more).await,
        Err(error) => Err(crate::setback::Setback::ours(error).of(call)),
    }
}
