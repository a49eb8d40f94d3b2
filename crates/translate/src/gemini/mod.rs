//! Gemini `generateContent`: callers of the Gemini API, and Gemini models on the Gemini API and on
//! Vertex AI.
//!
//! Google's JSON has two spellings for every key and optional ids for calls; both are dealt with at the
//! edge ([`fields`], [`request`]), so that nothing inside knows of them. A function call is always whole,
//! and a seal may stand on any part ([`seal`]).

mod fields;
mod request;
mod schema;
mod seal;
mod thinking;

use crate::ir::{Answer, Event};
use crate::sequencer::Step;
use crate::stream::{StreamReader, StreamWriter};
use crate::{Caller, Problem};

pub(crate) use request::{read_request, write_request};

pub(crate) fn read_answer(_body: &[u8]) -> Result<Answer, Problem> {
    Err(Problem::bad("not built", ""))
}

pub(crate) fn write_answer(_answer: Answer, _caller: &Caller) -> Vec<u8> {
    Vec::new()
}

/// Reads a stream.
#[derive(Debug, Default)]
pub struct Reader;

impl StreamReader for Reader {
    fn frame(&mut self, _name: Option<&str>, _data: &[u8], _out: &mut Vec<Event>) {}
    fn end(&mut self, _out: &mut Vec<Event>) {}
}

/// Writes a stream.
pub struct Writer;

impl Writer {
    pub(crate) fn new(_caller: Caller) -> Self {
        Self
    }
}

impl StreamWriter for Writer {
    fn step(&mut self, _step: Step, _out: &mut Vec<u8>) {}
}
