//! The gateway's process in the world: its hubs, its log, and what its shells would do, as events.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use steadfast_hub::Hub;
use steadfast_hub::epoch::ChannelEpoch;
use steadfast_hub::io::{Input, LogEvent, Note, Output, PeerId};
use steadfast_hub::log::Log;
use steadfast_hub::log::io::{
    self as log_io, Answer, Append, Page, Read, ReadFrom, Record, Request, SegmentNumber, Ticket,
};
use steadfast_machine::{Instant, Machine, Seed};
use steadfast_protocol::message::ChannelName;

use crate::mutation::Mutation;
use crate::reference::Promise;
use crate::settings::{CORES, RunSettings};
use crate::world::{Event, LinkId, World};

/// Answers to the world itself carry this number of a core, which no hub has.
const WORLD_CORE: u16 = u16::MAX;

/// One order of the log that takes its time.
#[derive(Clone, Debug)]
pub(crate) enum DiskWork {
    Reserve {
        segment: SegmentNumber,
        bytes: u64,
    },
    Write {
        segment: SegmentNumber,
        at: u64,
        bytes: Bytes,
    },
    Sync {
        segment: SegmentNumber,
    },
    Read {
        read: u64,
        segment: SegmentNumber,
        at: u64,
        len: usize,
    },
}

/// What waits for the log's next turn.
#[derive(Debug)]
enum Waiting {
    Request(Request),
    Note(Note),
}

#[derive(Debug)]
struct Core {
    hub: Hub,
    /// What the log has told this core and it has not read.
    unread: VecDeque<LogEvent>,
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
    cores: Vec<Core>,
    waiting: VecDeque<Waiting>,
    is_log_turn_planned: bool,
    tick_at: Option<Instant>,
    /// The write under way, which a crash may have begun.
    pub(crate) writing: Option<DiskWork>,
    /// Orders of the log that are under way.
    working: usize,
    /// What the world was answered, by number.
    told: BTreeMap<u64, Answer>,
    /// Epoch and top of each channel, for the mutation that bends positions.
    tops: BTreeMap<ChannelName, (ChannelEpoch, u64)>,
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

    pub(crate) fn plan_log_turn(&mut self) {
        let Some(gateway) = self
            .gateway
            .as_mut()
            .filter(|g| g.is_open && !g.waiting.is_empty())
        else {
            return;
        };
        if !gateway.is_log_turn_planned {
            gateway.is_log_turn_planned = true;
            let delay = self
                .generator
                .between(Duration::from_micros(5), Duration::from_micros(300));
            self.clock.plan(delay, Event::LogTurn { life: self.life });
        }
    }

    /// The log's thread takes everything that waits.
    pub(crate) fn log_turn(&mut self) {
        let Some(gateway) = &mut self.gateway else {
            return;
        };
        gateway.is_log_turn_planned = false;
        let mut batch = Vec::new();
        for waiting in std::mem::take(&mut gateway.waiting) {
            match waiting {
                Waiting::Request(request) => {
                    batch.push(mutate(request, self.mutation, &gateway.tops));
                }
                Waiting::Note(note) => {
                    self.totals.lapses +=
                        gateway.show_all(&LogEvent::Noted(note), self.settings.ring_entries);
                }
            }
        }
        let at = self.wall();
        self.tell_log(log_io::Input::Requested { batch, at });
        self.plan_core_turns();
    }

    /// Feeds the log and carries out what it orders.
    pub(crate) fn tell_log(&mut self, input: log_io::Input) {
        let now = self.clock.now();
        let Some(gateway) = &mut self.gateway else {
            return;
        };
        let was_open = gateway.is_open;
        gateway.log.handle(now, input);
        while let Some(output) = self
            .gateway
            .as_mut()
            .and_then(|gateway| gateway.log.poll_output())
        {
            self.carry_out(output);
        }
        if !was_open && self.gateway.as_ref().is_some_and(|gateway| gateway.is_open) {
            self.learn_tops();
        }
        self.plan_core_turns();
        self.plan_tick();
    }

