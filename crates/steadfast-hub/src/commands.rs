//! Commands of a peer: which are executed, and in which order.
//!
//! A command that violates the protocol closes the connection: it returns a [`Disconnect`]. A valid command that cannot
//! be granted is rejected with an error. A peer with too much pending is paused until enough of it is completed: the shell
//! neither reads from it nor decodes what it has read. Commands in one channel take effect in their order: the few that
//! the hub keeps for this are in `peer/channel_order`. Each kind of command has a file.

use steadfast_protocol::codes::{DecodeErrorAction, DisconnectCode, ErrorCode};
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::message::{Command, Request};

use crate::disconnect::Disconnect;
use crate::event::{Event, HubLimit};
use crate::io::{Output, PresenceDetail};
use crate::peer::{Peer, PeerPhase};
use crate::rejections::RejectionCause;
use crate::shared::Shared;

mod channel_command;
mod connect;
mod history;
mod live;
mod pages;
mod publish;
mod recovery;
mod subscribe;
mod unsubscribe;

pub(crate) use self::channel_command::ChannelCommand;

impl Peer {
    /// Subtracts from the weight of what is pending for the peer; at half the limit the peer is read from again.
    pub(crate) fn release(&mut self, shared: &mut Shared, weight: usize) {
        let context = &mut shared.context;
        let max = context.settings().pending_requests_per_peer_max;
        self.pending_weight = self.pending_weight.saturating_sub(weight);
        if self.is_paused && self.pending_weight <= max / 2 {
            self.record_resumed(context.now);
            shared.incomplete.restart(context.now, self.id);
            context.emit(Output::ResumeReading { peer: self.id });
        }
    }

    /// Executes a command of a peer that is not paused.
    pub(crate) fn execute(
        &mut self,
        shared: &mut Shared,
        command: Result<Command, DecodeError>,
    ) -> Result<(), Disconnect> {
        match (self.phase, command) {
            // A rejected connect invalidates the rest of its message and everything after it.
            (PeerPhase::Rejected { .. }, _) => Ok(()),
            (PeerPhase::AwaitingDecision, _) => {
                unreachable!("a peer that awaits a decision is paused")
            }
            (PeerPhase::AwaitingConnect, Err(error)) => self.reject_first(shared, error),
            (PeerPhase::Connected { .. }, Err(error)) => self.reject_undecodable(shared, error),
            (PeerPhase::AwaitingConnect, Ok(command)) => self.execute_first(shared, command),
            (PeerPhase::Connected { .. }, Ok(command)) => self.execute_next(shared, command),
        }
    }

    /// Rejects the first command, or closes the connection. A client learns from the reply which field is invalid.
    fn reject_first(&mut self, shared: &mut Shared, error: DecodeError) -> Result<(), Disconnect> {
        match DecodeErrorAction::for_decode_error(&error) {
            DecodeErrorAction::Reject { id, error: code } => {
                let reply = code.reply_with(error.to_string());
                self.reject_connect(shared, id, reply);
            }
            DecodeErrorAction::Ignore => return Err(DisconnectCode::BadRequest.into()),
            DecodeErrorAction::Disconnect(code) => return Err(undecodable(code, &error)),
        }
        self.report_invalid(shared, error);
        Ok(())
    }

    fn reject_undecodable(
        &self,
        shared: &mut Shared,
        error: DecodeError,
    ) -> Result<(), Disconnect> {
        match DecodeErrorAction::for_decode_error(&error) {
            DecodeErrorAction::Reject { id, error: code } => {
                self.reject_with(&mut shared.context, id, code.reply_with(error.to_string()));
            }
            DecodeErrorAction::Ignore => {}
            DecodeErrorAction::Disconnect(code) => return Err(undecodable(code, &error)),
        }
        self.report_invalid(shared, error);
        Ok(())
    }

    fn report_invalid(&self, shared: &mut Shared, error: DecodeError) {
        if matches!(error, DecodeError::CommandTooLong { .. }) {
            let cause = RejectionCause::Limit(HubLimit::CommandBytes);
            shared.context.record_rejection(cause);
        }
        shared.context.notify(Event::CommandInvalid {
            peer: self.id,
            error,
        });
    }

    fn execute_first(&mut self, shared: &mut Shared, command: Command) -> Result<(), Disconnect> {
        match command.request {
            Request::Connect(request) if command.id > 0 => {
                self.on_connect(shared, command.id, request)
            }
            Request::Connect(_)
            | Request::Subscribe(_)
            | Request::Unsubscribe(_)
            | Request::Publish(_)
            | Request::Presence(_)
            | Request::PresenceStats(_)
            | Request::History(_)
            | Request::Ping
            | Request::Send(_)
            | Request::Rpc(_)
            | Request::Refresh(_)
            | Request::SubRefresh(_)
            | Request::Pong => Err(DisconnectCode::BadRequest.into()),
        }
    }

    fn execute_next(&mut self, shared: &mut Shared, command: Command) -> Result<(), Disconnect> {
        let Command { id, request } = command;
        if !has_valid_id(id, &request) {
            return Err(DisconnectCode::BadRequest.into());
        }
        let command = match request {
            Request::Subscribe(request) => Ok(ChannelCommand::Subscribe(request)),
            Request::Unsubscribe(request) => Ok(ChannelCommand::Unsubscribe {
                channel: request.channel,
            }),
            Request::Publish(request) => publish::published(&shared.channels, request),
            Request::Presence(request) => Ok(ChannelCommand::Presence {
                channel: request.channel,
                detail: PresenceDetail::Clients,
            }),
            Request::PresenceStats(request) => Ok(ChannelCommand::Presence {
                channel: request.channel,
                detail: PresenceDetail::Counts,
            }),
            Request::History(request) => Ok(ChannelCommand::History(request)),
            Request::Rpc(request) => publish::called(shared, &request),
            Request::Refresh(_) | Request::SubRefresh(_) => Err(ErrorCode::NotAvailable.reply()),
            Request::Pong if self.accept_pong() => return Ok(()),
            Request::Pong | Request::Connect(_) | Request::Ping => {
                return Err(DisconnectCode::BadRequest.into());
            }
            // Messages without a channel have no receiver, and there is no reply that could report it.
            Request::Send(_) => {
                shared.context.notify(Event::SendIgnored { peer: self.id });
                return Ok(());
            }
        };
        match command {
            Ok(command) => self.execute_in_order(shared, id, command),
            Err(error) => self.reject_with(&mut shared.context, id, error),
        }
        Ok(())
    }
}

/// Whether a command that requires a reply has a number for it.
const fn has_valid_id(id: u32, request: &Request) -> bool {
    match request {
        Request::Send(_) | Request::Pong => true,
        Request::Connect(_)
        | Request::Subscribe(_)
        | Request::Unsubscribe(_)
        | Request::Publish(_)
        | Request::Presence(_)
        | Request::PresenceStats(_)
        | Request::History(_)
        | Request::Ping
        | Request::Rpc(_)
        | Request::Refresh(_)
        | Request::SubRefresh(_) => id > 0,
    }
}

/// Closes a connection whose command could not be decoded and cannot be replied to.
fn undecodable(code: DisconnectCode, error: &DecodeError) -> Disconnect {
    Disconnect::new(code, format!("{}: {error}", code.reason()))
}
