//! Runs the end-to-end tests from the command line and in their long forms; prints the result and sets the exit code.
//!
//! `steadfast-e2e walk` exercises every feature with every client; `steadfast-e2e kills [--long]` runs load over kills;
//! `--gateway PATH` uses another program than the one that cargo builds.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use steadfast_e2e::kills::{self, Plan};
use steadfast_e2e::{binaries, walk};

/// The parsed command line.
struct Arguments {
    task: String,
    gateway: Option<PathBuf>,
    plan: Plan,
}

fn main() -> ExitCode {
    let outcome = read(env::args().skip(1)).and_then(|arguments| execute(&arguments));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // A closed stderr leaves no way to report the error.
            drop(writeln!(io::stderr(), "{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn read(mut words: impl Iterator<Item = String>) -> Result<Arguments> {
    let mut arguments = Arguments {
        task: words.next().context("missing task: walk or kills")?,
        gateway: None,
        plan: Plan::short(),
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--long" => arguments.plan = Plan::long(),
            "--cycles" => {
                let cycles = words.next().context("--cycles requires a number")?;
                arguments.plan.cycles = cycles.parse().context("--cycles requires a number")?;
            }
            "--gateway" => {
                let path = words.next().context("--gateway requires a path")?;
                arguments.gateway = Some(PathBuf::from(path));
            }
            other => {
                bail!("unknown option `{other}`: the options are --long, --cycles and --gateway")
            }
        }
    }
    Ok(arguments)
}

fn execute(arguments: &Arguments) -> Result<bool> {
    let mut out = io::stdout();
    let begin = Instant::now();
    let program = || arguments.gateway.clone().map_or_else(binaries::gateway, Ok);
    match arguments.task.as_str() {
        "walk" => {
            walk::run(program()?)?;
            writeln!(out, "every feature works with every kind of client")?;
            Ok(true)
        }
        "kills" => {
            writeln!(out, "{}", arguments.plan)?;
            let verdict = kills::run(program()?, "kills", &arguments.plan)?;
            writeln!(out, "{verdict}")?;
            writeln!(out, "{:23} {:.1} s", "time", begin.elapsed().as_secs_f64())?;
            Ok(verdict.holds())
        }
        other => bail!("unknown task `{other}`: the tasks are walk and kills"),
    }
}
