//! The plan of the bystander rows: what disturbs, with what it is compared, and the durations.

use std::time::Duration;

use load::disturbance::Disturbance;
use serde::{Deserialize, Serialize};

use crate::servers::{Log, Server};

/// Refused upgrade requests per second.
const REFUSALS_PER_SECOND: u32 = 10_000;

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Row {
    /// Refused requests while the log is written to a file: what the next three rows are compared with.
    LogFile,
    /// Refused requests while the log is a pipe that is full and not read.
    LogStalled,
    /// Refused requests while the log is a pipe whose reader is gone.
    LogClosed,
    /// Refused requests while the log is on a full file system.
    LogFullDisk,
    /// 300 subscribers that read nothing.
    Silent300,
    /// 1,000 subscribers that read nothing.
    Silent1000,
    /// Joins and leaves of a channel with listeners.
    JoinsAndLeaves,
    /// Large publications of eight clients, with the durable store.
    LargePublications,
}

/// With what the latency during a disturbance is compared, within each repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// The same process before the disturbance.
    Quiet,
    /// The same disturbance in this row.
    Row(Row),
}

impl Row {
    pub(crate) const ALL: [Self; 8] = [
        Self::LogFile,
        Self::LogStalled,
        Self::LogClosed,
        Self::LogFullDisk,
        Self::Silent300,
        Self::Silent1000,
        Self::JoinsAndLeaves,
        Self::LargePublications,
    ];

    /// Returns the name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LogFile => "log-file",
            Self::LogStalled => "log-stalled",
            Self::LogClosed => "log-closed",
            Self::LogFullDisk => "log-full-disk",
            Self::Silent300 => "silent-300",
            Self::Silent1000 => "silent-1000",
            Self::JoinsAndLeaves => "joins-and-leaves",
            Self::LargePublications => "large-publications",
        }
    }

    /// Returns the server, the sink of its log, and what disturbs it.
    pub(crate) fn setting(self) -> (Server, Log, Disturbance) {
        let refusals = Disturbance::Refusals {
            per_second: REFUSALS_PER_SECOND,
        };
        let silent = |count| Disturbance::SilentReaders { count };
        let memory = Server::GatewayMemory;
        match self {
            Self::LogFile => (memory, Log::File, refusals),
            Self::LogStalled => (memory, Log::Stalled, refusals),
            Self::LogClosed => (memory, Log::Closed, refusals),
            Self::LogFullDisk => (memory, Log::FullDisk, refusals),
            Self::Silent300 => (memory, Log::File, silent(300)),
            Self::Silent1000 => (memory, Log::File, silent(1000)),
            Self::JoinsAndLeaves => (memory, Log::File, Disturbance::JoinsAndLeaves),
            Self::LargePublications => (
                Server::GatewayDurable,
                Log::File,
                Disturbance::LargePublications,
            ),
        }
    }

    /// Returns what its latency is compared with.
    pub(crate) fn reference(self) -> Reference {
        match self {
            Self::LogStalled | Self::LogClosed | Self::LogFullDisk => Reference::Row(Self::LogFile),
            Self::LogFile
            | Self::Silent300
            | Self::Silent1000
            | Self::JoinsAndLeaves
            | Self::LargePublications => Reference::Quiet,
        }
    }

    /// Returns the time from the begin of the disturbance to its measurement. 1,000 silent readers are connected after
    /// 5 s, and the first of them are disconnected and connect again after 11 s.
    pub(crate) fn settle(self) -> Duration {
        match self {
            Self::Silent300 | Self::Silent1000 => Duration::from_secs(12),
            Self::LogFile
            | Self::LogStalled
            | Self::LogClosed
            | Self::LogFullDisk
            | Self::JoinsAndLeaves
            | Self::LargePublications => Duration::from_secs(2),
        }
    }

    /// Returns the bound of the ratio to its reference; `None` if the load itself takes a large part of the core.
    pub(crate) fn required(self) -> Option<f64> {
        match self {
            Self::LogStalled | Self::LogClosed | Self::LogFullDisk => Some(1.5),
            Self::Silent300 | Self::Silent1000 => Some(2.0),
            Self::LogFile | Self::JoinsAndLeaves | Self::LargePublications => None,
        }
    }
}

/// The settings of a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rows: Vec<Row>,
    pub(crate) repeats: u32,
    /// Number of bystanders, which subscribe to one channel.
    pub(crate) bystanders: u32,
    /// Interval between two publications to the bystanders.
    pub(crate) interval: Duration,
    pub(crate) warm_up: Duration,
    /// Duration of each measurement, with enough samples for a 99th percentile.
    pub(crate) time: Duration,
}

impl Plan {
    /// Returns the plan of the documented results.
    pub(crate) fn full() -> Self {
        Self {
            rows: Row::ALL.to_vec(),
            repeats: 5,
            bystanders: 50,
            interval: Duration::from_millis(5),
            warm_up: Duration::from_millis(500),
            time: Duration::from_secs(5),
        }
    }

    /// Returns a plan without rows: a share of a core that other programs use decides about these latencies.
    pub(crate) fn smoke() -> Self {
        Self {
            rows: Vec::new(),
            ..Self::full()
        }
    }
}
