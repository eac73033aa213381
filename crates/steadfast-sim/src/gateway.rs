//! The gateway's process in the world: its hubs, its log, and what its shells would do, as events.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use steadfast_hub::Hub;
use steadfast_hub::epoch::ChannelEpoch;
use steadfast_hub::io::{Input, LogEvent, Note, Output, PeerId};
use steadfast_hub::log::Log;
use steadfast_hub::log::io::{self as log_io, Answer, Request};
use steadfast_machine::{Instant, Machine, Seed};
use steadfast_protocol::message::ChannelName;

use crate::links::LinkId;
use crate::log_thread::DiskWork;
use crate::settings::{CORES, RunSettings};
use crate::world::{Event, World};

/// Answers to the world itself carry this number of a core, which no hub has.
pub(crate) const WORLD_CORE: u16 = u16::MAX;

/// What waits for the log's next turn.
#[derive(Debug)]
pub(crate) enum Waiting {
    Request(Request),
    Note(Note),
}

#[derive(Debug)]
pub(crate) struct Core {
    hub: Hub,
    /// What the log has told this core and it has not read.
    pub(crate) unread: VecDeque<LogEvent>,
    links: BTreeMap<PeerId, LinkId>,
    next_peer: u32,
    is_turn_planned: bool,
}

/// How far the end of a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It goes on.
    NotAsked,
    /// The log was asked to end.
    Asked,
    /// The log said that it cannot mark its end.
    Unmarked,
}

/// One life of the gateway's process.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) is_open: bool,
    pub(crate) ending: Ending,
    pub(crate) log: Log,
    pub(crate) cores: Vec<Core>,
    pub(crate) waiting: VecDeque<Waiting>,
    pub(crate) is_log_turn_planned: bool,
    tick_at: Option<Instant>,
    /// The write under way, which a crash may have begun.
    pub(crate) writing: Option<DiskWork>,
    /// Orders of the log that are under way.
    pub(crate) working: usize,
    /// What the world was answered, by number.
    pub(crate) told: BTreeMap<u64, Answer>,
    /// Epoch and top of each channel, for the mutation that bends positions.
    pub(crate) tops: BTreeMap<ChannelName, (ChannelEpoch, u64)>,
}

impl World {
    /// Starts the process on what the disk holds.
    pub(crate) fn start_gateway(&mut self) {
        let now = self.clock.now();
        let cores = (0..CORES).map(|core| Core {
            hub: Hub::new(
                RunSettings::hub(core),
                Seed::new(self.generator.next_u64()),
                now,
            ),
            unread: VecDeque::new(),
            links: BTreeMap::new(),
            next_peer: 0,
            is_turn_planned: false,
        });
        self.gateway = Some(Gateway {
            is_open: false,
            ending: Ending::NotAsked,
            log: Log::new(self.settings.log, now),
            cores: cores.collect(),
            waiting: VecDeque::new(),
            is_log_turn_planned: false,
            tick_at: None,
            writing: None,
            working: 0,
            told: BTreeMap::new(),
            tops: BTreeMap::new(),
        });
        let found = log_io::Input::Found {
            segments: self.disk.list(),
            incarnation: self.generator.next_u64(),
            at: self.wall(),
        };
        self.tell_log(found);
    }

    /// Gives a new link a peer on some core; false when the process does not take any.
    pub(crate) fn accept(&mut self, link: LinkId) -> Option<(usize, PeerId)> {
        let index = usize::try_from(self.generator.below(u64::from(CORES))).unwrap_or(0);
        let client = u128::from(self.generator.next_u64());
        let core = self
            .gateway
            .as_mut()
            .filter(|gateway| gateway.is_open)?
            .cores
            .get_mut(index)?;
        let peer = PeerId {
            index: core.next_peer,
            generation: 0,
        };
        core.next_peer += 1;
        core.links.insert(peer, link);
        let client = steadfast_hub::io::ClientId(client);
        self.tell_hub(
            index,
            Input::Accepted {
                peer,
                client,
                access: steadfast_hub::io::Access::Anonymous,
            },
        );
        Some((index, peer))
    }

