//! The command-line arguments of the benchmark.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::bystander;
use crate::client;
use crate::page::Part;
use crate::plan::{Plan, Row};
use crate::proxy;
use crate::rpc;
use crate::servers::Server;

/// The text of `--help`.
pub(crate) const HELP: &str = "\
Measures the gateway compared with other servers, the client library compared with other clients, and the fault proxy
and the bridge compared with plain relays, on two cores of this machine.

Usage: bench [OPTIONS]

  --smoke            one short repeat without third-party servers; fails below half of the required values
  --again            print the last results again, without measuring
  --write-docs       write the tables to docs/performance.md
  --only PART        measure only server, client, bystander, proxy or rpc; the tables of the other parts are not changed
  --gateway PATH     gateway binary to measure [default: a build of the project with the profile of this program]
  --base PATH        another gateway binary, measured in alternation with the gateway and compared with it
  --frame-bytes N    wire size of the other servers' frames [default: that of the gateway, measured first]
  --repeats N        interleaved repeats [default: 5]
  --retries N        maximum number of repetitions of a run that other processes disturbed [default: 2]
  --seconds S        measured time of each run of a rate [default: 1]
  --rows A,B         servers: fanout-1, fanout-32, fanout-64, latency, idle-shared, idle-own, join, storm,
                     storm-killed, ping, durable-1, durable-32, durable-64; client: calls, session, recovery,
                     recovery-late; bystander: log-file, log-stalled, log-closed, log-full-disk, silent-300,
                     silent-1000, joins-and-leaves, large-publications; proxy: proxy-stream, proxy-streams, proxy-redis,
                     proxy-redis-50, proxy-memory; rpc: rpc-calls, bridge-latency. A part without a row is not measured
  --servers A,B      bare, gateway-memory, gateway-durable, ws, bun, jetstream, s2-lite; with --base also
                     base-memory, base-durable
  -h, --help         print this text

Examples:
  bench --rows fanout-1,fanout-64 --servers bare,gateway-memory --repeats 3
  bench --only client --write-docs
  bench --only server --base ../before/steadfast --servers gateway-memory,base-memory
";

/// The options of a run.
#[derive(Clone, Debug)]
pub(crate) struct Args {
    /// The rows of the servers.
    pub(crate) plan: Plan,
    /// The rows of the client library.
    pub(crate) client: client::plan::Plan,
    /// The rows of the bystanders.
    pub(crate) bystander: bystander::plan::Plan,
    /// The rows of the proxy.
    pub(crate) proxy: proxy::plan::Plan,
    /// The rows of JSON-RPC.
    pub(crate) rpc: rpc::plan::Plan,
    pub(crate) is_smoke: bool,
    pub(crate) is_reprint: bool,
    pub(crate) is_writing_docs: bool,
    pub(crate) gateway: Option<PathBuf>,
    pub(crate) base: Option<PathBuf>,
    pub(crate) frame_bytes: Option<usize>,
}

/// A parsed command line.
#[derive(Clone, Debug)]
pub(crate) enum Parsed {
    /// Measure, or print the last results.
    Run(Box<Args>),
    /// Print the help text.
    Help,
}

