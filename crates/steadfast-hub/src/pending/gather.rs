//! The responses to one scatter-gather query.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_machine::convert;
use steadfast_protocol::message::{ClientInfo, PresenceStats, ReplyResult};

use crate::io::{PresenceDetail, ShardPresence};

/// What the shards have responded so far.
#[derive(Debug)]
pub(crate) struct PresenceGather {
    detail: PresenceDetail,
    responses_missing: u16,
    /// By client id, which is the order in the reply.
    clients: BTreeMap<String, ClientInfo>,
    num_clients: u32,
    users: BTreeSet<String>,
}

/// More clients are present than a reply may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyClients;

impl PresenceGather {
    pub(crate) const fn new(detail: PresenceDetail, shards: u16) -> Self {
        Self {
            detail,
            responses_missing: shards,
            clients: BTreeMap::new(),
            num_clients: 0,
            users: BTreeSet::new(),
        }
    }

    /// Adds the response of one shard. Returns `true` once all have responded.
    pub(crate) fn add(&mut self, presence: ShardPresence) -> bool {
        match presence {
            ShardPresence::Clients(clients) => self
                .clients
                .extend(clients.into_iter().map(|info| (info.client.clone(), info))),
            ShardPresence::Counts { clients, users } => {
                self.num_clients = self.num_clients.saturating_add(clients);
                self.users.extend(users);
            }
        }
        self.responses_missing = self.responses_missing.saturating_sub(1);
        self.responses_missing == 0
    }

    /// What the command that queried is replied.
    pub(crate) fn into_result(self, clients_max: usize) -> Result<ReplyResult, TooManyClients> {
        match self.detail {
            PresenceDetail::Clients if self.clients.len() > clients_max => Err(TooManyClients),
            PresenceDetail::Clients => Ok(ReplyResult::Presence(self.clients)),
            PresenceDetail::Counts => Ok(ReplyResult::PresenceStats(PresenceStats {
                num_clients: self.num_clients,
                num_users: convert::saturating(self.users.len()),
            })),
        }
    }
}
