//! The benchmark: starts each server on the first core, drives it from the second, prints the tables and stores the
//! results.
//!
//! It has five parts, each with rows, results and tables: the servers, the client library (`client`), JSON-RPC and the
//! bridge (`rpc`), clients while others disturb the gateway (`bystander`), and the fault proxy (`proxy`).
//!
//! Determines the order of the runs. Each repeat runs every server once, in rotated order, so that a slow minute of the
//! machine affects all of them.

mod args;
mod bounds;
mod bystander;
mod client;
mod measure;
mod page;
mod paths;
mod plan;
mod proxy;
mod results;
mod results_file;
mod rpc;
mod servers;
mod spread;
mod table;
mod targets;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::args::{Args, Parsed};
use crate::bounds::TargetBounds as _;
use crate::page::Part;
use crate::paths::Paths;
use crate::results::{Results, Skipped};
use crate::targets::TARGETS;

/// The files of all samples, in the directory of results.
const RESULTS: &str = "results.json";
const CLIENT_RESULTS: &str = "client-results.json";
const BYSTANDER_RESULTS: &str = "bystander-results.json";
const PROXY_RESULTS: &str = "proxy-results.json";
const RPC_RESULTS: &str = "rpc-results.json";

/// Maximum number of attempts of a smoke run that misses its targets: the cores of a test run are busy.
const SMOKE_ATTEMPTS: u32 = 3;