/// Parses the command line.
pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Parsed> {
    let words: Vec<String> = words.collect();
    let is_smoke = words.iter().any(|word| word == "--smoke");
    let mut args = Args::new(is_smoke);
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .with_context(|| format!("missing value for {word}"))
        };
        match word.as_str() {
            "--smoke" => {}
            "--again" => args.is_reprint = true,
            "--write-docs" => args.is_writing_docs = true,
            "--gateway" => args.gateway = Some(PathBuf::from(value()?)),
            "--base" => {
                args.base = Some(PathBuf::from(value()?));
                let bases = Server::BASES.map(|(_, base)| base);
                args.plan.servers.extend(bases);
            }
            "--frame-bytes" => {
                let bytes = value()?
                    .parse()
                    .context("invalid --frame-bytes: must be a number")?;
                args.frame_bytes = Some(bytes);
            }
            "--repeats" => {
                args.plan.repeats = value()?
                    .parse()
                    .context("invalid --repeats: must be a number")?;
                args.client.repeats = args.plan.repeats;
                args.bystander.repeats = args.plan.repeats;
                args.proxy.repeats = args.plan.repeats;
                args.rpc.repeats = args.plan.repeats;
            }
            "--retries" => {
                args.plan.noise_retries = value()?
                    .parse()
                    .context("invalid --retries: must be a number")?;
                args.client.noise_retries = args.plan.noise_retries;
            }
            "--seconds" => {
                args.plan.time = Duration::from_secs_f64(
                    value()?
                        .parse()
                        .context("invalid --seconds: must be a number")?,
                );
                args.client.time = args.plan.time;
            }
            "--only" => args.select_part(&value()?)?,
            "--rows" => args.select_rows(&value()?)?,
            "--servers" => {
                let list = value()?;
                let words: Vec<&str> = list.split(',').collect();
                args.plan.servers = select(&words, &Server::ALL, Server::name)?;
            }
            "-h" | "--help" => return Ok(Parsed::Help),
            unknown => bail!("unknown option `{unknown}`; --help lists all options"),
        }
    }
    Ok(Parsed::Run(Box::new(args)))
}

impl Args {
    /// Returns the options of a run without arguments.
    fn new(is_smoke: bool) -> Self {
        let (plan, client, bystander, proxy, rpc) = if is_smoke {
            (
                Plan::smoke(),
                client::plan::Plan::smoke(),
                bystander::plan::Plan::smoke(),
                proxy::plan::Plan::smoke(),
                rpc::plan::Plan::smoke(),
            )
        } else {
            (
                Plan::full(),
                client::plan::Plan::full(),
                bystander::plan::Plan::full(),
                proxy::plan::Plan::full(),
                rpc::plan::Plan::full(),
            )
        };
        Self {
            plan,
            client,
            bystander,
            proxy,
            rpc,
            is_smoke,
            is_reprint: false,
            is_writing_docs: false,
            gateway: None,
            base: None,
            frame_bytes: None,
        }
    }

    /// Returns `true` if the part has rows to measure.
    pub(crate) fn has(&self, part: Part) -> bool {
        match part {
            Part::Server => !self.plan.rows.is_empty(),
            Part::Client => !self.client.rows.is_empty(),
            Part::Bystander => !self.bystander.rows.is_empty(),
            Part::Proxy => !self.proxy.rows.is_empty(),
            Part::Rpc => !self.rpc.rows.is_empty(),
        }
    }

    fn select_part(&mut self, name: &str) -> Result<()> {
        let part = match name {
            "server" => Part::Server,
            "client" => Part::Client,
            "bystander" => Part::Bystander,
            "proxy" => Part::Proxy,
            "rpc" => Part::Rpc,
            unknown => {
                bail!("invalid --only `{unknown}`: must be server, client, bystander, proxy or rpc")
            }
        };
        if part != Part::Server {
            self.plan.rows.clear();
        }
        if part != Part::Client {
            self.client.rows.clear();
        }
        if part != Part::Bystander {
            self.bystander.rows.clear();
        }
        if part != Part::Proxy {
            self.proxy.rows.clear();
        }
        if part != Part::Rpc {
            self.rpc.rows.clear();
        }
        Ok(())
    }

