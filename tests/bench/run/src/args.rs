//! What was typed.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::client;
use crate::page::Part;
use crate::plan::{Plan, Row};
use crate::servers::Server;

/// The answer to `--help`.
pub(crate) const HELP: &str = "\
Measures the gateway beside other servers, and the client library beside others, on two cores of this machine.

Usage: bench [OPTIONS]

  --smoke            one short repeat without peers; fails below half of the targets
  --again            prints the last results again, without measuring
  --write-docs       writes the tables into docs/performance.md
  --only PART        server or client: the other part is left out, and its tables stay as they are
  --gateway PATH     a gateway that is built already [default: a release build of the project]
  --frame-bytes N    wire size of the other servers' frames [default: that of the gateway, measured first]
  --repeats N        interleaved repeats [default: 5]
  --retries N        runs again at most so often when others use the machine [default: 2]
  --seconds S        measured time of each run of a rate [default: 1]
  --rows A,B         fanout-1, fanout-32, fanout-64, latency, idle-shared, idle-own, join, storm,
                     storm-killed, ping; of the client: calls, session, recovery, recovery-late.
                     A part without a row is left out
  --servers A,B      bare, gateway-memory, gateway-durable, ws, bun
  -h, --help         this text

Examples:
  bench --rows fanout-1,fanout-64 --servers bare,gateway-memory --repeats 3
  bench --only client --write-docs
";

/// What to do.
#[derive(Clone, Debug)]
pub(crate) struct Args {
    /// The rows of the servers.
    pub(crate) plan: Plan,
    /// Those of the client library.
    pub(crate) client: client::plan::Plan,
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
    let (plan, client) = if is_smoke {
        (Plan::smoke(), client::plan::Plan::smoke())
    } else {
        (Plan::full(), client::plan::Plan::full())
    };
    let mut args = Args {
        plan,
        client,
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
                args.client.repeats = args.plan.repeats;
            }
            "--retries" => {
                args.plan.noise_retries = value()?.parse().context("--retries takes a number")?;
                args.client.noise_retries = args.plan.noise_retries;
            }
            "--seconds" => {
                args.plan.time =
                    Duration::from_secs_f64(value()?.parse().context("--seconds takes a number")?);
                args.client.time = args.plan.time;
            }
            "--only" => match value()?.as_str() {
                "server" => args.client.rows.clear(),
                "client" => args.plan.rows.clear(),
                unknown => bail!("--only takes server or client, not {unknown}"),
            },
            "--rows" => args.pick_rows(&value()?)?,
            "--servers" => {
                let list = value()?;
                let words: Vec<&str> = list.split(',').collect();
                args.plan.servers = pick(&words, &Server::ALL, Server::name)?;
            }
            "-h" | "--help" => return Ok(Parsed::Help),
            unknown => bail!("unknown option {unknown}; --help lists them"),
        }
    }
    Ok(Parsed::Run(Box::new(args)))
}

impl Args {
    /// The parts that have something to measure.
    pub(crate) fn has(&self, part: Part) -> bool {
        match part {
            Part::Server => !self.plan.rows.is_empty(),
            Part::Client => !self.client.rows.is_empty(),
        }
    }

    fn pick_rows(&mut self, list: &str) -> Result<()> {
        let names = client::plan::Row::ALL.map(client::plan::Row::name);
        let (of_client, of_servers): (Vec<&str>, Vec<&str>) =
            list.split(',').partition(|word| names.contains(word));
        self.plan.rows = pick(&of_servers, &Row::ALL, Row::name)?;
        self.client.rows = pick(&of_client, &client::plan::Row::ALL, client::plan::Row::name)?;
        Ok(())
    }
}

fn pick<T: Copy>(words: &[&str], all: &[T], name: fn(T) -> &'static str) -> Result<Vec<T>> {
    words
        .iter()
        .map(|word| {
            let known = all.iter().copied().find(|item| name(*item) == *word);
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
        let args = args("--rows join,storm --servers bare --repeats 2");

        assert_eq!(args.plan.rows, [Row::Join, Row::Storm]);
        assert_eq!(args.plan.servers, [Server::Bare]);
        assert_eq!(args.plan.repeats, 2);
    }

    fn args(line: &str) -> Args {
        match parse(words(line)).unwrap() {
            Parsed::Run(args) => *args,
            Parsed::Help => panic!("a run"),
        }
    }

    #[test]
    fn a_part_is_left_out_by_its_name_or_because_no_row_of_it_is_picked() {
        let all = args("");
        let client = args("--only client");
        let calls = args("--rows calls,join");
        let join = args("--rows join");

        assert!(all.has(Part::Server) && all.has(Part::Client));
        assert!(!client.has(Part::Server) && client.has(Part::Client));
        assert!(calls.has(Part::Server) && calls.has(Part::Client));
        assert!(join.has(Part::Server) && !join.has(Part::Client));
    }

    #[test]
    fn an_unknown_word_is_refused_with_what_is_known() {
        let error = parse(words("--rows fast")).unwrap_err();

        assert!(error.to_string().contains("fanout-1"), "{error}");
        assert!(parse(words("--fast")).is_err());
    }
}
