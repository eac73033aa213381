//! The processes under test. Each process has its own thread, which starts and polls the process and executes commands.
//!
//! Only that thread holds the child, so a signal can never reach another process that was given the same id later. The
//! thread sends events to the inbox of the run, which decides what happens when.

mod descendants;
mod grpc;
mod instance;
mod output;
mod places;
mod ports;
mod probe;
mod process;
pub(crate) mod programs;
mod roles;
mod setup;
mod sockets;
mod supervisor;

pub(crate) use descendants::VARIABLE;
pub(crate) use descendants::{adopt_orphans, kill_in_namespaces, kill_of_run, kill_orphans};
pub(crate) use instance::{Service, ServiceCommand};
pub(crate) use places::Places;
pub(crate) use roles::resolve;
pub(crate) use setup::{Launch, setup};
pub(crate) use sockets::Sockets;
