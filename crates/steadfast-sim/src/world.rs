//! The world: clients, links, one gateway and its disk, and what goes wrong between them.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use steadfast_hub::io::{Input, Loss, PeerId};
use steadfast_machine::{Generator, Instant, Seed, Timestamp};

use crate::client::Client;
use crate::clock::Clock;
use crate::disk::Disk;
use crate::explore::Finding;
use crate::gateway::Gateway;
use crate::links::{Link, LinkId};
use crate::log_thread::DiskWork;
use crate::mutation::Mutation;
use crate::reference::Reference;
use crate::settings::RunSettings;
use crate::totals::Totals;

/// The wall clock at the start of every run.
const WALL_START_MS: u64 = 1_700_000_000_000;

/// Faults happen within this time.
const FAULT_TIME: Duration = Duration::from_secs(3);

/// After this time the run must have settled: a multiple of every time-out in it.
const END: Duration = Duration::from_mins(2);

/// What happens next. A `life` tells the lives of the gateway apart.
#[derive(Debug)]
pub(crate) enum Event {
    Dial {
        client: usize,
    },
    ToGateway {
        link: LinkId,
        message: Bytes,
    },
    ToClient {
        link: LinkId,
        bytes: Bytes,
    },
    ClientLost {
        client: usize,
        link: LinkId,
    },
    PeerLost {
        life: u64,
        core: usize,
        peer: PeerId,
    },
    Publish {
        client: usize,
    },
    Repeat {
        client: usize,
    },
    LogTurn {
        life: u64,
    },
    Disk {
        life: u64,
        work: DiskWork,
    },
    CoreTurn {
        life: u64,
        core: usize,
    },
    Tick {
        life: u64,
    },
    Backlog {
        life: u64,
        core: usize,
        peer: PeerId,
    },
    Drained {
        life: u64,
        core: usize,
        peer: PeerId,
    },
    CutLink,
    ArmCrash,
    /// The process is asked to end in peace.
    AskToStop,
    /// It has ended.
    Stop {
        life: u64,
    },
    FillDisk,
    FreeDisk,
    Restart,
    CheckSettled,
}

/// Everything.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) settings: RunSettings,
    pub(crate) mutation: Option<Mutation>,
    pub(crate) clock: Clock<Event>,
    pub(crate) generator: Generator,
    pub(crate) disk: Disk,
    pub(crate) gateway: Option<Gateway>,
    pub(crate) life: u64,
    pub(crate) reference: Reference,
    pub(crate) totals: Totals,
    pub(crate) clients: Vec<Client>,
    /// The link of each client, as the client sees it.
    pub(crate) dialled: Vec<Option<LinkId>>,
    pub(crate) links: BTreeMap<LinkId, Link>,
    pub(crate) next_link: u64,
    pub(crate) crashes_armed: u64,
    /// True when the process before this one marked its end as clean.
    pub(crate) ended_clean: bool,
    pub(crate) is_settled: bool,
}

/// Runs one seed to its end: counts, and the first promises that were broken.
pub fn run(seed: u64, mutation: Option<Mutation>) -> Finding {
    let mut world = World::new(seed, mutation);
    world.plan();
    world.go();
    world.judge();
    let violations = world.reference.violations().to_vec();
    Finding {
        seed,
        totals: world.totals,
        violations,
    }
}

