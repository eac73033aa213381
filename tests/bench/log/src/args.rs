//! The command-line arguments of the log benchmark.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub(crate) const HELP: &str = "\
Measures the log alone: durable 256-byte records compared with fjall and redb, and the time to open it after a kill.

Usage: log-bench [OPTIONS]

      --repeats N      runs of each engine, interleaved; the table shows medians [default: 5]
      --seconds S      measured time of one run [default: 3]
      --open-mib M     size of the log that is opened; 0 skips this measurement [default: 1024]
      --dir DIR        directory of the files, on a disk and not in memory [default: the program's directory]
      --json           print JSON lines instead of the table

Example:
  log-bench --repeats 3 --seconds 2 --open-mib 256 --dir /var/tmp
";

/// The task that the command line selects.
#[derive(Debug)]
pub(crate) enum Task {
    Help,
    Measure(Args),
    /// Internal: writes a log and aborts without closing it.
    Fill {
        directory: PathBuf,
        bytes: u64,
    },
}

/// The options of a measurement.
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
        directory: program_directory()?,
        is_json: false,
    };
    while let Some(word) = typed.next() {
        let mut value = || {
            typed
                .next()
                .with_context(|| format!("missing value for {word}"))
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
            _ => bail!("unknown argument `{word}`\n{HELP}"),
        }
    }
    if args.repeats == 0 || args.seconds.is_zero() {
        bail!("invalid --repeats or --seconds: must be above zero");
    }
    Ok(Task::Measure(args))
}

/// The build directory: on a disk, and not part of the project.
fn program_directory() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program
        .parent()
        .context("the program's path has no directory")?
        .to_path_buf())
}
