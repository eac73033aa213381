//! Links between clients and the gateway: they deliver late, in order, and break.

use std::time::Duration;

use bytes::Bytes;
use steadfast_hub::io::{Input, PeerId};
use steadfast_machine::Instant;

use crate::client::{Action, Books};
use crate::mutation::Mutation;
use crate::world::{Event, World};

/// One connection between a client and the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkId(u64);

#[derive(Debug)]
pub(crate) struct Link {
    client: usize,
    core: usize,
    peer: PeerId,
    /// When the last frame of each direction arrives: nothing overtakes it.
    to_client_until: Instant,
    to_gateway_until: Instant,
}

impl World {
    pub(crate) fn dial(&mut self, client: usize) {
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
        let lies = self.generator.chance(1, 32);
        let greeting = self.clients.get_mut(client).map(|it| it.greet(lies));
        self.send_to_gateway(client, greeting);
    }

    pub(crate) fn send_to_gateway(&mut self, client: usize, message: Option<Bytes>) {
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

    pub(crate) fn arrive_at_gateway(&mut self, link: LinkId, message: Bytes) {
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

    pub(crate) fn arrive_at_client(&mut self, link: LinkId, bytes: &[u8]) {
        let Some(client) = self.links.get(&link).map(|link| link.client) else {
            return;
        };
        let mut books = Books {
            reference: &mut self.reference,
            totals: &mut self.totals,
            is_whole: self.settings.is_whole(),
            visible_max: self.settings.visible_max(),
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

    /// Somebody's connection is cut; what was under way on it is lost, and either end learns of it later.
    pub(crate) fn cut_link(&mut self) {
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

    pub(crate) fn lose_client_link(&mut self, client: usize, link: LinkId) {
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
}
