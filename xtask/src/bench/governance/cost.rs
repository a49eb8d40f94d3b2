//! The figure of governance: the governed key's slice of each round less the plain key's.
//!
//! Both keys have their slices in every round, one after the other, in the same process: what disturbs the
//! machine for longer than a slice disturbs both, and the median over rounds leaves the rest out. Must never
//! compare rows of which one does not count. Start at [`Extra::between`].

use serde::Serialize;

use crate::bench::report::{LoadRow, Spread, line, median};
use crate::bench::rig::Target;

/// CPU of governance, in microseconds a request.
pub(crate) const AIM: f64 = 3.0;
/// Data threads with a governed key, times nginx.
pub(crate) const AIM_DATA: f64 = 1.4;

/// CPU beyond another's, in microseconds a request.
#[derive(Clone, Copy, Serialize, PartialEq, Debug)]
pub(crate) struct Extra {
    /// Of the data threads.
    pub(crate) data: Difference,
    /// Of the whole process, until its queues were drained.
    pub(crate) whole: Difference,
}

/// A difference in each round.
#[derive(Clone, Copy, Serialize, PartialEq, Debug)]
pub(crate) struct Difference {
    pub(crate) median: f64,
    pub(crate) spread: Spread,
}

/// CPU of each slice, in microseconds a request, in the order of the rounds.
#[derive(Clone, Default)]
pub(crate) struct Slices {
    pub(crate) data: Vec<f64>,
    pub(crate) whole: Vec<f64>,
}

impl Extra {
    /// Nothing without rounds.
    pub(crate) fn between(own: &Slices, base: &Slices) -> Option<Self> {
        Some(Self {
            data: Difference::between(&own.data, &base.data)?,
            whole: Difference::between(&own.whole, &base.whole)?,
        })
    }
}

impl Difference {
    fn between(own: &[f64], base: &[f64]) -> Option<Self> {
        let over: Vec<f64> = own.iter().zip(base).map(|(own, base)| own - base).collect();
        Some(Self {
            spread: Spread::of(&over),
            median: median(over)?,
        })
    }

    fn cell(self) -> String {
        let Self { median, spread } = self;
        let Spread { least, most } = spread;
        format!("{median:+.1} ({least:+.1} to {most:+.1})")
    }
}

/// The governed rows that count and whose plain row does.
pub(crate) fn compared(rows: &[LoadRow]) -> impl Iterator<Item = (&LoadRow, &LoadRow, Extra)> {
    let counts = |row: &&LoadRow| row.faults.is_empty();
    let of = move |scenario, target| {
        let mut found = rows.iter().filter(counts);
        found.find(move |row| row.scenario == scenario && row.target == target)
    };
    let governed = rows.iter().filter(counts);
    governed.filter_map(move |row| {
        let extra = row.extra?;
        Some((of(row.scenario, Target::Gateway)?, row, extra))
    })
}

/// Writes the table, where governance was measured.
pub(crate) fn write(rows: &[LoadRow], out: &mut String) {
    let mut rows = compared(rows).peekable();
    if rows.peek().is_none() {
        return;
    }
    line(
        out,
        "| scenario | data µs/req, plain | governed | difference (rounds) | whole µs/req, plain | governed | difference (rounds) |",
    );
    line(out, "|---|--:|--:|--:|--:|--:|--:|");
    for (plain, governed, extra) in rows {
        let Extra { data, whole } = extra;
        line(
            out,
            &format!(
                "| {} | {:.1} | {:.1} | {} | {:.1} | {:.1} | {} |",
                governed.scenario.name(),
                plain.data_micros,
                governed.data_micros,
                data.cell(),
                plain.whole_micros,
                governed.whole_micros,
                whole.cell(),
            ),
        );
    }
    line(out, "");
    line(
        out,
        "Governed: budgets of the organization, team, project, key and person, ten rules, four limits, a routing policy over two providers, a cache rule. Difference: the median over rounds of the governed slice less the plain one of the same round.",
    );
    line(out, "");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disturbed_round_does_not_decide_what_governance_costs() {
        let slices = |data: [f64; 3]| Slices {
            data: data.to_vec(),
            whole: data.map(|micros| micros * 2.0).to_vec(),
        };
        let base = slices([40.0, 41.0, 80.0]);
        let own = slices([42.0, 44.0, 50.0]);
        let extra = Extra::between(&own, &base).unwrap();
        assert_eq!(extra.data.cell(), "+2.0 (-30.0 to +3.0)");
        assert_eq!(extra.whole.cell(), "+4.0 (-60.0 to +6.0)");
        assert_eq!(Extra::between(&own, &Slices::default()), None);
    }
}
