//! The gateway's process in the world: its hubs, its log, and what its shells would do, as events.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use steadfast_hub::Hub;
use steadfast_hub::epoch::ChannelEpoch;
use steadfast_hub::event::{End, Event as HubEvent};
use steadfast_hub::io::{Input, LogEvent, Note, Output, PeerId};
use steadfast_hub::log::Log;
use steadfast_hub::log::io::{self as log_io, Answer, Request};
use steadfast_machine::{Instant, Machine, Seed};
use steadfast_protocol::codes::DisconnectCode;
use steadfast_protocol::message::ChannelName;
use steadfast_protocol::websocket::encoder::encode_server_close;

use crate::links::LinkId;
use crate::log_thread::DiskWork;
use crate::reference::Promise;
use crate::settings::CORES;
use crate::socket::Pings;
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
                self.settings.hub(core, self.mutation),
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

    /// Gives a new link a peer on some core, of which the hub is still to be told; none when the process takes nobody.
    pub(crate) fn accept(&mut self, link: LinkId) -> Option<(usize, PeerId)> {
        let index = usize::try_from(self.generator.below(u64::from(CORES))).unwrap_or(0);
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
        Some((index, peer))
    }

    /// Feeds a hub and carries out what it orders.
    pub(crate) fn tell_hub(&mut self, index: usize, input: Input) {
        let now = self.clock.now();
        let Some(core) = self
            .gateway
            .as_mut()
            .and_then(|gateway| gateway.cores.get_mut(index))
        else {
            return;
        };
        core.hub.handle(now, input);
        let outputs: Vec<Output> = std::iter::from_fn(|| core.hub.poll_output()).collect();
        for output in outputs {
            self.carry_out_hub(index, output);
        }
        self.plan_log_turn();
        self.plan_tick();
    }

    fn carry_out_hub(&mut self, index: usize, output: Output) {
        match output {
            Output::Send { peer, frame } => {
                if let Some(link) = self.link_of(index, peer) {
                    self.send_to_client(link, frame);
                }
            }
            Output::Fanout { frame, to } => {
                for peer in to.iter() {
                    if let Some(link) = self.link_of(index, *peer) {
                        self.send_to_client(link, frame.clone());
                    }
                }
            }
            Output::Close { peer, code, reason } => self.close_peer(index, peer, code, &reason),
            Output::Pause { peer } => {
                if let Some(link) = self.link_of(index, peer) {
                    self.set_reading(link, true);
                }
            }
            Output::Resume { peer } => {
                if let Some(link) = self.link_of(index, peer) {
                    self.set_reading(link, false);
                }
            }
            Output::Ask(request) => self.wait_for_log(Waiting::Request(request)),
            Output::Tell(note) => self.wait_for_log(Waiting::Note(note)),
            Output::Notify(event) => self.note_hub(index, &event),
        }
    }

    fn link_of(&self, index: usize, peer: PeerId) -> Option<LinkId> {
        let core = self.gateway.as_ref()?.cores.get(index)?;
        core.links.get(&peer).copied()
    }

    fn wait_for_log(&mut self, waiting: Waiting) {
        if let Some(gateway) = &mut self.gateway {
            gateway.waiting.push_back(waiting);
        }
    }

    /// The close frame goes out behind everything else, and the gateway lets go.
    fn close_peer(&mut self, index: usize, peer: PeerId, code: u16, reason: &str) {
        let Some(link) = self.link_of(index, peer) else {
            return;
        };
        if code == DisconnectCode::NoPong.code() && !self.harmed.contains(&link) {
            let seen = format!("the gateway gave up {link:?}, which is healthy");
            self.reference
                .break_promise(Promise::AHealthyPeerIsKept, seen);
        }
        self.forget_peer(index, peer);
        self.send_to_client(link, encode_server_close(code, reason));
        self.let_go_as_gateway(link);
    }

    /// What a hub tells people.
    fn note_hub(&mut self, index: usize, event: &HubEvent) {
        let HubEvent::PeerClosed {
            peer, end, idle, ..
        } = event
        else {
            return;
        };
        let End::Server { code, .. } = end else {
            return;
        };
        let is_one_of = |codes: &[DisconnectCode]| codes.iter().any(|it| it.code() == *code);
        if is_one_of(&[DisconnectCode::NoPong]) {
            self.totals.peers_noticed_dead += 1;
            let link = self.link_of(index, *peer);
            let socket = link.and_then(|link| self.links.get(&link)?.socket.as_ref());
            let pings = socket.map_or(Pings::Prompt, |socket| socket.pings);
            let longest = self.settings.peer_silence_max(pings);
            if *idle > longest {
                let seen = format!("the gateway noticed a silence of {idle:?} after {longest:?}");
                self.reference
                    .break_promise(Promise::ADeadPeerIsNoticed, seen);
            }
        } else if is_one_of(&[DisconnectCode::Slow, DisconnectCode::WriteError]) {
            self.totals.peers_too_slow += 1;
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
