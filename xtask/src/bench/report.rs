//! The results, as data and as the tables that go into `BENCHMARKS.md`.
//!
//! Must never make a number up: what was not measured is a dash, and a row with a fault says so
//! where its reader looks. Start at [`Report::markdown`].

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::governance::cost::{self, Extra};
use super::rig::Target;
use super::scale::Scale;
use super::scenario::Scenario;

/// The aims that the project set itself.
const AIM_DATA: f64 = 1.25;
const AIM_WHOLE: f64 = 2.0;
const AIM_IDLE_MIB: f64 = 20.0;
const AIM_STREAM_KIB: f64 = 32.0;

const MIB: f64 = 1024.0 * 1024.0;

/// A finished run.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) setting: Setting,
    pub(crate) load: Vec<LoadRow>,
    pub(crate) memory: Vec<MemoryRow>,
    pub(crate) scale: Option<Scale>,
}

/// Where and how the numbers were made.
#[derive(Serialize)]
pub(crate) struct Setting {
    pub(crate) command: String,
    pub(crate) commit: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) nginx: Option<String>,
    pub(crate) data_threads: usize,
    pub(crate) mock_workers: u32,
    pub(crate) connections: usize,
    pub(crate) rounds: u32,
    pub(crate) slice_seconds: f64,
    /// CPU that processes outside of this run took of all cores meanwhile.
    pub(crate) others_percent: f64,
}

/// One target under the load of one scenario.
#[derive(Serialize)]
pub(crate) struct LoadRow {
    pub(crate) scenario: Scenario,
    pub(crate) target: Target,
    pub(crate) connections: usize,
    pub(crate) request_bytes: u64,
    pub(crate) answer_bytes: u64,
    pub(crate) requests: u64,
    pub(crate) requests_per_second: f64,
    /// CPU of the threads that serve, per request of the closed loop.
    pub(crate) data_micros: f64,
    pub(crate) data_micros_spread: Spread,
    /// CPU of the whole process until its queues were drained.
    pub(crate) whole_micros: f64,
    pub(crate) generator_micros: f64,
    pub(crate) open_rate: f64,
    pub(crate) open_data_micros: f64,
    pub(crate) open_whole_micros: f64,
    /// Open loop, beyond the provider directly.
    pub(crate) added: Option<Added>,
    /// Closed loop, beyond the key that nothing governs.
    pub(crate) extra: Option<Extra>,
    /// Open loop, from the intended start to the last byte.
    pub(crate) latency: Quantiles,
    /// Open loop, from the intended start to the first byte of the body.
    pub(crate) first_byte: Quantiles,
    pub(crate) closed_latency: Quantiles,
    pub(crate) peak_bytes: u64,
    pub(crate) faults: Vec<String>,
}

/// The memory of one target.
#[derive(Serialize)]
pub(crate) struct MemoryRow {
    pub(crate) scenario: Scenario,
    pub(crate) target: Target,
    pub(crate) streams: u32,
    pub(crate) before_bytes: u64,
    pub(crate) open_bytes: Option<u64>,
    pub(crate) kib_per_stream: Option<f64>,
    /// Of one core, while all streams were open.
    pub(crate) cpu_percent: Option<f64>,
    pub(crate) faults: Vec<String>,
}

/// The least and the most among slices.
#[derive(Clone, Copy, Serialize, PartialEq, Debug)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(values: &[f64]) -> Self {
        let least = values.iter().copied().reduce(f64::min).unwrap_or(0.0);
        let most = values.iter().copied().reduce(f64::max).unwrap_or(0.0);
        Self { least, most }
    }
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Serialize, PartialEq, Debug)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) most: f64,
}

impl Quantiles {
    pub(crate) fn of(nanos: &Histogram<u64>) -> Self {
        let at = |quantile| nanos.value_at_quantile(quantile) as f64 / 1_000.0;
        Self {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            most: nanos.max() as f64 / 1_000.0,
        }
    }
}

