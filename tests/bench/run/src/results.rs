//! The samples of a run, with their medians and ranges.

use serde::{Deserialize, Serialize};

use crate::plan::Row;
use crate::servers::Server;
use crate::spread::Spread;

/// All samples of a run.
pub(crate) type Samples = Vec<Sample>;

/// One row of one server in one repeat. Fields that a row does not have are 0.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) row: Row,
    pub(crate) server: Server,
    pub(crate) repeat: u32,
    /// Fan-out: deliveries per second. Latency: the 99th percentile in ms, or the maximum below 100 samples.
    /// Durable: acknowledged publications per second. Idle: bytes per connection. Join: connections per server core-second. Storm: seconds.
    /// Ping: percent of a core for 10,000 connections, each pinged every 25 s.
    pub(crate) value: f64,
    /// CPU use of the generator as a share of its core.
    pub(crate) generator_share: f64,
    /// CPU use of the server as a share of its core.
    pub(crate) server_share: f64,
    /// CPU use of other processes during the run, in cores.
    pub(crate) others_share: f64,
    /// Fan-out: deliveries per read of the generator.
    pub(crate) per_read: f64,
    /// Latency: the median in ms.
    pub(crate) median_ms: f64,
    /// Latency: number of measured messages.
    pub(crate) samples: usize,
    /// Idle: resident memory of the process before the first connection.
    pub(crate) empty_bytes: u64,
    /// Join: connections per second of wall-clock time.
    pub(crate) seen_per_second: f64,
    /// Storm: server CPU per client. Ping: server CPU per ping and pong.
    pub(crate) cpu_us_per_client: f64,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            row: Row::Fanout1,
            server: Server::Bare,
            repeat: 0,
            value: 0.0,
            generator_share: 0.0,
            server_share: 0.0,
            others_share: 0.0,
            per_read: 0.0,
            median_ms: 0.0,
            samples: 0,
            empty_bytes: 0,
            seen_per_second: 0.0,
            cpu_us_per_client: 0.0,
        }
    }
}

/// The results of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    /// The machine: processor, cores and kernel.
    pub(crate) machine: String,
    /// The wire size of every delivery.
    pub(crate) frame_bytes: usize,
    /// Number of runs of each server.
    pub(crate) repeats: u32,
    /// Number of subscribers in the fan-out rows.
    pub(crate) subscribers: u32,
    /// Number of connections in the idle rows.
    pub(crate) idle: u32,
    pub(crate) samples: Samples,
    /// Servers that were planned, but are not installed.
    #[serde(default)]
    pub(crate) skipped: Vec<Skipped>,
}

/// A server that could not be measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Skipped {
    pub(crate) server: Server,
    /// Why it could not be measured, and what to do.
    pub(crate) reason: String,
}

impl Results {
    /// Returns the samples of one row of one server.
    pub(crate) fn of(&self, row: Row, server: Server) -> impl Iterator<Item = &Sample> {
        self.samples
            .iter()
            .filter(move |sample| sample.row == row && sample.server == server)
    }

    /// Returns median and range of the row's value.
    pub(crate) fn value(&self, row: Row, server: Server) -> Option<Spread> {
        self.spread(row, server, |sample| sample.value)
    }

    /// Returns median and range of any field.
    pub(crate) fn spread(
        &self,
        row: Row,
        server: Server,
        field: impl Fn(&Sample) -> f64,
    ) -> Option<Spread> {
        Spread::of(self.of(row, server).map(field))
    }

    /// Returns the ratio of two servers' medians, with the range of the ratios within each repeat.
    pub(crate) fn ratio(&self, row: Row, server: Server, against: Server) -> Option<Spread> {
        let values = |server| -> Vec<(u32, f64)> {
            let samples = self.of(row, server);
            samples
                .map(|sample| (sample.repeat, sample.value))
                .collect()
        };
        Spread::of_ratios(&values(server), &values(against))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_of_medians_with_the_range_of_the_repeats() {
        let sample = |server, repeat, value| Sample {
            server,
            repeat,
            value,
            ..Sample::default()
        };
        let samples = vec![
            sample(Server::GatewayMemory, 0, 8.0),
            sample(Server::GatewayMemory, 1, 6.0),
            sample(Server::GatewayMemory, 2, 7.0),
            sample(Server::Bare, 0, 10.0),
            sample(Server::Bare, 1, 12.0),
            sample(Server::Bare, 2, 10.0),
        ];
        let results = Results {
            machine: String::new(),
            frame_bytes: 0,
            repeats: 3,
            subscribers: 0,
            idle: 0,
            samples,
            skipped: Vec::new(),
        };

        let ratio = results
            .ratio(Row::Fanout1, Server::GatewayMemory, Server::Bare)
            .unwrap();

        assert_eq!(
            ratio,
            Spread {
                median: 0.7,
                low: 0.5,
                high: 0.8
            }
        );
    }
}
