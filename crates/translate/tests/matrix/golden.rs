//! Compares with what lies under `tests/goldens`, or rewrites it (`UPDATE_GOLDENS=1`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::cases::folder;

/// How many differences one run shows in full.
const SHOWN: usize = 8;

/// The goldens of one kind: path under the kind's folder, and text.
pub(crate) type Goldens = BTreeMap<String, String>;

/// Fails when a golden differs, is missing, or belongs to no case.
pub(crate) fn check(kind: &str, expected: &Goldens) {
    let root = folder("goldens").join(kind);
    let mut known = Goldens::new();
    collect(&root, "", &mut known);
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        update(&root, &known, expected);
        return;
    }
    let mut problems = Vec::new();
    for (path, text) in expected {
        match known.get(path) {
            None => problems.push(format!("{kind}/{path}: there is no golden")),
            Some(golden) if golden != text => {
                problems.push(format!("{kind}/{path}:\n{}", difference(golden, text)));
            }
            Some(_) => {}
        }
    }
    for path in known.keys().filter(|path| !expected.contains_key(*path)) {
        problems.push(format!("{kind}/{path}: there is no case for this golden"));
    }
    let shown = problems.iter().take(SHOWN).cloned().collect::<Vec<_>>();
    assert!(
        problems.is_empty(),
        "{} goldens differ; read the differences, then run with UPDATE_GOLDENS=1\n\n{}",
        problems.len(),
        shown.join("\n")
    );
}

fn collect(at: &Path, prefix: &str, into: &mut Goldens) {
    let Ok(entries) = fs::read_dir(at) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), into);
        } else {
            let text = fs::read_to_string(&path).expect("a readable golden");
            into.insert(format!("{prefix}{name}"), text);
        }
    }
}

fn update(root: &Path, known: &Goldens, expected: &Goldens) {
    for path in known.keys().filter(|path| !expected.contains_key(*path)) {
        fs::remove_file(root.join(path)).expect("a golden that can be removed");
    }
    for (path, text) in expected {
        if known.get(path) == Some(text) {
            continue;
        }
        let at = root.join(path);
        fs::create_dir_all(at.parent().expect("a folder")).expect("a folder");
        fs::write(at, text).expect("a golden that can be written");
    }
}

/// The lines that differ, with a little around them.
fn difference(golden: &str, text: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (golden.lines().collect(), text.lines().collect());
    let same = |pair: &(&&str, &&str)| pair.0 == pair.1;
    let head = old.iter().zip(&new).take_while(same).count();
    let tail = old[head..]
        .iter()
        .rev()
        .zip(new[head..].iter().rev())
        .take_while(same)
        .count();
    let mut out = String::new();
    let mut lines = |sign: char, lines: &[&str]| {
        for line in lines {
            writeln!(out, "  {sign} {line}").expect("text can be written");
        }
    };
    lines(' ', &old[head.saturating_sub(3)..head]);
    lines('-', &old[head..old.len() - tail]);
    lines('+', &new[head..new.len() - tail]);
    lines(
        ' ',
        &old[old.len() - tail..old.len().min(old.len() - tail + 3)],
    );
    out
}

/// JSON on several lines, every token as it was written: order, numbers and escapes stay visible.
pub(crate) fn pretty(json: &str) -> String {
    let mut out = String::new();
    let mut depth = 0_usize;
    let mut in_text = false;
    let mut escaped = false;
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    };
    let mut letters = json.chars().peekable();
    while let Some(letter) = letters.next() {
        if in_text {
            out.push(letter);
            in_text = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
            continue;
        }
        match letter {
            ' ' | '\n' | '\r' | '\t' => {}
            '{' | '[' => {
                out.push(letter);
                while letters.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(end) = letters.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(letter);
            }
            ',' => {
                out.push(letter);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                in_text = letter == '"';
                out.push(letter);
            }
        }
    }
    out.push('\n');
    out
}

#[test]
fn printing_prettily_changes_white_space_only() {
    let json = r#"{"a":[1.10,{},[],"x\"} ,:"],"b":{"c":null}}"#;
    let printed = pretty(json);
    assert_eq!(pretty(&printed), printed);
    let squeeze = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(squeeze(&printed), squeeze(json));
}