/// Latency beyond another's, in microseconds.
#[derive(Clone, Copy, Serialize, PartialEq, Debug)]
pub(crate) struct Added {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Added {
    /// The median over rounds of the difference in the same round: one round that was disturbed
    /// from outside does not decide.
    pub(crate) fn between(own: &[Quantiles], base: &[Quantiles]) -> Option<Self> {
        let over = |part: fn(&Quantiles) -> f64| {
            median(
                own.iter()
                    .zip(base)
                    .map(|(own, base)| part(own) - part(base))
                    .collect(),
            )
        };
        Some(Self {
            p50: over(|times| times.p50)?,
            p99: over(|times| times.p99)?,
        })
    }
}

/// The middle one, or the middle of the middle two; nothing of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

impl Report {
    /// How many rows do not count.
    pub(crate) fn invalid(&self) -> usize {
        let load = self
            .load
            .iter()
            .filter(|row| !row.faults.is_empty())
            .count();
        load + self
            .memory
            .iter()
            .filter(|row| !row.faults.is_empty())
            .count()
    }

    pub(crate) fn markdown(&self) -> String {
        let mut out = String::new();
        self.write_setting(&mut out);
        self.write_load(&mut out);
        cost::write(&self.load, &mut out);
        self.write_memory(&mut out);
        if let Some(scale) = &self.scale {
            scale.write(&mut out);
        }
        self.write_aims(&mut out);
        self.write_faults(&mut out);
        out
    }

    fn write_setting(&self, out: &mut String) {
        let Setting {
            command,
            commit,
            cpu,
            cores,
            kernel,
            nginx,
            data_threads,
            mock_workers,
            connections,
            rounds,
            slice_seconds,
            others_percent,
        } = &self.setting;
        line(out, &format!("`{command}` at {commit}"));
        line(out, "");
        line(
            out,
            &format!(
                "{cpu}, {cores} cores, Linux {kernel}. Generator, mock provider and target share them; other processes took {others_percent:.0} % of all cores meanwhile."
            ),
        );
        let nginx = nginx.as_deref().unwrap_or("no nginx");
        line(
            out,
            &format!(
                "{nginx} with {data_threads} workers, as many as the gateway has data threads; mock provider with {mock_workers}. {connections} connections, {rounds} rounds of {slice_seconds} s per target and loop, the order rotating."
            ),
        );
        line(out, "");
    }

    fn write_load(&self, out: &mut String) {
        if self.load.is_empty() {
            return;
        }
        line(
            out,
            "| scenario | target | requests/s | data CPU µs/req (slices) | × nginx | whole CPU µs/req | × nginx | at req/s | p50 ms | p99 ms | added p50 ms | added p99 ms | peak RSS MiB | checked |",
        );
        line(
            out,
            "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|",
        );
        for row in &self.load {
            let nginx = self
                .load_row(row.scenario, Target::Nginx)
                .map(|row| row.whole_micros);
            let nginx = nginx.filter(|_| row.target != Target::Direct);
            let Spread { least, most } = row.data_micros_spread;
            line(
                out,
                &format!(
                    "| {} | {} | {:.0} | {:.1} ({least:.1}–{most:.1}) | {} | {:.1} | {} | {:.0} | {:.2} | {:.2} | {} | {} | {:.1} | {} |",
                    row.scenario.name(),
                    row.target.name(),
                    row.requests_per_second,
                    row.data_micros,
                    ratio(row.data_micros, nginx),
                    row.whole_micros,
                    ratio(row.whole_micros, nginx),
                    row.open_rate,
                    row.latency.p50 / 1_000.0,
                    row.latency.p99 / 1_000.0,
                    millis(row.added.map(|added| added.p50)),
                    millis(row.added.map(|added| added.p99)),
                    row.peak_bytes as f64 / MIB,
                    checked(&row.faults),
                ),
            );
        }
        line(out, "");
        let generator = self
            .load
            .iter()
            .map(|row| row.generator_micros)
            .collect::<Vec<_>>();
        let Spread { least, most } = Spread::of(&generator);
        line(
            out,
            &format!(
                "Throughput and CPU: closed loop. Latency: open loop at the same rate for all targets of a scenario, from the intended start (coordinated-omission safe). Data CPU: the gateway's `data-N` threads, all processes of the others. Whole CPU: all threads until every queue was drained. Added: over the mock provider directly, without TLS; the median over rounds of the difference in the same round. The generator itself took {least:.1} to {most:.1} µs per request. nginx: access log off, 256 idle upstream connections, bodies buffered in memory (never on disk), streams unbuffered, upstream certificate not verified. RSS of nginx: sum over its processes."
            ),
        );
        line(out, "");
    }

