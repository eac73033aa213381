//! The demo as its users run it: painters draw, the gateway is killed, all clients reconnect, and no acknowledged pixel
//! is lost.

mod access;
mod forwarding;
mod hangs;
mod kills;
mod process;
mod signals;
mod starts;
