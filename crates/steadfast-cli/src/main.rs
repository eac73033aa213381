//! The binary `steadfast`: parses the command line, runs the command, and returns its outcome as the exit code.

mod args;
mod commands;
mod env;
mod exit;
mod output;
mod signals;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::args::proxy::Program;

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
    let words: Vec<OsString> = std::env::args_os().collect();
    let program = Program::of(words.first().map(OsString::as_os_str));
    let outcome = args::parse(program, words).and_then(|args| commands::run(args, &environment));
    let outcome = outcome.map_err(|failure| match program {
        Program::Steadfast | Program::ToxiproxyServer => failure,
        Program::ToxiproxyCli => failure.with_one_code(),
    });
    exit::finish(outcome, output::Colours::from_environment(&environment))
}
