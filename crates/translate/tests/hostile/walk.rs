//! The walk: every case in every target, then a fixed sequence of mutations of them.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::targets::{Body, TARGETS, run};

/// Mutations for each target.
const MUTATIONS: u64 = 2_000;

/// What once broke something: target, and bytes as a fuzzer keeps them (the first one chooses).
const FOUND: [(&str, &[u8]); 0] = [];

/// Pieces that JSON, event streams and numbers break on.
const TOKENS: [&[u8]; 34] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b",",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"1e18",
    b"0.1",
    b"99999999999999999999999",
    b"\"\\ud800\"",
    b"\"\\u0000\"",
    b"\\",
    b"\n\n",
    b"\r\n",
    b"\r",
    b"data: ",
    b"event: error\n",
    b"data: [DONE]\n\n",
    b"id: 1\n",
    b":",
    b"\xff\xfe",
    b"\xe2\x82",
    "\u{feff}".as_bytes(),
    b"\"type\":",
    b"\"index\":-1",
    b"\"\":{}",
    b"\"model\":\"x\"",
    b"\"content\":[{}]",
    b"\0\0\0\x10",
];

/// Chance that repeats (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).expect("small")).expect("small")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Every case, whatever its kind and dialect.
fn seeds() -> Vec<Vec<u8>> {
    fn walk(folder: &Path, found: &mut Vec<Vec<u8>>) {
        let mut paths: Vec<_> = fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(fs::read(path).expect("a file"));
            }
        }
    }
    let mut found = Vec::new();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    walk(&here.join("tests/cases"), &mut found);
    assert!(found.len() > 100, "there are cases");
    let framed = here.join("tests/cases/streams/converse/text.jsonl");
    found.push(frames(&fs::read(framed).expect("a case of frames")));
    // Deeper than any stack should follow.
    found.push([b"[".repeat(20_000), b"]".repeat(20_000)].concat());
    found.push(
        [
            b"{\"a\":".repeat(20_000),
            b"1".to_vec(),
            b"}".repeat(20_000),
        ]
        .concat(),
    );
    found
}

/// A case of frames as AWS sends them.
fn frames(lines: &[u8]) -> Vec<u8> {
    fn length(bytes: &[u8]) -> [u8; 4] {
        u32::try_from(bytes.len()).expect("small").to_be_bytes()
    }
    let mut out = Vec::new();
    for line in lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let line: serde_json::Value = serde_json::from_slice(line).expect("a line");
        let payload = line["payload"].to_string();
        let mut headers = Vec::new();
        for (name, value) in [
            (":message-type", "event"),
            (":event-type", line["type"].as_str().expect("a type")),
        ] {
            headers.push(u8::try_from(name.len()).expect("short"));
            headers.extend_from_slice(name.as_bytes());
            // A text, with two bytes of length.
            headers.push(7);
            headers.extend_from_slice(&length(value.as_bytes())[2..]);
            headers.extend_from_slice(value.as_bytes());
        }
        let total = headers.len() + payload.len() + 16;
        let mut frame = u32::try_from(total).expect("small").to_be_bytes().to_vec();
        frame.extend_from_slice(&length(&headers));
        frame.extend_from_slice(&checksum(&frame).to_be_bytes());
        frame.extend_from_slice(&headers);
        frame.extend_from_slice(payload.as_bytes());
        frame.extend_from_slice(&checksum(&frame).to_be_bytes());
        out.extend_from_slice(&frame);
    }
    out
}

/// CRC-32 of the frames.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg())
        })
    })
}

#[test]
fn the_frames_that_are_spoiled_are_frames() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lines = fs::read(here.join("tests/cases/streams/converse/text.jsonl")).expect("a case");
    let decoded = lw_cloud::eventstream::decode(&frames(&lines), 100);
    assert_eq!(decoded.end, Ok(()));
    assert!(decoded.frames.len() > 3);
}

fn mutated(chance: &mut Chance, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[chance.below(seeds.len())].clone();
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len() + 1);
        let to = (at + chance.below(64)).min(bytes.len());
        match chance.below(7) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << chance.below(8);
                }
            }
            1 => {
                bytes.drain(at..to);
            }
            2 => {
                let again = bytes[at..to].to_vec();
                bytes.splice(at..at, again);
            }
            3 => bytes.truncate(at),
            4 => {
                let other = &seeds[chance.below(seeds.len())];
                let from = chance.below(other.len() + 1);
                let until = (from + chance.below(256)).min(other.len());
                bytes.splice(at..to, other[from..until].to_vec());
            }
            _ => {
                let token = TOKENS[chance.below(TOKENS.len())];
                bytes.splice(at..to, token.to_vec());
            }
        }
    }
    bytes
}

/// Runs a body and tells what it was given when it panics.
fn survives(name: &str, body: Body, which: u8, data: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| body(which, data))).is_err() {
        panic!(
            "{name} does not survive {which}, {:?}",
            String::from_utf8_lossy(data)
        );
    }
}

fn target(name: &str) -> Body {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no target {name}")).1
}

fn walk(name: &str, choices: u8) {
    let seeds = seeds();
    let body = target(name);
    for seed in &seeds {
        for which in 0..choices {
            survives(name, body, which, seed);
        }
    }
    let mut chance = Chance(u64::from(choices));
    for _ in 0..MUTATIONS {
        let bytes = mutated(&mut chance, &seeds);
        survives(name, body, chance.byte(), &bytes);
    }
}

macro_rules! walks {
    ($($test:ident: $name:literal, $choices:literal;)*) => {
        $(
            #[test]
            fn $test() {
                walk($name, $choices);
            }
        )*

        #[test]
        fn every_target_has_its_walk_and_its_fuzzer() {
            let walked = [$($name),*];
            let all: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(walked[..], all[..]);
            let fuzzers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
            let manifest = fs::read_to_string(fuzzers.join("Cargo.toml")).expect("a manifest");
            for name in all {
                assert!(manifest.contains(&format!("\"{name}\"")), "{name}");
                let file = fuzzers.join(format!("fuzz_targets/{name}.rs"));
                let text = fs::read_to_string(&file).expect("a fuzzer");
                assert!(text.contains(&format!("run(\"{name}\", data)")), "{name}");
            }
        }
    };
}

walks! {
    requests_of_strangers: "requests", 32;
    answers_of_strangers: "answers", 20;
    streams_of_strangers: "streams", 60;
    vectors_of_strangers: "embeddings", 18;
    counts_of_strangers: "counts", 20;
    failures_of_strangers: "failures", 20;
    bodies_for_clouds: "near_native", 4;
    event_streams_in_any_cutting: "sse", 4;
    observed_answers: "tap", 11;
    bodies_that_are_edited: "envelope", 16;
    what_is_captured: "capture", 11;
    frames_of_aws: "eventstream", 4;
    bodies_that_rules_judge: "subjects", 2;
}

#[test]
fn what_was_found_stays_mended() {
    for (name, data) in FOUND {
        run(name, data);
    }
}
