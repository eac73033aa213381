//! The rows of the proxy, and the samples that its process reports to the orchestrator as one line of JSON.

use serde::{Deserialize, Serialize};

/// A measured row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Row {
    /// Bytes per second over one connection.
    ProxyStream,
    /// Bytes per second over eight connections.
    ProxyStreams,
    /// GET requests per second of one client of Redis.
    ProxyRedis,
    /// GET requests per second of fifty clients of Redis.
    ProxyRedis50,
    /// Resident bytes of an open connection.
    ProxyMemory,
}

impl Row {
    /// All rows, in the order of the table.
    pub const ALL: [Self; 5] = [
        Self::ProxyStream,
        Self::ProxyStreams,
        Self::ProxyRedis,
        Self::ProxyRedis50,
        Self::ProxyMemory,
    ];

    /// Returns the name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProxyStream => "proxy-stream",
            Self::ProxyStreams => "proxy-streams",
            Self::ProxyRedis => "proxy-redis",
            Self::ProxyRedis50 => "proxy-redis-50",
            Self::ProxyMemory => "proxy-memory",
        }
    }
}

/// How bytes reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// Without a relay.
    Direct,
    /// A loop of tokio without anything else, `copy_bidirectional`.
    Copy,
    /// Through the proxy without toxics.
    Proxy,
}

impl Path {
    /// All paths, in the order of the table.
    pub const ALL: [Self; 3] = [Self::Direct, Self::Copy, Self::Proxy];
}

/// What the process measures in one repeat.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The rows to measure.
    pub rows: Vec<Row>,
    /// The number of the repeat, which rotates the order of the paths.
    pub repeat: u32,
    /// How long bytes are counted, in ms.
    pub stream_ms: u64,
    /// The number of requests of each run of Redis.
    pub requests: u32,
    /// The number of open connections in the memory row.
    pub connections: u32,
}

/// One value of one path.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// What was measured.
    pub row: Row,
    /// Between which programs.
    pub path: Path,
    /// In the unit of the row.
    pub value: f64,
}

/// What the process reports.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// All samples of the repeat.
    pub samples: Vec<Sample>,
    /// Why the rows of Redis were not measured.
    pub skipped: Option<String>,
}
