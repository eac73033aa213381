//! The processes that are broken: one thread owns each of them, starts it, looks after it, and does to it what it is told.
//!
//! The thread alone holds the child, so a signal can never meet a process that was given the same number later. It
//! writes facts into the inbox of the run; when what happens is decided elsewhere.

mod instance;
mod probe;

pub(crate) use instance::{Order, Service, Setup};
pub(crate) use probe::free_port;
