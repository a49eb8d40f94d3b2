//! The mock over real sockets.

mod answers;
mod client;
mod clouds;
mod control;
mod faults;
mod gemini;
mod quirks;
mod shapes;
mod strict;
