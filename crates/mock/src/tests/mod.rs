//! The mock over real sockets.

mod client;
mod control;
mod faults;
mod shapes;
