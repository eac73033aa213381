//! Measures the proxy without toxics in one run with the direct path and with a bare copy loop.
//!
//! Each round measures every path once, in rotated order, so that a slow minute of the machine affects all of them. The
//! proxy and the copy loop are processes of their own with the same runtime, one thread of tokio.

mod memory;
mod redis;
mod relay;
mod table;
mod throughput;

use std::io::Write;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::relay::{Kind, Relay};
use crate::table::{Path, Rows};

const HELP: &str = "\
Usage: proxy-bench [--rounds N] [--short]

  --rounds N  measure each path N times; 5 by default
  --short     one short round, to check that everything works
";

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Scale {
    rounds: usize,
    is_short: bool,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", kind, upstream] => relay::serve(Kind::parse(kind)?, upstream.parse()?),
        [] => measure(Scale {
            rounds: 5,
            is_short: false,
        }),
        ["--short"] => measure(Scale {
            rounds: 1,
            is_short: true,
        }),
        ["--rounds", rounds] => measure(Scale {
            rounds: rounds.parse().context("--rounds needs a number")?,
            is_short: false,
        }),
        ["--help"] => print(HELP),
        _ => bail!("unknown arguments {args:?}\n\n{HELP}"),
    }
}

fn measure(scale: Scale) -> Result<()> {
    raise_open_files()?;
    let sink = throughput::Sink::start()?;
    let redis = redis::Server::start()?;
    let mut rows = Rows::default();
    {
        let to_sink = paths(sink.address())?;
        let to_redis = redis.as_ref().map(|it| paths(it.address())).transpose()?;
        for round in 0..scale.rounds {
            for turn in 0..Path::ALL.len() {
                let index = (round + turn) % Path::ALL.len();
                let Some(path) = Path::ALL.get(index).copied() else {
                    continue;
                };
                for connections in [1, 8] {
                    let rate =
                        throughput::run(to_sink.address(path), &sink, connections, scale.is_short)?;
                    rows.add(format!("MB/s, {connections} connections"), path, rate);
                }
                if let Some(to_redis) = &to_redis {
                    for clients in [1, 50] {
                        let rate = redis::run(to_redis.address(path), clients, scale.is_short)?;
                        rows.add(format!("redis GET/s, {clients} clients"), path, rate);
                    }
                }
            }
        }
    }
    print(&rows.markdown())?;
    if redis.is_none() {
        print("\nSKIP redis: `redis-server` is not installed\n")?;
    }
    let connections = if scale.is_short { 200 } else { 5_000 };
    for kind in [Kind::Copy, Kind::Proxy] {
        let bytes = memory::run(kind, connections)?;
        print(&format!(
            "\nmemory of the {}: {bytes} bytes a connection at {connections} connections\n",
            kind.name()
        ))?;
    }
    Ok(())
}

/// The three paths to one server.
struct Paths {
    direct: SocketAddr,
    copy: Relay,
    proxy: Relay,
}

impl Paths {
    const fn address(&self, path: Path) -> SocketAddr {
        match path {
            Path::Direct => self.direct,
            Path::Copy => self.copy.address(),
            Path::Proxy => self.proxy.address(),
        }
    }
}

fn paths(direct: SocketAddr) -> Result<Paths> {
    Ok(Paths {
        direct,
        copy: Relay::start(Kind::Copy, direct)?,
        proxy: Relay::start(Kind::Proxy, direct)?,
    })
}

/// Each connection needs two descriptors in each process.
fn raise_open_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")
}

fn print(text: &str) -> Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}
