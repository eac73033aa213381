//! What was typed.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub(crate) const HELP: &str = "\
Measures the log alone: durable 256-byte records beside fjall and redb, and the time to open it after a kill.

Usage: log-bench [OPTIONS]

      --repeats N      runs of each engine, interleaved; the table shows medians [default: 5]
      --seconds S      measured time of one run [default: 3]
      --open-mib M     size of the log that is opened; 0 leaves this out [default: 1024]
      --dir DIR        where the files go; must be a disk, not memory [default: beside the program]
      --json           JSON lines instead of the table

Example:
  log-bench --repeats 3 --seconds 2 --open-mib 256 --dir /var/tmp
";

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Task {
    Help,
    Measure(Args),
    /// Only for the program itself: writes a log and dies without closing it.
    Fill {
        directory: PathBuf,
        bytes: u64,
    },
}

/// How to measure.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) repeats: usize,
    pub(crate) seconds: Duration,
    pub(crate) open_bytes: u64,
    pub(crate) directory: PathBuf,
    pub(crate) is_json: bool,
}

pub(crate) fn parse(mut typed: impl Iterator<Item = String>) -> Result<Task> {
    let mut args = Args {
        repeats: 5,
        seconds: Duration::from_secs(3),
        open_bytes: 1 << 30,
        directory: beside_the_program()?,
        is_json: false,
    };
    while let Some(word) = typed.next() {
        let mut value = || {
            typed
                .next()
                .with_context(|| format!("{word} needs a value"))
        };
        match word.as_str() {
            "--help" | "-h" => return Ok(Task::Help),
            "--json" => args.is_json = true,
            "--repeats" => args.repeats = value()?.parse()?,
            "--seconds" => args.seconds = Duration::from_secs_f64(value()?.parse()?),
            "--open-mib" => args.open_bytes = value()?.parse::<u64>()? << 20,
            "--dir" => args.directory = PathBuf::from(value()?),
            "fill" => {
                return Ok(Task::Fill {
                    directory: PathBuf::from(value()?),
                    bytes: value()?.parse()?,
                });
            }
            _ => bail!("unknown argument {word}\n{HELP}"),
        }
    }
    if args.repeats == 0 || args.seconds.is_zero() {
        bail!("at least one repeat of more than no time");
    }
    Ok(Task::Measure(args))
}

/// The build folder: on a disk, and never part of the project.
fn beside_the_program() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program
        .parent()
        .context("a program is in a folder")?
        .to_path_buf())
}
