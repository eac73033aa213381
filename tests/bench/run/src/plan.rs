//! What a run measures: rows, servers, repeats and how long each takes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::servers::Server;

/// One measure of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Row {
    /// Fan-out with one publication in flight.
    Fanout1,
    /// Fan-out with 32 in flight.
    Fanout32,
    /// Fan-out with 64 in flight.
    Fanout64,
    /// Publish to all delivered, at half of the same server's rate with one in flight.
    Latency,
    /// Memory of idle connections that share one channel.
    IdleShared,
    /// Memory of idle connections with a channel each.
    IdleOwn,
    /// Connect and subscribe, over and over.
    Join,
    /// Many clients resume at once.
    Storm,
    /// The same after the server was killed and started again.
    StormKilled,
    /// Idle connections that answer pings.
    Ping,
}

impl Row {
    pub(crate) const ALL: [Self; 10] = [
        Self::Fanout1,
        Self::Fanout32,
        Self::Fanout64,
        Self::Latency,
        Self::IdleShared,
        Self::IdleOwn,
        Self::Join,
        Self::Storm,
        Self::StormKilled,
        Self::Ping,
    ];

    /// The word of the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fanout1 => "fanout-1",
            Self::Fanout32 => "fanout-32",
            Self::Fanout64 => "fanout-64",
            Self::Latency => "latency",
            Self::IdleShared => "idle-shared",
            Self::IdleOwn => "idle-own",
            Self::Join => "join",
            Self::Storm => "storm",
            Self::StormKilled => "storm-killed",
            Self::Ping => "ping",
        }
    }

    /// Messages in flight, for the rows of the closed loop.
    pub(crate) fn window(self) -> Option<u64> {
        match self {
            Self::Fanout1 => Some(1),
            Self::Fanout32 => Some(32),
            Self::Fanout64 => Some(64),
            Self::Latency
            | Self::IdleShared
            | Self::IdleOwn
            | Self::Join
            | Self::Storm
            | Self::StormKilled
            | Self::Ping => None,
        }
    }

    /// Whether the row means something for this server.
    pub(crate) fn fits(self, server: Server) -> bool {
        match self {
            Self::Fanout1
            | Self::Fanout32
            | Self::Fanout64
            | Self::Latency
            | Self::IdleShared
            | Self::Join => true,
            Self::IdleOwn | Self::Storm => server.is_gateway(),
            Self::StormKilled => server == Server::GatewayDurable,
            Self::Ping => server == Server::GatewayMemory,
        }
    }
}

/// A run's settings.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rows: Vec<Row>,
    pub(crate) servers: Vec<Server>,
    pub(crate) repeats: u32,
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
    /// How long connections come and go before they are counted: an engine that compiles as it runs needs a while.
    pub(crate) join_warm_up: Duration,
    /// Subscribers of the fan-out rows.
    pub(crate) subscribers: u32,
    /// Connections of the idle rows.
    pub(crate) idle: u32,
    /// Clients of the storm, and the messages that each has missed.
    pub(crate) storm: (u32, u32),
    /// How often a run is repeated because others used the machine meanwhile.
    pub(crate) noise_retries: u32,
}

impl Plan {
    /// The table of the documentation.
    pub(crate) fn full() -> Self {
        Self {
            rows: Row::ALL.to_vec(),
            servers: Server::ALL.to_vec(),
            repeats: 5,
            warm_up: Duration::from_millis(300),
            time: Duration::from_secs(1),
            join_warm_up: Duration::from_millis(1500),
            subscribers: 1000,
            idle: 9000,
            storm: (2000, 50),
            noise_retries: 2,
        }
    }

    /// A few seconds that show that everything works and nothing is far off.
    pub(crate) fn smoke() -> Self {
        Self {
            rows: vec![
                Row::Fanout1,
                Row::Fanout32,
                Row::IdleShared,
                Row::Join,
                Row::Storm,
                Row::StormKilled,
            ],
            servers: vec![Server::Bare, Server::GatewayMemory, Server::GatewayDurable],
            repeats: 1,
            warm_up: Duration::from_millis(100),
            time: Duration::from_millis(300),
            join_warm_up: Duration::from_millis(100),
            subscribers: 500,
            idle: 2000,
            storm: (200, 50),
            noise_retries: 0,
        }
    }
}
