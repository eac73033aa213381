//! Runs the end-to-end tests from the command line and in their long forms; prints the result and sets the exit code.
//!
//! `steadfast-e2e walk` exercises every feature with every client; `steadfast-e2e kills [--long]` runs load over kills;
//! `steadfast-e2e slow-links [--long]` lets clients recover over slow links, in network namespaces of its own;
//! `--gateway PATH` uses another program than the one that cargo builds.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use steadfast_e2e::kills::{self, Plan};
use steadfast_e2e::slow_links::{self, network};
use steadfast_e2e::{binaries, walk};

/// The parsed command line.
struct Arguments {
    task: String,
    gateway: Option<PathBuf>,
    plan: Plan,
    links: slow_links::Plan,
    /// Whether this process is in namespaces of its own.
    is_inside: bool,
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
        task: words
            .next()
            .context("missing task: walk, kills or slow-links")?,
        gateway: None,
        plan: Plan::short(),
        links: slow_links::Plan::SHORT,
        is_inside: false,
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--long" => {
                arguments.plan = Plan::long();
                arguments.links = slow_links::Plan::LONG;
            }
            "--inside" => arguments.is_inside = true,
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
        "slow-links" if arguments.is_inside => {
            slow_links::run(program()?, arguments.links)?;
            writeln!(out, "every client has recovered over its slow link")?;
            Ok(true)
        }
        "slow-links" => {
            if let Some(reason) = network::unavailable() {
                bail!("network namespaces are not available: {reason}");
            }
            // The program is built outside of the namespaces, in which there is no other network.
            let words = ["slow-links", "--inside", "--gateway"].map(str::to_owned);
            let gateway = program()?.display().to_string();
            let long = env::args().filter(|word| word == "--long");
            let words: Vec<String> = words.into_iter().chain([gateway]).chain(long).collect();
            Ok(network::run_inside(&env::current_exe()?, &words)?.success())
        }
        other => bail!("unknown task `{other}`: the tasks are walk, kills and slow-links"),
    }
}
