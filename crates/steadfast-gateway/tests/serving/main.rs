//! The gateway on real sockets: loopback only, ports chosen by the system, the memory store unless a test is about
//! files.

#![cfg(test)]

mod client;
mod first_request;
mod many_commands;
mod messages;
mod probes;
mod shard_messages;
mod shutdown;
mod slow_consumers;
mod start;
mod stuck_disk;

use std::path::Path;
use std::time::Duration;

use steadfast_gateway::config::units::ConfigDuration;
use steadfast_gateway::config::{Config, StoreKind};
use steadfast_gateway::server::{self, Running};

/// Returns a configuration for tests: any port, nothing on disk, one shard unless the test is about several.
fn config() -> Config {
    let mut config = Config::default();
    config.server.port = 0;
    config.server.shards = 1;
    config.store.kind = StoreKind::Memory;
    config
}

/// Returns a configuration for tests whose gateway stores in this directory.
fn durable_config(directory: &Path) -> Config {
    let mut config = config();
    config.store.kind = StoreKind::Segments;
    config.store.directory = directory.to_path_buf();
    config
}

fn serve(config: Config) -> Running {
    server::start(config).unwrap()
}

/// Stops a gateway and waits until it has stopped.
fn stop(running: Running) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(running.stop()).unwrap();
}

fn millis(millis: u64) -> ConfigDuration {
    ConfigDuration(Duration::from_millis(millis))
}
