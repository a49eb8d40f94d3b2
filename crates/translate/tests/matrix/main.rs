//! Every case of every dialect, translated into every other one (providers 15 to 17, P8 to P13).
//!
//! Inputs lie under `tests/cases`, what becomes of them under `tests/goldens`; `tests/cases/README.md`
//! tells how to add one. Beside the goldens, an extractor that shares no code with the crate
//! ([`extract`]) reads what was said out of both sides and compares, validators check the order of every
//! stream ([`validate`]), properties hold for every cutting of the bytes ([`properties`]), and what the
//! gateway does about caches changes markers alone ([`cached`]).

#[cfg(test)]
mod answers;
#[cfg(test)]
mod cached;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod extract;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod validate;
