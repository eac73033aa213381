//! The simple clients in the world: they dial, speak, and come back.

use std::time::Duration;

use bytes::Bytes;
use steadfast_protocol::websocket::Opcode;

use crate::client::{Action, Books};
use crate::flow::End;
use crate::links::{LinkId, Owner};
use crate::world::{Event, World};

impl World {
    pub(crate) fn dial(&mut self, client: usize) {
        let Some(link) = self.open_link(Owner::Simple(client)) else {
            let delay = self
                .generator
                .between(Duration::from_millis(20), Duration::from_millis(300));
            self.clock.plan(delay, Event::Dial { client });
            return;
        };
        if let Some(dialled) = self.dialled.get_mut(client) {
            *dialled = Some(link);
        }
        let lies = self.generator.chance(1, 32);
        let greeting = self.clients.get_mut(client).map(|it| it.greet(lies));
        self.send_message(client, greeting);
    }

    /// A simple client sends a message, if it has a link.
    pub(crate) fn send_message(&mut self, client: usize, message: Option<Bytes>) {
        let link = self.dialled.get(client).copied().flatten();
        if let (Some(link), Some(message)) = (link, message) {
            self.send_to_gateway(link, Opcode::Text, &message);
        }
    }

    pub(crate) fn simple_client_reads(&mut self, client: usize, link: LinkId, bytes: &[u8]) {
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
                Action::Send(message) => self.send_message(client, Some(message)),
                Action::HangUp => {
                    self.let_go_as_client(link, End::Ended);
                    self.lose_client_link(client, link);
                }
                Action::RetryLater => self
                    .clock
                    .plan(Duration::from_millis(100), Event::Repeat { client }),
            }
        }
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

    /// Everything that a simple client was not acknowledged.
    pub(crate) fn repeat(&mut self, client: usize) {
        let messages = self
            .clients
            .get_mut(client)
            .map(crate::client::Client::repeat);
        for message in messages.unwrap_or_default() {
            self.send_message(client, Some(message));
        }
    }

    pub(crate) fn publish(&mut self, client: usize) {
        let is_faulty = self.is_faulty();
        let channel = usize::try_from(self.generator.below(8)).unwrap_or(0);
        let Some(publisher) = self.clients.get_mut(client) else {
            return;
        };
        if publisher.published() >= self.settings.publishes && !is_faulty {
            return;
        }
        self.totals.published += 1;
        let message = publisher.publish(channel);
        self.send_message(client, message);
        if self.generator.chance(1, 8) {
            self.publish_again(client);
        }
        let delay = self.publish_pause();
        self.clock.plan(delay, Event::Publish { client });
    }

    fn publish_again(&mut self, client: usize) {
        let pick = self.generator.next_u64();
        let again = self
            .clients
            .get_mut(client)
            .and_then(|client| client.publish_again(pick));
        self.totals.published_again += u64::from(again.is_some());
        self.send_message(client, again);
    }
}
