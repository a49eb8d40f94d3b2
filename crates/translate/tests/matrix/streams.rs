//! Streams: what each caller gets for each case.

use lw_translate::Dialect;

use super::answers::{differences, is_allowed};
use super::cases::{CALLERS, Case, all, stream, word};
use super::golden::{Goldens, check};
use super::{extract, validate};

/// Every stream with every caller of another dialect.
pub(crate) fn pairs() -> Vec<(Case, Dialect)> {
    let mut pairs = Vec::new();
    for to in CALLERS {
        let foreign = all("streams").into_iter().filter(|case| case.from != to);
        pairs.extend(foreign.map(|case| (case, to)));
    }
    pairs
}

#[test]
fn every_stream_is_written_for_every_caller_as_its_golden_says() {
    let mut goldens = Goldens::new();
    for (case, to) in pairs() {
        let path = format!("{}-{}/{}.txt", word(case.from), word(to), case.name);
        let text = String::from_utf8(stream(&case, to)).expect("UTF-8");
        goldens.insert(path, text);
    }
    check("streams", &goldens);
}

#[test]
fn what_the_provider_streams_is_what_the_caller_hears_in_a_legal_order() {
    let mut problems = Vec::new();
    for (case, to) in pairs() {
        let label = format!("{} -> {}, {}", word(case.from), word(to), case.name);
        let out = stream(&case, to);
        if let Err(problem) = validate::stream(to, &out) {
            problems.push(format!("{label}: illegal: {problem}"));
            continue;
        }
        let source = extract::stream(case.from, &case.bytes);
        let heard = extract::stream(to, &out);
        for (fact, detail) in differences(case.from, to, &source, &heard) {
            if !is_allowed(word(case.from), word(to), &case.name, fact) {
                problems.push(format!("{label}: {fact}: {detail}"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
