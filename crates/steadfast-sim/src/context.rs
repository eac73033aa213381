//! What all systems of a run share: its settings, the time, the randomness, and what was observed.

use std::time::Duration;

use steadfast_machine::{Generator, Instant, Seed, Timestamp, convert};

use crate::clients::migrations;
use crate::clock::Clock;
use crate::event::WorldEvent;
use crate::event::clients::{ClientEvent, DriverEvent, SimpleClientEvent};
use crate::event::network::NetworkEvent;
use crate::event::node::{NodeEvent, ProcessEvent};
use crate::ids::{NodeIndex, ProcessId};
use crate::membership::Membership;
use crate::planted_bug::PlantedBug;
use crate::recorder::Recorder;
use crate::reference_model::{Invariant, ReferenceModel};
use crate::settings::RunSettings;
use crate::totals::Totals;
use crate::variant::Variant;
use crate::wall_clock::WallClock;

/// What all systems of a run share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: RunSettings,
    pub(crate) planted_bug: Option<PlantedBug>,
    pub(crate) clock: Clock<WorldEvent>,
    pub(crate) wall_clock: WallClock,
    pub(crate) generator: Generator,
    /// Of the times at which sessions migrate; `None` if they do not.
    pub(crate) migrations: Option<Generator>,
    pub(crate) reference_model: ReferenceModel,
    pub(crate) membership: Membership,
    pub(crate) totals: Totals,
    /// The number of processes that will end at the next moment at which that loses data.
    pub(crate) crashes_armed: u64,
    /// The number of clean shutdowns that have not begun; one waits until its process is running.
    pub(crate) shutdowns_left: u64,
    /// The time at which a fault last began or ended.
    pub(crate) last_fault_change_at: Instant,
    /// Until when a disk is stalled, or was.
    pub(crate) disks_stalled_until: Instant,
    /// Since when nothing is left to do but the last checks.
    pub(crate) quiet_since: Option<Instant>,
}

impl Context {
    /// Draws the settings of a run, which has not begun.
    pub(crate) fn new(seed: u64, variant: Variant) -> Self {
        let mut generator = Seed::new(seed).generator();
        let mut settings = RunSettings::draw(&mut generator, variant);
        let migrations = migrations::generator(seed);
        if migrations.is_some() {
            for session in &mut settings.sessions {
                session.fail_back(migrations::FAILBACK);
            }
        }
        Self {
            planted_bug: variant.planted_bug,
            clock: Clock::new(),
            wall_clock: WallClock::new(seed),
            generator,
            migrations,
            reference_model: ReferenceModel::default(),
            totals: Totals {
                seeds: 1,
                sessions: convert::to_u64(settings.sessions.len()),
                runs_with_two_nodes: u64::from(settings.nodes == 2),
                simple_clients: convert::to_u64(settings.clients),
                ..Totals::default()
            },
            shutdowns_left: settings.clean_shutdowns,
            settings,
            membership: Membership::default(),
            crashes_armed: 0,
            last_fault_change_at: Instant::START,
            disks_stalled_until: Instant::START,
            quiet_since: None,
        }
    }

    pub(crate) const fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(crate) fn wall(&self) -> Timestamp {
        WallClock::at(self.clock.now(), self.wall_clock.error_ms())
    }

    /// Draws a duration.
    pub(crate) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        self.generator.between(low, high)
    }

    /// Random bytes, which a shell draws from the operating system.
    pub(crate) fn random_bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for word in bytes.chunks_mut(8) {
            let random = self.generator.next_u64().to_le_bytes();
            word.copy_from_slice(random.get(..word.len()).unwrap_or_default());
        }
        bytes
    }

    /// Draws the time until a client publishes again.
    pub(crate) fn publish_interval(&mut self) -> Duration {
        self.between(Duration::from_millis(5), Duration::from_millis(120))
    }

    /// Draws the time of a fault.
    pub(crate) fn fault_time(&mut self) -> Instant {
        let (first, last) = (Duration::from_millis(100), self.settings.fault_time);
        self.now() + self.between(first, last)
    }

    /// Whether faults may still be injected; while this holds, all clients continue to publish.
    pub(crate) fn may_inject_faults(&self) -> bool {
        self.now() < Instant::START + self.settings.fault_time || self.crashes_armed > 0
    }

    /// Records that a fault began or ended; the time limits of the checks count from this time.
    pub(crate) const fn record_fault_change(&mut self) {
        self.last_fault_change_at = self.clock.now();
    }

    pub(crate) fn time_since_fault(&self) -> Duration {
        self.now().saturating_since(self.last_fault_change_at)
    }

    /// Until when the gateway may detect silent clients later: it does not read from a client with too much pending, and
    /// while a disk is stalled much is pending.
    pub(crate) fn silence_excused_until(&self) -> Instant {
        if self.disks_stalled_until == Instant::START {
            return Instant::START;
        }
        self.disks_stalled_until + self.settings.peer_silence_max()
    }

    /// Records what clients observe.
    pub(crate) fn recorder(&mut self) -> Recorder<'_> {
        Recorder {
            is_durable: self.settings.is_durable(),
            visible_max: self.settings.visible_max(),
            reference_model: &mut self.reference_model,
            totals: &mut self.totals,
        }
    }

    /// Records a violation.
    pub(crate) fn report(&mut self, invariant: Invariant, details: String) {
        self.reference_model.report_violation(invariant, details);
    }

    pub(crate) fn schedule_network(&mut self, at: Instant, event: NetworkEvent) {
        self.clock.schedule_at(at, WorldEvent::Network(event));
    }

    pub(crate) fn schedule_node(&mut self, at: Instant, node: NodeIndex, event: NodeEvent) {
        self.clock.schedule_at(at, WorldEvent::Node { node, event });
    }

    pub(crate) fn schedule_process(
        &mut self,
        at: Instant,
        process: ProcessId,
        event: ProcessEvent,
    ) {
        let ProcessId { node, number } = process;
        self.schedule_node(at, node, NodeEvent::Process { number, event });
    }

    pub(crate) fn schedule_client(
        &mut self,
        delay: Duration,
        client: usize,
        event: SimpleClientEvent,
    ) {
        let event = ClientEvent::Simple { client, event };
        self.clock.schedule(delay, WorldEvent::Client(event));
    }

    pub(crate) fn schedule_session(&mut self, at: Instant, session: usize, event: DriverEvent) {
        let event = ClientEvent::Session { session, event };
        self.clock.schedule_at(at, WorldEvent::Client(event));
    }
}
