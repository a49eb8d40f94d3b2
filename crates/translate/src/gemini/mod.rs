//! Placeholder of the skeleton.

use crate::ir::{Answer, Event, Request};
use crate::sequencer::Step;
use crate::stream::{StreamReader, StreamWriter};
use crate::{Caller, Outgoing, Problem, Target};

pub(crate) fn write_request(_request: Request, _target: &Target<'_>) -> Result<Outgoing, Problem> {
    Err(Problem::bad("not built", ""))
}

pub(crate) fn read_answer(_body: &[u8]) -> Result<Answer, Problem> {
    Err(Problem::bad("not built", ""))
}

pub(crate) fn read_request(_body: &[u8]) -> Result<Request, Problem> {
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
