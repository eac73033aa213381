//! What a run of the client rows measures, and how long each takes.

use std::time::Duration;

use load::order::Library;
use serde::{Deserialize, Serialize};

/// Every library, in the order of the table.
pub(crate) const LIBRARIES: [Library; 4] = [
    Library::Bare,
    Library::Steadfast,
    Library::SteadfastPublish,
    Library::Centrifuge,
];

/// One measure of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Row {
    /// Calls over one connection.
    Calls,
    /// Memory of an idle session.
    Session,
    /// The gateway is killed and started again at once.
    Recovery,
    /// The gateway is killed and away for a while.
    RecoveryLate,
}

impl Row {
    pub(crate) const ALL: [Self; 4] = [
        Self::Calls,
        Self::Session,
        Self::Recovery,
        Self::RecoveryLate,
    ];

    /// The word of the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Session => "session",
            Self::Recovery => "recovery",
            Self::RecoveryLate => "recovery-late",
        }
    }

    /// Whether the row means something for this library.
    pub(crate) fn fits(self, library: Library) -> bool {
        match library {
            Library::Steadfast | Library::Centrifuge => true,
            Library::Bare => matches!(self, Self::Calls | Self::Session),
            Library::SteadfastPublish => self == Self::Calls,
        }
    }
}

/// A run's settings.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rows: Vec<Row>,
    pub(crate) repeats: u32,
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
    /// Calls that are unanswered at a time.
    pub(crate) in_flight: u32,
    /// Sessions of the memory row.
    pub(crate) idle: u32,
    /// Sessions that come back.
    pub(crate) returning: u32,
    /// Publications that each of them has missed.
    pub(crate) missed: u32,
    /// How long connections stand before the kill. The client under test takes one that lived for 10 s as stable, and
    /// the loss of a younger one as a failure.
    pub(crate) stands: Duration,
    /// How long the gateway is away in the row that says so.
    pub(crate) outage: Duration,
    /// How often a run is repeated because others used the machine meanwhile.
    pub(crate) noise_retries: u32,
}

impl Plan {
    /// The table of the documentation.
    pub(crate) fn full() -> Self {
        Self {
            rows: Row::ALL.to_vec(),
            repeats: 5,
            warm_up: Duration::from_millis(300),
            time: Duration::from_secs(1),
            in_flight: 64,
            idle: 2000,
            returning: 1000,
            missed: 50,
            stands: Duration::from_millis(10_500),
            outage: Duration::from_secs(3),
            noise_retries: 2,
        }
    }

    /// A few seconds that show that everything works and nothing is far off.
    pub(crate) fn smoke() -> Self {
        Self {
            rows: vec![Row::Calls, Row::Session, Row::Recovery],
            repeats: 1,
            warm_up: Duration::from_millis(100),
            time: Duration::from_millis(300),
            idle: 500,
            returning: 200,
            stands: Duration::from_millis(200),
            noise_retries: 0,
            ..Self::full()
        }
    }
}
