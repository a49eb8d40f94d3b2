//! A key's own rate limits on the request path, and the headers that clients read them from (data-plane 10).
//!
//! Start at [`take`].

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use lw_core::error::Dialect;
use lw_core::{Code, Error, UnixMicros};
use lw_engine::limit::{Gauge, Standing, estimate};
use lw_governor::limits::Grant;

use crate::gate::denial;
use crate::governed::Limited;
use crate::worker::Gateway;

/// Reserves the request of its key: its characters, and its cap on output. Nothing for a key without
/// ceilings.
///
/// # Errors
/// The key is over one of them.
pub(crate) fn take(
    gateway: &Gateway,
    key: &Limited,
    (characters, output_cap): (u64, Option<u64>),
) -> Result<Option<Grant>, Error> {
    let ceilings = &key.ceilings;
    if ceilings.is_empty() {
        return Ok(None);
    }
    let tokens = estimate(characters, output_cap, ceilings);
    gateway
        .limits
        .take(&key.subject, ceilings, gateway.clock.now(), tokens)
        .map(Some)
        .map_err(|denied| denial(Code::KeyRateLimitExceeded, denied, ceilings))
}

/// Names for requests and tokens: the limit, what is left, when all is left again.
type Names = [[HeaderName; 3]; 2];

static OPENAI: Names = [
    [
        HeaderName::from_static("x-ratelimit-limit-requests"),
        HeaderName::from_static("x-ratelimit-remaining-requests"),
        HeaderName::from_static("x-ratelimit-reset-requests"),
    ],
    [
        HeaderName::from_static("x-ratelimit-limit-tokens"),
        HeaderName::from_static("x-ratelimit-remaining-tokens"),
        HeaderName::from_static("x-ratelimit-reset-tokens"),
    ],
];

static ANTHROPIC: Names = [
    [
        HeaderName::from_static("anthropic-ratelimit-requests-limit"),
        HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
        HeaderName::from_static("anthropic-ratelimit-requests-reset"),
    ],
    [
        HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
        HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
        HeaderName::from_static("anthropic-ratelimit-tokens-reset"),
    ],
];

/// Headers of a provider that tell of its own limits: they would contradict ours.
const PREFIXES: [&str; 2] = ["x-ratelimit-", "anthropic-ratelimit-"];

/// Writes what is left of a key's ceilings in the headers of the caller's dialect, in the place of what the
/// provider says of its own.
pub(crate) fn write(head: &mut HeaderMap, dialect: Dialect, standing: &Standing, now: UnixMicros) {
    let theirs: Vec<HeaderName> = head
        .keys()
        .filter(|name| {
            PREFIXES
                .iter()
                .any(|prefix| name.as_str().starts_with(prefix))
        })
        .cloned()
        .collect();
    for name in theirs {
        head.remove(name);
    }
    let names = match dialect {
        Dialect::Anthropic => &ANTHROPIC,
        _ => &OPENAI,
    };
    for (gauge, [most, left, again]) in [standing.requests, standing.tokens].iter().zip(names) {
        let Some(gauge) = gauge else { continue };
        let Gauge {
            limit,
            remaining,
            reset_us,
        } = *gauge;
        let reset = match dialect {
            Dialect::Anthropic => {
                let micros = i64::try_from(reset_us).unwrap_or(i64::MAX);
                now.plus_micros(micros).to_rfc3339()
            }
            _ => duration(reset_us),
        };
        head.insert(most, HeaderValue::from(limit));
        head.insert(left, HeaderValue::from(remaining));
        if let Ok(reset) = HeaderValue::try_from(reset) {
            head.insert(again, reset);
        }
    }
}

/// A duration as OpenAI writes it: `20ms`, `1.5s`, `6m0s`, `1h2m3s`.
fn duration(micros: u64) -> String {
    let millis = micros.div_ceil(1_000);
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    let seconds = millis / 1_000;
    let (hours, minutes, rest) = (seconds / 3_600, seconds % 3_600 / 60, seconds % 60);
    if hours > 0 {
        format!("{hours}h{minutes}m{rest}s")
    } else if minutes > 0 {
        format!("{minutes}m{rest}s")
    } else if millis.is_multiple_of(1_000) {
        format!("{rest}s")
    } else {
        let fraction = format!("{:03}", millis % 1_000);
        format!("{rest}.{}s", fraction.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_clients_read_them() {
        for (micros, expected) in [
            (0, "0ms"),
            (1, "1ms"),
            (20_000, "20ms"),
            (1_500_000, "1.5s"),
            (2_000_000, "2s"),
            (360_000_000, "6m0s"),
            (3_723_000_000, "1h2m3s"),
        ] {
            assert_eq!(duration(micros), expected);
        }
    }

    #[test]
    fn what_is_left_is_told_in_the_callers_dialect_and_the_providers_word_is_taken_out() {
        let standing = Standing {
            requests: Some(Gauge {
                limit: 60,
                remaining: 59,
                reset_us: 1_000_000,
            }),
            tokens: None,
            open: 1,
        };
        let mut head = HeaderMap::new();
        head.insert("x-ratelimit-limit-tokens", HeaderValue::from_static("9"));
        write(&mut head, Dialect::OpenAi, &standing, UnixMicros(0));
        let text = |head: &HeaderMap, name: &str| {
            head.get(name)
                .map(|value| value.to_str().map(str::to_owned).unwrap_or_default())
        };
        assert_eq!(text(&head, "x-ratelimit-limit-tokens"), None);
        assert_eq!(text(&head, "x-ratelimit-limit-requests"), Some("60".into()));
        assert_eq!(
            text(&head, "x-ratelimit-remaining-requests"),
            Some("59".into())
        );
        assert_eq!(text(&head, "x-ratelimit-reset-requests"), Some("1s".into()));
        write(&mut head, Dialect::Anthropic, &standing, UnixMicros(0));
        assert_eq!(
            text(&head, "anthropic-ratelimit-requests-reset"),
            Some("1970-01-01T00:00:01.000Z".into())
        );
    }
}
