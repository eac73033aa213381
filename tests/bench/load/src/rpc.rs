//! The rows of JSON-RPC, and the samples that their process reports to the orchestrator as one line of JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A measured row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Row {
    /// Rate of calls over one connection.
    RpcCalls,
    /// Latency of calls of a program, one after the other, over a relay on its machine.
    BridgeLatency,
}

impl Row {
    /// All rows, in the order of the table.
    pub const ALL: [Self; 2] = [Self::RpcCalls, Self::BridgeLatency];

    /// Returns the name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RpcCalls => "rpc-calls",
            Self::BridgeLatency => "bridge-latency",
        }
    }

    /// Returns what is compared, in the order of the table; the baseline is the first.
    #[must_use]
    pub const fn subjects(self) -> [Subject; 3] {
        match self {
            Self::RpcCalls => [Subject::Bare, Subject::Steadfast, Subject::Jsonrpsee],
            Self::BridgeLatency => [Subject::Socat, Subject::Bridge, Subject::Direct],
        }
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A loop on tokio-tungstenite that only matches responses by their ids.
    Bare,
    /// The client under test.
    Steadfast,
    /// The crate `jsonrpsee-ws-client`.
    Jsonrpsee,
    /// A process of `socat` for the connection, from the Unix socket to the port of the server.
    Socat,
    /// The bridge under test.
    Bridge,
    /// The port of the server, without a relay.
    Direct,
}

/// What the process measures in one repeat.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The rows to measure.
    pub rows: Vec<Row>,
    /// The number of the repeat, which rotates the order of the subjects.
    pub repeat: u32,
    /// Number of calls in flight.
    pub in_flight: u32,
    /// Warm-up of each client, in ms.
    pub warm_up_ms: u64,
    /// How long calls are counted, in ms.
    pub time_ms: u64,
    /// Number of calls of which the latency is measured.
    pub latencies: u32,
    /// The binary with the bridge and the emulated server.
    pub steadfast: PathBuf,
}

/// One row of one subject.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// What was measured.
    pub row: Row,
    /// Of which program.
    pub subject: Subject,
    /// Calls: completed per second of the client's CPU time. Latency: the median in µs.
    pub value: f64,
    /// Calls: completed per second. Latency: the 99th percentile in µs.
    pub second_value: f64,
    /// CPU use of the client, or of program and relay, as a share of its core.
    pub client_share: f64,
    /// CPU use of the server as a share of its core.
    pub server_share: f64,
    /// CPU use of other processes during the run, in cores.
    pub others_share: f64,
}

/// What the process reports.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// All samples of the repeat.
    pub samples: Vec<Sample>,
    /// Why something was not measured.
    pub skipped: Option<String>,
}
