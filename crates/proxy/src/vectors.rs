//! Vectors.
use crate::call::Call;
use crate::dispatch::{CallerHead, refuse};
use crate::lane::Lane;
use crate::reply::Reply;
use crate::stages::{Foreign, Target};
use lw_core::{Code, Error};
use lw_wire::Surface;

#[derive(Debug)]
pub(crate) struct Gathering;

pub(crate) fn outgoing(
    _call: &mut Call,
    _lane: &Lane,
    _surface: Surface,
    _foreign: &Foreign,
) -> Result<Target, Error> {
    Err(Error::new(Code::NotFound, "not built"))
}

pub(crate) async fn answer(
    mut call: Box<Call>,
    _gathering: Gathering,
    _head: &CallerHead,
) -> Reply {
    refuse(&mut call, Error::new(Code::NotFound, "not built"))
}
