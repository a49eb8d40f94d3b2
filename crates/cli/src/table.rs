//! Tables and aligned details for people.
//!
//! Widths count what a terminal shows: colour codes are nothing, wide characters are two. Text from
//! the server never reaches the terminal with its control characters: they could repaint it.

use crate::style::Style;

/// Rows under bold headers and a rule.
pub(crate) struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headers: impl Into<Vec<&'static str>>) -> Self {
        Self {
            headers: headers.into(),
            rows: Vec::new(),
        }
    }

    /// Cells may hold colour codes made by [`Style`]; foreign text goes through [`clean`] first.
    pub(crate) fn row(&mut self, cells: impl Into<Vec<String>>) {
        self.rows.push(cells.into());
    }

    pub(crate) fn render(&self, style: Style) -> String {
        let widths: Vec<usize> = self
            .headers
            .iter()
            .enumerate()
            .map(|(column, header)| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells
                    .map(|cell| visible_width(cell))
                    .chain([visible_width(header)])
                    .max()
            })
            .map(Option::unwrap_or_default)
            .collect();
        let total = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        let headers: Vec<String> = self
            .headers
            .iter()
            .map(|header| style.bold(header))
            .collect();
        let mut out = line(&headers, &widths);
        out.push_str(&style.grey(&"─".repeat(total)));
        out.push('\n');
        for row in &self.rows {
            out.push_str(&line(row, &widths));
        }
        out
    }
}

/// `label  value` lines with aligned values; nothing for absent values.
pub(crate) fn details(style: Style, indent: usize, rows: &[(&str, Option<String>)]) -> String {
    let shown = || {
        rows.iter()
            .filter_map(|(label, value)| value.as_ref().map(|v| (*label, v)))
    };
    let width = shown()
        .map(|(label, _)| visible_width(label))
        .max()
        .unwrap_or_default();
    let mut out = String::new();
    for (label, value) in shown() {
        let pad = " ".repeat(width - visible_width(label));
        let margin = " ".repeat(indent);
        out.push_str(&format!("{margin}{}{pad}  {value}\n", style.grey(label)));
    }
    out
}

/// Foreign text on one line: control characters become spaces.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Foreign text on several lines: line feeds and tabs stay.
pub(crate) fn clean_block(text: &str) -> String {
    let keep = |c: char| matches!(c, '\n' | '\t') || !c.is_control();
    text.chars().filter(|c| keep(*c)).collect()
}

/// At most `max` characters, with an ellipsis when something was cut.
pub(crate) fn shorten(text: &str, max: usize) -> String {
    let text = clean(text);
    if text.chars().count() <= max {
        return text;
    }
    let kept: String = text.chars().take(max.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// How many terminal columns the text takes.
pub(crate) fn visible_width(text: &str) -> usize {
    let mut width = 0;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // Our own colours only: CSI up to its final letter.
            for c in chars.by_ref() {
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            width += char_width(c);
        }
    }
    width
}

fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036f | 0x200b..=0x200f | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut out = String::new();
    for (i, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if i > 0 {
            out.push_str("  ");
        }
        out.push_str(cell);
        out.push_str(&" ".repeat(width.saturating_sub(visible_width(cell))));
    }
    let mut out = out.trim_end().to_owned();
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::{Table, clean, details, shorten, visible_width};
    use crate::style::Style;

    fn sample(style: Style) -> String {
        let mut table = Table::new(["ID", "Name", "Status"]);
        table.row(["vk_1".into(), "dev".into(), style.cyan("active")]);
        table.row(["vk_long_2".into(), "日本".into(), "revoked".into()]);
        table.render(style)
    }

    #[test]
    fn columns_are_padded_by_visible_width() {
        insta::assert_snapshot!(sample(Style::plain()), @r"
        ID         Name  Status
        ────────────────────────
        vk_1       dev   active
        vk_long_2  日本  revoked
        ");
    }

    #[test]
    fn colour_does_not_move_a_column() {
        let coloured = sample(Style::coloured());
        assert!(coloured.contains("\u{1b}[1m"));
        let widths: Vec<usize> = coloured.lines().map(visible_width).collect();
        let plain: Vec<usize> = sample(Style::plain()).lines().map(visible_width).collect();
        assert_eq!(widths, plain);
    }

    #[test]
    fn details_leave_out_what_is_absent() {
        let rows = [
            ("ID", Some("1".to_owned())),
            ("Gone", None),
            ("Longer", Some("2".to_owned())),
        ];
        assert_eq!(
            details(Style::plain(), 2, &rows),
            "  ID      1\n  Longer  2\n"
        );
    }

    #[test]
    fn foreign_text_cannot_repaint_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a [2Jb c");
        assert_eq!(shorten("a long sentence", 8), "a long…");
    }
}
