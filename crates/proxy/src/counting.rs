//! Counting.
use crate::call::Call;
use crate::lane::Lane;
use crate::stages::{Foreign, Target};
use lw_core::{Code, Error};
use lw_wire::Surface;

#[derive(Debug)]
pub(crate) struct Counting;

impl Counting {
    pub(crate) fn answer(&self, _body: &[u8]) -> Result<Vec<u8>, Error> {
        Err(Error::new(Code::NotFound, "not built"))
    }
}

pub(crate) fn outgoing(
    _call: &mut Call,
    _lane: &Lane,
    _surface: Surface,
    _foreign: &Foreign,
) -> Result<Target, Error> {
    Err(Error::new(Code::NotFound, "not built"))
}
