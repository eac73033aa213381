//! A scenario as it is meant, after every check of its text.
//!
//! Values of these types come from `parse` only; hosts read them. What they do in time is said by the plan.

use std::time::Duration;

use crate::ledger::record::Phase;
use crate::roster::ClientKind;
use crate::scenario::expr::Expression;
use crate::scenario::select::Selector;

/// A scenario: valid, with its parameters put in.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) seed: Option<u64>,
    pub(super) services: Vec<Service>,
    pub(super) loads: Vec<Load>,
    pub(super) run: Run,
    pub(super) steps: Vec<Step>,
    pub(super) checks: Vec<Check>,
}

impl Scenario {
    /// Equals the stem of its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One sentence for people; may be empty.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// The seed that the file asks for; without one the host draws it.
    pub const fn seed(&self) -> Option<u64> {
        self.seed
    }

    /// The kinds of processes.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The groups of clients.
    pub fn loads(&self) -> &[Load] {
        &self.loads
    }

    /// The time line.
    pub const fn run(&self) -> &Run {
        &self.run
    }

    /// What is broken.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What must hold.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The longest recovery that a check with the level `must` allows, if one bounds it.
    pub fn recovery_max(&self) -> Option<Duration> {
        let musts = self.checks.iter().filter(|it| it.level == Level::Must);
        musts.filter_map(|it| it.that.recovery_max()).max()
    }

    /// The smallest time that a check measures against; the harness must be much faster than that.
    pub fn tightest_time(&self) -> Option<Duration> {
        self.checks.iter().flat_map(|it| it.that.times()).min()
    }
}

/// `[service.X]`: one kind of process. Each instance has a data directory of its own, empty at the start of the run and
/// kept over restarts, and rooms of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// X.
    pub name: String,
    /// What is started.
    pub program: Program,
    /// How many of it; instances are numbered from 1.
    pub replicas: u32,
}

/// What a service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `builtin:gateway`: `steadfast serve` as a user would start it, with a log on disk.
    Gateway,
}

/// `[load.X]`: simulated clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// X.
    pub name: String,
    /// What they do.
    pub driver: Driver,
    /// What they are made of; clients are dealt over the kinds in turn.
    pub kinds: Vec<ClientKind>,
    /// How many, all kinds together.
    pub clients: u32,
    /// The service they connect to, dealt over its instances in turn.
    pub to: String,
    /// What they publish.
    pub send: Publishing,
    /// Publications of one publisher must arrive in the order in which it sent them.
    pub ordered: bool,
    /// The share of the planned rate, in percent, that the baseline must reach.
    pub min_rate_percent: u32,
}

/// What simulated clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Subscribe in a room and publish there by `gw.publish`, one key per publication, repeated with the same key until
    /// the outcome is known.
    GatewayChat,
}

/// What each client publishes: on a schedule of its own that does not wait for answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publishing {
    /// The period of one client.
    pub every: Duration,
    /// How far each instant is moved at most, in percent of the period, earlier or later, drawn from the seed.
    pub jitter_percent: u32,
    /// The length of the payload.
    pub payload_bytes: u32,
    /// Rooms of each instance.
    pub rooms: u32,
    /// How many unanswered or unsent publications a client keeps; over it an intent is counted as unsent.
    pub queue_len_max: u32,
}

/// `[run]`: the time line. It begins when services are ready and clients are subscribed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Load without faults.
    pub baseline: Duration,
    /// Steps happen in here.
    pub duration: Duration,
    /// Faults healed, load goes on.
    pub quiet: Duration,
    /// Senders stopped; what is owed may still arrive.
    pub drain: Duration,
    /// The same load without faults.
    pub control: Control,
    /// A connected client without an answer and without a delivery for longer than this has stalled.
    pub stall: Duration,
    /// Services and first connections must be up by then.
    pub ready_timeout: Duration,
}

impl Run {
    /// When a phase begins, counted from the start of the baseline.
    pub fn begins(&self, phase: Phase) -> Duration {
        let before: &[Duration] = match phase {
            Phase::Connect => &[],
            Phase::Baseline => &[],
            Phase::Steps => &[self.baseline],
            Phase::Quiet => &[self.baseline, self.duration],
            Phase::Drain => &[self.baseline, self.duration, self.quiet],
            Phase::End => &[self.baseline, self.duration, self.quiet, self.drain],
        };
        before
            .iter()
            .fold(Duration::ZERO, |sum, part| sum.saturating_add(*part))
    }

    /// From the start of the baseline to the end of the drain.
    pub fn total(&self) -> Duration {
        self.begins(Phase::End)
    }
}

/// When the same load and seed run with every step a no-op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Before the run, for the same time.
    Before,
    /// Not at all.
    Off,
}

/// `[[step]]`: something that is broken, once or again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name in checks and reports.
    pub id: String,
    /// When.
    pub when: When,
    /// Moves each occurrence later by up to this much, drawn from the seed.
    pub jitter: Duration,
    /// What.
    pub action: Action,
    /// Whom.
    pub on: Selector,
    /// How long after the injection it is healed: a process that died is started again, one that stands still runs on.
    /// `None`: when the steps are over.
    pub heal_after: Option<Duration>,
}

/// When a step happens, counted from the start of the phase of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Once.
    At(Duration),
    /// First after one period, never at the very end.
    Every {
        /// The period.
        period: Duration,
        /// At most so often; `None`: as often as there is time for.
        count: Option<u32>,
    },
}

/// What a step does to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `proc.kill`: SIGKILL.
    Kill,
    /// `proc.term`: SIGTERM, then time to end by itself.
    Term {
        /// After this time it is killed.
        grace: Duration,
    },
    /// `proc.pause`: SIGSTOP to it, and SIGCONT when it is healed.
    Pause,
}

impl Action {
    /// The name in scenarios and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "proc.kill",
            Self::Term { .. } => "proc.term",
            Self::Pause => "proc.pause",
        }
    }

    /// Whether the process is gone afterwards, and its connections with it.
    pub const fn ends_process(self) -> bool {
        match self {
            Self::Kill => true,
            Self::Term { .. } => true,
            Self::Pause => false,
        }
    }
}

/// `[[check]]`: something that is measured and must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Its name in reports.
    pub id: String,
    /// What must hold.
    pub that: Expression,
    /// What it means when it does not.
    pub level: Level,
    /// What it means when there is nothing to measure.
    pub no_data: NoData,
}

/// What a check that does not hold means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The run fails.
    Must,
    /// It is said, and the run goes on as it is.
    Should,
    /// The measured value is printed, whatever it is.
    Info,
}

impl Level {
    /// The name in scenarios and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
            Self::Info => "info",
        }
    }
}

/// What a check without data means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoData {
    /// Nothing is known.
    Unknown,
    /// It does not hold.
    Fail,
    /// It holds.
    Pass,
}
