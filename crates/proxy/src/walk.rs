//! The walk along a request's candidates until one answers (data-plane 13.2, 13.3).
//!
//! Every attempt is admitted in the spool before it is dialled and settled when it is over. Nothing is tried
//! again once a byte has gone out, and no provider is asked twice for the same request. Start at [`walk`].

use std::borrow::Cow;

use lw_core::{Code, Error};

use crate::answered::answered;
use crate::attempt::{CallerHead, attempt, lost_address};
use crate::bundle::Bundle;
use crate::call::{Call, Dispatch, Funding};
use crate::foreign::Exchange;
use crate::gate::{Skipped, enter, hold};
use crate::refusal::{lost, refuse, spool_error};
use crate::reply::Reply;
use crate::setback::{Fallen, Held, Setback, Word, finish};
use crate::stages::{Demand, Plan, Step, Target, fund, target};
use crate::{headers, vectors};

/// Asks one candidate after the other and answers. Never fails: a failure is an answer.
pub(crate) async fn walk(mut call: Box<Call>, plan: Plan, head: CallerHead) -> Reply {
    let Some(bundle) = call.bundle.clone() else {
        return refuse(&mut call, lost("no bundle"));
    };
    let Plan { steps, demand } = plan;
    let mut made = 0;
    let mut so_far = SoFar::default();
    let mut steps = steps.into_iter().peekable();
    while let Some(step) = steps.next() {
        call.dispatch = Some(Dispatch::to(&step, &*call.worker.gateway.entropy));
        let target = match admitted(&mut call, &bundle, &demand, &step, &head).await {
            Ok(target) => target,
            Err(Refused::Skip(skipped)) => {
                so_far.skipped(&mut call, skipped);
                continue;
            }
            Err(Refused::NoRoom(error)) => {
                call.pass_over("budget_exceeded", &error);
                return finish(&mut call, Setback::ours(error), so_far.last);
            }
            Err(Refused::Stop(error)) => {
                call.came_to("non_retryable");
                return finish(&mut call, Setback::ours(error), so_far.last);
            }
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
            return finish(&mut call, setback, so_far.last);
        }
        so_far.failed(setback.close(&mut call));
    }
    so_far.last_word(&mut call)
}

/// Why an attempt is not made.
enum Refused {
    /// The candidate is passed over.
    Skip(Skipped),
    /// A budget that counts whoever serves has no room.
    NoRoom(Error),
    /// Nobody else may be asked either.
    Stop(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Stop(error)
    }
}

/// What candidates came to that did not answer the caller.
#[derive(Default)]
struct SoFar {
    /// The last error that a provider answered with.
    last: Option<Box<Held>>,
    /// The last attempt that had no answer.
    failed: Option<Error>,
    /// Why candidates were passed over: a rate limit or a budget says more than a circuit.
    skipped: Option<Error>,
}

impl SoFar {
    fn failed(&mut self, word: Word) {
        match word {
            Word::Theirs(held) => self.last = Some(held),
            Word::Ours(error) => self.failed = Some(error),
        }
    }

    fn skipped(&mut self, call: &mut Call, skipped: Skipped) {
        let Skipped { outcome, error } = skipped;
        call.pass_over(outcome, &error);
        let known = self.skipped.as_ref().map(Error::code);
        if known.is_none_or(|code| code == Code::CircuitOpen) {
            self.skipped = Some(error);
        }
    }

    /// Nobody is left (data-plane 13.3).
    fn last_word(self, call: &mut Call) -> Reply {
        let Self {
            last,
            failed,
            skipped,
        } = self;
        let error = failed.or(skipped).unwrap_or_else(|| {
            Error::new(
                Code::ChainExhausted,
                "no provider of the chain could be asked",
            )
        });
        finish(call, Setback::ours(error), last)
    }
}

/// Asks the gate, writes the candidate's body, holds its cost in the budgets and admits the attempt in the
/// spool. Nothing is dialled.
async fn admitted(
    call: &mut Call,
    bundle: &Bundle,
    demand: &Demand,
    step: &Step,
    head: &CallerHead,
) -> Result<Target, Refused> {
    let surface = call.surface.ok_or_else(|| lost("no surface"))?;
    let lane = bundle.lanes.get(step.lane).ok_or_else(|| lost("no lane"))?;
    let governed = bundle.governed.lanes.get(step.lane);
    let governed = governed.ok_or_else(|| lost("no governance"))?;
    let gateway = call.worker.gateway.clone();
    let now = gateway.clock.now();
    let kind = lane.kind.as_str();
    let pass = enter(&gateway.limits, governed, kind, now, demand.counted());
    let pass = pass.map_err(Refused::Skip)?;
    if let Some(dispatch) = call.dispatch.as_mut() {
        dispatch.circuit = pass.circuit();
    }
    call.funding = Some(fund(&gateway, bundle, demand, step, surface));
    let betas = || headers::betas(&head.headers);
    let ready = async {
        let target = target(call, bundle, surface, step, betas).await?;
        lane.endpoint.as_ref().map_err(|why| lost_address(why))?;
        Ok::<Target, Error>(target)
    };
    let target = match ready.await {
        Ok(target) => target,
        Err(error) => {
            pass.unused(gateway.clock.now());
            return Err(Refused::Stop(error));
        }
    };
    if let Err(refused) = reserve(call, bundle, step) {
        pass.unused(gateway.clock.now());
        return Err(refused);
    }
    if let Err(error) = call.admit() {
        pass.unused(gateway.clock.now());
        call.hold = None;
        return Err(Refused::Stop(spool_error(&error)));
    }
    call.pass = pass;
    Ok(target)
}

/// Holds what the attempt may cost in every budget that it counts toward.
fn reserve(call: &mut Call, bundle: &Bundle, step: &Step) -> Result<(), Refused> {
    if !call.is_billed() {
        return Ok(());
    }
    let (accounts, buckets) = call.checked.accounts(bundle, step.lane);
    let amounts = call.funding.as_ref().and_then(Funding::amounts);
    let held = hold(bundle, step, amounts, &accounts, call.at());
    call.hold = held.map_err(|error| match error.code() {
        // Another provider may have a budget with room, or a price.
        Code::BudgetExceeded if error.meta("budget_provider").is_some() => Refused::Skip(Skipped {
            outcome: "budget_exceeded",
            error,
        }),
        Code::ModelUnpriced => Refused::Skip(Skipped {
            outcome: "model_unpriced",
            error,
        }),
        _ => Refused::NoRoom(error),
    })?;
    call.buckets = match buckets {
        Cow::Borrowed(_) => None,
        Cow::Owned(own) => Some(own),
    };
    Ok(())
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
        Err(error) => Err(Setback::ours(error).of(call)),
    }
}
