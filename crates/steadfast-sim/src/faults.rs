//! What befalls links: they end, break, swallow, stand still, or their client reads slowly. And who must notice.

use std::time::Duration;

use steadfast_hub::wheel::TICK;
use steadfast_machine::Generator;

use crate::flow::{End, Pace};
use crate::links::{Direction, LinkId, Owner};
use crate::mutation::Mutation;
use crate::reference::Promise;
use crate::settings::{BYTES_WAIT_MAX, STALE_TIMEOUT};
use crate::socket::Pings;
use crate::world::{Event, World};

/// What befalls a link that goes on, as far as its two ends can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkFault {
    /// Nothing gets through any more, either way.
    SwallowBoth,
    /// Nothing gets to the gateway any more.
    SwallowToGateway,
    /// Nothing gets to the client any more.
    SwallowToClient,
    /// It stands still for so long, then delivers everything.
    Freeze(Duration),
    /// What goes to the gateway stands still for so long, and the client's socket takes nothing more.
    StallUplink(Duration),
    /// The client reads so slowly, for so long, and its socket holds so many bytes.
    ReadSlowly {
        pace: Pace,
        window: usize,
        time: Duration,
    },
}

impl LinkFault {
    pub(crate) fn draw(generator: &mut Generator) -> Self {
        let millis = Duration::from_millis;
        match generator.below(8) {
            0 => Self::SwallowBoth,
            1 => Self::SwallowToGateway,
            2 => Self::SwallowToClient,
            3 | 4 => Self::Freeze(generator.between(millis(100), millis(4_000))),
            5 => Self::StallUplink(generator.between(millis(1_000), millis(4_000))),
            _ => Self::ReadSlowly {
                // Now and then it does not read at all.
                pace: Pace {
                    bytes_per_second: match generator.below(3) {
                        0 => 1,
                        _ => 200 + generator.below(4_000),
                    },
                },
                window: 256 << generator.below(5),
                // Longer than bytes may wait: who is well again by then shows nothing.
                time: generator.between(millis(1_000), millis(9_000)),
            },
        }
    }
}

impl World {
    /// Somebody's link, if there is one with both ends.
    fn pick_link(&mut self) -> Option<LinkId> {
        let whole = self.links.iter().filter(|(_, state)| state.is_whole());
        let links: Vec<LinkId> = whole.map(|(link, _)| *link).collect();
        let count = u64::try_from(links.len()).unwrap_or(0);
        let pick = usize::try_from(self.generator.below(count)).unwrap_or(0);
        links.get(pick).copied()
    }

    /// Somebody's link ends in order, or breaks. Either end learns of it later, if it can.
    pub(crate) fn cut_link(&mut self) {
        let Some(link) = self.pick_link() else {
            // Nobody is connected at the moment.
            self.clock.plan(Duration::from_millis(50), Event::CutLink);
            return;
        };
        self.note_trouble();
        self.harmed.insert(link);
        if self.generator.chance(1, 2) {
            self.totals.links_closed += 1;
            self.close_link(link);
        } else {
            self.totals.links_reset += 1;
            self.reset_link(link);
        }
    }

    fn close_link(&mut self, link: LinkId) {
        let now = self.clock.now();
        let delay = Duration::from_millis(1);
        if let Some(state) = self.links.get_mut(&link) {
            for direction in [Direction::ToClient, Direction::ToGateway] {
                let flow = state.flow(direction);
                flow.drop_waiting();
                flow.end(now, delay, End::Ended);
            }
            self.plan_flow(link, Direction::ToClient);
            self.plan_flow(link, Direction::ToGateway);
        }
    }

    fn reset_link(&mut self, link: LinkId) {
        let now = self.clock.now();
        let (soon, late) = (Duration::from_millis(1), Duration::from_secs(2));
        let to_client = self.generator.between(soon, Duration::from_millis(50));
        let to_gateway = self.generator.between(soon, late);
        if let Some(state) = self.links.get_mut(&link) {
            state.to_client.reset(now, to_client);
            state.to_gateway.reset(now, to_gateway);
            self.plan_flow(link, Direction::ToClient);
            self.plan_flow(link, Direction::ToGateway);
        }
    }