    fn carry_out(&mut self, output: log_io::Output) {
        let ring_entries = self.settings.ring_entries;
        let Some(gateway) = &mut self.gateway else {
            return;
        };
        match output {
            log_io::Output::Reserve { segment, bytes } => {
                self.work(
                    DiskWork::Reserve { segment, bytes },
                    Duration::from_millis(20),
                );
            }
            log_io::Output::Write { segment, at, bytes } => {
                let work = DiskWork::Write { segment, at, bytes };
                gateway.writing = Some(work.clone());
                self.work(work, Duration::from_micros(200));
            }
            log_io::Output::Sync { segment } => {
                self.work(DiskWork::Sync { segment }, Duration::from_millis(2));
            }
            log_io::Output::Read {
                read,
                segment,
                at,
                len,
            } => {
                self.work(
                    DiskWork::Read {
                        read,
                        segment,
                        at,
                        len,
                    },
                    Duration::from_micros(300),
                );
            }
            log_io::Output::Remove { segment } => self.disk.remove(segment),
            log_io::Output::Opened(report) => {
                gateway.is_open = true;
                self.check_clean_end(&report);
                self.totals.tails_cut += u64::from(report.torn.is_some());
            }
            log_io::Output::Damaged(damage) => {
                self.reference
                    .break_promise(Promise::TheLogOpens, format!("{damage:?}"));
            }
            log_io::Output::Commit(committed) => {
                let top = (committed.epoch, committed.record.offset);
                gateway.tops.insert(committed.channel.clone(), top);
                self.totals.lapses +=
                    gateway.show_all(&LogEvent::Committed(committed), ring_entries);
            }
            log_io::Output::Answer { ticket, answer } if ticket.core == WORLD_CORE => {
                gateway.told.insert(ticket.number, answer);
            }
            log_io::Output::Answer { ticket, answer } => {
                let core = gateway
                    .cores
                    .get_mut(usize::from(ticket.core))
                    .expect("the log answers who asked");
                core.unread.push_back(LogEvent::Answered {
                    number: ticket.number,
                    answer,
                });
            }
            log_io::Output::Notify(event) => self.note(event),
            log_io::Output::Closed => self.plan_stop(),
        }
    }

    /// Orders of the log take up to `longest`.
    fn work(&mut self, work: DiskWork, longest: Duration) {
        if let Some(gateway) = &mut self.gateway {
            gateway.working += 1;
        }
        let delay = self.generator.between(Duration::from_micros(10), longest);
        self.clock.plan(
            delay,
            Event::Disk {
                life: self.life,
                work,
            },
        );
    }

    /// The disk has carried out an order.
    pub(crate) fn disk_done(&mut self, work: DiskWork) {
        if let Some(gateway) = &mut self.gateway {
            gateway.working -= 1;
        }
        if let Some(fact) = self.refuse_for_space(&work) {
            self.tell_log(fact);
            return self.plan_log_turn();
        }
        let fact = match work {
            DiskWork::Reserve { segment, bytes } => {
                self.disk.reserve(segment, bytes);
                log_io::Input::Reserved { segment }
            }
            DiskWork::Write { segment, at, bytes } => {
                self.disk.write(segment, at, &bytes);
                if let Some(gateway) = &mut self.gateway {
                    gateway.writing = None;
                }
                log_io::Input::Written
            }
            DiskWork::Sync { segment } => {
                if self.mutation != Some(Mutation::NoSync) {
                    self.disk.sync(segment);
                }
                log_io::Input::Synced
            }
            DiskWork::Read {
                read,
                segment,
                at,
                len,
            } => log_io::Input::ReadDone {
                read,
                bytes: self.disk.read(segment, at, len),
            },
        };
        self.tell_log(fact);
        self.plan_log_turn();
    }