    fn write_memory(&self, out: &mut String) {
        if self.memory.is_empty() {
            return;
        }
        line(
            out,
            "| scenario | target | streams | RSS before MiB | RSS open MiB | KiB per stream | CPU % of a core | checked |",
        );
        line(out, "|---|---|--:|--:|--:|--:|--:|---|");
        for row in &self.memory {
            let open = row.open_bytes.map(|bytes| bytes as f64 / MIB);
            line(
                out,
                &format!(
                    "| {} | {} | {} | {:.1} | {} | {} | {} | {} |",
                    row.scenario.name(),
                    row.target.name(),
                    row.streams,
                    row.before_bytes as f64 / MIB,
                    tenths(open),
                    tenths(row.kib_per_stream),
                    tenths(row.cpu_percent),
                    checked(&row.faults),
                ),
            );
        }
        line(out, "");
    }

    fn write_aims(&self, out: &mut String) {
        let gateway = |scenario| self.load_row(scenario, Target::Gateway);
        let nginx = self
            .load_row(Scenario::Json1k, Target::Nginx)
            .map(|row| row.whole_micros);
        let against = |value: Option<f64>| Some(value? / nginx.filter(|micros| *micros > 0.0)?);
        let mut governed = cost::compared(&self.load);
        let governed = governed.find(|(_, row, _)| row.scenario == Scenario::Governance);
        let extra = governed.map(|(_, _, extra)| extra);
        let beside_nginx = governed.and_then(|(_, row, _)| {
            let nginx = self.load_row(Scenario::Governance, Target::Nginx)?;
            (nginx.whole_micros > 0.0).then(|| row.data_micros / nginx.whole_micros)
        });
        let memory = |scenario| {
            let mut rows = self.memory.iter().filter(|row| row.faults.is_empty());
            rows.find(|row| row.scenario == scenario && row.target == Target::Gateway)
        };
        let aims = [
            (
                "data threads, × nginx (json-1k)",
                AIM_DATA,
                against(gateway(Scenario::Json1k).map(|row| row.data_micros)),
            ),
            (
                "whole process, × nginx (json-1k)",
                AIM_WHOLE,
                against(gateway(Scenario::Json1k).map(|row| row.whole_micros)),
            ),
            (
                "governance, µs of the data threads",
                cost::AIM,
                extra.map(|extra| extra.data.median),
            ),
            (
                "governance, µs of the whole process",
                cost::AIM,
                extra.map(|extra| extra.whole.median),
            ),
            (
                "data threads, × nginx (governance, governed)",
                cost::AIM_DATA,
                beside_nginx,
            ),
            (
                "idle RSS, MiB",
                AIM_IDLE_MIB,
                memory(Scenario::Idle).map(|row| row.before_bytes as f64 / MIB),
            ),
            (
                "slow stream, KiB",
                AIM_STREAM_KIB,
                memory(Scenario::SlowStreams).and_then(|row| row.kib_per_stream),
            ),
        ];
        line(out, "| aim | at most | measured | met |");
        line(out, "|---|--:|--:|---|");
        for (name, most, measured) in aims {
            let Some(measured) = measured else {
                line(out, &format!("| {name} | {most} | – | not measured |"));
                continue;
            };
            let met = if measured <= most { "yes" } else { "no" };
            line(out, &format!("| {name} | {most} | {measured:.2} | {met} |"));
        }
        line(out, "");
    }

    fn write_faults(&self, out: &mut String) {
        let load = self
            .load
            .iter()
            .map(|row| (row.scenario, row.target, &row.faults));
        let memory = self
            .memory
            .iter()
            .map(|row| (row.scenario, row.target, &row.faults));
        for (scenario, target, faults) in load.chain(memory) {
            for fault in faults {
                let (scenario, target) = (scenario.name(), target.name());
                line(out, &format!("INVALID {scenario} {target}: {fault}"));
            }
        }
    }

    /// A row that counts.
    fn load_row(&self, scenario: Scenario, target: Target) -> Option<&LoadRow> {
        let mut rows = self.load.iter().filter(|row| row.faults.is_empty());
        rows.find(|row| row.scenario == scenario && row.target == target)
    }
}

pub(crate) fn line(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    writeln!(out, "{text}").ok();
}

fn checked(faults: &[String]) -> &'static str {
    if faults.is_empty() {
        "ok"
    } else {
        "**INVALID**"
    }
}

fn tenths(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.1}"))
}

fn ratio(value: f64, base: Option<f64>) -> String {
    match base {
        Some(base) if base > 0.0 => format!("{:.2}", value / base),
        Some(_) | None => "–".into(),
    }
}

