//! `steadfast lab`: runs scenarios on real processes and prints a verdict.

mod check;
mod display;
mod driver;
mod drivers;
mod emulate;
mod heal;
mod interrupt;
mod isolate;
mod logs;
mod machine;
mod read;
mod rendered;
mod report;
mod rerun;
mod run;
mod status;
mod stored;

use crate::args::Lab;
use crate::exit::Failure;

/// Runs a command of the lab.
///
/// # Errors
///
/// When the command fails, or the verdict is not PASS.
pub(super) fn run(arguments: &Lab) -> Result<(), Failure> {
    match arguments {
        Lab::Run(arguments) => run::run(arguments),
        Lab::Check(arguments) => check::run(arguments),
        Lab::Heal(arguments) => heal::run(arguments),
        Lab::Report(arguments) => report::run(arguments),
        Lab::Emulate(arguments) => emulate::run(arguments),
        Lab::Launch(arguments) => Err(launch(arguments)),
        Lab::Driver { name } => driver::run(*name),
    }
}

/// Replaces this process with a program that is killed when its parent process terminates; returns only on failure.
fn launch(arguments: &crate::args::Launch) -> Failure {
    let Some((program, rest)) = arguments.command.split_first() else {
        return Failure::usage("missing program to launch", "");
    };
    let error = steadfast_lab::launcher::become_program(arguments.parent, program, rest);
    let program = program.to_string_lossy();
    Failure::failed(format!("failed to execute {program}: {error}"), "")
}
