//! The validated model of a scenario.
//!
//! Only `parse` creates values of these types; shells read them. The plan defines when faults are injected.

use std::time::Duration;

use crate::ledger::event::RunPhase;
use crate::scenario::expr::Expression;
use crate::scenario::select::InstanceSelector;
use crate::topology::ClientKind;

/// A valid scenario with its parameters resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) params: Vec<(String, String)>,
    pub(super) seed: Option<u64>,
    pub(super) services: Vec<Service>,
    pub(super) loads: Vec<Load>,
    pub(super) run: RunSettings,
    pub(super) steps: Vec<Step>,
    pub(super) checks: Vec<Check>,
}

impl Scenario {
    /// The name, which equals the stem of its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One sentence that describes it with the selected profiles and parameters; may be empty.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// Every parameter with its value, by name.
    pub fn params(&self) -> &[(String, String)] {
        &self.params
    }

    /// The seed of the file, if it has one; otherwise a shell draws one.
    pub const fn seed(&self) -> Option<u64> {
        self.seed
    }

    /// The services, each with its instances.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The loads, each with its clients.
    pub fn loads(&self) -> &[Load] {
        &self.loads
    }

    /// The durations of the phases and other settings of the run.
    pub const fn run(&self) -> &RunSettings {
        &self.run
    }

    /// The faults, each once or repeatedly.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The conditions on metrics.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The longest recovery that a check of level `must` allows; `None` when no such check bounds it.
    pub fn recovery_max(&self) -> Option<Duration> {
        let required = self.checks.iter().filter(|it| it.level == CheckLevel::Must);
        required.filter_map(|it| it.that.recovery_max()).max()
    }

    /// The shortest time in any check; the lag of the harness must be much smaller.
    pub fn tightest_time(&self) -> Option<Duration> {
        self.checks.iter().flat_map(|it| it.that.times()).min()
    }
}

/// `[service.X]`: one kind of process. Each instance has its own channels and its own data directory, which is empty at
/// the start of the run and kept across restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The X of `[service.X]`.
    pub name: String,
    /// The program that is started.
    pub program: Program,
    /// The number of instances, which are numbered from 1.
    pub replicas: u32,
}

/// The program of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `builtin:gateway`: `steadfast serve` as a user would start it, with a log on disk.
    Gateway,
}

/// `[load.X]`: simulated clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The X of `[load.X]`.
    pub name: String,
    /// The behaviour of the clients.
    pub driver: LoadDriver,
    /// The client libraries; clients are assigned to them round-robin.
    pub kinds: Vec<ClientKind>,
    /// The number of clients, all kinds together.
    pub clients: u32,
    /// The service to which they connect; clients are assigned to its instances round-robin.
    pub to: String,
    /// The rate, size and channels of their publications.
    pub send: Publishing,
    /// Publications of one publisher must be delivered in the order in which it sent them.
    pub is_ordered: bool,
    /// The minimum rate in the baseline, in percent of the planned rate.
    pub min_rate_percent: u32,
}

/// The behaviour of simulated clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadDriver {
    /// Subscribe to a channel and publish to it with `gw.publish`, each publication with its own idempotency key.
    /// Resend with the same key until the outcome is known.
    GatewayChat,
}

/// The publications of each client, on a schedule that does not wait for replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publishing {
    /// The period of one client.
    pub every: Duration,
    /// The maximum jitter of each instant, in percent of the period, earlier or later, drawn from the seed.
    pub jitter_percent: u32,
    /// The length of the payload in bytes.
    pub payload_bytes: u32,
    /// The number of channels of each instance.
    pub channels: u32,
    /// The number of unacknowledged publications that a client keeps; above it a publication that is due is counted as
    /// unsent.
    pub queue_len_max: u32,
}

