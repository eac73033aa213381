//! The server's side of Steadfast: peers, channels, fan-out, recovery and the log, as machines without IO.

pub mod epoch;
pub mod io;
pub mod log;
pub mod policy;
