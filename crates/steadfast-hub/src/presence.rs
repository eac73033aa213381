//! Who is in a channel: every core knows its own peers, and a question goes to all of them.
//!
//! Question and answers travel in the order of the log, without being stored. A core that does not answer in time
//! makes the command fail with a temporary error; an answer is never silently partial.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use steadfast_machine::Instant;
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::json;
use steadfast_protocol::message::{
    ChannelName, ClientInfo, PresenceStats, Push, PushEvent, Reply, ReplyResult,
};
use steadfast_protocol::websocket::{FrameBuilder, Opcode};

use crate::asks::large_weight;
use crate::hub::Hub;
use crate::io::{Note, Output, PeerId, PresenceDetail, Present};
use crate::peer::{Peer, Stage};
use crate::refusals::Cause;

/// What most join and leave pushes take.
const PUSH_BYTES: usize = 160;

/// What a note tells listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    Joined,
    Left,
}

/// A question that not all cores have answered.
#[derive(Debug)]
struct Gather {
    peer: PeerId,
    command: u32,
    due: Instant,
    cores_missing: u16,
    /// By client id, which is the order in which they are told.
    clients: BTreeMap<String, ClientInfo>,
    num_clients: u32,
    users: BTreeSet<String>,
    detail: PresenceDetail,
}

/// The questions of a hub. Numbers grow, so the first is the oldest.
#[derive(Debug, Default)]
pub(crate) struct Gathers {
    open: BTreeMap<u64, Gather>,
    next: u64,
}

impl Gathers {
    /// When the oldest question must be given up.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.open.first_key_value().map(|(_, gather)| gather.due)
    }
}

impl Hub {
    pub(crate) fn ask_presence(
        &mut self,
        peer: PeerId,
        command: u32,
        channel: &str,
        detail: PresenceDetail,
    ) {
        if channel.is_empty() {
            return self.refuse(peer, command, ErrorCode::BadRequest);
        }
        if self.gathers.open.len() >= self.settings().asks_max {
            self.note_refusal(Cause::Limit("asks_max"));
            return self.refuse(peer, command, ErrorCode::TooManyRequests);
        }
        let (core, cores) = (self.settings().core, self.settings().cores);
        let due = self.now + self.settings().presence_timeout;
        self.gathers.next += 1;
        let number = self.gathers.next;
        let gather = Gather {
            peer,
            command,
            due,
            cores_missing: cores,
            clients: BTreeMap::new(),
            num_clients: 0,
            users: BTreeSet::new(),
            detail,
        };
        self.gathers.open.insert(number, gather);
        let channel = self.channels.name(channel);
        self.order(Output::Tell(Note::PresenceAsked {
            core,
            number,
            channel,
            detail,
        }));
        self.count_ask(peer, large_weight(self.settings()));
    }

    /// Answers a core's question with the peers of this one.
    pub(crate) fn answer_presence(
        &mut self,
        core: u16,
        number: u64,
        channel: &ChannelName,
        detail: PresenceDetail,
    ) {
        let limit = self.settings().presence_clients_max.saturating_add(1);
        let present = match detail {
            PresenceDetail::Clients => {
                Present::Clients(self.present(channel).take(limit).map(Peer::info).collect())
            }
            PresenceDetail::Counts => {
                let clients = u32::try_from(self.present(channel).count()).unwrap_or(u32::MAX);
                // All are anonymous, which is one user.
                let users = (clients > 0).then(String::new).into_iter().collect();
                Present::Counts { clients, users }
            }
        };
        self.order(Output::Tell(Note::PresenceTold {
            core,
            number,
            present,
        }));
    }

    /// The peers of this core whose subscription to the channel has been granted.
    fn present(&self, name: &ChannelName) -> impl Iterator<Item = &Peer> + '_ {
        let index = self.channels.find(name.as_str());
        let members = index
            .and_then(|index| self.channels.get(index))
            .map(crate::channel::Channel::members);
        members.into_iter().flatten().filter_map(move |id| {
            let peer = self.peers.get(id)?;
            let subscription = peer.subscription(index?)?;
            (!matches!(subscription.stage, Stage::Asked { .. })).then_some(peer)
        })
    }

    pub(crate) fn on_presence_told(&mut self, core: u16, number: u64, present: Present) {
        if core != self.settings().core {
            return;
        }
        let Some(gather) = self.gathers.open.get_mut(&number) else {
            return;
        };
        match present {
            Present::Clients(clients) => {
                gather
                    .clients
                    .extend(clients.into_iter().map(|info| (info.client.clone(), info)));
            }
            Present::Counts { clients, users } => {
                gather.num_clients = gather.num_clients.saturating_add(clients);
                gather.users.extend(users);
            }
        }
        gather.cores_missing = gather.cores_missing.saturating_sub(1);
        if gather.cores_missing == 0
            && let Some(gather) = self.gathers.open.remove(&number)
        {
            self.finish_gather(gather);
        }
    }

    fn finish_gather(&mut self, gather: Gather) {
        let Gather {
            peer,
            command,
            clients,
            num_clients,
            users,
            detail,
            ..
        } = gather;
        match detail {
            PresenceDetail::Clients if clients.len() > self.settings().presence_clients_max => {
                self.note_refusal(Cause::Limit("presence_clients_max"));
                self.refuse(peer, command, ErrorCode::LimitExceeded);
            }
            PresenceDetail::Clients => self.grant(peer, command, ReplyResult::Presence(clients)),
            PresenceDetail::Counts => {
                let num_users = u32::try_from(users.len()).unwrap_or(u32::MAX);
                self.grant(
                    peer,
                    command,
                    ReplyResult::PresenceStats(PresenceStats {
                        num_clients,
                        num_users,
                    }),
                );
            }
        }
        self.uncount_ask(peer, large_weight(self.settings()));
    }

    /// Gives up the questions that were not answered in time.
    pub(crate) fn expire_gathers(&mut self) {
        while let Some(entry) = self
            .gathers
            .open
            .first_entry()
            .filter(|entry| entry.get().due <= self.now)
        {
            let gather = entry.remove();
            self.refuse(gather.peer, gather.command, ErrorCode::Internal);
            self.uncount_ask(gather.peer, large_weight(self.settings()));
        }
    }

    /// Pushes a join or leave to those who asked for it, encoded once.
    pub(crate) fn tell_listeners(&mut self, channel: &ChannelName, info: ClientInfo, what: Move) {
        let Some(index) = self.channels.find(channel.as_str()) else {
            return;
        };
        let Some(listeners) = self
            .channels
            .get(index)
            .map(|channel| channel.listeners.clone())
            .filter(|listeners| !listeners.is_empty())
        else {
            return;
        };
        let event = match what {
            Move::Joined => PushEvent::Join(info),
            Move::Left => PushEvent::Leave(info),
        };
        let push = Reply::Push(Push {
            channel: channel.as_str().to_owned(),
            event,
        });
        let mut frame = FrameBuilder::with_capacity(PUSH_BYTES);
        json::append_reply(frame.buffer(), &push);
        self.order(Output::Fanout {
            frame: frame.finish(Opcode::Text),
            to: Rc::new(listeners),
        });
    }
}
