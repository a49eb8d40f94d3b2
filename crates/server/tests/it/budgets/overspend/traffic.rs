//! What the callers of the zero-overspend test ask for, and how they behave.
//!
//! Start at [`caller`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::super::{CHAT, MODEL};
use crate::crash::caller::{Called, Plan, Shape, call};
use crate::support::Chance;

/// The output limit of every call.
pub(super) const CAP: i64 = 300;
/// The median of the lengths of answers, in words.
const MEDIAN: f64 = 35.0;
/// The spread of their logarithms.
const SPREAD: f64 = 0.9;

/// Whose call it is: what its end user's name begins with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose {
    pub(super) tenant: usize,
    pub(super) key: usize,
}

impl Whose {
    fn user(self, rest: &str) -> String {
        format!("t{}-k{}-{rest}", self.tenant, self.key)
    }

    /// Reads [`Self::user`].
    pub(super) fn of(user: Option<&str>) -> Option<Self> {
        let mut parts = user?.split('-');
        let tenant = parts.next()?.strip_prefix('t')?.parse().ok()?;
        let key = parts.next()?.strip_prefix('k')?.parse().ok()?;
        Some(Self { tenant, key })
    }
}

/// One caller: a stream after the other, `calls` of them or until it is over.
#[expect(clippy::too_many_arguments, reason = "a task takes all it needs along")]
pub(super) async fn caller(
    addr: SocketAddr,
    key: Arc<str>,
    mut chance: Chance,
    whose: Whose,
    name: String,
    calls: usize,
    may_stall: bool,
    (over, served): (Arc<AtomicBool>, Arc<AtomicUsize>),
) -> Vec<Called> {
    let mut called = Vec::new();
    for number in 0..calls {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let plan = plan(
            &mut chance,
            whose.user(&format!("{name}-{number}")),
            may_stall,
        );
        let Ok(connection) = TcpStream::connect(addr).await else {
            break;
        };
        let seen = call(connection, &key, &|_| (), plan).await;
        let refused = seen.status == Some(402);
        if seen.status == Some(200) {
            served.fetch_add(1, Ordering::Relaxed);
        }
        called.push(seen);
        if refused {
            // As clients do that were told to come back later.
            sleep(Duration::from_millis(chance.between(10, 60))).await;
        }
    }
    called
}

fn plan(chance: &mut Chance, user: String, may_stall: bool) -> Plan {
    let frames = length(chance);
    let shape = match chance.below(100) {
        0..=3 if may_stall => Shape::Stalls,
        4..=11 => Shape::NoUsage,
        12..=19 => Shape::BreaksOff,
        20..=27 => Shape::Refused,
        28..=39 => Shape::HangsUp,
        _ => Shape::Plain,
    };
    let mut directive = json!({"frames": frames, "pace_ms": chance.between(1, 4)});
    match shape {
        Shape::Plain | Shape::HangsUp => {}
        Shape::NoUsage => directive["no_usage"] = true.into(),
        Shape::Stalls => directive["stall_after_frames"] = chance.below(frames).into(),
        Shape::BreaksOff => {
            let how = [
                "reset_after_frames",
                "close_after_frames",
                "error_event_after_frames",
            ];
            directive[chance.one_of(&how)] = chance.below(frames).into();
        }
        Shape::Refused => directive["status"] = chance.one_of(&[429, 500, 503]).into(),
    }
    let words: Vec<String> = (0..chance.between(5, 60))
        .map(|_| format!("word{}", chance.below(1_000)))
        .collect();
    let body = json!({
        "model": MODEL, "max_tokens": CAP, "stream": true, "user": user,
        "messages": [{"role": "user", "content": format!("[[mock:{directive}]] {}", words.join(" "))}],
    });
    Plan {
        user,
        path: CHAT,
        stream: true,
        shape,
        body: body.to_string(),
        metadata: r#"{"note":"overspend"}"#.to_owned(),
        leaves_after: usize::try_from(chance.below(frames)).unwrap_or(0),
    }
}

/// Words of an answer: log-normal, and no more than the caller allows.
fn length(chance: &mut Chance) -> u64 {
    // Box and Muller, from two numbers in (0, 1].
    let mut uniform = || {
        let number = u32::try_from(chance.below(1 << 32)).unwrap_or(u32::MAX);
        (f64::from(number) + 1.0) / (f64::from(u32::MAX) + 1.0)
    };
    let (radius, angle) = (uniform(), uniform());
    let normal = (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos();
    let words = (MEDIAN.ln() + SPREAD * normal).exp();
    let most = CAP.unsigned_abs();
    // The first whole number that is not below it.
    (1..most)
        .find(|whole| u32::try_from(*whole).is_ok_and(|whole| f64::from(whole) >= words))
        .unwrap_or(most)
}