    /// Something befalls somebody's link.
    pub(crate) fn harm_link(&mut self, fault: LinkFault) {
        let now = self.clock.now();
        let healthy = self
            .pick_link()
            .filter(|link| self.links.get(link).is_some_and(|it| it.is_healthy(now)));
        let Some(link) = healthy else {
            self.clock
                .plan(Duration::from_millis(50), Event::HarmLink { fault });
            return;
        };
        self.link_faults_left -= 1;
        self.harmed.insert(link);
        self.note_trouble();
        match fault {
            LinkFault::SwallowBoth => {
                self.totals.blackholes += 1;
                self.swallow(link, &[Direction::ToGateway, Direction::ToClient]);
            }
            LinkFault::SwallowToGateway => {
                self.totals.blackholes_to_gateway += 1;
                self.swallow(link, &[Direction::ToGateway]);
            }
            LinkFault::SwallowToClient => {
                self.totals.blackholes_to_client += 1;
                self.swallow(link, &[Direction::ToClient]);
            }
            LinkFault::Freeze(time) => {
                self.totals.links_frozen += 1;
                if let Some(state) = self.links.get_mut(&link) {
                    state.to_gateway.freeze(now + time);
                    state.to_client.freeze(now + time);
                }
                self.clock.plan(time, Event::Heal { link });
            }
            LinkFault::StallUplink(time) => {
                self.totals.uplinks_stalled += 1;
                if let Some(state) = self.links.get_mut(&link) {
                    state.to_gateway.freeze(now + time);
                    state.to_gateway.narrow(0);
                }
                self.clock.plan(time, Event::Heal { link });
            }
            LinkFault::ReadSlowly { pace, window, time } => {
                self.totals.slow_readers += 1;
                if let Some(state) = self.links.get_mut(&link) {
                    state.to_client.slow_down(pace);
                    state.to_client.narrow(window);
                }
                self.clock.plan(time, Event::Heal { link });
            }
        }
    }

    /// Bytes vanish from now on. Whoever hears nothing must notice in time; so must whoever hears and is not heard, by
    /// what the other end does about it.
    fn swallow(&mut self, link: LinkId, directions: &[Direction]) {
        let now = self.clock.now();
        let Some(state) = self.links.get_mut(&link) else {
            return;
        };
        for direction in directions {
            state.flow(*direction).swallow();
        }
        let (owner, socket) = (state.owner, state.socket.as_ref());
        if directions.contains(&Direction::ToGateway)
            && let Some(socket) = socket
        {
            let heard = now + self.settings.peer_silence_max(Pings::Prompt);
            let silent = socket.accepted_at + STALE_TIMEOUT + 2 * TICK;
            let latest = if socket.has_spoken {
                heard
            } else {
                silent.max(now)
            };
            self.clock.plan_at(latest, Event::JudgeGateway { link });
        }
        if directions.contains(&Direction::ToClient) {
            match owner {
                Some(Owner::Session(session)) => {
                    let silence = self.silence_max(session);
                    self.clock
                        .plan(silence, Event::JudgeSession { session, link });
                }
                Some(Owner::Simple(client)) => {
                    let silence = self.settings.no_ping_max();
                    self.clock.plan(silence, Event::NoPing { client, link });
                }
                None => {}
            }
        }
    }

    /// A link that stood still moves again, or its client reads as fast as it can.
    pub(crate) fn heal_link(&mut self, link: LinkId) {
        self.note_trouble();
        if let Some(state) = self.links.get_mut(&link) {
            if self.mutation == Some(Mutation::LossyFreeze) {
                state.to_client.lose_one();
            }
            state.to_client.widen();
            state.to_gateway.widen();
        }
        self.plan_flow(link, Direction::ToClient);
        self.plan_flow(link, Direction::ToGateway);
    }

    /// The gateway still holds a connection that has long been silent.
    pub(crate) fn judge_gateway(&mut self, link: LinkId) {
        let held = self.links.get_mut(&link);
        if let Some(socket) = held.and_then(|it| it.socket.as_mut()) {
            if socket.pings == Pings::Behind {
                socket.pings = Pings::Judged;
                self.clock
                    .plan(BYTES_WAIT_MAX, Event::JudgeGateway { link });
                return;
            }
            let seen = format!("the gateway still holds {link:?}, {:?}", socket.peer);
            self.reference
                .break_promise(Promise::ADeadPeerIsNoticed, seen);
        }
    }

    /// A session still trusts a link that has long been silent.
    pub(crate) fn judge_session(&mut self, session: usize, link: LinkId) {
        let owner = self.links.get(&link).and_then(|state| state.owner);
        // One that is being closed waits for its close frame, within bounds of its own.
        let is_closing = self
            .drivers
            .get(session)
            .is_some_and(|driver| driver.application.is_closing);
        if owner == Some(Owner::Session(session)) && !is_closing {
            let seen = format!("session {session} still trusts {link:?}");
            self.reference
                .break_promise(Promise::ADeadPeerIsNoticed, seen);
        }
    }

    /// A simple client hears no ping any more.
    pub(crate) fn miss_pings(&mut self, client: usize, link: LinkId) {
        let owner = self.links.get(&link).and_then(|state| state.owner);
        if owner == Some(Owner::Simple(client)) {
            self.let_go_as_client(link, End::Ended);
            self.lose_client_link(client, link);
        }
    }

    /// Something has gone wrong, or has ended going wrong: until a while later nobody has to be well.
    pub(crate) fn note_trouble(&mut self) {
        self.trouble_at = self.clock.now();
    }
}
