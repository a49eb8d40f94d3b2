//! Temperature and its kin, as far as the model takes them.

use serde_json::Number;

use super::{Model, Plan};
use crate::Problem;
use crate::drops::Drops;
use crate::ir::Request;
use crate::names::Field;

/// What the model is given.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sampling {
    pub(crate) temperature: Option<Number>,
    pub(crate) top_p: Option<Number>,
    pub(crate) top_k: Option<Number>,
    /// Texts that end the answer, none of them blank.
    pub(crate) stop: Vec<String>,
}

/// Leaves out what does not go together, with thinking or with this model.
///
/// # Errors
/// Something has to be left out that must not.
pub(crate) fn sampling(
    request: &Request,
    model: Model,
    plan: Plan,
    drops: &mut Drops,
) -> Result<Sampling, Problem> {
    let is_one = |number: &Number| number.as_f64() == Some(1.0);
    let fixed = model.is_self_steering();
    let mut temperature = request.temperature.as_ref();
    if let Some(number) = temperature
        && (fixed || plan.is_on())
    {
        if !is_one(number) {
            let why = if fixed {
                "the model sets it itself"
            } else {
                "it must be 1 while thinking"
            };
            drops.leave_out_field(Field::Temperature, why)?;
        }
        // One is what happens anyway.
        temperature = None;
    }
    let mut top_p = request.top_p.as_ref();
    let low = |number: &Number| number.as_f64().is_some_and(|number| number < 0.95);
    let why = match top_p {
        Some(number) if fixed && is_one(number) => {
            top_p = None;
            None
        }
        Some(_) if fixed => Some("the model sets it itself"),
        Some(number) if plan.is_on() && low(number) => Some("it must be near 1 while thinking"),
        Some(_) if temperature.is_some() => Some("only one of it and `temperature` is taken"),
        _ => None,
    };
    if let Some(why) = why {
        drops.leave_out_field(Field::TopP, why)?;
        top_p = None;
    }
    let mut top_k = request.top_k.as_ref();
    if top_k.is_some() && (fixed || plan.is_on()) {
        drops.leave_out_field(Field::TopK, "the model sets it itself")?;
        top_k = None;
    }
    let (stop, blank): (Vec<String>, Vec<String>) = request
        .stop
        .iter()
        .cloned()
        .partition(|text| !text.trim().is_empty());
    if !blank.is_empty() {
        drops.leave_out_field(Field::Stop, "blank text cannot end an answer")?;
    }
    Ok(Sampling {
        temperature: temperature.cloned(),
        top_p: top_p.cloned(),
        top_k: top_k.cloned(),
        stop,
    })
}
