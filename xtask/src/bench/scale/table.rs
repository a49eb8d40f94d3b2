//! The tables of all sides.
//!
//! Must never hide what is not flat. Start at [`Scale::write`].

use super::{Calls, Figure, SIDES, Scale, Size};
use crate::bench::report::{Quantiles, line};

/// How much more the large side may take and still count as the same.
const FLAT: f64 = 1.5;

impl Scale {
    /// Writes the tables.
    pub(crate) fn write(&self, out: &mut String) {
        let Self {
            sizes,
            calls,
            figures,
        } = self;
        let cells = |what: &str| -> String {
            let cell = |size: &Size| format!(" {what}{} |", name(*size));
            sizes.iter().map(cell).collect()
        };
        line(
            out,
            &format!(
                "| call |{} × |{} × | rows | flat |",
                cells("p50 ms, "),
                cells("p99 ms, ")
            ),
        );
        let numbers = "--:|".repeat(SIDES + 1);
        line(out, &format!("|---|{numbers}{numbers}--:|---|"));
        for row in calls {
            line(out, &row.cells());
        }
        line(out, "");
        line(out, &format!("| figure |{} × | flat |", cells("")));
        line(out, &format!("|---|{numbers}---|"));
        for row in figures {
            line(out, &row.cells());
        }
        line(out, "");
        line(
            out,
            &format!(
                "All sides take turns call by call, one connection each. ×: the largest side over the smallest that was asked. Flat: at most {FLAT} times its median."
            ),
        );
        line(out, "");
    }
}

impl Calls {
    fn cells(&self) -> String {
        let Self { what, sides, rows } = self;
        let rows = rows.map_or_else(
            || "–".into(),
            |rows| rows.map(|rows| format!("{rows:.0}")).join(" / "),
        );
        let of = |part: fn(&Quantiles) -> f64| {
            sides.map(|side| side.map(|times| part(&times) / 1_000.0))
        };
        let (p50, p99) = (of(|times| times.p50), of(|times| times.p99));
        format!(
            "| {what} |{}{} {rows} | {} |",
            numbers(&p50, 2),
            numbers(&p99, 2),
            growth(&p50).map_or("–", flat)
        )
    }
}

impl Figure {
    fn cells(&self) -> String {
        let Self {
            what,
            unit,
            sides,
            grows,
        } = self;
        let unit = if unit.is_empty() {
            String::new()
        } else {
            format!(", {unit}")
        };
        let digits = if unit.is_empty() { 0 } else { 1 };
        format!(
            "| {what}{unit} |{} {} |",
            numbers(sides, digits),
            growth(sides).filter(|_| !grows).map_or("–", flat),
        )
    }
}

/// A cell for each side, and one for how much more it is on the largest.
fn numbers(sides: &[Option<f64>; SIDES], digits: usize) -> String {
    let cell = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| " – |".into(), |value| format!(" {value:.digits$} |"))
    };
    let cells: String = sides.iter().map(|value| cell(*value, digits)).collect();
    cells + &cell(growth(sides), 2)
}

/// The largest side over the smallest that has a number, where that is another one.
fn growth(sides: &[Option<f64>; SIDES]) -> Option<f64> {
    let mut asked = sides.iter().copied().flatten();
    let least = asked.next()?;
    let [.., most] = sides;
    asked.next()?;
    Some((*most)? / least)
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
            sides: [1_000.0, 1_100.0, many].map(|p50| Some(times(p50))),
            rows: None,
        };
        let even = "| get | 1.00 | 1.10 | 1.20 | 1.20 | 2.00 | 2.00 | 2.00 | 1.00 | – | yes |";
        assert_eq!(row(1_200.0).cells(), even);
        assert!(row(1_600.0).cells().ends_with("| **no** |"));
    }

    fn figure(sides: [Option<f64>; SIDES]) -> Figure {
        Figure {
            what: "RSS",
            unit: "MiB",
            sides,
            grows: false,
        }
    }

    #[test]
    fn a_side_that_was_not_asked_has_a_dash() {
        let row = figure([None, None, Some(12.34)]);
        assert_eq!(row.cells(), "| RSS, MiB | – | – | 12.3 | – | – |");
        let row = figure([None, Some(10.0), Some(12.0)]);
        assert_eq!(row.cells(), "| RSS, MiB | – | 10.0 | 12.0 | 1.20 | yes |");
        let row = figure([Some(10.0), Some(12.0), None]);
        assert!(row.cells().ends_with("| – | – | – |"), "{}", row.cells());
    }

    #[test]
    fn what_may_grow_is_not_judged() {
        let sides = [1.0, 10.0, 100.0].map(Some);
        let disk = figure(sides).growing();
        assert_eq!(
            disk.cells(),
            "| RSS, MiB | 1.0 | 10.0 | 100.0 | 100.00 | – |"
        );
        assert!(figure(sides).cells().ends_with("| **no** |"));
    }

    #[test]
    fn what_has_no_unit_is_counted() {
        let row = Figure {
            unit: "",
            ..figure([33.0, 11_361.0, 1_002_251.0].map(Some))
        };
        assert!(row.cells().starts_with("| RSS | 33 | 11361 | 1002251 |"));
    }
}
