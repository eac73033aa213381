//! The validated model of a scenario.
//!
//! Only `parse` creates values of these types; shells read them. The plan defines when faults are injected.

mod check;
mod link;
mod link_fault;
mod load;
mod requires;
mod run;
mod service;
mod step;

use std::time::Duration;

pub use check::{Check, CheckLevel, NoData};
pub use link::{Link, Via};
pub use link_fault::{Block, BlockMode, BlockState, LinkFault};
pub use load::{
    AdapterOptions, ClientTimers, DriverProgram, Guarantee, Load, LoadDriver, Publishing, Traffic,
};
pub use requires::Requirements;
pub use run::{ControlRun, RunSettings};
pub use service::{
    DataDirectory, Exchange, Network, Package, Port, Probe, ProbeKind, Program, RestartPolicy,
    Service, StopPolicy, StopSignal, WorkingDirectory,
};
pub use step::{FaultAction, Step, StepSchedule};

/// A valid scenario with its parameters resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) params: Vec<(String, String)>,
    pub(super) seed: Option<u64>,
    pub(super) requires: Requirements,
    pub(super) services: Vec<Service>,
    pub(super) links: Vec<Link>,
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

    /// What a run needs from the machine.
    pub const fn requires(&self) -> &Requirements {
        &self.requires
    }

    /// The links that are not direct, or explicitly are.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The link between a load and a service, if the file has one.
    pub fn link(&self, load: &str, service: &str) -> Option<&Link> {
        let mut links = self.links.iter();
        links.find(|link| link.load == load && link.service == service)
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
