//! What holds for every stream, however its bytes come.

use lw_translate::Dialect;
use proptest::prelude::*;

use super::cases::{Case, converse_frames, end, stream, translator, word};
use super::extract;
use super::streams::pairs;

/// What a caller gets when the bytes come in these pieces.
fn in_pieces<'a>(case: &Case, to: Dialect, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut translator = translator(case.from, to);
    let mut out = Vec::new();
    for piece in pieces {
        translator.push(piece, &mut out);
    }
    end(&mut translator, &mut out);
    out
}

#[test]
fn bytes_that_come_one_by_one_give_the_same_stream() {
    for (case, to) in pairs() {
        if case.from == Dialect::Converse {
            continue;
        }
        let single = in_pieces(&case, to, case.bytes.chunks(1));
        assert!(
            single == stream(&case, to),
            "{} -> {}, {}",
            word(case.from),
            word(to),
            case.name
        );
    }
}

#[test]
fn a_piece_of_text_goes_out_with_the_frame_that_brings_it() {
    for (case, to) in pairs() {
        if case.name != "many_deltas" {
            continue;
        }
        let mut translator = translator(case.from, to);
        let mut heard = 0;
        let mut said = Vec::new();
        let mut step = |said: &[u8], out: &[u8]| {
            // Text that was said so far has been heard so far.
            let all = extract::stream(case.from, said).text;
            let got = extract::stream(to, out).text;
            assert_eq!(all, got, "{} -> {}", word(case.from), word(to));
            heard = got.len();
        };
        let mut out = Vec::new();
        if case.from == Dialect::Converse {
            let text = String::from_utf8(case.bytes.clone()).expect("UTF-8");
            for (line, (name, payload)) in text.lines().zip(converse_frames(&case.bytes)) {
                translator.frame(Some(&name), payload.get().as_bytes(), &mut out);
                said.extend_from_slice(line.as_bytes());
                said.push(b'\n');
                step(&said, &out);
            }
        } else {
            let text = String::from_utf8(case.bytes.clone()).expect("UTF-8");
            for frame in text.replace("\r\n", "\n").split_inclusive("\n\n") {
                translator.push(frame.as_bytes(), &mut out);
                said.extend_from_slice(frame.as_bytes());
                step(&said, &out);
            }
        }
        assert!(heard > 60, "the case says much");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_cutting_gives_the_same_stream(
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        for (case, to) in pairs() {
            if case.from == Dialect::Converse {
                continue;
            }
            let length = case.bytes.len();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(length + 1)).collect();
            at.extend([0, length]);
            at.sort_unstable();
            let pieces = at.windows(2).map(|cut| &case.bytes[cut[0]..cut[1]]);
            let out = in_pieces(&case, to, pieces);
            prop_assert!(out == stream(&case, to), "{} -> {}, {}", word(case.from), word(to), case.name);
        }
    }
}
