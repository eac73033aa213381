//! What was typed.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::plan::{Plan, Row};
use crate::servers::Server;

/// The answer to `--help`.
pub(crate) const HELP: &str = "\
Measures the gateway beside other servers, on two cores of this machine.

Usage: bench [OPTIONS]

  --smoke            one short repeat without peers; fails below half of the targets
  --again            prints the last results again, without measuring
  --write-docs       writes the table into docs/performance.md
  --gateway PATH     a gateway that is built already [default: a release build of the project]
  --frame-bytes N    wire size of the other servers' frames [default: that of the gateway, measured first]
  --repeats N        interleaved repeats [default: 5]
  --retries N        runs again at most so often when others use the machine [default: 2]
  --seconds S        measured time of each run [default: 1]
  --rows A,B         fanout-1, fanout-32, fanout-64, latency, idle-shared, idle-own, join, storm,
                     storm-killed, ping
  --servers A,B      bare, gateway-memory, gateway-durable, ws, bun
  -h, --help         this text

Example: bench --rows fanout-1,fanout-64 --servers bare,gateway-memory --repeats 3
";

/// What to do.
#[derive(Clone, Debug)]
pub(crate) struct Args {
    pub(crate) plan: Plan,
    pub(crate) is_smoke: bool,
    pub(crate) is_again: bool,
    pub(crate) writes_docs: bool,
    pub(crate) gateway: Option<PathBuf>,
    pub(crate) frame_bytes: Option<usize>,
}

/// A command line is a run or a question.
#[derive(Clone, Debug)]
pub(crate) enum Parsed {
    /// A run.
    Run(Box<Args>),
    /// `--help`.
    Help,
}

/// Reads the command line.
pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Parsed> {
    let words: Vec<String> = words.collect();
    let is_smoke = words.iter().any(|word| word == "--smoke");
    let plan = if is_smoke {
        Plan::smoke()
    } else {
        Plan::full()
    };
    let mut args = Args {
        plan,
        is_smoke,
        is_again: false,
        writes_docs: false,
        gateway: None,
        frame_bytes: None,
    };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .with_context(|| format!("{word} needs a value"))
        };
        match word.as_str() {
            "--smoke" => {}
            "--again" => args.is_again = true,
            "--write-docs" => args.writes_docs = true,
            "--gateway" => args.gateway = Some(PathBuf::from(value()?)),
            "--frame-bytes" => {
                let bytes = value()?.parse().context("--frame-bytes takes a number")?;
                args.frame_bytes = Some(bytes);
            }
            "--repeats" => {
                args.plan.repeats = value()?.parse().context("--repeats takes a number")?;
            }
            "--retries" => {
                args.plan.noise_retries = value()?.parse().context("--retries takes a number")?;
            }
            "--seconds" => {
                args.plan.time =
                    Duration::from_secs_f64(value()?.parse().context("--seconds takes a number")?);
            }
            "--rows" => args.plan.rows = pick(&value()?, &Row::ALL, Row::name)?,
            "--servers" => args.plan.servers = pick(&value()?, &Server::ALL, Server::name)?,
            "-h" | "--help" => return Ok(Parsed::Help),
            unknown => bail!("unknown option {unknown}; --help lists them"),
        }
    }
    Ok(Parsed::Run(Box::new(args)))
}

fn pick<T: Copy>(list: &str, all: &[T], name: fn(T) -> &'static str) -> Result<Vec<T>> {
    list.split(',')
        .map(|word| {
            let known = all.iter().copied().find(|item| name(*item) == word);
            known.with_context(|| {
                let names: Vec<&str> = all.iter().map(|item| name(*item)).collect();
                format!("unknown name {word}; known are {}", names.join(", "))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> impl Iterator<Item = String> + '_ {
        line.split_whitespace().map(str::to_owned)
    }

    #[test]
    fn rows_and_servers_can_be_picked() {
        let Parsed::Run(args) =
            parse(words("--rows join,storm --servers bare --repeats 2")).unwrap()
        else {
            panic!("a run")
        };

        assert_eq!(args.plan.rows, [Row::Join, Row::Storm]);
        assert_eq!(args.plan.servers, [Server::Bare]);
        assert_eq!(args.plan.repeats, 2);
    }

    #[test]
    fn an_unknown_word_is_refused_with_what_is_known() {
        let error = parse(words("--rows fast")).unwrap_err();

        assert!(error.to_string().contains("fanout-1"), "{error}");
        assert!(parse(words("--fast")).is_err());
    }
}