/// A difference of times in microseconds, in milliseconds.
fn millis(difference: Option<f64>) -> String {
    difference.map_or_else(|| "–".into(), |micros| format!("{:+.2}", micros / 1_000.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::load::histogram;

    fn row(target: Target, micros: f64, faults: &[&str]) -> LoadRow {
        let times = Quantiles {
            p50: micros * 10.0,
            p99: micros * 100.0,
            p999: 0.0,
            most: 0.0,
        };
        LoadRow {
            scenario: Scenario::Json1k,
            target,
            connections: 64,
            request_bytes: 1024,
            answer_bytes: 1024,
            requests: 1_000,
            requests_per_second: 5_000.0,
            data_micros: micros,
            data_micros_spread: Spread::of(&[micros + 1.0, micros - 1.0]),
            whole_micros: micros * 1.5,
            generator_micros: 8.0,
            open_rate: 2_500.0,
            open_data_micros: micros,
            open_whole_micros: micros,
            added: (target != Target::Direct).then_some(Added {
                p50: 200.0,
                p99: 2_000.0,
            }),
            extra: None,
            latency: times,
            first_byte: times,
            closed_latency: times,
            peak_bytes: 1 << 20,
            faults: faults.iter().map(|fault| (*fault).to_owned()).collect(),
        }
    }

    fn report(load: Vec<LoadRow>) -> Report {
        let setting = Setting {
            command: "cargo xtask bench".into(),
            commit: "abc".into(),
            cpu: "cpu".into(),
            cores: 2,
            kernel: "6".into(),
            nginx: None,
            data_threads: 2,
            mock_workers: 1,
            connections: 64,
            rounds: 1,
            slice_seconds: 1.0,
            others_percent: 0.0,
        };
        Report {
            setting,
            load,
            memory: Vec::new(),
            scale: None,
        }
    }

    #[test]
    fn ratios_are_to_nginx_and_added_latency_is_over_direct() {
        let rows = vec![
            row(Target::Direct, 10.0, &[]),
            row(Target::Nginx, 20.0, &[]),
            row(Target::Gateway, 30.0, &[]),
        ];
        let report = report(rows);
        let text = report.markdown();
        let gateway = text
            .lines()
            .find(|line| line.starts_with("| json-1k | gateway"))
            .unwrap();
        let cells: Vec<&str> = gateway.split('|').map(str::trim).collect();
        assert_eq!(cells[4..8], ["30.0 (29.0–31.0)", "1.00", "45.0", "1.50"]);
        assert_eq!(cells[9..13], ["0.30", "3.00", "+0.20", "+2.00"]);
        assert!(text.contains("| data threads, × nginx (json-1k) | 1.25 | 1.00 | yes |"));
        assert!(text.contains("| slow stream, KiB | 32 | – | not measured |"));
        assert_eq!(report.invalid(), 0);
    }

    #[test]
    fn a_row_with_a_fault_is_marked_and_compared_with_nobody() {
        let rows = vec![
            row(Target::Nginx, 20.0, &["reset"]),
            row(Target::Gateway, 30.0, &[]),
        ];
        let report = report(rows);
        let text = report.markdown();
        assert_eq!(report.invalid(), 1);
        assert!(text.contains("**INVALID**") && text.contains("INVALID json-1k nginx: reset"));
        assert!(text.contains("| data threads, × nginx (json-1k) | 1.25 | – | not measured |"));
    }

    #[test]
    fn a_disturbed_round_does_not_decide_what_is_added() {
        let times = |p50, p99| Quantiles {
            p50,
            p99,
            p999: p99,
            most: p99,
        };
        let base = [times(10.0, 50.0), times(11.0, 9_000.0), times(12.0, 60.0)];
        let own = [times(15.0, 70.0), times(15.0, 90.0), times(99.0, 90.0)];
        assert_eq!(
            Added::between(&own, &base),
            Some(Added {
                p50: 5.0,
                p99: 20.0
            })
        );
        assert_eq!(Added::between(&own, &[]), None);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }

    #[test]
    fn quantiles_are_microseconds() {
        let mut nanos = histogram().unwrap();
        for micros in 1..=1_000 {
            nanos.record(micros * 1_000).unwrap();
        }
        let Quantiles { p50, p99, most, .. } = Quantiles::of(&nanos);
        assert!(
            (p50 - 500.0).abs() < 1.0 && (p99 - 990.0).abs() < 1.5,
            "{p50} {p99}"
        );
        assert!((most - 1_000.0).abs() < 1.0);
    }
}
