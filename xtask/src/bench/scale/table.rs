//! The tables of the two sides.
//!
//! Must never hide what is not flat. Start at [`Scale::write`].

use super::{Calls, Figure, Scale, Size};
use crate::bench::report::line;

/// How much more the large side may take and still count as the same.
const FLAT: f64 = 1.5;

impl Scale {
    /// Writes the tables.
    pub(crate) fn write(&self, out: &mut String) {
        let Self {
            few,
            many,
            calls,
            figures,
        } = self;
        let (few, many) = (name(*few), name(*many));
        line(
            out,
            &format!(
                "| call | p50 ms, {few} | p50 ms, {many} | × | p99 ms, {few} | p99 ms, {many} | × | rows | flat |"
            ),
        );
        line(out, "|---|--:|--:|--:|--:|--:|--:|--:|---|");
        for row in calls {
            line(out, &row.cells());
        }
        line(out, "");
        line(out, &format!("| figure | {few} | {many} | × | flat |"));
        line(out, "|---|--:|--:|--:|---|");
        for row in figures {
            line(out, &row.cells());
        }
        line(out, "");
        line(
            out,
            &format!(
                "Both sides take turns call by call, one connection each. Flat: at most {FLAT} times the small side's median."
            ),
        );
        line(out, "");
    }
}

impl Calls {
    fn cells(&self) -> String {
        let Self {
            what,
            few,
            many,
            rows,
        } = self;
        let rows = rows.map_or_else(|| "–".into(), |[few, many]| format!("{few:.0} / {many:.0}"));
        let (p50, p99) = (many.p50 / few.p50, many.p99 / few.p99);
        format!(
            "| {what} | {:.2} | {:.2} | {p50:.2} | {:.2} | {:.2} | {p99:.2} | {rows} | {} |",
            few.p50 / 1_000.0,
            many.p50 / 1_000.0,
            few.p99 / 1_000.0,
            many.p99 / 1_000.0,
            flat(p50)
        )
    }
}

impl Figure {
    fn cells(&self) -> String {
        let Self {
            what,
            unit,
            few,
            many,
            grows,
        } = self;
        let number =
            |value: Option<f64>| value.map_or_else(|| "–".into(), |value| format!("{value:.1}"));
        let ratio = few.zip(*many).map(|(few, many)| many / few);
        format!(
            "| {what}, {unit} | {} | {} | {} | {} |",
            number(*few),
            number(*many),
            ratio.map_or_else(|| "–".into(), |ratio| format!("{ratio:.2}")),
            ratio.filter(|_| !grows).map_or("–", flat),
        )
    }
}

const fn flat(ratio: f64) -> &'static str {
    if ratio <= FLAT { "yes" } else { "**no**" }
}

/// `1,000 keys, 100 providers`.
fn name(size: Size) -> String {
    format!(
        "{} keys, {} providers",
        thousands(size.keys),
        thousands(size.providers)
    )
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::Quantiles;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let names = [7, 100, 1_000, 25_000, 1_000_000].map(thousands);
        assert_eq!(names, ["7", "100", "1,000", "25,000", "1,000,000"]);
    }

    #[test]
    fn what_is_not_flat_says_so() {
        let times = |p50| Quantiles {
            p50,
            p99: 2_000.0,
            p999: 0.0,
            most: 0.0,
        };
        let row = |many| Calls {
            what: "get",
            few: times(1_000.0),
            many: times(many),
            rows: None,
        };
        let even = "| get | 1.00 | 1.20 | 1.20 | 2.00 | 2.00 | 1.00 | – | yes |";
        assert_eq!(row(1_200.0).cells(), even);
        assert!(row(1_600.0).cells().ends_with("| **no** |"));
    }

    #[test]
    fn a_side_without_a_number_has_a_dash() {
        let row = Figure {
            what: "RSS",
            unit: "MiB",
            few: None,
            many: Some(12.34),
            grows: false,
        };
        assert_eq!(row.cells(), "| RSS, MiB | – | 12.3 | – | – |");
    }

    #[test]
    fn what_may_grow_is_not_judged() {
        let disk = Figure::growing("disk", "MiB", [1.0, 100.0]);
        assert_eq!(disk.cells(), "| disk, MiB | 1.0 | 100.0 | 100.00 | – |");
        let memory = Figure::of("RSS", "MiB", [1.0, 100.0]);
        assert!(memory.cells().ends_with("| **no** |"));
    }
}
