//! Runs the end-to-end tests from the command line and in their long forms; prints the result and sets the exit code.
//!
//! `steadfast-e2e walk` exercises every feature with every client; `steadfast-e2e kills [--long]` runs load over kills;
//! `steadfast-e2e slow-links [--long]` lets clients recover over slow links, `steadfast-e2e failover` moves clients between
//! two gateways, `steadfast-e2e documents` runs every command and sample of the documents but those of the pages that
//! `steadfast-e2e own-service` and `steadfast-e2e emulated` run, and `steadfast-e2e proxy-python` drives the proxy with a client whose port is fixed, all
//! six in network namespaces of their own; `steadfast-e2e proxy-node` does so with a client that needs none;
//! `--gateway PATH` uses another program than the one that cargo builds.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use steadfast_e2e::kills::{self, Plan};
use steadfast_e2e::{binaries, documents, failover, namespaces, proxy_clients, slow_links, walk};

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
    let words: Vec<String> = env::args().skip(1).collect();
    let outcome = match words.as_slice() {
        // What `failover` starts on the host of a gateway.
        [task, address] if task == "unavailable" => serve_unavailable(address).map(|()| true),
        _ => read(words.into_iter()).and_then(|arguments| execute(&arguments)),
    };
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
            .context("missing task: walk, kills, slow-links, failover, documents, own-service, emulated, proxy-node or proxy-python")?,
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
        "failover" if arguments.is_inside => {
            failover::run(&program()?)?;
            writeln!(
                out,
                "every client was on the second gateway in time, and on the first again"
            )?;
            Ok(true)
        }
        "documents" if arguments.is_inside => {
            documents::run(&program()?)?;
            writeln!(out, "every command and sample of the documents works")?;
            Ok(true)
        }
        "own-service" if arguments.is_inside => {
            documents::run_own_service(&program()?)?;
            writeln!(out, "the page about a service of one's own works")?;
            Ok(true)
        }
        "emulated" if arguments.is_inside => {
            documents::run_emulated(&program()?)?;
            writeln!(out, "the pages about emulated servers work")?;
            Ok(true)
        }
        "proxy-node" => {
            proxy_clients::run_node(&program()?)?;
            writeln!(out, "every call and toxic of the client for Node works")?;
            Ok(true)
        }
        "proxy-python" if arguments.is_inside => {
            proxy_clients::run_python(&program()?)?;
            writeln!(out, "every call and toxic of the client for Python works")?;
            Ok(true)
        }
        "slow-links" | "failover" | "documents" | "own-service" | "emulated" | "proxy-python" => {
            run_in_namespaces(arguments, &program()?)
        }
        other => {
            bail!(
                "unknown task `{other}`: the tasks are walk, kills, slow-links, failover, documents, own-service, emulated, proxy-node and proxy-python"
            )
        }
    }
}

fn serve_unavailable(address: &str) -> Result<()> {
    failover::unavailable::serve(address.parse()?)
}

/// Starts this program again in namespaces of its own. The gateway is built before, because in the namespaces there is no
/// other network.
fn run_in_namespaces(arguments: &Arguments, gateway: &Path) -> Result<bool> {
    if let Some(reason) = namespaces::unavailable() {
        bail!("network namespaces are not available: {reason}");
    }
    let gateway = gateway.display().to_string();
    let words = [arguments.task.as_str(), "--inside", "--gateway", &gateway].map(str::to_owned);
    let long = env::args().filter(|word| word == "--long");
    let words: Vec<String> = words.into_iter().chain(long).collect();
    Ok(namespaces::run_inside(&env::current_exe()?, &words)?.success())
}