    fn select_rows(&mut self, list: &str) -> Result<()> {
        let names = client::plan::Row::ALL.map(client::plan::Row::name);
        let (client_rows, rest): (Vec<&str>, Vec<&str>) =
            list.split(',').partition(|word| names.contains(word));
        let names = bystander::plan::Row::ALL.map(bystander::plan::Row::name);
        let (bystander_rows, rest): (Vec<&str>, Vec<&str>) =
            rest.into_iter().partition(|word| names.contains(word));
        let names = load::relays::Row::ALL.map(load::relays::Row::name);
        let (proxy_rows, rest): (Vec<&str>, Vec<&str>) =
            rest.into_iter().partition(|word| names.contains(word));
        let names = load::rpc::Row::ALL.map(load::rpc::Row::name);
        let (rpc_rows, server_rows): (Vec<&str>, Vec<&str>) =
            rest.into_iter().partition(|word| names.contains(word));
        self.rpc.rows = select(&rpc_rows, &load::rpc::Row::ALL, load::rpc::Row::name)?;
        self.proxy.rows = select(
            &proxy_rows,
            &load::relays::Row::ALL,
            load::relays::Row::name,
        )?;
        self.bystander.rows = select(
            &bystander_rows,
            &bystander::plan::Row::ALL,
            bystander::plan::Row::name,
        )?;
        self.plan.rows = select(&server_rows, &Row::ALL, Row::name)?;
        self.client.rows = select(
            &client_rows,
            &client::plan::Row::ALL,
            client::plan::Row::name,
        )?;
        Ok(())
    }
}

fn select<T: Copy>(words: &[&str], all: &[T], name: fn(T) -> &'static str) -> Result<Vec<T>> {
    words
        .iter()
        .map(|word| {
            let known = all.iter().copied().find(|item| name(*item) == *word);
            known.with_context(|| {
                let names: Vec<&str> = all.iter().map(|item| name(*item)).collect();
                format!("unknown name `{word}`: must be one of {}", names.join(", "))
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
    fn rows_and_servers_can_be_selected() {
        let args = args("--rows join,storm --servers bare --repeats 2");

        assert_eq!(args.plan.rows, [Row::Join, Row::Storm]);
        assert_eq!(args.plan.servers, [Server::Bare]);
        assert_eq!(args.plan.repeats, 2);
    }

    fn args(line: &str) -> Args {
        match parse(words(line)).unwrap() {
            Parsed::Run(args) => *args,
            Parsed::Help => panic!("expected a run"),
        }
    }

    #[test]
    fn a_part_is_excluded_by_its_name_or_because_none_of_its_rows_is_selected() {
        let all = args("");
        let client = args("--only client");
        let calls = args("--rows calls,join");
        let join = args("--rows join");

        assert!(all.has(Part::Server) && all.has(Part::Client) && all.has(Part::Bystander));
        assert!(!client.has(Part::Server) && client.has(Part::Client));
        assert!(!client.has(Part::Bystander) && !calls.has(Part::Bystander));
        assert!(args("--rows silent-300").has(Part::Bystander));
        assert!(args("--only proxy").has(Part::Proxy) && !client.has(Part::Proxy));
        assert!(args("--rows proxy-memory").has(Part::Proxy) && !join.has(Part::Proxy));
        assert!(args("--only rpc").has(Part::Rpc) && !client.has(Part::Rpc));
        assert!(args("--rows rpc-calls").has(Part::Rpc) && !join.has(Part::Rpc));
        assert!(calls.has(Part::Server) && calls.has(Part::Client));
        assert!(join.has(Part::Server) && !join.has(Part::Client));
    }

    #[test]
    fn a_base_gateway_is_measured_only_if_it_is_given() {
        let default = args("");
        let base = args("--base old/steadfast");

        assert!(!default.plan.servers.contains(&Server::BaseMemory));
        assert!(
            base.plan
                .servers
                .ends_with(&[Server::BaseMemory, Server::BaseDurable])
        );
        assert_eq!(base.base, Some(PathBuf::from("old/steadfast")));
    }

    #[test]
    fn an_unknown_name_is_rejected_with_the_known_names() {
        let error = parse(words("--rows fast")).unwrap_err();

        assert!(error.to_string().contains("fanout-1"), "{error}");
        assert!(parse(words("--fast")).is_err());
    }
}
