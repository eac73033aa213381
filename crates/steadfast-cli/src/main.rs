//! The binary `steadfast`: parses the command line, runs the command, and returns its outcome as the exit code.

mod args;
mod commands;
mod env;
mod exit;
mod output;

use std::process::ExitCode;

/// With this allocator, idle connections need less memory than with the system's.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let _flush = output::FlushGuard;
    let environment = env::read();
    let outcome = args::parse().and_then(|args| commands::run(args, &environment));
    exit::finish(outcome, output::Colours::from_environment(&environment))
}