    /// Feeds a hub and carries out what it orders.
    pub(crate) fn tell_hub(&mut self, index: usize, input: Input) {
        let now = self.clock.now();
        let Some(gateway) = &mut self.gateway else {
            return;
        };
        let Some(core) = gateway.cores.get_mut(index) else {
            return;
        };
        core.hub.handle(now, input);
        let mut sends = Vec::new();
        let mut closed = Vec::new();
        while let Some(output) = core.hub.poll_output() {
            match output {
                Output::Send { peer, frame } => {
                    sends.extend(core.links.get(&peer).map(|link| (*link, peer, frame)));
                }
                Output::Fanout { frame, to } => {
                    let targets = to
                        .iter()
                        .filter_map(|peer| Some((*core.links.get(peer)?, *peer, frame.clone())));
                    sends.extend(targets);
                }
                Output::Close { peer, .. } => closed.extend(core.links.remove(&peer)),
                Output::Ask(request) => gateway.waiting.push_back(Waiting::Request(request)),
                Output::Tell(note) => gateway.waiting.push_back(Waiting::Note(note)),
                // The simulated sockets have no read side to pause.
                Output::Pause { .. } | Output::Resume { .. } | Output::Notify(_) => {}
            }
        }
        for (link, peer, frame) in sends {
            self.send_to_client(link, frame);
            self.maybe_back_up(index, peer);
        }
        for link in closed {
            self.end_link(link);
        }
        self.plan_log_turn();
        self.plan_tick();
    }

    /// Now and then a socket is full for a while.
    fn maybe_back_up(&mut self, core: usize, peer: PeerId) {
        if self.generator.chance(1, 16) {
            let life = self.life;
            self.clock
                .plan(Duration::ZERO, Event::Backlog { life, core, peer });
            let delay = self
                .generator
                .between(Duration::from_millis(1), Duration::from_millis(30));
            self.clock.plan(delay, Event::Drained { life, core, peer });
        }
    }

    /// The hub's peer is gone from the gateway's side as well.
    pub(crate) fn forget_peer(&mut self, core: usize, peer: PeerId) {
        if let Some(core) = self
            .gateway
            .as_mut()
            .and_then(|gateway| gateway.cores.get_mut(core))
        {
            core.links.remove(&peer);
        }
    }

    pub(crate) fn plan_core_turns(&mut self) {
        let life = self.life;
        let Some(gateway) = &mut self.gateway else {
            return;
        };
        for (index, core) in gateway.cores.iter_mut().enumerate() {
            if core.unread.is_empty() || core.is_turn_planned {
                continue;
            }
            core.is_turn_planned = true;
            // Now and then a core is busy for a while and falls behind.
            let longest = if self.generator.chance(1, 20) {
                50_000
            } else {
                500
            };
            let delay = self
                .generator
                .between(Duration::from_micros(5), Duration::from_micros(longest));
            self.clock
                .plan(delay, Event::CoreTurn { life, core: index });
        }
    }

    /// A core reads what the log told it.
    pub(crate) fn core_turn(&mut self, index: usize) {
        let at = self.wall();
        let Some(core) = self
            .gateway
            .as_mut()
            .and_then(|gateway| gateway.cores.get_mut(index))
        else {
            return;
        };
        core.is_turn_planned = false;
        let events = core.unread.drain(..).collect();
        self.tell_hub(index, Input::Log { events, at });
        self.plan_core_turns();
    }

    pub(crate) fn plan_tick(&mut self) {
        let life = self.life;
        let Some(gateway) = &mut self.gateway else {
            return;
        };
        let hubs = gateway
            .cores
            .iter()
            .filter_map(|core| core.hub.poll_timeout().map(|(at, _)| at));
        let log = gateway.log.poll_timeout().map(|(at, _)| at);
        let Some(next) = hubs.chain(log).min() else {
            return;
        };
        if gateway.tick_at.is_none_or(|planned| next < planned) {
            gateway.tick_at = Some(next);
            self.clock.plan_at(next, Event::Tick { life });
        }
    }

    /// Deadlines of the process may have passed.
    pub(crate) fn tick(&mut self) {
        let at = self.wall();
        if let Some(gateway) = &mut self.gateway {
            gateway.tick_at = None;
        }
        for core in 0..usize::from(CORES) {
            self.tell_hub(core, Input::Tick);
        }
        self.tell_log(log_io::Input::Tick { at });
    }
}

impl Gateway {
    /// Shows an entry to every core. One that is too far behind loses its shared entries and is told where. Returns
    /// how many cores that was.
    pub(crate) fn show_all(&mut self, event: &LogEvent, ring_entries: usize) -> u64 {
        let mut lapses = 0;
        for core in &mut self.cores {
            let is_answer = |event: &LogEvent| matches!(event, LogEvent::Answered { .. });
            if core.unread.iter().filter(|event| !is_answer(event)).count() >= ring_entries {
                core.unread.retain(is_answer);
                core.unread.push_back(LogEvent::Lapsed);
                lapses += 1;
            }
            core.unread.push_back(event.clone());
        }
        lapses
    }

    /// Whether nothing is under way between cores, log and disk.
    pub(crate) fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
            && self.working == 0
            && self.cores.iter().all(|core| core.unread.is_empty())
    }
}
