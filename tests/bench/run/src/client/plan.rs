//! The plan of the client rows: rows, repeats and durations.

use std::time::Duration;

use load::job::Library;
use serde::{Deserialize, Serialize};

/// All libraries, in the order of the table.
pub(crate) const LIBRARIES: [Library; 4] = [
    Library::Bare,
    Library::Steadfast,
    Library::SteadfastPublish,
    Library::Centrifuge,
];

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Row {
    /// Rate of calls over one connection.
    Calls,
    /// Memory of an idle session.
    Session,
    /// Recovery after the gateway was killed and restarted immediately.
    Recovery,
    /// Recovery after the gateway was killed and restarted after an outage.
    RecoveryLate,
}

impl Row {
    pub(crate) const ALL: [Self; 4] = [
        Self::Calls,
        Self::Session,
        Self::Recovery,
        Self::RecoveryLate,
    ];

    /// Returns the name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Session => "session",
            Self::Recovery => "recovery",
            Self::RecoveryLate => "recovery-late",
        }
    }

    /// Returns `true` if the row is measured for this library.
    pub(crate) fn is_applicable_to(self, library: Library) -> bool {
        match library {
            Library::Steadfast | Library::Centrifuge => true,
            Library::Bare => matches!(self, Self::Calls | Self::Session),
            Library::SteadfastPublish => self == Self::Calls,
        }
    }
}

/// The settings of a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rows: Vec<Row>,
    pub(crate) repeats: u32,
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
    /// Number of calls in flight.
    pub(crate) in_flight: u32,
    /// Number of sessions in the memory row.
    pub(crate) idle: u32,
    /// Number of sessions that recover.
    pub(crate) recovering: u32,
    /// Number of publications after the restart, which each of these sessions must receive.
    pub(crate) missed: u32,
    /// Duration of the connections before the kill. The client under test considers a connection stable after 10 s, and
    /// counts the loss of a younger connection as a failed attempt.
    pub(crate) connected_for: Duration,
    /// Duration of the outage in [`Row::RecoveryLate`].
    pub(crate) outage: Duration,
    /// Maximum number of repetitions of a run that other processes disturbed.
    pub(crate) noise_retries: u32,
}

impl Plan {
    /// Returns the plan of the documented results.
    pub(crate) fn full() -> Self {
        Self {
            rows: Row::ALL.to_vec(),
            repeats: 5,
            warm_up: Duration::from_millis(300),
            time: Duration::from_secs(1),
            in_flight: 64,
            idle: 2000,
            recovering: 1000,
            missed: 50,
            connected_for: Duration::from_millis(10_500),
            outage: Duration::from_secs(3),
            noise_retries: 2,
        }
    }

    /// Returns a plan of a few seconds, which detects failures and large regressions.
    pub(crate) fn smoke() -> Self {
        Self {
            rows: Row::ALL.to_vec(),
            repeats: 1,
            warm_up: Duration::from_millis(100),
            time: Duration::from_millis(300),
            idle: 500,
            recovering: 200,
            connected_for: Duration::from_millis(200),
            noise_retries: 0,
            ..Self::full()
        }
    }
}
