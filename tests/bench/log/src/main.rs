//! Measures the log alone: its rate compared with embedded stores under the same load in the same run, and the time to
//! open the log.
//!
//! Each repeat runs every engine once, in rotated order, so that a slow minute of the machine affects all of them.

mod args;
mod durable;
mod engine;
mod opening;
mod report;

use std::io::Write;

use anyhow::Result;

use crate::args::{Args, Task};

fn main() -> Result<()> {
    match args::parse(std::env::args().skip(1))? {
        Task::Help => print(args::HELP),
        Task::Fill { directory, bytes } => opening::fill_and_abort(&directory, bytes),
        Task::Measure(args) => measure(&args),
    }
}

fn measure(args: &Args) -> Result<()> {
    let durable = durable::run(args)?;
    let opening = opening::run(args)?;
    if args.is_json {
        print(&report::lines(&durable, opening.as_ref()))
    } else {
        print(&report::table(&durable, opening.as_ref()))
    }
}

fn print(text: &str) -> Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}