fn main() -> Result<ExitCode> {
    let args = match args::parse(std::env::args().skip(1))? {
        Parsed::Run(args) => args,
        Parsed::Help => {
            print(args::HELP)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    raise_open_files()?;
    if args.is_reprint {
        reprint(&args)?;
        return Ok(ExitCode::SUCCESS);
    }
    let paths = Paths::prepare(args.gateway.clone(), args.base.clone(), |part| {
        args.has(part)
    })?;
    if args.is_smoke {
        smoke(&args, &paths)
    } else {
        full(&args, &paths)
    }
}

/// Prints the last results again.
fn reprint(args: &Args) -> Result<()> {
    let output = paths::output()?;
    if args.has(Part::Server) {
        let results = results_file::read(&output.join(RESULTS))?;
        show(args, Part::Server, &table::markdown(&results))?;
    }
    if args.has(Part::Client) {
        let results = results_file::read(&output.join(CLIENT_RESULTS))?;
        show(args, Part::Client, &client::table::markdown(&results))?;
    }
    if args.has(Part::Bystander) {
        let results = results_file::read(&output.join(BYSTANDER_RESULTS))?;
        let table = bystander::table::markdown(&results);
        show(args, Part::Bystander, &table)?;
    }
    if args.has(Part::Proxy) {
        let results = results_file::read(&output.join(PROXY_RESULTS))?;
        show(args, Part::Proxy, &proxy::table::markdown(&results))?;
    }
    if args.has(Part::Rpc) {
        let results = results_file::read(&output.join(RPC_RESULTS))?;
        show(args, Part::Rpc, &rpc::table::markdown(&results))?;
    }
    Ok(())
}

/// Measures all parts, and stores and prints their results. Fails if the proxy or JSON-RPC misses a required value, which is
/// a ratio within one run or memory, and so does not depend on the machine.
fn full(args: &Args, paths: &Paths) -> Result<ExitCode> {
    let mut missed = Vec::new();
    if args.has(Part::Server) {
        let results = run(args, paths)?;
        results_file::write(&paths.output.join(RESULTS), &results)?;
        show(args, Part::Server, &table::markdown(&results))?;
    }
    if args.has(Part::Client) {
        let results = client::measure::run(&args.client, paths, machine()?)?;
        results_file::write(&paths.output.join(CLIENT_RESULTS), &results)?;
        show(args, Part::Client, &client::table::markdown(&results))?;
    }
    if args.has(Part::Bystander) {
        let results = bystander::measure::run(&args.bystander, paths, machine()?)?;
        results_file::write(&paths.output.join(BYSTANDER_RESULTS), &results)?;
        let table = bystander::table::markdown(&results);
        show(args, Part::Bystander, &table)?;
    }
    if args.has(Part::Proxy) {
        let results = proxy::measure::run(&args.proxy, paths, machine()?)?;
        results_file::write(&paths.output.join(PROXY_RESULTS), &results)?;
        show(args, Part::Proxy, &proxy::table::markdown(&results))?;
        missed = proxy::targets::misses(&results, 1.0);
    }
    if args.has(Part::Rpc) {
        let results = rpc::measure::run(&args.rpc, paths, machine()?)?;
        results_file::write(&paths.output.join(RPC_RESULTS), &results)?;
        show(args, Part::Rpc, &rpc::table::markdown(&results))?;
        missed.extend(rpc::targets::misses(&results, 1.0));
    }
    for miss in &missed {
        print(&format!("missed: {miss}\n"))?;
    }
    Ok(if missed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn show(args: &Args, part: Part, table: &str) -> Result<()> {
    print(table)?;
    if args.is_writing_docs {
        page::rewrite(&paths::root()?.join("docs/performance.md"), part, table)?;
    }
    Ok(())
}

fn smoke(args: &Args, paths: &Paths) -> Result<ExitCode> {
    let mut is_good = true;
    if args.has(Part::Server) {
        is_good &= attempt(|| {
            let results = run(args, paths)?;
            Ok((table::markdown(&results), misses(&results)))
        })?;
    }
    if args.has(Part::Client) {
        is_good &= attempt(|| {
            let results = client::measure::run(&args.client, paths, machine()?)?;
            let misses = client::targets::misses(&results);
            Ok((client::table::markdown(&results), misses))
        })?;
    }
    if args.has(Part::Proxy) {
        is_good &= attempt(|| {
            let results = proxy::measure::run(&args.proxy, paths, machine()?)?;
            let misses = proxy::targets::misses(&results, 0.5);
            Ok((proxy::table::markdown(&results), misses))
        })?;
    }
    if args.has(Part::Rpc) {
        is_good &= attempt(|| {
            let results = rpc::measure::run(&args.rpc, paths, machine()?)?;
            let misses = rpc::targets::misses(&results, 0.5);
            Ok((rpc::table::markdown(&results), misses))
        })?;
    }
    if is_good {
        return Ok(ExitCode::SUCCESS);
    }
    print(
        "smoke run failed: below half of the required values; run `make bench` for all results\n",
    )?;
    Ok(ExitCode::FAILURE)
}

/// Measures until no target is missed, at most [`SMOKE_ATTEMPTS`] times. `measure` returns the tables and the missed
/// targets.
fn attempt(measure: impl Fn() -> Result<(String, Vec<String>)>) -> Result<bool> {
    for attempt in 1..=SMOKE_ATTEMPTS {
        let (tables, misses) = measure()?;
        print(&tables)?;
        if misses.is_empty() {
            return Ok(true);
        }
        for miss in misses {
            print(&format!("attempt {attempt}: {miss}\n"))?;
        }
    }
    Ok(false)
}

/// Returns the targets of which less than half was reached.
fn misses(results: &Results) -> Vec<String> {
    TARGETS
        .iter()
        .filter_map(|target| {
            let result = target.result(results)?;
            let required = target.required?;
            let missed = !target.is_half_met(result.median);
            missed.then(|| {
                format!(
                    "{}: {:.2}, must be {}",
                    table::name(target),
                    result.median,
                    target.format_bound(required)
                )
            })
        })
        .collect()
}

fn run(args: &Args, paths: &Paths) -> Result<Results> {
    let plan = &args.plan;
    let frame_bytes = match args.frame_bytes {
        Some(bytes) => bytes,
        None => measure::probe(paths).context("failed to measure the frame size of the gateway")?,
    };
    let mut samples = Vec::new();
    let (mut servers, mut skipped) = (Vec::new(), Vec::new());
    for server in plan.servers.iter().copied() {
        match servers::missing(server, paths) {
            Some(reason) => skipped.push(Skipped { server, reason }),
            None => servers.push(server),
        }
    }
    for repeat in 0..plan.repeats {
        let mut order = servers.clone();
        order.rotate_left(usize::try_from(repeat)? % servers.len().max(1));
        for server in order {
            print_progress(&format!(
                "repeat {} of {}: {} ({})\n",
                repeat + 1,
                plan.repeats,
                server.name(),
                server.store()
            ))?;
            let measured = measure::server(server, repeat, plan, paths, frame_bytes)
                .with_context(|| format!("failed to measure {}", server.name()))?;
            samples.extend(measured);
        }
    }
    Ok(Results {
        machine: machine()?,
        frame_bytes,
        repeats: plan.repeats,
        subscribers: plan.subscribers,
        idle: plan.idle,
        samples,
        skipped,
    })
}

/// Describes the machine: processor, number of cores, kernel.
fn machine() -> Result<String> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| {
            rest.trim_start_matches([' ', '\t', ':'])
        });
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let kernel: Vec<&str> = kernel.trim().split(['.', '-']).take(2).collect();
    Ok(format!(
        "{model}, {} shared cores, Linux {}",
        load::cores::machine_cores()?,
        kernel.join(".")
    ))
}

/// Raises the limit of open files: 9,000 connections are 9,000 open files, here and in each server.
fn raise_open_files() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?)
}

fn print(text: &str) -> Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn print_progress(text: &str) -> Result<()> {
    Ok(std::io::stderr().write_all(text.as_bytes())?)
}
