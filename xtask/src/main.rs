//! The project's own tasks: everything that the Makefile calls and that has logic.
//!
//! `main` only finds the task by its name; each task is a module. Nothing here is part of the product.

mod api;
mod demo;
mod features;
mod layers;
mod mutants;
mod page;
mod setup;
mod steps;
mod tidy;
mod tools;
mod tree;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::steps::Choice;
use crate::tools::say;

const USAGE: &str = "\
usage: cargo xtask TASK

  run                        build and start the demo; PORT=9000 changes the port
  page                       build the page of the demo, unless it is up to date
  setup                      install what is missing, in .venv and node_modules
  bench-servers              install the servers that only the benchmark starts
  check [--only A,B]         format, lints, docs, tidy, spelling, links, dependencies
  test [--only A,B]          setup, check, then all tests; also --skip A,B, --list
  tidy                       check rules that no linter knows
  layers                     check dependencies between crates, and of pure crates
  api [--accept]             compare the public API with crates/*/api.txt, or rewrite these lists
  features                   check that each feature of the client library builds alone
  links                      check links between documents
  pictures                   regenerate the pictures of the documents from the real page
  portable                   check the client library for Windows and macOS
  fix                        format Rust and TOML, fix spelling
  precommit                  check format and spelling of staged files
  mutants [CRATE] [OPTIONS]  find changes of a crate that its tests do not notice
  conformance, bench, fuzz, lab, sim, soak
                             long tests; each is a list of steps, as test is";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let Some((task, rest)) = arguments.split_first() else {
        bail!("no task given\n{USAGE}");
    };
    match task.as_str() {
        "help" | "--help" | "-h" => {
            say(USAGE);
            Ok(())
        }
        "run" => demo::run(),
        "page" => page::build(),
        "setup" => setup::run(),
        "bench-servers" => setup::bench_servers(),
        "tidy" => tidy::run(),
        "layers" => layers::run(),
        "api" => api::run(rest),
        "features" => features::run(),
        "mutants" => mutants::run(rest),
        "precommit" => setup::precommit(),
        task => match steps::list(task) {
            Some(steps) => steps::run(&steps, &Choice::parse(rest)?),
            None => bail!("unknown task `{task}`\n{USAGE}"),
        },
    }
}
