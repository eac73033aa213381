//! `steadfast lab`: scenarios on real processes, with a verdict.

mod check;
mod driver;
mod peers;
mod read;
mod run;
mod shown;

use crate::args::Lab;
use crate::exit::Failure;

/// Does what was asked for.
///
/// # Errors
///
/// What the command failed with; a verdict other than PASS among it.
pub(super) fn run(arguments: &Lab) -> Result<(), Failure> {
    match arguments {
        Lab::Run(arguments) => run::run(arguments),
        Lab::Check(arguments) => check::run(arguments),
        Lab::Launch(arguments) => Err(launch(arguments)),
        Lab::Driver => driver::run(),
    }
}

/// Becomes a service that dies with its lab; comes back only with the reason why not.
fn launch(arguments: &crate::args::Launch) -> Failure {
    let Some((program, rest)) = arguments.command.split_first() else {
        return Failure::usage("there is no program to launch", "");
    };
    let error = steadfast_lab::launcher::become_program(arguments.parent, program, rest);
    let program = program.to_string_lossy();
    Failure::failed(format!("cannot become {program}: {error}"), "")
}
