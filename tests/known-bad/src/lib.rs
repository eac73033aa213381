//! The code that the known-bad builds share.
//!
//! A known-bad gateway is the real one with one planted bug, in a wrapper around its log. The product has no setting for
//! planted bugs. Each is a binary in `src/bin`; `tests/e2e` starts it like `steadfast serve` and must detect the bug.
//! [`client`] has the planted bugs of clients, and `nft` those of a packet filter.

pub mod client;

use std::convert::Infallible;
use std::env;
use std::io;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, ensure};
use steadfast_engine::Engine;
use steadfast_gateway::config::load::LoadedConfig;
use steadfast_gateway::server;
use steadfast_log::Log;
use steadfast_log::io::{Input, Output};

/// Serves as `steadfast serve --config FILE` does, with the log inside the wrapper that `wrap` returns, until the
/// process is killed.
///
/// # Errors
///
/// When the command line is not `serve --config FILE`, or the gateway cannot start.
pub fn serve<M>(wrap: impl FnOnce(Log) -> M) -> Result<Infallible>
where
    M: Engine<Input = Input, Output = Output> + Send + 'static,
{
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let words: Vec<String> = env::args().skip(1).collect();
    let file = words.get(2).context("usage: serve --config FILE")?;
    let is_known = words.len() == 3 && words.starts_with(&["serve".into(), "--config".into()]);
    ensure!(is_known, "usage: serve --config FILE");
    let _running = server::start_with_log(LoadedConfig::read(Path::new(file))?, wrap)?;
    loop {
        thread::park();
    }
}
