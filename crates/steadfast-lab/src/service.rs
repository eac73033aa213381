//! The processes under test. Each process has its own thread, which starts and polls the process and executes commands.
//!
//! Only that thread holds the child, so a signal can never reach another process that was given the same id later. The
//! thread sends events to the inbox of the run, which decides what happens when.

mod instance;
mod probe;

pub(crate) use instance::{Service, ServiceCommand, ServiceSetup};
pub(crate) use probe::free_port;
