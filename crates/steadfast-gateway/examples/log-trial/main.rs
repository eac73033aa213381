//! Exercises a log on real files with kills and a full disk, and checks every record afterwards.
//!
//! ```text
//! log-trial kill --cycles 30 --seed 1   kills a writer with SIGKILL repeatedly
//! log-trial full DIR                    fills the file system of DIR, frees space, and checks that the log recovers
//! log-trial write DIR CYCLE             the writer that is killed
//! log-trial read DIR                    prints everything in the log, then waits for a kill or a request to close
//! ```
//!
//! What a killed process wrote stays in the page cache, so `kill` tests the order of acknowledgements, torn writes and
//! recovery, but not durability, which is tested on the simulated disk.

mod full;
mod kill;
mod reader;
mod records;
mod writer;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["kill", "--cycles", cycles, "--seed", seed] => kill::run(cycles, seed),
        ["full", directory] => full::run(directory),
        ["write", directory, cycle] => writer::run(directory, cycle),
        ["read", directory] => reader::run(directory),
        _ => Err(
            "usage: log-trial kill --cycles N --seed S | full DIR | write DIR CYCLE | read DIR"
                .into(),
        ),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            records::print(&format!("failed {error}\n"));
            ExitCode::FAILURE
        }
    }
}
