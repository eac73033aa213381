//! Commands of a peer: which are executed, and in which order.
//!
//! A command that violates the protocol closes the connection: it returns a [`Disconnect`]. A valid command that cannot
//! be granted is rejected with an error. Commands of a peer with too much pending are queued until enough of it is
//! completed. Each kind of command has a file.

use steadfast_protocol::codes::{DecodeErrorAction, DisconnectCode, ErrorCode};
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::message::{Command, Request};

use crate::disconnect::Disconnect;
use crate::event::Event;
use crate::io::{Output, PresenceDetail};
use crate::peer::{Peer, PeerPhase};
use crate::shared::Shared;

mod connect;
mod history;
mod live;
mod pages;
mod publish;
mod recovery;
mod subscribe;
mod unsubscribe;

impl Peer {
    /// Executes a command, or queues it while too much is pending for the peer.
    pub(crate) fn receive(
        &mut self,
        shared: &mut Shared,
        command: Result<Command, DecodeError>,
    ) -> Result<(), Disconnect> {
        if self.is_paused {
            self.queued_commands.push_back(command);
            return Ok(());
        }
        self.execute(shared, command)
    }

    /// Subtracts from the weight of what is pending for the peer; at half the limit the peer resumes, first with its
    /// queued commands.
    pub(crate) fn release(&mut self, shared: &mut Shared, weight: usize) -> Result<(), Disconnect> {
        let max = shared.context.settings().pending_requests_per_peer_max;
        self.pending_weight = self.pending_weight.saturating_sub(weight);
        if self.is_paused && self.pending_weight <= max / 2 {
            return self.run_queued_commands(shared);
        }
        Ok(())
    }

    /// Executes the commands that were queued, and resumes reading from the peer when the queue is empty.
    fn run_queued_commands(&mut self, shared: &mut Shared) -> Result<(), Disconnect> {
        let max = shared.context.settings().pending_requests_per_peer_max;
        while self.pending_weight < max {
            let Some(command) = self.queued_commands.pop_front() else {
                self.queued_commands.shrink_to_fit();
                self.is_paused = false;
                shared.context.emit(Output::ResumeReading { peer: self.id });
                return Ok(());
            };
            self.execute(shared, command)?;
        }
        Ok(())
    }

    fn execute(
        &mut self,
        shared: &mut Shared,
        command: Result<Command, DecodeError>,
    ) -> Result<(), Disconnect> {
        match (self.phase, command) {
            // A rejected connect invalidates the rest of its message and everything after it.
            (PeerPhase::Rejected { .. }, _) => Ok(()),
            (PeerPhase::AwaitingDecision, _) => {
                unreachable!("the commands of a peer that awaits a decision are queued")
            }
            (PeerPhase::AwaitingConnect, Err(error)) => Err(undecodable(&error)),
            (PeerPhase::Connected { .. }, Err(error)) => self.reject_undecodable(shared, &error),
            (PeerPhase::AwaitingConnect, Ok(command)) => self.execute_first(shared, command),
            (PeerPhase::Connected { .. }, Ok(command)) => self.execute_next(shared, command),
        }
    }

    fn reject_undecodable(
        &self,
        shared: &mut Shared,
        error: &DecodeError,
    ) -> Result<(), Disconnect> {
        match DecodeErrorAction::for_decode_error(error) {
            DecodeErrorAction::Reject { id, error: code } => {
                self.reject_with(&mut shared.context, id, code.reply_with(error.to_string()));
                Ok(())
            }
            DecodeErrorAction::Disconnect(_) => Err(undecodable(error)),
        }
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
        match request {
            Request::Subscribe(request) => self.subscribe(shared, id, &request),
            Request::Unsubscribe(request) => self.unsubscribe(shared, id, &request.channel),
            Request::Publish(request) => self.publish(shared, id, request),
            Request::Presence(request) => {
                self.query_presence(shared, id, &request.channel, PresenceDetail::Clients);
            }
            Request::PresenceStats(request) => {
                self.query_presence(shared, id, &request.channel, PresenceDetail::Counts);
            }
            Request::History(request) => self.history(shared, id, &request),
            Request::Rpc(request) => self.rpc(shared, id, &request),
            Request::Refresh(_) | Request::SubRefresh(_) => {
                self.reject(&mut shared.context, id, ErrorCode::NotAvailable);
            }
            Request::Pong if self.accept_pong() => {}
            Request::Pong | Request::Connect(_) | Request::Ping => {
                return Err(DisconnectCode::BadRequest.into());
            }
            // Messages without a channel have no receiver, and there is no reply that could report it.
            Request::Send(_) => shared.context.notify(Event::SendIgnored { peer: self.id }),
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
fn undecodable(error: &DecodeError) -> Disconnect {
    match DecodeErrorAction::for_decode_error(error) {
        DecodeErrorAction::Reject { .. } => DisconnectCode::BadRequest.into(),
        DecodeErrorAction::Disconnect(code) => {
            Disconnect::new(code, format!("{}: {error}", code.reason()))
        }
    }
}