impl World {
    fn new(seed: u64, mutation: Option<Mutation>) -> Self {
        let mut generator = Seed::new(seed).generator();
        let settings = RunSettings::draw(&mut generator, mutation);
        let clients: Vec<Client> = (0..settings.clients)
            .map(|index| Client::new(index, &settings.channels, settings.padding))
            .collect();
        Self {
            dialled: vec![None; clients.len()],
            clients,
            settings,
            mutation,
            clock: Clock::new(),
            generator,
            disk: Disk::default(),
            gateway: None,
            life: 0,
            reference: Reference::default(),
            totals: Totals {
                seeds: 1,
                ..Totals::default()
            },
            links: BTreeMap::new(),
            next_link: 0,
            crashes_armed: 0,
            ended_clean: false,
            is_settled: false,
        }
    }

    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp::from_millis(WALL_START_MS + self.clock.now().as_nanos() / 1_000_000)
    }

    /// Plans the first events: who dials, who publishes, what goes wrong.
    fn plan(&mut self) {
        self.start_gateway();
        for client in 0..self.clients.len() {
            let delay = self
                .generator
                .between(Duration::from_millis(1), Duration::from_millis(100));
            self.clock.plan(delay, Event::Dial { client });
            self.clock.plan(delay, Event::Publish { client });
        }
        for _ in 0..self.settings.link_losses {
            self.plan_fault(Event::CutLink);
        }
        for _ in 0..self.settings.crashes {
            self.plan_fault(Event::ArmCrash);
        }
        for _ in 0..self.settings.clean_stops {
            self.plan_fault(Event::AskToStop);
        }
        for _ in 0..self.settings.full_disks {
            self.plan_fault(Event::FillDisk);
        }
        self.clock.plan(FAULT_TIME, Event::CheckSettled);
    }

    fn plan_fault(&mut self, fault: Event) {
        let delay = self
            .generator
            .between(Duration::from_millis(100), FAULT_TIME);
        self.clock.plan(delay, fault);
    }

    fn go(&mut self) {
        let end = Instant::START + END;
        while !self.is_settled && self.reference.violations().is_empty() {
            let Some(event) = self.clock.next(end) else {
                return;
            };
            self.happen(event);
            if self.crashes_armed > 0 && self.is_vulnerable() && self.generator.chance(1, 3) {
                self.crash();
            }
        }
    }

    fn happen(&mut self, event: Event) {
        let now = self.life;
        match event {
            Event::Dial { client } => self.dial(client),
            Event::ToGateway { link, message } => self.arrive_at_gateway(link, message),
            Event::ToClient { link, bytes } => self.arrive_at_client(link, &bytes),
            Event::ClientLost { client, link } => self.lose_client_link(client, link),
            Event::PeerLost { life, core, peer } if life == now => {
                self.forget_peer(core, peer);
                self.tell_hub(
                    core,
                    Input::Lost {
                        peer,
                        loss: Loss::Broken,
                    },
                );
            }
            Event::Publish { client } => self.publish(client),
            Event::Repeat { client } => {
                let messages = self.clients.get_mut(client).map(Client::repeat);
                for message in messages.unwrap_or_default() {
                    self.send_to_gateway(client, Some(message));
                }
            }
            Event::LogTurn { life } if life == now => self.log_turn(),
            Event::Disk { life, work } if life == now => self.disk_done(work),
            Event::CoreTurn { life, core } if life == now => self.core_turn(core),
            Event::Tick { life } if life == now => self.tick(),
            Event::Backlog { life, core, peer } if life == now => {
                self.tell_hub(core, Input::Backlog { peer, bytes: 1 });
            }
            Event::Drained { life, core, peer } if life == now => {
                self.tell_hub(core, Input::Drained { peer });
            }
            Event::PeerLost { .. }
            | Event::LogTurn { .. }
            | Event::Disk { .. }
            | Event::CoreTurn { .. }
            | Event::Tick { .. }
            | Event::Backlog { .. }
            | Event::Drained { .. } => {}
            Event::CutLink => self.cut_link(),
            Event::ArmCrash => self.crashes_armed += 1,
            Event::AskToStop => self.ask_to_stop(),
            Event::Stop { life } if life == now => self.stop(),
            Event::Stop { .. } => {}
            Event::FillDisk => self.fill_disk(),
            Event::FreeDisk => self.disk.is_full = false,
            Event::Restart => self.start_gateway(),
            Event::CheckSettled => self.check_settled(),
        }
    }

    fn publish(&mut self, client: usize) {
        let is_faulty = self.clock.now() < Instant::START + FAULT_TIME || self.crashes_armed > 0;
        let channel = usize::try_from(self.generator.below(8)).unwrap_or(0);
        let Some(publisher) = self.clients.get_mut(client) else {
            return;
        };
        if publisher.published() >= self.settings.publishes && !is_faulty {
            return;
        }
        self.totals.published += 1;
        let message = publisher.publish(channel);
        self.send_to_gateway(client, message);
        if self.generator.chance(1, 8) {
            self.publish_again(client);
        }
        let delay = self
            .generator
            .between(Duration::from_millis(5), Duration::from_millis(120));
        self.clock.plan(delay, Event::Publish { client });
    }

    fn publish_again(&mut self, client: usize) {
        let pick = self.generator.next_u64();
        let again = self
            .clients
            .get_mut(client)
            .and_then(|client| client.publish_again(pick));
        self.totals.published_again += u64::from(again.is_some());
        self.send_to_gateway(client, again);
    }

    /// Whether a crash now would lose something that the log has written, even while it opens.
    fn is_vulnerable(&self) -> bool {
        self.gateway.is_some() && self.disk.has_unsynced()
    }

    /// The power fails: the process and everything unsynced is gone.
    fn crash(&mut self) {
        let Some(gateway) = self.gateway.take() else {
            return;
        };
        self.crashes_armed -= 1;
        if let Some(DiskWork::Write { segment, at, bytes }) = gateway.writing {
            self.disk.write(segment, at, &bytes);
        }
        let wreck = self.disk.crash(&mut self.generator);
        self.totals.crashes += 1;
        self.totals.crashes_while_opening += u64::from(!gateway.is_open);
        self.totals.sectors_dropped += wreck.dropped;
        self.totals.sectors_torn += wreck.torn;
        self.totals.sectors_kept += wreck.kept;
        self.ended_clean = false;
        self.end_life();
    }

    /// The process is gone, whyever: its connections break, and another one is started.
    pub(crate) fn end_life(&mut self) {
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            self.end_link(link);
        }
        // Whatever was planned for the life that has ended must not reach the next one.
        self.life += 1;
        let delay = self
            .generator
            .between(Duration::from_millis(10), Duration::from_millis(500));
        self.clock.plan(delay, Event::Restart);
    }
}
