//! The end-to-end runs by hand and in their long forms: what is printed, and the exit code.
//!
//! `steadfast-e2e walk` leads every client through every feature; `steadfast-e2e kills [--long]` is the load over
//! kills; `--gateway PATH` takes another program than the one that cargo builds. `steadfast-e2e build` only builds what
//! the tests start, so that no test spends its time with a compiler.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use steadfast_e2e::kills::{self, Plan};
use steadfast_e2e::{binaries, walk};

/// What was asked for.
struct Wish {
    task: String,
    gateway: Option<PathBuf>,
    plan: Plan,
}

fn main() -> ExitCode {
    let outcome = read(env::args().skip(1)).and_then(|wish| carry_out(&wish));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing is left to tell when stderr is gone.
            drop(writeln!(io::stderr(), "{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn read(mut arguments: impl Iterator<Item = String>) -> Result<Wish> {
    let mut wish = Wish {
        task: arguments.next().context("walk, kills or build?")?,
        gateway: None,
        plan: Plan::short(),
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--long" => wish.plan = Plan::long(),
            "--cycles" => {
                let cycles = arguments.next().context("--cycles wants a number")?;
                wish.plan.cycles = cycles.parse().context("--cycles wants a number")?;
            }
            "--gateway" => {
                let path = arguments.next().context("--gateway wants a path")?;
                wish.gateway = Some(PathBuf::from(path));
            }
            other => bail!("`{other}` is not understood; there are --long, --cycles and --gateway"),
        }
    }
    Ok(wish)
}

fn carry_out(wish: &Wish) -> Result<bool> {
    let mut out = io::stdout();
    let begin = Instant::now();
    let program = || wish.gateway.clone().map_or_else(binaries::gateway, Ok);
    match wish.task.as_str() {
        "build" => {
            binaries::all()?;
            Ok(true)
        }
        "walk" => {
            walk::run(program()?)?;
            writeln!(out, "every kind of client walked through every feature")?;
            Ok(true)
        }
        "kills" => {
            writeln!(out, "{}", wish.plan)?;
            let verdict = kills::run(program()?, "kills", &wish.plan)?;
            writeln!(out, "{verdict}")?;
            writeln!(out, "{:23} {:.1} s", "time", begin.elapsed().as_secs_f64())?;
            Ok(verdict.holds())
        }
        other => bail!("`{other}` is not understood; there are walk, kills and build"),
    }
}
