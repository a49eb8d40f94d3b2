//! Settings of what refuses, holds back or moves requests: budgets, circuits, guardrails.
//!
//! The defaults are those of `lw_proxy::settings`. Start at [`governance`].

use std::time::Duration;

use lw_proxy::settings::{Circuit, Governance, GuardrailTimes};

use super::Reader;

/// The longest that a guardrail may be waited for, in milliseconds.
const SLOWEST_CHECK: u64 = 60_000;
/// The most characters of a stream that are looked back on.
const WIDEST_WINDOW: u64 = 65_536;
/// More output than any model makes.
const MOST_TOKENS: u64 = 10_000_000;

/// Reads them.
pub(super) fn governance(r: &mut Reader<'_>) -> Governance {
    let Governance {
        usual_output_tokens,
        team_budget_principals,
        circuit,
        guardrails,
    } = Governance::default();
    Governance {
        usual_output_tokens: whole(
            r,
            "LW_GATEWAY_SOFT_BUDGET_USUAL_OUTPUT_TOKENS",
            usual_output_tokens,
            1,
            MOST_TOKENS,
        ),
        team_budget_principals: r.flag("LW_GATEWAY_TEAM_BUDGET_PRINCIPALS", team_budget_principals),
        circuit: Circuit {
            window: r.seconds("LW_GATEWAY_CIRCUIT_WINDOW_S", circuit.window.as_secs(), 1),
            threshold: u32::try_from(whole(
                r,
                "LW_GATEWAY_CIRCUIT_THRESHOLD",
                u64::from(circuit.threshold),
                1,
                10_000,
            ))
            .unwrap_or(circuit.threshold),
            cooldown: r.seconds(
                "LW_GATEWAY_CIRCUIT_COOLDOWN_S",
                circuit.cooldown.as_secs(),
                1,
            ),
        },
        guardrails: GuardrailTimes {
            request: millis(r, "GUARDRAIL_PRE_TIMEOUT_MS", guardrails.request),
            response: millis(r, "GUARDRAIL_POST_TIMEOUT_MS", guardrails.response),
            stream_chunk: millis(
                r,
                "GUARDRAIL_STREAM_CHUNK_TIMEOUT_MS",
                guardrails.stream_chunk,
            ),
            window_chars: usize::try_from(whole(
                r,
                "GUARDRAIL_STREAM_WINDOW_CHARS",
                u64::try_from(guardrails.window_chars).unwrap_or(0),
                0,
                WIDEST_WINDOW,
            ))
            .unwrap_or(guardrails.window_chars),
        },
    }
}

/// A whole number from `least` to `most`.
fn whole(r: &mut Reader<'_>, name: &'static str, default: u64, least: u64, most: u64) -> u64 {
    let accepted = format!("a whole number from {least} to {most}");
    let value = r.parsed(&[name], default, &accepted);
    if (least..=most).contains(&value) {
        return value;
    }
    r.problem(name, format!("`{value}` is not {accepted}"));
    default
}

fn millis(r: &mut Reader<'_>, name: &'static str, default: Duration) -> Duration {
    let default = u64::try_from(default.as_millis()).unwrap_or(SLOWEST_CHECK);
    Duration::from_millis(whole(r, name, default, 1, SLOWEST_CHECK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Variables};

    fn read(pairs: &[(&str, &str)]) -> Result<Governance, Vec<String>> {
        let pairs = pairs.iter();
        let variables: Variables = pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        match Config::load(&variables, 2) {
            Ok(loaded) => Ok(loaded.config.governance),
            Err(problems) => Err(problems.into_iter().map(|problem| problem.name).collect()),
        }
    }

    #[test]
    fn nothing_set_is_what_the_data_plane_takes_by_itself() {
        assert_eq!(read(&[]), Ok(Governance::default()));
    }

    #[test]
    fn every_setting_arrives_where_it_belongs() {
        let all = read(&[
            ("LW_GATEWAY_SOFT_BUDGET_USUAL_OUTPUT_TOKENS", "2"),
            ("LW_GATEWAY_TEAM_BUDGET_PRINCIPALS", "false"),
            ("LW_GATEWAY_CIRCUIT_WINDOW_S", "3"),
            ("LW_GATEWAY_CIRCUIT_THRESHOLD", "4"),
            ("LW_GATEWAY_CIRCUIT_COOLDOWN_S", "5"),
            ("GUARDRAIL_PRE_TIMEOUT_MS", "6"),
            ("GUARDRAIL_POST_TIMEOUT_MS", "7"),
            ("GUARDRAIL_STREAM_CHUNK_TIMEOUT_MS", "8"),
            ("GUARDRAIL_STREAM_WINDOW_CHARS", "9"),
        ]);
        let wanted = Governance {
            usual_output_tokens: 2,
            team_budget_principals: false,
            circuit: Circuit {
                window: Duration::from_secs(3),
                threshold: 4,
                cooldown: Duration::from_secs(5),
            },
            guardrails: GuardrailTimes {
                request: Duration::from_millis(6),
                response: Duration::from_millis(7),
                stream_chunk: Duration::from_millis(8),
                window_chars: 9,
            },
        };
        assert_eq!(all, Ok(wanted));
    }

    #[test]
    fn what_would_switch_a_protection_off_by_accident_is_refused() {
        let zeroes = [
            ("LW_GATEWAY_SOFT_BUDGET_USUAL_OUTPUT_TOKENS", "0"),
            ("LW_GATEWAY_CIRCUIT_WINDOW_S", "0"),
            ("LW_GATEWAY_CIRCUIT_THRESHOLD", "0"),
            ("LW_GATEWAY_CIRCUIT_COOLDOWN_S", "0"),
            ("GUARDRAIL_PRE_TIMEOUT_MS", "0"),
            ("GUARDRAIL_POST_TIMEOUT_MS", "60001"),
            ("GUARDRAIL_STREAM_CHUNK_TIMEOUT_MS", "soon"),
            ("GUARDRAIL_STREAM_WINDOW_CHARS", "-1"),
        ];
        let names: Vec<String> = zeroes.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(read(&zeroes), Err(names));
    }
}
