//! The commands, one module each.

mod bridge;
mod call;
mod connect;
mod demo;
mod key;
mod lab;
mod log;
mod proxy;
mod serve;
mod sim;

use crate::args::{Arguments, Command};
use crate::env::Environment;
use crate::exit::Failure;

/// Runs the command of the command line.
///
/// # Errors
///
/// When the command fails.
pub(crate) fn run(arguments: Arguments, environment: &Environment) -> Result<(), Failure> {
    match arguments.command {
        Command::Serve(arguments) => serve::run(&arguments, environment),
        Command::Connect(arguments) => connect::run(&arguments),
        Command::Call(arguments) => call::run(&arguments, environment),
        Command::Bridge(arguments) => bridge::run(&arguments, environment),
        Command::Log(arguments) => log::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments, environment),
        Command::Lab(arguments) => lab::run(&arguments),
        Command::Proxy(arguments) => proxy::run(arguments, environment),
        Command::Sim(arguments) => sim::run(&arguments),
    }
}
