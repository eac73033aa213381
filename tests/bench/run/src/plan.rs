//! The plan of a run: rows, servers, repeats and durations.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::servers::Server;

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Row {
    /// Fan-out with one publication in flight.
    Fanout1,
    /// Fan-out with 32 publications in flight.
    Fanout32,
    /// Fan-out with 64 publications in flight.
    Fanout64,
    /// Time from publication to the last delivery, at half of the same server's rate with one publication in flight.
    Latency,
    /// Memory of idle connections that share one channel.
    IdleShared,
    /// Memory of idle connections with a separate channel each.
    IdleOwn,
    /// Rate of connecting and subscribing.
    Join,
    /// Concurrent resumption of many clients.
    Storm,
    /// Concurrent resumption of many clients after the server was killed and restarted.
    StormKilled,
    /// CPU time for pings on idle connections.
    Ping,
    /// Acknowledged publications with one in flight, on servers with a durable store.
    Durable1,
    /// Acknowledged publications with 32 in flight, on servers with a durable store.
    Durable32,
    /// Acknowledged publications with 64 in flight, on servers with a durable store.
    Durable64,
}

impl Row {
    pub(crate) const ALL: [Self; 13] = [
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
        Self::Durable1,
        Self::Durable32,
        Self::Durable64,
    ];

    /// Returns the name on the command line.
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
            Self::Durable1 => "durable-1",
            Self::Durable32 => "durable-32",
            Self::Durable64 => "durable-64",
        }
    }

    /// Returns the number of publications in flight for the rows of acknowledged publications.
    pub(crate) fn unacknowledged(self) -> Option<u64> {
        match self {
            Self::Durable1 => Some(1),
            Self::Durable32 => Some(32),
            Self::Durable64 => Some(64),
            Self::Fanout1
            | Self::Fanout32
            | Self::Fanout64
            | Self::Latency
            | Self::IdleShared
            | Self::IdleOwn
            | Self::Join
            | Self::Storm
            | Self::StormKilled
            | Self::Ping => None,
        }
    }

    /// Returns the number of messages in flight for the rows of the fan-out.
    pub(crate) fn in_flight(self) -> Option<u64> {
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
            | Self::Ping
            | Self::Durable1
            | Self::Durable32
            | Self::Durable64 => None,
        }
    }

    /// Returns `true` if the row is measured for this server.
    pub(crate) fn is_applicable_to(self, server: Server) -> bool {
        // These servers have no WebSocket port.
        let is_store = matches!(server, Server::JetStream | Server::S2Lite);
        match self {
            Self::Fanout1
            | Self::Fanout32
            | Self::Fanout64
            | Self::Latency
            | Self::IdleShared
            | Self::Join => !is_store,
            Self::IdleOwn | Self::Storm => server.is_gateway(),
            Self::StormKilled => server.is_gateway() && server.is_durable(),
            Self::Ping => server.is_gateway() && !server.is_durable(),
            Self::Durable1 | Self::Durable32 | Self::Durable64 => server.is_durable(),
        }
    }
}

/// The settings of a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rows: Vec<Row>,
    pub(crate) servers: Vec<Server>,
    pub(crate) repeats: u32,
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
    /// Time for which connections are opened and closed before they are counted: just-in-time compilers need this time.
    pub(crate) join_warm_up: Duration,
    /// Number of subscribers in the fan-out rows.
    pub(crate) subscribers: u32,
    /// Number of connections in the idle rows.
    pub(crate) idle: u32,
    /// Number of clients in the storm, and number of messages that each has missed.
    pub(crate) storm: (u32, u32),
    /// Maximum number of repetitions of a run that other processes disturbed.
    pub(crate) noise_retries: u32,
}

impl Plan {
    /// Returns the plan of the documented results.
    pub(crate) fn full() -> Self {
        Self {
            rows: Row::ALL.to_vec(),
            servers: Server::ALL
                .into_iter()
                .filter(|server| !Server::BASES.iter().any(|(_, base)| base == server))
                .collect(),
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

    /// Returns a plan of a few seconds, which detects failures and large regressions.
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