    fn plan_core_turns(&mut self) {
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

    fn plan_tick(&mut self) {
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

    /// Asks the log about each channel for the world itself; the answers come with the following events.
    fn learn_tops(&mut self) {
        if self.mutation != Some(Mutation::NoPositionCheck) {
            return;
        }
        for channel in self.settings.channels.clone() {
            if let Some(ReadOutcome { epoch, top, .. }) =
                self.read_now(&channel, ReadFrom::Start, 0)
                && let Some(gateway) = &mut self.gateway
            {
                gateway
                    .tops
                    .insert(ChannelName::from(channel.as_str()), (epoch, top));
            }
        }
    }

    /// Reads a channel as the world, with a disk that answers at once. Only for a log without other work.
    pub(crate) fn read_now(
        &mut self,
        channel: &str,
        from: ReadFrom,
        limit: usize,
    ) -> Option<ReadOutcome> {
        let (now, at) = (self.clock.now(), self.wall());
        let gateway = self.gateway.as_mut()?;
        let ticket = Ticket {
            core: WORLD_CORE,
            number: 0,
        };
        let read = Read {
            ticket,
            channel: ChannelName::from(channel),
            from,
            limit,
            bytes_max: 1 << 20,
        };
        gateway.told.clear();
        gateway.log.handle(
            now,
            log_io::Input::Requested {
                batch: vec![Request::Read(read)],
                at,
            },
        );
        while let Some(output) = gateway.log.poll_output() {
            match output {
                log_io::Output::Read {
                    read,
                    segment,
                    at,
                    len,
                } => {
                    let bytes = self.disk.read(segment, at, len);
                    gateway
                        .log
                        .handle(now, log_io::Input::ReadDone { read, bytes });
                }
                log_io::Output::Answer {
                    ticket,
                    answer: Answer::Read(answer),
                } if ticket.core == WORLD_CORE => {
                    let (records, is_whole) = match answer.page {
                        Page::Records { records, more } => (records, !more),
                        Page::Unrecoverable => (Vec::new(), false),
                    };
                    return Some(ReadOutcome {
                        epoch: answer.epoch,
                        top: answer.top,
                        records,
                        is_whole,
                    });
                }
                other @ (log_io::Output::Reserve { .. }
                | log_io::Output::Write { .. }
                | log_io::Output::Sync { .. }
                | log_io::Output::Remove { .. }
                | log_io::Output::Opened(_)
                | log_io::Output::Damaged(_)
                | log_io::Output::Commit(_)
                | log_io::Output::Answer { .. }
                | log_io::Output::Notify(_)
                | log_io::Output::Closed) => unreachable!("a quiet log ordered {other:?}"),
            }
        }
        None
    }
}

/// What the world read of a channel.
#[derive(Debug)]
pub(crate) struct ReadOutcome {
    pub(crate) epoch: ChannelEpoch,
    pub(crate) top: u64,
    pub(crate) records: Vec<Record>,
    pub(crate) is_whole: bool,
}

impl Gateway {
    /// Shows an entry to every core. One that is too far behind loses its shared entries and is told where. Returns
    /// how many cores that was.
    fn show_all(&mut self, event: &LogEvent, ring_entries: usize) -> u64 {
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
}

/// Breaks a promise on the way to the log, if the run is told to.
fn mutate(
    request: Request,
    mutation: Option<Mutation>,
    tops: &BTreeMap<ChannelName, (ChannelEpoch, u64)>,
) -> Request {
    match (mutation, request) {
        (Some(Mutation::NoDedupe), Request::Append(append)) => Request::Append(Append {
            key: None,
            ..append
        }),
        (Some(Mutation::NoPositionCheck), Request::Read(read)) => Request::Read(bend(read, tops)),
        (_, request) => request,
    }
}

/// Makes any position valid.
fn bend(read: Read, tops: &BTreeMap<ChannelName, (ChannelEpoch, u64)>) -> Read {
    match (&read.from, tops.get(&read.channel)) {
        (ReadFrom::After { offset, .. }, Some((epoch, top))) => {
            let from = ReadFrom::After {
                epoch: *epoch,
                offset: (*offset).min(*top),
            };
            Read { from, ..read }
        }
        _ => read,
    }
}

impl Gateway {
    /// Whether nothing is under way between cores, log and disk.
    pub(crate) fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
            && self.working == 0
            && self.cores.iter().all(|core| core.unread.is_empty())
    }
}
