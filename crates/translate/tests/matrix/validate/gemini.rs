//! Gemini: data frames only, the reason to stop in the last candidate.

use super::{Frame, Legal, ensure};

pub(super) fn check(frames: &[Frame]) -> Legal {
    let failed = frames.last().is_some_and(Frame::is_error);
    let mut finished = false;
    for frame in frames {
        ensure(frame.event.is_none(), || "an event name".to_owned())?;
        ensure(frame.json.is_object(), || {
            format!("{} is no answer", frame.data)
        })?;
        if frame.is_error() {
            continue;
        }
        let candidates = frame.json["candidates"].as_array();
        let Some(candidate) = candidates.and_then(|candidates| candidates.first()) else {
            continue;
        };
        ensure(!finished, || "a candidate after the last one".to_owned())?;
        finished = candidate["finishReason"].is_string();
        let role = &candidate["content"]["role"];
        ensure(role.is_null() || *role == "model", || {
            "another speaker".to_owned()
        })?;
    }
    ensure(finished || failed, || "no finishReason".to_owned())
}
