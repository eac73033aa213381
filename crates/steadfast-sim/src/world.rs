//! The world: clients, links, one gateway and its disk, and what goes wrong between them.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use steadfast_hub::io::{Input, Loss, PeerId};
use steadfast_hub::log::io::ReadFrom;
use steadfast_machine::{Generator, Instant, Seed, Timestamp};
use steadfast_protocol::message::Position;

use crate::client::{Action, Books, Client, key_of};
use crate::clock::Clock;
use crate::disk::Disk;
use crate::explore::Finding;
use crate::gateway::{DiskWork, Gateway};
use crate::mutation::Mutation;
use crate::reference::{Promise, Reference};
use crate::settings::RunSettings;
use crate::totals::Totals;

/// The wall clock at the start of every run.
const WALL_START_MS: u64 = 1_700_000_000_000;

/// Faults happen within this time.
const FAULT_TIME: Duration = Duration::from_secs(3);

/// After this time the run must have settled: a multiple of every time-out in it.
const END: Duration = Duration::from_mins(2);

/// One connection between a client and the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkId(u64);

#[derive(Debug)]
struct Link {
    client: usize,
    core: usize,
    peer: PeerId,
    /// When the last frame of each direction arrives: nothing overtakes it.
    to_client_until: Instant,
    to_gateway_until: Instant,
}

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
    clients: Vec<Client>,
    /// The link of each client, as the client sees it.
    dialled: Vec<Option<LinkId>>,
    links: BTreeMap<LinkId, Link>,
    next_link: u64,
    crashes_armed: u64,
    /// True when the process before this one marked its end as clean.
    pub(crate) ended_clean: bool,
    is_settled: bool,
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
        let settings = RunSettings::draw(&mut generator);
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

    fn dial(&mut self, client: usize) {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        let Some((core, peer)) = self.accept(link) else {
            let delay = self
                .generator
                .between(Duration::from_millis(20), Duration::from_millis(300));
            self.clock.plan(delay, Event::Dial { client });
            return;
        };
        let now = self.clock.now();
        self.links.insert(
            link,
            Link {
                client,
                core,
                peer,
                to_client_until: now,
                to_gateway_until: now,
            },
        );
        if let Some(dialled) = self.dialled.get_mut(client) {
            *dialled = Some(link);
        }
        let greeting = self.clients.get_mut(client).map(Client::greet);
        self.send_to_gateway(client, greeting);
    }

    fn send_to_gateway(&mut self, client: usize, message: Option<Bytes>) {
        let Some(message) = message else { return };
        let Some(link) = self.dialled.get(client).copied().flatten() else {
            return;
        };
        let arrival = self.clock.now() + self.link_delay();
        let Some(state) = self.links.get_mut(&link) else {
            return;
        };
        state.to_gateway_until = state.to_gateway_until.max(arrival);
        self.clock
            .plan_at(state.to_gateway_until, Event::ToGateway { link, message });
    }

    pub(crate) fn send_to_client(&mut self, link: LinkId, bytes: Bytes) {
        let arrival = self.clock.now() + self.link_delay();
        let Some(state) = self.links.get_mut(&link) else {
            return;
        };
        let at = if self.mutation == Some(Mutation::NoOrder) {
            arrival
        } else {
            state.to_client_until = state.to_client_until.max(arrival);
            state.to_client_until
        };
        self.clock.plan_at(at, Event::ToClient { link, bytes });
    }

    fn link_delay(&mut self) -> Duration {
        self.generator
            .between(Duration::from_micros(100), Duration::from_millis(8))
    }

    fn arrive_at_gateway(&mut self, link: LinkId, message: Bytes) {
        if let Some(Link { core, peer, .. }) = self.links.get(&link) {
            self.tell_hub(
                *core,
                Input::Received {
                    peer: *peer,
                    message,
                },
            );
        }
    }

    fn arrive_at_client(&mut self, link: LinkId, bytes: &[u8]) {
        let Some(client) = self.links.get(&link).map(|link| link.client) else {
            return;
        };
        let mut books = Books {
            reference: &mut self.reference,
            totals: &mut self.totals,
            is_whole: self.settings.is_whole(),
            keeps_all: self.settings.keeps_all(),
        };
        let actions = self
            .clients
            .get_mut(client)
            .map(|client| client.receive(bytes, &mut books));
        for action in actions.unwrap_or_default() {
            match action {
                Action::Send(message) => self.send_to_gateway(client, Some(message)),
                Action::HangUp => self.end_link(link),
                Action::RetryLater => self
                    .clock
                    .plan(Duration::from_millis(100), Event::Repeat { client }),
            }
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
        let delay = self
            .generator
            .between(Duration::from_millis(5), Duration::from_millis(120));
        self.clock.plan(delay, Event::Publish { client });
    }

    /// Somebody's connection is cut; what was under way on it is lost, and either end learns of it later.
    fn cut_link(&mut self) {
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        let pick = usize::try_from(
            self.generator
                .below(u64::try_from(links.len()).unwrap_or(0)),
        )
        .unwrap_or(0);
        let Some(link) = links.get(pick) else {
            // Nobody is connected at the moment.
            self.clock.plan(Duration::from_millis(50), Event::CutLink);
            return;
        };
        self.totals.link_losses += 1;
        self.end_link(*link);
    }

    pub(crate) fn end_link(&mut self, link: LinkId) {
        let Some(Link {
            client, core, peer, ..
        }) = self.links.remove(&link)
        else {
            return;
        };
        let (soon, late) = (Duration::from_millis(1), Duration::from_secs(2));
        let delay = self.generator.between(soon, Duration::from_millis(50));
        self.clock.plan(delay, Event::ClientLost { client, link });
        let delay = self.generator.between(soon, late);
        self.clock.plan(
            delay,
            Event::PeerLost {
                life: self.life,
                core,
                peer,
            },
        );
    }

    fn lose_client_link(&mut self, client: usize, link: LinkId) {
        if self.dialled.get(client).copied().flatten() != Some(link) {
            return;
        }
        if let (Some(dialled), Some(lost)) =
            (self.dialled.get_mut(client), self.clients.get_mut(client))
        {
            *dialled = None;
            lost.hang_up();
        }
        let delay = self
            .generator
            .between(Duration::from_millis(10), Duration::from_millis(200));
        self.clock.plan(delay, Event::Dial { client });
    }

    /// Whether a crash now would lose something that the log has written.
    fn is_vulnerable(&self) -> bool {
        self.gateway.as_ref().is_some_and(|gateway| gateway.is_open) && self.disk.has_unsynced()
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

    fn check_settled(&mut self) {
        self.clock
            .plan(Duration::from_millis(100), Event::CheckSettled);
        let is_over = self.crashes_armed == 0
            && self.totals.link_losses >= self.settings.link_losses
            && self
                .clients
                .iter()
                .all(|client| client.published() >= self.settings.publishes)
            && self
                .gateway
                .as_ref()
                .is_some_and(|gateway| gateway.is_open && gateway.is_quiet());
        if is_over {
            let tops = self.tops();
            self.is_settled = self.clients.iter().all(|client| client.is_settled(&tops));
        }
    }

    fn tops(&mut self) -> BTreeMap<String, Position> {
        let mut tops = BTreeMap::new();
        for channel in self.settings.channels.clone() {
            if let Some(read) = self.read_now(&channel, ReadFrom::Start, 0) {
                let position = Position {
                    epoch: read.epoch.to_string(),
                    offset: read.top,
                };
                tops.insert(channel, position);
            }
        }
        tops
    }

    /// Compares what was promised with what is there.
    fn judge(&mut self) {
        if !self.reference.violations().is_empty() {
            return;
        }
        if !self.is_settled {
            let open: Vec<String> = self.clients.iter().map(Client::describe).collect();
            self.reference
                .break_promise(Promise::EverythingSettles, open.join("; "));
            return;
        }
        let is_whole = self.settings.is_whole();
        for channel in self.settings.channels.clone() {
            let (top, keys) = self.read_all(&channel);
            self.reference.settle(&channel, &top, &keys, is_whole);
        }
    }

    /// Everything that the log holds of a channel, page by page.
    fn read_all(&mut self, channel: &str) -> (Position, Vec<(u64, String)>) {
        let mut keys: Vec<(u64, String)> = Vec::new();
        let mut from = ReadFrom::Start;
        while let Some(read) = self.read_now(channel, from, 100) {
            let position = Position {
                epoch: read.epoch.to_string(),
                offset: read.top,
            };
            let first = read.records.first().map_or(0, |record| record.offset);
            let last = match keys.last() {
                Some((offset, _)) => *offset,
                None if self.settings.keeps_all() => 0,
                None => first.saturating_sub(1),
            };
            for (expected, record) in (last + 1..).zip(&read.records) {
                if record.offset != expected {
                    let seen = format!(
                        "{channel}: the log holds {} where {expected} belongs",
                        record.offset
                    );
                    self.reference.break_promise(Promise::OrderIsKept, seen);
                }
                keys.push((record.offset, key_of(&record.data).to_owned()));
            }
            if read.is_whole || read.records.is_empty() {
                return (position, keys);
            }
            let offset = keys.last().map_or(0, |(offset, _)| *offset);
            from = ReadFrom::After {
                epoch: read.epoch,
                offset,
            };
        }
        (Position::default(), keys)
    }
}
