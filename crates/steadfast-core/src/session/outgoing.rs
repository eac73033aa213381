//! Commands, combined into as few messages as the server's limits allow.

use bytes::Bytes;
use steadfast_protocol::idempotent::{self, IdempotentPublish};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{ChannelRequest, Command, HistoryRequest, Request, RpcRequest};

use super::Session;
use crate::io::{Call, Publish};

/// The maximum number of commands in a message: half of what other servers of this protocol accept.
const COMMANDS_MAX: usize = Limits::COMMANDS_MAX / 2;

/// Bytes of a command in addition to its names and data.
const ENVELOPE_BYTES: usize = 256;

/// The longest escape sequence of one byte in a name, as in `\u0001`.
const ESCAPE_BYTES: usize = 6;

/// Whether a publication fits into one message.
pub(super) fn fits(publish: &Publish) -> bool {
    let names = publish
        .channel
        .len()
        .saturating_add(publish.idempotency_key.len());
    fit(names, publish.data.len())
}

/// Whether a call fits into one message.
pub(super) fn call_fits(call: &Call) -> bool {
    match call {
        Call::Rpc { method, data } => fit(method.len(), data.len()),
        Call::History { channel, since, .. } => {
            let epoch = since.as_ref().map_or(0, |since| since.epoch.len());
            fit(channel.len().saturating_add(epoch), 0)
        }
        Call::Presence { channel } => fit(channel.len(), 0),
        Call::PresenceStats { channel } => fit(channel.len(), 0),
    }
}

fn fit(names: usize, data: usize) -> bool {
    let bytes = names.saturating_mul(ESCAPE_BYTES).saturating_add(data);
    bytes.saturating_add(ENVELOPE_BYTES) <= Limits::MESSAGE_BYTES
}

/// Messages that are being assembled.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    last_id: u32,
    /// The message being assembled.
    open: Vec<u8>,
    commands: usize,
    full: Vec<Bytes>,
}

impl Outgoing {
    /// The id of the next command.
    pub(super) const fn next_id(&self) -> u32 {
        // The id 0 is for commands without a reply.
        match self.last_id.checked_add(1) {
            Some(id) => id,
            None => 1,
        }
    }

    /// Adds a command that has a reply, and returns the id of the command.
    pub(super) fn push(&mut self, request: Request) -> u32 {
        let id = self.next_id();
        self.last_id = id;
        self.add(&Command { id, request });
        id
    }

    /// Adds a pong.
    pub(super) fn pong(&mut self) {
        self.add(&Command {
            id: 0,
            request: Request::Pong,
        });
    }

    fn add(&mut self, command: &Command) {
        let before = self.open.len();
        if before > 0 {
            self.open.extend_from_slice(Session::ENCODING.separator());
        }
        let start = self.open.len();
        Session::ENCODING.append_command(&mut self.open, command);
        self.commands += 1;
        let is_over = self.open.len() > Limits::MESSAGE_BYTES || self.commands > COMMANDS_MAX;
        if is_over && before > 0 {
            let rest = self.open.split_off(start);
            self.open.truncate(before);
            self.close();
            self.open = rest;
            self.commands = 1;
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.full.push(Bytes::from(std::mem::take(&mut self.open)));
            self.commands = 0;
        }
    }

    /// Discards everything that was not taken.
    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.commands = 0;
        self.full.clear();
    }

    /// Returns the assembled messages and clears the buffer.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        self.close();
        std::mem::take(&mut self.full)
    }
}

/// The command for a publication.
pub(super) fn publish_request(publish: &Publish) -> Request {
    let mut argument = Vec::new();
    let publish = IdempotentPublish {
        channel: publish.channel.clone(),
        data: publish.data.clone(),
        idempotency_key: publish.idempotency_key.clone(),
    };
    idempotent::append_publish(&mut argument, &publish);
    Request::Rpc(RpcRequest {
        method: idempotent::METHOD.to_owned(),
        data: Bytes::from(argument),
    })
}

/// The command for a call.
pub(super) fn call_request(call: &Call) -> Request {
    match call {
        Call::Rpc { method, data } => Request::Rpc(RpcRequest {
            method: method.clone(),
            data: data.clone(),
        }),
        Call::History {
            channel,
            limit,
            since,
            reverse,
        } => Request::History(HistoryRequest {
            channel: channel.clone(),
            limit: *limit,
            since: since.clone(),
            reverse: *reverse,
        }),
        Call::Presence { channel } => Request::Presence(ChannelRequest {
            channel: channel.clone(),
        }),
        Call::PresenceStats { channel } => Request::PresenceStats(ChannelRequest {
            channel: channel.clone(),
        }),
    }
}
