#![no_main]

#[path = "../../crates/translate/tests/hostile/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::run("subjects", data));
