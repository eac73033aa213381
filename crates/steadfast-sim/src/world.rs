//! The world: clients, links, one gateway and its disk, and what goes wrong between them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use steadfast_core::Session;
use steadfast_core::io::{Attempt, Input, PublicationId};
use steadfast_machine::{Generator, Instant, Seed, Timestamp};

use crate::client::Client;
use crate::clock::Clock;
use crate::disk::Disk;
use crate::driver::Driver;
use crate::explore::Finding;
use crate::faults::LinkFault;
use crate::gateway::Gateway;
use crate::links::{Direction, Link, LinkId};
use crate::log_thread::DiskWork;
use crate::mutation::Mutation;
use crate::reference::{Promise, Reference};
use crate::settings::RunSettings;
use crate::totals::Totals;

/// The wall clock at the start of every run.
const WALL_START_MS: u64 = 1_700_000_000_000;

/// After this time the run must have settled: a multiple of every time-out in it.
const END: Duration = Duration::from_mins(2);

/// Far more than happens at one instant; a machine whose deadline never moves would stop the time.
const EVENTS_PER_INSTANT_MAX: u64 = 10_000;

/// What happens next. A `life` tells the lives of the gateway apart.
#[derive(Debug)]
pub(crate) enum Event {
    Dial {
        client: usize,
    },
    /// Something comes out of a link, or fits into it again.
    Flow {
        link: LinkId,
        direction: Direction,
    },
    /// A simple client has missed the pings of the gateway for too long.
    NoPing {
        client: usize,
        link: LinkId,
    },
    /// A dial of a session comes to something.
    Dialled {
        session: usize,
        attempt: Attempt,
    },
    SessionTick {
        session: usize,
    },
    /// The end of a turn in which a client sent something.
    Unsent {
        link: LinkId,
    },
    SessionPublish {
        session: usize,
    },
    CloseSession {
        session: usize,
    },
    /// By now a session that was closed must have ended.
    JudgeClose {
        session: usize,
    },
    OpenSession {
        session: usize,
    },
    /// The time of a publication is over.
    JudgeExpiry {
        session: usize,
        publication: PublicationId,
    },
    /// An application looks at what waits for it.
    Look {
        session: usize,
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
    /// The end of a turn in which a socket took too little.
    Backlog {
        link: LinkId,
    },
    /// By now these bytes must not wait any more.
    JudgeBacklog {
        link: LinkId,
        /// Everything that had been sent up to them.
        sent: u64,
    },
    /// By now the gateway must have noticed that this link is dead.
    JudgeGateway {
        link: LinkId,
    },
    /// By now this session must have.
    JudgeSession {
        session: usize,
        link: LinkId,
    },
    CutLink,
    HarmLink {
        fault: LinkFault,
    },
    Heal {
        link: LinkId,
    },
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
    /// The simple ones.
    pub(crate) clients: Vec<Client>,
    /// The link of each simple client, as the client sees it.
    pub(crate) dialled: Vec<Option<LinkId>>,
    pub(crate) drivers: Vec<Driver>,
    pub(crate) links: BTreeMap<LinkId, Link>,
    pub(crate) next_link: u64,
    /// Links that something befell at any time.
    pub(crate) harmed: BTreeSet<LinkId>,
    pub(crate) crashes_armed: u64,
    pub(crate) link_faults_left: usize,
    /// When something last went wrong, or ended going wrong.
    pub(crate) trouble_at: Instant,
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
        let drivers = (settings.sessions.iter().enumerate())
            .map(|(index, draw)| {
                let policy = draw.policy(mutation);
                let session = Session::new(policy, generator.split(), Instant::START);
                Driver::new(index, session, draw, &settings)
            })
            .collect();
        let clients: Vec<Client> = (0..settings.clients)
            .map(|index| Client::new(index, &settings.channels, settings.padding))
            .collect();
        Self {
            dialled: vec![None; clients.len()],
            clients,
            drivers,
            link_faults_left: settings.link_faults.len(),
            trouble_at: Instant::START,
            mutation,
            clock: Clock::new(),
            generator,
            disk: Disk::default(),
            gateway: None,
            life: 0,
            reference: Reference::default(),
            totals: Totals {
                seeds: 1,
                sessions: length(&settings.sessions),
                simple_clients: u64::try_from(settings.clients).unwrap_or(0),
                ..Totals::default()
            },
            settings,
            links: BTreeMap::new(),
            next_link: 0,
            harmed: BTreeSet::new(),
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
            let delay = self.start_delay();
            self.clock.plan(delay, Event::Dial { client });
            self.clock.plan(delay, Event::Publish { client });
        }
        for session in 0..self.drivers.len() {
            self.open_session(session);
            let delay = self.start_delay();
            self.clock.plan(delay, Event::SessionPublish { session });
            if self
                .settings
                .sessions
                .get(session)
                .is_some_and(|draw| draw.closes)
            {
                self.plan_fault(Event::CloseSession { session });
            }
        }
        for _ in 0..self.settings.link_losses {
            self.plan_fault(Event::CutLink);
        }
        for fault in self.settings.link_faults.clone() {
            self.plan_fault(Event::HarmLink { fault });
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
        self.clock
            .plan(self.settings.fault_time, Event::CheckSettled);
    }

    fn start_delay(&mut self) -> Duration {
        self.generator
            .between(Duration::from_millis(1), Duration::from_millis(100))
    }

    fn plan_fault(&mut self, fault: Event) {
        let (first, last) = (Duration::from_millis(100), self.settings.fault_time);
        let delay = self.generator.between(first, last);
        self.clock.plan(delay, fault);
    }

    fn go(&mut self) {
        let end = Instant::START + END;
        let (mut instant, mut events) = (self.clock.now(), 0_u64);
        while !self.is_settled && self.reference.violations().is_empty() {
            let Some(event) = self.clock.next(end) else {
                return;
            };
            events = if self.clock.now() == instant {
                events + 1
            } else {
                0
            };
            instant = self.clock.now();
            if events > EVENTS_PER_INSTANT_MAX {
                let seen = format!("time stands still at {instant:?} for {event:?}");
                self.reference.break_promise(Promise::NobodySpins, seen);
            }
            self.happen(event);
            // A log that opens may get to its end, which is the more delicate the later.
            let is_open = self.gateway.as_ref().is_some_and(|it| it.is_open);
            let odds = if is_open { 3 } else { 12 };
            if self.crashes_armed > 0 && self.is_vulnerable() && self.generator.chance(1, odds) {
                if self.generator.chance(1, 4) {
                    self.kill();
                } else {
                    self.crash();
                }
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Dial { client } => self.dial(client),
            Event::Flow { link, direction } => self.look_at_flow(link, direction),
            Event::NoPing { client, link } => self.miss_pings(client, link),
            Event::Dialled { session, attempt } => self.dialled(session, attempt),
            Event::SessionTick { session } => self.session_tick(session),
            Event::Unsent { link } => self.tell_unsent(link),
            Event::SessionPublish { session } => self.session_publish(session),
            Event::CloseSession { session } => self.close_session(session),
            Event::JudgeClose { session } => self.judge_close(session),
            Event::JudgeExpiry {
                session,
                publication,
            } => self.judge_expiry(session, publication),
            Event::OpenSession { session } => {
                self.note_trouble();
                self.tell_session(session, Input::OpenRequested);
            }
            Event::Look { session } => self.application_looks(session),
            Event::Publish { client } => self.publish(client),
            Event::Repeat { client } => self.repeat(client),
            Event::LogTurn { life }
            | Event::Disk { life, .. }
            | Event::CoreTurn { life, .. }
            | Event::Tick { life }
            | Event::Stop { life }
                if life != self.life => {}
            Event::LogTurn { .. } => self.log_turn(),
            Event::Disk { work, .. } => self.disk_done(work),
            Event::CoreTurn { core, .. } => self.core_turn(core),
            Event::Tick { .. } => self.tick(),
            Event::Stop { .. } => self.stop(),
            Event::Backlog { link } => self.tell_backlog(link),
            Event::JudgeBacklog { link, sent } => self.judge_backlog(link, sent),
            Event::JudgeGateway { link } => self.judge_gateway(link),
            Event::JudgeSession { session, link } => self.judge_session(session, link),
            Event::CutLink => self.cut_link(),
            Event::HarmLink { fault } => self.harm_link(fault),
            Event::Heal { link } => self.heal_link(link),
            Event::ArmCrash => self.crashes_armed += 1,
            Event::AskToStop => self.ask_to_stop(),
            Event::FillDisk => self.fill_disk(),
            Event::FreeDisk => self.free_disk(),
            Event::Restart => self.start_gateway(),
            Event::CheckSettled => self.check_settled(),
        }
    }

    /// Whether things may still go wrong, so that everybody goes on publishing.
    pub(crate) fn is_faulty(&self) -> bool {
        self.clock.now() < Instant::START + self.settings.fault_time || self.crashes_armed > 0
    }

    pub(crate) fn publish_pause(&mut self) -> Duration {
        self.generator
            .between(Duration::from_millis(5), Duration::from_millis(120))
    }

    /// Whether a crash now would lose something that the log has written, even while it opens.
    fn is_vulnerable(&self) -> bool {
        self.gateway.is_some() && self.disk.has_unsynced()
    }

    /// The process alone is gone. What it had written stays to be read, and the next loss of power takes it all the same.
    fn kill(&mut self) {
        let Some(gateway) = self.gateway.take() else {
            return;
        };
        if let Some(DiskWork::Write { segment, at, bytes }) = gateway.writing
            && self.generator.chance(1, 2)
        {
            self.disk.write(segment, at, &bytes);
        }
        self.totals.kills += 1;
        self.ended_clean = false;
        self.end_life();
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
        self.note_trouble();
        let now = self.clock.now();
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            let (soon, late) = (Duration::from_millis(1), Duration::from_millis(50));
            let delay = self.generator.between(soon, late);
            if let Some(state) = self.links.get_mut(&link)
                && state.socket.take().is_some()
            {
                state.to_client.reset(now, delay);
                self.plan_flow(link, Direction::ToClient);
            }
            self.forget_if_let_go(link);
        }
        // Whatever was planned for the life that has ended must not reach the next one.
        self.life += 1;
        let delay = self
            .generator
            .between(Duration::from_millis(10), Duration::from_millis(500));
        self.clock.plan(delay, Event::Restart);
    }
}

fn length<T>(of: &[T]) -> u64 {
    u64::try_from(of.len()).unwrap_or(u64::MAX)
}
