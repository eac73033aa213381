//! The binary `steadfast`: what was typed goes to its command, and its outcome becomes the exit code.

mod args;
mod commands;
mod env;
mod exit;
mod output;

use std::process::ExitCode;

/// Smaller idle connections than with the system's allocator.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let environment = env::read();
    let outcome = args::parse().and_then(|args| commands::run(args, &environment));
    exit::finish(outcome, output::Colours::wanted(&environment))
}
