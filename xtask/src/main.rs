//! The project's own tasks, for everything behind the Makefile that has logic.
//!
//! `main` only finds the task by its name; each task is a module. Nothing here is part of the product.

mod demo;
mod layers;
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

  run                        the page, the gateway and painters, built and started; PORT=9000 changes the port
  setup                      install what is missing, in .venv and node_modules
  check [--only A,B]         format, lints, docs, tidy, spelling, links, dependencies
  test [--only A,B]          setup, check, then every test; --skip A,B and --list too
  tidy                       rules of the tree that no linter knows
  layers                     edges between crates, and what pure crates may use
  links                      links between documents
  pictures                   the pictures of the documents, from the real page
  fix                        format Rust and TOML, mend spelling
  precommit                  format and spelling of what is staged
  conformance, bench, fuzz, lab, sim, soak
                             the long forms; each is a list of steps like test";

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
        "setup" => setup::run(),
        "tidy" => tidy::run(),
        "layers" => layers::run(),
        "precommit" => setup::precommit(),
        list => match steps::list(list) {
            Some(steps) => steps::run(&steps, &Choice::parse(rest)?),
            None => bail!("no task is called `{list}`\n{USAGE}"),
        },
    }
}
