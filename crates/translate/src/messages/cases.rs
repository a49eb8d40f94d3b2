//! The hand-written bodies under `tests/cases`, read and written in their own dialect: what comes out
//! must be a fixed point, and streams must not depend on how their bytes are cut.

use std::path::{Path, PathBuf};

use crate::ir::Request;
use crate::stream::{Framing, Seen, Translator};
use crate::{Caller, Dialect, Target, read_answer, read_request, write_answer, write_request};

/// The cases of one kind: name and bytes.
fn cases(kind: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cases")
        .join(kind)
        .join("messages");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("a folder of cases")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    assert!(paths.len() > 20, "{} has cases", folder.display());
    let named = paths.into_iter().map(|path| {
        let name = path.file_stem().expect("a name").to_string_lossy();
        (
            name.into_owned(),
            std::fs::read(&path).expect("a readable case"),
        )
    });
    named.collect()
}

fn target() -> Target<'static> {
    Target {
        provider: "anthropic",
        model: "test-model",
        name: "claude-sonnet-4-5-20250929",
        max_output: None,
    }
}

fn read(name: &str, body: &[u8]) -> Request {
    read_request(Dialect::Messages, body).unwrap_or_else(|problem| panic!("{name}: {problem}"))
}

#[test]
fn requests_come_to_rest_after_one_round() {
    for (name, body) in cases("requests") {
        let written = write_request(Dialect::Messages, read(&name, &body), &target());
        if name == "strict_refusal" {
            assert!(written.is_err());
            continue;
        }
        let once = written.unwrap_or_else(|problem| panic!("{name}: {problem}"));
        let twice = write_request(Dialect::Messages, read(&name, &once.body), &target())
            .unwrap_or_else(|problem| panic!("{name}: {problem}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(text(&once.body), text(&twice.body), "{name}");
    }
}

#[test]
fn answers_come_to_rest_after_one_round() {
    let caller = Caller::default();
    let round = |name: &str, body: &[u8]| {
        let answer = read_answer(Dialect::Messages, body)
            .unwrap_or_else(|problem| panic!("{name}: {problem}"));
        write_answer(Dialect::Messages, answer, &caller)
    };
    for (name, body) in cases("answers") {
        let once = round(&name, &body);
        assert_eq!(
            String::from_utf8_lossy(&once),
            String::from_utf8_lossy(&round(&name, &once)),
            "{name}"
        );
    }
}

fn translated<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (String, Seen) {
    let caller = Caller::default();
    let mut translator =
        Translator::new(Dialect::Messages, Framing::Sse, Dialect::Messages, caller);
    let mut out = Vec::new();
    for piece in pieces {
        translator.push(piece, &mut out);
    }
    translator.end(&mut out);
    let text = String::from_utf8(out).expect("text");
    (text, translator.seen().clone())
}

#[test]
fn streams_do_not_depend_on_their_cutting_and_come_to_rest() {
    for (name, bytes) in cases("streams") {
        let (whole, seen) = translated(std::iter::once(&bytes[..]));
        for size in [1, 7, 64] {
            let (cut, _) = translated(bytes.chunks(size));
            assert_eq!(whole, cut, "{name} in pieces of {size}");
        }
        let broken = ["sudden_close", "error_mid_stream", "error_first"];
        assert_eq!(
            seen.complete,
            !broken.contains(&name.as_str()),
            "{name}: {seen:?}"
        );
        assert_eq!(
            seen.failure.is_some(),
            name.starts_with("error_"),
            "{name}: {seen:?}"
        );
        if seen.complete {
            assert!(whole.ends_with("data: {\"type\":\"message_stop\"}\n\n"));
            let (again, _) = translated(std::iter::once(whole.as_bytes()));
            assert_eq!(whole, again, "{name}");
        }
    }
}