/// `[run]`: the phases. The baseline begins when services are ready and clients are subscribed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSettings {
    /// Duration of the load before the faults.
    pub baseline: Duration,
    /// Duration of the phase in which steps occur.
    pub duration: Duration,
    /// Duration of the load after all faults are healed.
    pub quiet: Duration,
    /// Time after the senders stopped in which expected deliveries may still arrive.
    pub drain: Duration,
    /// Whether the same load is run without faults.
    pub control: ControlRun,
    /// A connected client without an acknowledgement and without a delivery for longer than this has stalled.
    pub stall: Duration,
    /// Time limit for the start of services and for the first connections.
    pub ready_timeout: Duration,
}

impl RunSettings {
    /// When a phase begins, relative to the start of the baseline.
    pub fn begins(&self, phase: RunPhase) -> Duration {
        let before: &[Duration] = match phase {
            RunPhase::Connect => &[],
            RunPhase::Baseline => &[],
            RunPhase::Steps => &[self.baseline],
            RunPhase::Quiet => &[self.baseline, self.duration],
            RunPhase::Drain => &[self.baseline, self.duration, self.quiet],
            RunPhase::End => &[self.baseline, self.duration, self.quiet, self.drain],
        };
        before
            .iter()
            .fold(Duration::ZERO, |sum, part| sum.saturating_add(*part))
    }

    /// From the start of the baseline to the end of the drain.
    pub fn total(&self) -> Duration {
        self.begins(RunPhase::End)
    }
}

/// Whether and when the control run takes place: the same load and seed without faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlRun {
    /// Before the run, for the same duration.
    Before,
    /// No control run.
    Off,
}

/// `[[step]]`: a fault, once or repeatedly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The name in checks and reports.
    pub id: String,
    /// When it occurs.
    pub when: StepSchedule,
    /// The maximum delay of each occurrence, drawn from the seed.
    pub jitter: Duration,
    /// The fault that is injected.
    pub action: FaultAction,
    /// The instances that are the targets.
    pub on: InstanceSelector,
    /// The time from the injection to the heal: an exited process is restarted, a suspended one resumed. `None`: at the
    /// end of the steps phase.
    pub heal_after: Option<Duration>,
}

/// When a step occurs, relative to the start of the steps phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepSchedule {
    /// Once, at this time.
    At(Duration),
    /// Repeatedly: first after one period, and before the end of the phase.
    Every {
        /// The time between two occurrences.
        period: Duration,
        /// The maximum number of occurrences; `None`: until the end of the phase.
        count: Option<u32>,
    },
}

/// The fault that a step injects into a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultAction {
    /// `proc.kill`: the process gets SIGKILL.
    Kill,
    /// `proc.term`: SIGTERM, then time to shut down.
    Term {
        /// The time after which it is killed.
        grace: Duration,
    },
    /// `proc.pause`: SIGSTOP, and SIGCONT when it is healed.
    Pause,
}

impl FaultAction {
    /// The name in scenarios and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "proc.kill",
            Self::Term { .. } => "proc.term",
            Self::Pause => "proc.pause",
        }
    }

    /// Whether the process exits, so that its connections end.
    pub const fn ends_process(self) -> bool {
        match self {
            Self::Kill => true,
            Self::Term { .. } => true,
            Self::Pause => false,
        }
    }
}

/// `[[check]]`: a condition on metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// The name in reports.
    pub id: String,
    /// The condition that must hold.
    pub that: Expression,
    /// The consequence when it does not hold.
    pub level: CheckLevel,
    /// The consequence when there are no samples.
    pub no_data: NoData,
}

/// The consequence of a check that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckLevel {
    /// The verdict is FAIL.
    Must,
    /// It is reported, and the verdict does not change.
    Should,
    /// The measured value is reported, whatever it is.
    Info,
}

impl CheckLevel {
    /// The name in scenarios and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
            Self::Info => "info",
        }
    }
}

/// The outcome of a check without samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoData {
    /// The outcome is unknown.
    Unknown,
    /// The check fails.
    Fail,
    /// The check is not applicable, and does not change the verdict.
    NotApplicable,
}
