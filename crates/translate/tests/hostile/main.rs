//! Bytes of strangers in everything that reads them: every case, and thousands of cases gone wrong.
//!
//! The bodies ([`targets`]) are those of the fuzzers (`fuzz/`), which look for longer and further. Here a fixed
//! sequence of mutations runs on every build ([`walk`]). What a fuzzer found becomes a case, or a row of `FOUND`.

#[cfg(test)]
mod targets;
#[cfg(test)]
mod walk;
