//! The bench: starts each server on the first core, drives it from the second, prints the tables and keeps the results.
//!
//! Two parts, each with its rows, results and tables: the servers, and the client library (`client`).
//!
//! Owns the order of the runs. Each repeat runs every server once, in rotated order, so that a slow minute of the
//! machine meets all of them.

mod aim;
mod args;
mod client;
mod keep;
mod measure;
mod page;
mod places;
mod plan;
mod results;
mod servers;
mod spread;
mod table;
mod targets;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::aim::Aim as _;
use crate::args::{Args, Parsed};
use crate::page::Part;
use crate::places::Places;
use crate::results::Results;
use crate::targets::TARGETS;

/// The files of all samples, in the folder of results.
const RESULTS: &str = "results.json";
const CLIENT_RESULTS: &str = "client-results.json";

/// A smoke run that misses is repeated so often before it fails: the cores of a test run are busy.
const SMOKE_ATTEMPTS: u32 = 3;

fn main() -> Result<ExitCode> {
    let args = match args::parse(std::env::args().skip(1))? {
        Parsed::Run(args) => args,
        Parsed::Help => {
            say(args::HELP)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    raise_open_files()?;
    if args.is_again {
        let output = places::output()?;
        if args.has(Part::Server) {
            let results = keep::read(&output.join(RESULTS))?;
            show(&args, Part::Server, &table::markdown(&results))?;
        }
        if args.has(Part::Client) {
            let results = keep::read(&output.join(CLIENT_RESULTS))?;
            show(&args, Part::Client, &client::table::markdown(&results))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let places = Places::prepare(args.gateway.clone(), args.has(Part::Client))?;
    if args.is_smoke {
        return smoke(&args, &places);
    }
    if args.has(Part::Server) {
        let results = run(&args, &places)?;
        keep::write(&places.output.join(RESULTS), &results)?;
        show(&args, Part::Server, &table::markdown(&results))?;
    }
    if args.has(Part::Client) {
        let results = client::measure::run(&args.client, &places, machine()?)?;
        keep::write(&places.output.join(CLIENT_RESULTS), &results)?;
        show(&args, Part::Client, &client::table::markdown(&results))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(args: &Args, part: Part, table: &str) -> Result<()> {
    say(table)?;
    if args.writes_docs {
        page::rewrite(&places::root()?.join("docs/performance.md"), part, table)?;
    }
    Ok(())
}

fn smoke(args: &Args, places: &Places) -> Result<ExitCode> {
    let mut is_good = true;
    if args.has(Part::Server) {
        is_good &= attempt(|| {
            let results = run(args, places)?;
            Ok((table::markdown(&results), misses(&results)))
        })?;
    }
    if args.has(Part::Client) {
        is_good &= attempt(|| {
            let results = client::measure::run(&args.client, places, machine()?)?;
            let misses = client::targets::misses(&results);
            Ok((client::table::markdown(&results), misses))
        })?;
    }
    if is_good {
        return Ok(ExitCode::SUCCESS);
    }
    say("the smoke run stays below half of its targets; `make bench` gives the full picture\n")?;
    Ok(ExitCode::FAILURE)
}

/// Measures until nothing is missed, but not too often; `measure` gives the tables and what was missed.
fn attempt(measure: impl Fn() -> Result<(String, Vec<String>)>) -> Result<bool> {
    for attempt in 1..=SMOKE_ATTEMPTS {
        let (tables, misses) = measure()?;
        say(&tables)?;
        if misses.is_empty() {
            return Ok(true);
        }
        for miss in misses {
            say(&format!("attempt {attempt}: {miss}\n"))?;
        }
    }
    Ok(false)
}

/// The targets that were missed by more than half.
fn misses(results: &Results) -> Vec<String> {
    TARGETS
        .iter()
        .filter_map(|target| {
            let result = target.result(results)?;
            let least = target.least?;
            let missed = !target.is_half_met(result.median);
            missed.then(|| {
                format!(
                    "{}: {:.2}, must be {}",
                    table::name(target),
                    result.median,
                    target.bound(least)
                )
            })
        })
        .collect()
}

fn run(args: &Args, places: &Places) -> Result<Results> {
    let plan = &args.plan;
    let frame_bytes = match args.frame_bytes {
        Some(bytes) => bytes,
        None => measure::probe(places).context("the gateway could not be probed")?,
    };
    let mut samples = Vec::new();
    for repeat in 0..plan.repeats {
        let mut order = plan.servers.clone();
        order.rotate_left(usize::try_from(repeat)? % plan.servers.len().max(1));
        for server in order {
            talk(&format!(
                "repeat {} of {}: {} ({})\n",
                repeat + 1,
                plan.repeats,
                server.name(),
                server.store()
            ))?;
            let measured = measure::server(server, repeat, plan, places, frame_bytes)
                .with_context(|| format!("measuring {}", server.name()))?;
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
    })
}

/// The kind of machine: its processor, how many cores, the kernel.
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
        servers::machine_cores()?,
        kernel.join(".")
    ))
}

/// 9,000 connections are 9,000 open files, here and in each server.
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

fn say(text: &str) -> Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn talk(text: &str) -> Result<()> {
    Ok(std::io::stderr().write_all(text.as_bytes())?)
}
