//! `[[step]]`: the faults of a scenario.

use std::time::Duration;

use crate::scenario::model::link_fault::LinkFault;
use crate::scenario::select::InstanceSelector;

/// `[[step]]`: a fault, once or repeatedly.
#[derive(Clone, Debug, PartialEq)]
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
    /// For a fault of links: the load whose links to these instances are the targets; `None` for those of all loads.
    pub load: Option<String>,
    /// The time from the injection to the heal: an exited process is restarted, a suspended one resumed, a link
    /// restored. `None`: at the end of the steps phase.
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

/// The fault that a step injects into processes or links.
#[derive(Clone, Debug, PartialEq)]
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
    /// A fault of the links between loads and the instances.
    Link(LinkFault),
}

impl FaultAction {
    /// The name in scenarios and reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Kill => "proc.kill",
            Self::Term { .. } => "proc.term",
            Self::Pause => "proc.pause",
            Self::Link(fault) => fault.name(),
        }
    }

    /// Whether the process exits, so that its connections end.
    pub const fn ends_process(&self) -> bool {
        match self {
            Self::Kill => true,
            Self::Term { .. } => true,
            Self::Pause => false,
            Self::Link(_) => false,
        }
    }

    /// The fault of links, if it is one.
    pub const fn link_fault(&self) -> Option<&LinkFault> {
        match self {
            Self::Link(fault) => Some(fault),
            Self::Kill => None,
            Self::Term { .. } => None,
            Self::Pause => None,
        }
    }

    /// Whether the fault is over as soon as it took effect, so that there is nothing to heal.
    pub const fn is_instantaneous(&self) -> bool {
        match self.link_fault() {
            Some(fault) => fault.is_instantaneous(),
            None => false,
        }
    }
}
