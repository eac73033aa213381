//! The binary `steadfast`: parses the command line, runs the command, and returns its outcome as the exit code.

mod args;
mod commands;
mod env;
mod exit;
mod output;
mod signals;

use std::process::ExitCode;

/// With this allocator, idle connections need little memory, and what an attack needed is returned to the system.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let _flush = output::FlushGuard;
    let environment = env::read();
    for warning in environment.warnings() {
        output::message(&warning);
    }
    let outcome = args::parse().and_then(|args| commands::run(args, &environment));
    exit::finish(outcome, output::Colours::from_environment(&environment))
}
